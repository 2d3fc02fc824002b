"""Strategies: one method a file; names in `config.STRATEGIES`, settings read in `registry`."""
