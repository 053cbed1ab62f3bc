"""Terms -> scalar: one objective a file."""
