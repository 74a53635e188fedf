"""`understudy drill`: what users would have seen while the providers of a configuration failed."""
