"""What benchmarks share: how they run, tables, figures, pages."""
