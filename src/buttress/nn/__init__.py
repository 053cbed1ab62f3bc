"""Layers without probability: attention, gated convolutions, quantisers, perceptrons."""
