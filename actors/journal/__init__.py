"""The durable store of what is finished: one Journal a cluster, whose commits are shared by all who write."""
