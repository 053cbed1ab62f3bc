"""Hostile and broken inputs, made by code: see ``python -m tests.hostile --help``."""
