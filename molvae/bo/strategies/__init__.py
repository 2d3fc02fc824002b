"""Strategies: one method a file, registered in `registry`."""
