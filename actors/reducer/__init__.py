"""Merges answers along a tree while they still come in."""
