"""What runs, checks, plans and draws workflows, whatever their patterns are."""
