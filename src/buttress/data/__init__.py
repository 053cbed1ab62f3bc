"""Images, sentences, tables and synthetic sets with known truth: one source a file."""
