"""Works on slices of a job's items, many at once."""
