"""What is said: messages, configuration, errors, wire formats. Plain data; no Ray, no I/O, no clock."""
