"""What a decoder's outputs mean: one family of p(x|z) a file, a true density or mass with all its constants."""
