"""`python -m understudy`."""

from .cluster.cli import main

main()
