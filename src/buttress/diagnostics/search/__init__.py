"""The search for the best q of its family for each example, with the decoder and the prior frozen."""
