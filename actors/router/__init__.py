"""Which candidate answers: the order of those that can, by health."""
