"""Readers of files: arrays, tables, text, pictures."""
