"""`understudy digest`: walks, plans, submits, follows and reports."""
