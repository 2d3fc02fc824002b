"""Benchmarks: `python -m benchmarks NAME`; without a name, those that there are.

Every module of this folder is a benchmark: `TITLE`, a docstring whose first line says what is
asked, `measure(*, quick, jobs, folder, ...)`, which returns plain values, and `table(result)`,
which makes Markdown of them; some have `figures(result, folder)`, `add_options(parser)`, and
`PARTS`, options that choose a part of the whole, with `merge(before, now)`. `shared` serves them.

A whole run from a clean working tree writes `benchmarks/results/NAME.json`; all others (`--quick`,
other sizes, `--own`) write to `runs/benchmarks/`. `python -m benchmarks docs` makes
`docs/benchmarks.md`, its figures and the README's table from the results.
"""
