"""The digest of a folder: what is read, in which calls, and how the answers are merged. Pure decisions."""
