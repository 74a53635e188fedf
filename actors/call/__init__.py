"""One logical model call: attempts, back-off and candidates under one budget."""
