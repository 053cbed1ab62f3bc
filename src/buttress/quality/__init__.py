"""How good and how diverse samples are, judged by a classifier of the user's own labels: one measure a file."""
