"""What to optimize: problems, scoring functions, and how they are found by name and stated."""
