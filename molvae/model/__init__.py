"""The networks and their training: torch lives here, RDKit does not; a molecule is a row of integers."""
