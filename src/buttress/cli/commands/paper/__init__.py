"""Repeat a paper's experiment, and see which of its claims hold."""
