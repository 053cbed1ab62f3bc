"""What a model is conditioned on: one way a file."""
