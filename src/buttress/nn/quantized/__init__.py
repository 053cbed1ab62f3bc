"""Layers whose products are of quantised numbers, and how the layers of a model become such."""
