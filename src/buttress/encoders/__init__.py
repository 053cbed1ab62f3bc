"""x -> h, no probability: one encoder a file."""
