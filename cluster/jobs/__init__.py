"""Jobs that outlive who handed them in: read, followed, gone on with, tried again, forgotten."""
