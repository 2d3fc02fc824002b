"""Molecules and their properties: RDKit and selfies live here, torch does not."""
