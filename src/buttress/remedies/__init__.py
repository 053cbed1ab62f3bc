"""Remedies for posterior collapse: one function Recipe -> Recipe a file, named like the file."""
