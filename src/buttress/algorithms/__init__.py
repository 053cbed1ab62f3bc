"""How parameters move: one learning algorithm a file."""
