"""z -> p(x|z): one decoder a file."""
