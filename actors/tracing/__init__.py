"""Where the time and the money went: what is recorded while an item is worked on, and how spans reach a collector."""
