"""Runs jobs: hands out slices by demand, gathers answers, keeps the budget."""
