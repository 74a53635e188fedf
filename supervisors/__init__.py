"""Who decides: director, supervisor, restart policy, and the patterns."""
