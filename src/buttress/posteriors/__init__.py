"""h -> q(z|x): one posterior a file."""
