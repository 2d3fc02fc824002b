"""Benchmarks: `python -m benchmarks NAME`; without a name, the list of them.

Every module of this folder is a benchmark: `TITLE`, a docstring that its page begins with and whose
first line is its question, `measure(*, quick, jobs, folder, ...)`, which returns plain values, and
`table(result)`, which makes Markdown of them; further arguments of `measure` are options of the
command line. Some have `figures(result, folder)`, and `PARTS`, options that choose a part of the
whole, with `merge(before, now)`. `shared` holds what several need: processes with kept results and
metadata (`run`), tables, figures, pages, molecules, measures of a model.

A whole run from a clean working tree writes `benchmarks/results/NAME.json`; all others (`--quick`,
other sizes, `--own`) write to `runs/benchmarks/`. `python -m benchmarks docs` makes
`docs/benchmarks.md`, its figures and the README's table from the results.
"""
