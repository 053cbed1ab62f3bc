"""Many runs: comparisons of remedies, and the experiments of papers."""
