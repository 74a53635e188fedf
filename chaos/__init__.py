"""A digest that has to come out right while a seeded monkey kills our processes; `python -m chaos --help`."""
