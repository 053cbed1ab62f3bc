"""One file a paper: the data, the baseline, the remedies, and the claims that it must show."""
