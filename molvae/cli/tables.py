"""Tables for people: four digits, as wide as the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import wrap

from molvae.errors import visible

N_DIGITS = 4
MIN_SMILES_WIDTH = 24
"""Width of a column of molecules from which on it stays in its row."""
MIN_TEXT_WIDTH = 12
"""Width to which other texts are folded, if the table is too wide."""
COLUMN_GAP = "  "


def table_lines(header: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> list[str]:
    """The lines of a table that fits a width.

    Columns without any cell are left out. If the molecules do not fit beside the other columns,
    each stands in a line of its own below its row; if those do not fit either, each cell has its
    own line.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    kept = [i for i in range(len(header)) if not cells or any(row[i] for row in cells)]
    names = [visible(str(header[i])) for i in kept]
    cells = [[row[i] for i in kept] for row in cells]
    if not names:
        return []
    molecules = next((i for i, name in enumerate(names) if name == "smiles"), None)
    if (lines := _grid(names, cells, width, flexible=molecules)) is not None:
        return lines
    if molecules is not None:
        rest = [i for i in range(len(names)) if i != molecules]
        others = [[row[i] for i in rest] for row in cells]
        below = [row[molecules] for row in cells]
        lines = _grid([names[i] for i in rest], others, width, below=below)
        if lines is not None:
            return lines
    longest = max(map(len, names))
    return [
        line
        for row in cells
        for name, cell in zip(names, row, strict=True)
        for line in _indented(f"{name:<{longest}}{COLUMN_GAP}", cell, width)
    ]


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        text = f"{value:.{N_DIGITS}g}"
        return f"{value:.0f}" if "e" in text and 1 <= abs(value) < 1e6 else text
    return visible(" ".join(str(value).split()))


def _grid(
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    width: int,
    *,
    flexible: int | None = None,
    below: Sequence[str] = (),
) -> list[str] | None:
    """Rows and columns; None if they do not fit."""
    heads = [re.split(r"(?<=[_ ])", name) for name in names]
    columns = [[row[i] for row in cells] for i in range(len(names))]
    widths = [
        max([*map(len, column), *(len(part.rstrip("_ ")) for part in head)])
        for column, head in zip(columns, heads, strict=True)
    ]
    numbers = [all(re.fullmatch(r"[-+.\deinfa]*", cell) for cell in column) for column in columns]
    least = [
        w if number else min(w, MIN_SMILES_WIDTH if i == flexible else MIN_TEXT_WIDTH)
        for i, (w, number) in enumerate(zip(widths, numbers, strict=True))
    ]
    free = width - len(COLUMN_GAP) * (len(names) - 1)
    if sum(least) > free:
        return None
    order = sorted(range(len(names)), key=lambda i: (i == flexible, widths[i]))
    left = free - sum(least)
    for i in order:  # narrow texts get their whole width first
        more = min(widths[i] - least[i], left)
        least[i], left = least[i] + more, left - more

    def lines_of(row: Sequence[Sequence[str]]) -> list[str]:
        height = max(map(len, row))
        padded = [[*cell, *[""] * (height - len(cell))] for cell in row]
        return [
            COLUMN_GAP.join(
                f"{cell[k]:>{w}}" if number else f"{cell[k]:<{w}}"
                for cell, w, number in zip(padded, least, numbers, strict=True)
            ).rstrip()
            for k in range(height)
        ]

    top = [
        [part.rstrip("_ ") for part in _joined(head, w)]
        for head, w in zip(heads, least, strict=True)
    ]
    tallest = max(map(len, top))
    found = lines_of([[""] * (tallest - len(head)) + head for head in top])
    for place, row in enumerate(cells):
        found += lines_of([_folded(cell, w) for cell, w in zip(row, least, strict=True)])
        found += (
            [f"{COLUMN_GAP}{part}" for part in _folded(below[place], width - len(COLUMN_GAP))]
            if below
            else []
        )
    return found


def _joined(parts: Sequence[str], width: int) -> list[str]:
    """Parts of a name in as few lines as they fit into."""
    lines = [""]
    for part in parts:
        if lines[-1] and len((lines[-1] + part).rstrip("_ ")) > width:
            lines.append("")
        lines[-1] += part
    return lines


def _folded(text: str, width: int) -> list[str]:
    return wrap(text, max(width, 1), break_on_hyphens=False) or [""]


def _indented(first: str, text: str, width: int) -> list[str]:
    parts = _folded(text, width - len(first))
    return [(first if k == 0 else " " * len(first)) + part for k, part in enumerate(parts)]
