"""Causes: a file each, found by looking into this folder."""
