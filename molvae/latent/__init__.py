"""Molecules as latent vectors and back: the one place where chemistry meets the network."""
