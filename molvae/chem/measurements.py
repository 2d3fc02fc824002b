"""Measured values in the columns of a table: numbers, bounds, failures, standard errors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence

from molvae.chem.tables import Table
from molvae.chem.values import (
    Censored,
    decimal_marks,
    is_ambiguous,
    not_a_number,
    parse_measurement,
)
from molvae.errors import listed, warn

Values = Mapping[int, Sequence[float | Censored]]
"""The values in a column by line."""


def has_decimal_comma(table: Table, place: int) -> bool | None:
    """Whether the numbers of a column have a decimal comma; None if only some have.

    If all of them could have thousands separators instead, the other columns decide, and then the
    separator: spreadsheets write semicolons where the comma is the decimal mark.
    """
    texts = [part for _, cells in table.rows for part in cells[place].split(";")]
    marks = decimal_marks(texts)
    doubtful = [] if marks else [text for text in texts if is_ambiguous(text)]
    marks = marks or decimal_marks(cell for _, cells in table.rows for cell in cells if doubtful)
    if doubtful and not marks and table.separator == ";":
        marks = {mark for text in doubtful for mark in ",." if mark in text}
        if len(marks) == 1:
            warn(
                f"{table.name}: {doubtful[0]} in column {table.header[place]!r} is read as "
                f"{doubtful[0].strip().replace(',', '.')}, not as a number with thousands"
            )
    return None if len(marks) > 1 else marks == {","}


def measured_values(table: Table, place: int) -> dict[int, list[float | Censored]]:
    """The measurements in a column by line, without lines that have none; NaN: it failed.

    Several values in a cell are separated by semicolons. Invalid cells are noted as problems.
    """
    comma, found = has_decimal_comma(table, place), dict[int, list[float | Censored]]()
    for line, cells in table.rows:
        parts = cells[place].split(";")
        for part in parts:
            try:
                value = parse_measurement(part, decimal_comma=comma, alone=len(parts) == 1)
            except ValueError as reason:
                table.problem(
                    line,
                    f"{table.header[place]}: {not_a_number(part, reason)}",
                    "leave a cell without a value empty, or write NaN if it failed",
                )
                continue
            if value is not None:
                found.setdefault(line, []).append(value)
    return found


def mean_values(table: Table, place: int) -> dict[int, float]:
    """The numbers of a column by line, averaged within a cell; a warning lists bounds."""
    found = measured_values(table, place)
    warn_of_bounds(table, {place: found}, "they are taken for unknown")
    known = {
        line: [one for one in values if isinstance(one, float) and not math.isnan(one)]
        for line, values in found.items()
    }
    return {line: statistics.fmean(values) for line, values in known.items() if values}


def standard_errors(
    table: Table, place: int, values: Values, *, words: int | None = None
) -> dict[int, float]:
    """The standard errors in a column by line; invalid ones are noted as problems.

    `words` is the column of values, if an error beside a bound or a word in it is left out.
    """
    errors = dict[int, float]()
    worded = {line for line, cells in table.rows if words is not None and cells[words]}
    for line, found in measured_values(table, place).items():
        error, beside = found[0], values.get(line, [])
        several = [value for value in beside if isinstance(value, float) and value == value]
        if len(found) > 1 or not isinstance(error, float) or not error >= 0:
            said = ";".join(str(getattr(one, "text", one)) for one in found)
            table.problem(line, f"a standard error is a number from 0, got {said}")
        elif not several and line in worded:
            continue
        elif len(several) != 1:
            table.problem(
                line,
                f"a standard error ({error:g}) stands beside {len(several) or 'no'} "
                f"value{'s' * (len(several) != 1)}",
                "give it beside one value: of several it is computed",
            )
        else:
            errors[line] = error
    return errors


def warn_of_bounds(table: Table, columns: Mapping[int, Values], fate: str) -> None:
    """Warn of bounds in columns, by index, which cannot be used yet."""
    bounds = sorted(
        (line, one.text, table.header[place])
        for place, found in columns.items()
        for line, values in found.items()
        for one in values
        if isinstance(one, Censored)
    )
    if bounds:
        said = listed([f"{text[:20]} ({table.where(line)})" for line, text, _ in bounds])
        warn(
            f"{table.name}: of {' and '.join(dict.fromkeys(name for *_, name in bounds))} "
            f"bounds are given, which cannot be used yet ({len(bounds)} in all); {fate}: {said}"
        )


def columns_of(table: Table, names: Sequence[str], other: str, own: str = "{}") -> dict[str, int]:
    """Indices of the columns of some values, as far as they exist.

    `own` is the name of a column and `other` its alternative; {} is the name of the values.
    """
    found = {name: table.find_either(own.format(name), other.format(name)) for name in names}
    return {name: place for name, place in found.items() if place is not None}


def notes_of(table: Table, cells: Sequence[str], used: Collection[int | None]) -> dict[str, str]:
    """The cells of a row outside the used columns, by distinct names of their columns."""
    notes = dict[str, str]()
    for place, (name, text) in enumerate(zip(table.header, cells, strict=True)):
        if place not in used and text:
            notes[name if name not in notes else f"{name} (column {place + 1})"] = text
    return notes
