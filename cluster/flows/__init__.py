"""Workflows from the command line and from Python: handed in as jobs, followed, answered, shown."""
