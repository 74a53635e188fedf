"""A job on a Ray cluster elsewhere, through Ray Jobs: shipped, followed, looked at and cancelled from anywhere."""
