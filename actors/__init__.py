"""Who does the work: provider, channel, mapper, reducer, router; each a pure core and a thin shell."""
