"""The root supervisor: starts the actors a workflow needs, and restarts those that die."""
