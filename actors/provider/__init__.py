"""One provider account: its limits and leases, its breaker, its latencies, its spend."""
