"""Markdown: tables, and numbers as they stand in cells. What is not known (None, NaN) is a dash."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.run import plain
from molvae.config import DEFAULT_PROPERTIES

TITLES = {"zinc250k": "ZINC250k", "qm9": "QM9"}
"""Titles of bundled models and of their data sets."""
NONE = "-"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines]


def at(keys: str, form: str = ".2f", part: str = "") -> Callable[[Any], str]:
    """A cell of values of a row, or of a part of it, by keys; `*` stands for each property."""
    names = [
        key.replace("*", name)
        for key in keys.split()
        for name in (DEFAULT_PROPERTIES if "*" in key else [""])
    ]
    return lambda row: pick(row[part] if part else row, names, form)


def columns(rows: Iterable[Any], cells: Mapping[str, Callable[[Any], str]]) -> list[str]:
    """A table of rows: the functions make a row's cells, their names are the header."""
    return markdown([*cells], [[cell(row) for cell in cells.values()] for row in rows])


def transposed(
    rows: Mapping[str, Any], cells: Mapping[str, Callable[[Any], str]], label: str = "measure"
) -> list[str]:
    """A table with a column for each row, by its title; lines without any value are left out."""
    lines = [[name, *(cell(row) for row in rows.values())] for name, cell in cells.items()]
    return markdown([label, *rows], [line for line in lines if {*line[1:]} != {NONE}])


def number(value: float | None, form: str = ".2f") -> str:
    """One number; a form that ends in % gives a percentage with a space before the sign."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    return format(value, form).replace("%", " %")


def numbers(values: Iterable[float | None], form: str = ".2f") -> str:
    """Several numbers with commas between them; one dash if none of them is known."""
    texts = [number(value, form) for value in values]
    return NONE if set(texts) <= {NONE} else ", ".join(texts)


def pick(found: Mapping[str, Any], keys: Iterable[str], form: str = ".2f") -> str:
    """`numbers` by their keys, of which some may be missing."""
    return numbers([found.get(key) for key in keys], form)


def spread(mean: float | None, std: float | None, form: str = ".2f") -> str:
    """A mean with a standard deviation, if there is one."""
    text = number(mean, form)
    return text if std is None or text == NONE else f"{text} ± {number(std, form.lstrip('+'))}"


def mean_std(values: Sequence[float | None] | NDArray[np.float64]) -> dict[str, float | None]:
    """Mean and standard deviation for JSON; None of a single value, and of unknown ones."""
    known = np.array(values, dtype=np.float64)
    std = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"mean": plain(float(known.mean())), "std": plain(std)}


def grouped(rows: Iterable[Any], key: str, *more: str) -> dict[Any, list[Any]]:
    """Rows by what stands under a key, or several as a tuple, in the order of first appearance."""
    found: dict[Any, list[Any]] = {}
    for row in rows:
        place = (row[key], *(row[one] for one in more)) if more else row[key]
        found.setdefault(place, []).append(row)
    return found


def by_seed(values: Sequence[float], form: str = ".2f") -> list[str]:
    """Cells of a row: mean and standard deviation over the seeds, then each seed."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return [spread(statistics.mean(values), std, form), *(number(v, form) for v in values)]
