"""Step -> value: one schedule a file. None keeps a counter."""
