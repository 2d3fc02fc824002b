"""Measured values in the columns of a table: numbers, limits, failures, standard errors."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Collection, Mapping, Sequence

from molvae.chem.tables import Table
from molvae.chem.values import (
    LIMIT_SIGNS,
    Censored,
    decimal_marks,
    is_ambiguous,
    is_word,
    not_a_number,
    parse_measurement,
)
from molvae.errors import DataError, listed, shown, warn

OPERATOR_SUFFIX = "operator"  # columns NAME_operator hold the operators of censored values
REPLICATES_SUFFIX = "replicates"  # columns NAME_replicates hold those of mean values
LIMITS = ("<", ">", "<=", ">=", "\u2264", "\u2265")
OPERATOR_SIGNS = ("", "=", *LIMITS)  # texts of such a column
OPERATOR_NAMES = re.compile(
    r"(standard|std|activity|value|published)?"
    r"(relation|relationship|rel|operator|op|qualifier|qual|modifier|mod|prefix|sign|inequality"
    r"|censor(ed|ing)?)s?"
)
"""Names of columns of operators, in small letters and without other signs."""
Values = Mapping[int, Sequence[float | Censored]]  # the values in a column by line


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
        if not all("," in text for text in doubtful):
            return None
        marks = {","}
        warn(
            f"{table.name}: {doubtful[0]} in column {table.header[place]!r} is read as "
            f"{doubtful[0].strip().replace(',', '.')}, not as a number with thousands"
        )
    return None if len(marks) > 1 else marks == {","}


def operators_of(table: Table, name: str, place: int, *, alone: bool) -> int | None:
    """The index of the column with the operators (`<`, `>`, `=`) of a value, if there is one.

    It is called NAME_operator; if there is one value only, also as in `OPERATOR_NAMES`, such as
    `standard_relation` of ChEMBL, unless it stands beside numbers of another kind.

    Args:
        name: Name of the value, whose column is at `place`.
        alone: Whether there is one value only.

    Raises:
        DataError: Several columns hold operators, or it is not said of which value they are.
    """
    if (own := table.find(f"{name}_{OPERATOR_SUFFIX}")) is not None:
        return own
    columns = [{_sign(cells[i]) for _, cells in table.rows} for i in range(len(table.header))]
    named = {i for i, head in enumerate(table.header) if OPERATOR_NAMES.fullmatch(_letters(head))}
    signs = [
        i
        for i, texts in enumerate(columns)
        if texts & {*LIMITS} and (i in named or texts <= {*OPERATOR_SIGNS})
    ]
    owned = [i for i in signs if table.header[i].lower().endswith(f"_{OPERATOR_SUFFIX}")]
    free = [i for i in signs if i not in owned]
    limited = [cells for _, cells in table.rows if any(_sign(cells[i]) in LIMITS for i in free)]
    if all(is_word(cells[place]) for cells in limited):  # they say nothing of these values
        return None
    if len(free) > 1 or not alone or {*free} - named or place != _owner(table, free[0]):
        raise DataError(
            f"{table.name}: of which values are the operators in "
            f"{' and '.join(repr(table.header[i]) for i in free)}? call the column "
            f"{name}_{OPERATOR_SUFFIX}, or write the operators before the values; if it holds no "
            "operators, write words instead of < and >"
        )
    return free[0]


def _owner(table: Table, place: int) -> int | None:
    """The column of numbers that a column of operators stands beside, or that is named alike."""

    def has_numbers(i: int) -> bool:
        cells = [row[i] for _, row in table.rows if row[i] and not is_word(row[i])]
        return sum(map(_is_number, cells)) > len(cells) / 2

    numbers = [i for i in range(len(table.header)) if i != place and has_numbers(i)]
    if len(numbers) == 1:
        return numbers[0]
    first = [head.lower().replace("_", " ").split()[:1] for head in table.header]
    alike = [i for i in numbers if first[i] == first[place]]
    if len(alike) == 1:
        return alike[0]
    return next((i for i in (place + 1, place - 1) if i in numbers), None)


def _is_number(text: str) -> bool:
    try:
        return parse_measurement(text, decimal_comma=None) is not None
    except ValueError:
        return is_ambiguous(text)


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))


def _sign(text: str) -> str:
    """An operator without quotes, `>>` as `>`, and `~` as `=`."""
    sign = text.strip(" '\"")
    return {">>": ">", "<<": "<", "~": "=", "==": "="}.get(sign, sign)


def measured_values(
    table: Table, place: int, operators: int | None = None
) -> dict[int, list[float | Censored]]:
    """The measurements in a column by line, without lines that have none; NaN: it failed.

    Several values in a cell are separated by semicolons. Invalid cells are noted as problems.
    `operators` is the column of the operators of single values.
    """
    comma, found = has_decimal_comma(table, place), dict[int, list[float | Censored]]()
    for line, cells in table.rows:
        parts = cells[place].split(";")
        sign = "" if operators is None else _sign(cells[operators])
        if sign in LIMITS and not is_word(cells[place]):
            parts = [part if part.startswith(LIMIT_SIGNS) else sign + part for part in parts]
        elif sign not in OPERATOR_SIGNS and not is_word(sign):
            table.problem(
                line,
                f"{table.header[operators or 0]} is {shown(sign, 20)}",
                f"an operator is one of {' '.join(OPERATOR_SIGNS[1:])}, or empty",
            )
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


def parse_value(text: str) -> list[float | Censored] | None:
    """Measurements separated by `;`, limits such as `<5` among them; None if they failed.

    Raises:
        DataError: Not a number, or empty (as from an unset variable of the shell).
    """
    if not text.strip("; \t"):
        raise DataError("the value is empty; give a number, or write failed")
    found = list[float | Censored]()
    parts = text.split(";")
    for part in parts:
        try:
            value = parse_measurement(part, alone=len(parts) == 1)
        except ValueError as reason:
            raise DataError(
                f"value: {not_a_number(part, reason)}; write failed if it could not be measured"
            ) from reason
        if value is not None:
            found.append(value)
    return none_if_failed(found)


def none_if_failed(found: Sequence[float | Censored]) -> list[float | Censored] | None:
    """The measurements; None if all of them failed."""
    succeeded = any(isinstance(one, Censored) or not math.isnan(one) for one in found)
    return list(found) if succeeded else None


def mean_values(table: Table, place: int) -> dict[int, float]:
    """The numbers of a column by line, averaged within a cell; a warning lists limits."""
    found = measured_values(table, place)
    warn_of_limits(table, {place: found}, "they are taken for unknown")
    known = {
        line: [one for one in values if isinstance(one, float) and not math.isnan(one)]
        for line, values in found.items()
    }
    return {line: statistics.fmean(values) for line, values in known.items() if values}


def standard_errors(
    table: Table, place: int, values: Values, *, words: int | None = None
) -> dict[int, float]:
    """The standard errors in a column by line; invalid ones are noted as problems.

    `words` is the column of values, if an error beside a limit or a word in it is left out.
    """
    errors = dict[int, float]()
    if "%" in table.header[place]:
        raise DataError(
            f"{table.name}: {table.header[place]!r} seems to be relative; give standard errors in "
            "the unit of the values, or rename the column if they are"
        )
    worded = {line for line, cells in table.rows if words is not None and cells[words]}
    for line, found in measured_values(table, place).items():
        error, beside = found[0], values.get(line, [])
        several = [value for value in beside if isinstance(value, float) and value == value]
        if len(found) > 1 or not isinstance(error, float) or not error >= 0:
            said = ";".join(map(str, found))
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


def take_replicates(
    table: Table, name: str, values: dict[int, list[float | Censored]], errors: dict[int, float]
) -> int | None:
    """Put the replicates of column NAME_replicates into the place of their means.

    Returns:
        The index of the column, as in a table that molvae has exported; None if there is none.
    """
    if (place := table.find(f"{name}_{REPLICATES_SUFFIX}")) is not None:
        for line, several in measured_values(table, place).items():
            if _is_of_replicates(values.get(line, []), several):
                values[line] = several
                errors.pop(line, None)  # computed from the replicates
    return place


def _is_of_replicates(
    values: Sequence[float | Censored], several: Sequence[float | Censored]
) -> bool:
    """Whether a value is the mean of the replicates beside it, or has limits among them.

    Another value was edited, and counts without them.
    """
    numbers = [one for one in several if isinstance(one, float)]
    return len(values) == 1 and (
        len(numbers) < len(several)
        or (isinstance(values[0], float) and math.isclose(statistics.fmean(numbers), values[0]))
    )


def warn_of_limits(table: Table, columns: Mapping[int, Values], fate: str) -> None:
    """Warn of limits in columns, by index, which cannot be used."""
    limits = sorted(
        (line, str(one), table.header[place])
        for place, found in columns.items()
        for line, values in found.items()
        for one in values
        if isinstance(one, Censored)
    )
    if limits:
        said = listed([f"{text[:20]} ({table.where(line)})" for line, text, _ in limits])
        warn(
            f"{table.name}: {' and '.join(dict.fromkeys(name for *_, name in limits))} has limits, "
            f"which cannot be used here ({len(limits)} in all); {fate}: {said}"
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
