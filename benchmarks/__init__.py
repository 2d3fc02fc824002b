"""Benchmarks: `python -m benchmarks NAME`; without a name, those that there are.

Every module of this folder is a benchmark: `TITLE`, a docstring whose first line says what is
asked, `measure(*, quick, jobs, folder, ...)`, which returns plain values, and `table(result)`,
which makes Markdown of them; further arguments of `measure` are options of the
command line. Some have `figures(result, folder)`, and `PARTS`, options that choose a part of the
whole, with `merge(before, now)`. `shared` serves them.

A whole run from a clean working tree writes `benchmarks/results/NAME.json`; all others (`--quick`,
other sizes, `--own`) write to `runs/benchmarks/`. `python -m benchmarks docs` makes
`docs/benchmarks.md`, its figures and the README's table from the results.
"""
