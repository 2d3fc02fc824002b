"""A campaign: the one object with state, its file, and how its trials are evaluated."""
