"""What may stand where the decoder stands: critics."""
