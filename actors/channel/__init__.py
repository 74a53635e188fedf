"""A holder's way to one account: its local lease, the wire, and the settling of what was spent."""
