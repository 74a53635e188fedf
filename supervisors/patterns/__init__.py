"""The orchestration patterns, one a file: how a node of a workflow is run."""
