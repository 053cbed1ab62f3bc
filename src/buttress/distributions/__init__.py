"""Distributions that torch lacks, and what can be known about a pair of them."""
