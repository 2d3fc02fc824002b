"""The networks and their training: torch, and no RDKit; a molecule is a row of integers."""
