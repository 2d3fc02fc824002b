"""Tables of text cells: columns by name, measured values, and bad rows that are reported together.

Knows neither files nor molecules.
"""

from __future__ import annotations

import difflib
import math
import re
import statistics
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from molvae.chem import values as _numbers
from molvae.chem.text_files import Record, fold
from molvae.chem.values import Censored
from molvae.errors import DataError, InvalidMoleculeError, MolvaeError, MolvaeWarning, listed, shown

SMILES = "smiles"
"""Name of the column of molecules."""

TITLE_LINES = 20
"""Lines that may stand above a header."""

SAMPLED_ROWS = 1000
"""Rows that show of what form the cells of a column are."""


@dataclass
class Problems:
    """Bad lines of a source, which are reported together."""

    name: str
    found: list[tuple[int, str, type[MolvaeError]]] = field(default_factory=list)
    advice: dict[str, None] = field(default_factory=dict)
    cells: dict[int, list[str]] = field(default_factory=dict)
    """Of the first rows that do not fit the header, by line."""

    def add(
        self,
        line: int,
        text: str,
        place: str = "",
        kind: type[MolvaeError] = DataError,
        advice: str = "",
    ) -> None:
        """One more.

        Args:
            line: Where, for the order.
            text: What is wrong.
            place: Is said instead of "line N".
            kind: Of error.
            advice: What to do; said once for all.
        """
        self.found.append((line, f"{place or f'line {line}'}: {text}", kind))
        if advice:
            self.advice[advice] = None

    def check(self) -> None:
        """Raise one error for all of them: the first ones in full, and the count.

        Raises:
            InvalidMoleculeError: All of them are texts that are no molecules.
            DataError: Otherwise.
        """
        if not self.found:
            return
        found = sorted(self.found, key=lambda problem: problem[0])
        said = listed([text for _, text, _ in found], "; ".join(self.advice))
        only_molecules = {kind for *_, kind in found} == {InvalidMoleculeError}
        error = InvalidMoleculeError if only_molecules else DataError
        raise error(f"{self.name}, {said}")


@dataclass
class Table:
    """The rows of a source."""

    name: str
    """Of the source, for messages."""
    header: list[str]
    """Names of columns, as written."""
    rows: list[Record]
    """Line, counted from 1, and as many cells as the header has, without blanks around them."""
    problems: Problems
    """Rows that could not be read."""
    separator: str | None = None
    """Of a text table."""
    places: Mapping[int, str] = field(default_factory=dict)
    """What is said instead of "line N"."""
    has_header: bool = True
    """False of a list of SMILES without names of columns."""
    is_drawn: bool = False
    """The molecules were drawings."""

    def where(self, line: int) -> str:
        """The place of a row, without the name of the source."""
        return self.places.get(line, f"line {line}")

    def problem(self, line: int, text: str, advice: str = "") -> None:
        """Note that a row is bad."""
        self.problems.add(line, text, self.where(line), advice=advice)

    def invalid(self, line: int, error: object) -> None:
        """Note that the molecule of a row is none."""
        advice = "mend that, or skip invalid molecules (--skip-invalid)"
        self.problems.add(line, str(error), self.where(line), InvalidMoleculeError, advice)

    def find(self, *names: str) -> int | None:
        """The place of the column of this name, or of the next name if there is none.

        Case and blanks do not count, and the name may have a unit in brackets behind it, where no
        column has the name alone.

        Raises:
            DataError: Two columns have the name.
        """
        for name in names:
            for known in (fold, lambda one: fold(without_unit(one))):
                found = [i for i, one in enumerate(self.header) if known(one) == fold(name)]
                if len(found) > 1:
                    raise DataError(
                        f"{self.name} has two columns for {name!r}: "
                        f"{' and '.join(repr(self.header[i]) for i in found)} (columns "
                        f"{' and '.join(str(i + 1) for i in found)}); rename or remove one"
                    )
                if found:
                    return found[0]
        return None

    def column(self, *names: str) -> int:
        """As `find`, of a column that must be there.

        Raises:
            DataError: It is not there; lists those that are.
        """
        place = self.find(*names)
        if place is None:
            raise DataError(self.lacks(*names))
        return place

    def find_molecules(self) -> int | None:
        """The place of the column of SMILES: `smiles`, else the only one with that word in it.

        Raises:
            DataError: Several may be meant.
        """
        found = self.find(SMILES)
        if found is not None:
            return found
        places = [i for i, name in enumerate(self.header) if names_smiles(name)]
        if len(places) > 1:
            raise DataError(
                f"{self.name} has no column {SMILES!r}, and several that may be meant: "
                f"{shortened_list([self.header[i] for i in places])}; name one of them {SMILES}"
            )
        return places[0] if places else None

    def find_either(self, name: str, other: str) -> int | None:
        """The column of a name, else of the other one; rows that use the other only are bad."""
        place, second = self.find(name), self.find(other)
        if place is None or second is None or place == second:
            return second if place is None else place
        for line, cells in self.rows:
            if cells[second] and not cells[place]:
                self.problem(
                    line,
                    f"{self.header[second]} is {shown(cells[second], 40)}, but "
                    f"{self.header[place]} is empty",
                    f"put all values into {self.header[place]}, or remove it",
                )
        return place

    def lacks(self, *names: str) -> str:
        """That a column is not there, what there is, and what may have been meant."""
        wanted = " or ".join(map(repr, names))
        if not self.has_header:
            return (
                f"{self.name} is no table, so it has no column {wanted}; its first line must hold "
                "the names of the columns"
            )
        folded = {fold(without_unit(one)): one for one in self.header}
        close = [c for n in names for c in difflib.get_close_matches(fold(n), folded, 1, 0.7)]
        hint = f"; did you mean {folded[close[0]]!r}?" if close else ""
        if below := self._header_below(names):
            line, cell = below
            hint = (
                f"; {self.where(line)} says {cell!r}: the names of the columns must stand in the "
                "first line, so take out what stands above them"
            )
        elif len(self.header) == 1 or any(_form(one) == "number" for one in self.header):
            hint += (
                "; the first line must hold the names of the columns, with commas, semicolons or "
                "tabs between them"
            )
        elif SMILES in names:
            hint += f"; name the column of the molecules {SMILES}"
        return (
            f"{self.name} has no column {wanted}; its columns are: "
            f"{shortened_list(self.header)}{hint}"
        )

    def _header_below(self, names: Sequence[str]) -> tuple[int, str] | None:
        """Line and cell of a name that stands below the header, as where a title is above it."""
        wanted = {fold(name) for name in names}
        rows = sorted([*self.rows[:TITLE_LINES], *self.problems.cells.items()])
        found = ((n, one) for n, row in rows for one in row if fold(without_unit(one)) in wanted)
        return next(found, None)

    def is_numbered(self) -> bool:
        """Whether everything behind the first column is numbers."""
        rest = [cell for _, cells in self.rows for cell in cells[1:] if cell]
        return bool(rest) and all(_form(cell) == "number" for cell in rest)

    def decimal_comma(self, place: int) -> bool | None:
        """Whether the numbers of a column have a decimal comma; None: some have, some have not.

        Where all of them could have separators of thousands instead, the other columns are asked,
        and then the semicolon, which spreadsheets write where the comma is the decimal mark.
        """
        texts = [part for _, cells in self.rows for part in cells[place].split(";")]
        marks = _numbers.decimal_marks(texts)
        doubtful = [] if marks else [text for text in texts if _numbers.is_ambiguous(text)]
        if doubtful:
            marks = _numbers.decimal_marks(cell for _, cells in self.rows for cell in cells)
        if doubtful and not marks and self.separator == ";":
            marks = {mark for text in doubtful for mark in ",." if mark in text}
            if len(marks) == 1:
                warnings.warn(
                    f"{self.name}: {doubtful[0]} in column {self.header[place]!r} is read as "
                    f"{doubtful[0].strip().replace(',', '.')}, not as a number with thousands",
                    MolvaeWarning,
                    stacklevel=2,
                )
        return None if len(marks) > 1 else marks == {","}

    def measured(self, place: int) -> dict[int, list[float | Censored]]:
        """What a column says of measurements, by line; lines with no value are not there.

        Several values in a cell have a semicolon between them. Cells that are none are noted as
        problems.
        """
        comma, found = self.decimal_comma(place), dict[int, list[float | Censored]]()
        for line, cells in self.rows:
            parts = cells[place].split(";")
            for part in parts:
                try:
                    value = _numbers.measured(part, decimal_comma=comma, alone=len(parts) == 1)
                except ValueError as reason:
                    self.problem(
                        line,
                        f"{self.header[place]}: {_numbers.not_a_number(part, reason)}",
                        "leave a cell empty without a value, or write NaN if it failed",
                    )
                    continue
                if value is not None:
                    found.setdefault(line, []).append(value)
        return found

    def numbers(self, place: int) -> dict[int, float]:
        """The numbers of a column, by line; of several in a cell the mean.

        Cells without a value, failures and bounds are not there; of bounds a warning tells.
        """
        found = self.measured(place)
        self.warn_of_bounds({place: found}, "they are taken for unknown")
        known = {
            line: [one for one in values if isinstance(one, float) and not math.isnan(one)]
            for line, values in found.items()
        }
        return {line: statistics.fmean(values) for line, values in known.items() if values}

    def standard_errors(
        self,
        place: int,
        values: Mapping[int, Sequence[float | Censored]],
        *,
        words: int | None = None,
    ) -> dict[int, float]:
        """The standard errors in a column, by line; what can be none is noted as a problem.

        Args:
            place: Of the column.
            values: What stands in the column beside, by line.
            words: The column beside, if an error may stand beside a bound or a word in it: it is
                left out.
        """
        errors = dict[int, float]()
        worded = {line for line, cells in self.rows if words is not None and cells[words]}
        for line, found in self.measured(place).items():
            error, beside = found[0], values.get(line, [])
            several = [value for value in beside if isinstance(value, float) and value == value]
            if len(found) > 1 or not isinstance(error, float) or not error >= 0:
                said = ";".join(str(getattr(one, "text", one)) for one in found)
                self.problem(line, f"a standard error is a number from 0, got {said}")
            elif not several and line in worded:
                continue
            elif len(several) != 1:
                self.problem(
                    line,
                    f"a standard error ({error:g}) stands beside {len(several) or 'no'} "
                    f"value{'s' * (len(several) != 1)}",
                    "give it beside one value: of several it is computed",
                )
            else:
                errors[line] = error
        return errors

    def warn_of_bounds(
        self, columns: Mapping[int, Mapping[int, Sequence[float | Censored]]], fate: str
    ) -> None:
        """Name the bounds among values, which nothing can use yet."""
        bounds = sorted(
            (line, one.text, self.header[place])
            for place, found in columns.items()
            for line, values in found.items()
            for one in values
            if isinstance(one, Censored)
        )
        if bounds:
            said = listed([f"{text[:20]} ({self.where(line)})" for line, text, _ in bounds])
            warnings.warn(
                f"{self.name}: of {' and '.join(dict.fromkeys(name for *_, name in bounds))} "
                f"bounds are given, which cannot be used yet ({len(bounds)} in all); {fate}: "
                f"{said}",
                MolvaeWarning,
                stacklevel=3,
            )


def names_smiles(name: str) -> bool:
    """Whether the word is in the name of a column, as in `canonical_smiles`."""
    return SMILES in re.split(r"[^a-z]+", fold(name))


def columns_of(table: Table, names: Sequence[str], other: str, own: str = "{}") -> dict[str, int]:
    """Places of the columns for some names; those without one are not there.

    Args:
        table: The table.
        names: Of what is measured.
        other: Name of a column that may stand for it; {} is the name.
        own: Name of its column.
    """
    found = {name: table.find_either(own.format(name), other.format(name)) for name in names}
    return {name: place for name, place in found.items() if place is not None}


def notes_of(table: Table, cells: Sequence[str], used: Collection[int | None]) -> dict[str, str]:
    """What the other cells of a row hold, by the names of their columns, which are made different.

    Args:
        table: The table.
        cells: The row.
        used: Places of columns that are no notes.
    """
    notes = dict[str, str]()
    for place, (name, text) in enumerate(zip(table.header, cells, strict=True)):
        if place not in used and text:
            notes[name if name not in notes else f"{name} (column {place + 1})"] = text
    return notes


def to_dataframe(
    found: Iterable[Record], name: str, separator: str | None, unit: str = "line"
) -> Table:
    """Rows below a header; what is wrong with them is noted."""
    filled = ((line, cells) for line, cells in found if any(cell.strip() for cell in cells))
    first = next(filled, None)
    problems = Problems(name)
    if first is None:
        return Table(name, [], [], problems)
    header = [cell.strip().lstrip("\ufeff").strip() for cell in first[1]]
    n, rows, broken = len(header), list[Record](), list[Record]()
    while n > 1 and not header[n - 1] and separator is not None:
        n -= 1  # spreadsheets end rows with empty cells; in text others may be cut numbers
    if separator and any("\n" in name and separator in name for name in first[1]):
        problems.add(first[0], "a quote in the header opens a cell that holds what looks like rows")
    unnamed = [i for i in range(n) if not header[i]]
    places = {} if unit == "line" else dict[int, str]()
    for line, written in filled:
        cells = [cell.strip() for cell in written]
        if unit != "line":
            places[line] = f"{unit} {line}"
        if len(cells) > n and not any(cells[n:]):
            cells = cells[:n]
        if len(cells) == n:
            rows.append((line, cells))
            if any("\n" in cell for cell in written):
                broken.append((line, written[:n]))
            continue
        said = f"{len(cells)} cell{'s' * (len(cells) > 1)}, the header names {n}"
        if len(cells) < n:
            said += " (fewer cells than names; leave a cell empty if so)"
        elif comma := _split_number(cells, separator):
            said += f"; is {comma} a number with a decimal comma? separate the cells by ; or tabs"
        else:
            mark = "a tab" if separator == "\t" else repr(separator)
            unnamed_cell = next(cell for cell in cells[n:] if cell)
            said += (
                f"; nothing names {shown(unnamed_cell, 30)}: put quotes around text that holds "
                f"{mark}, or give the column a name"
            )
        if len(problems.cells) < TITLE_LINES:
            problems.cells[line] = cells
        problems.add(line, said, places.get(line, ""))
    for i in unnamed:
        header[i] = f"column {i + 1}"
    table = Table(name, header[:n], rows, problems, separator, places)
    if broken and separator and n > 1:
        _note_swallowed(table, broken)
    return table


def _split_number(cells: Sequence[str], separator: str | None) -> str:
    """Two cells that look like a number which was cut at its decimal comma."""
    pairs = reversed(list(pairwise(cells))) if separator == "," else ()
    return next(
        (
            f"{one},{other}"
            for one, other in pairs
            if re.fullmatch(r"[+-]?[0-9]+", one)
            and re.fullmatch(r"[0-9]+(?:[eE][+-]?[0-9]+)?", other)
        ),
        "",
    )


def _note_swallowed(table: Table, broken: Sequence[Record]) -> None:
    """Note cells with line breaks that hold what looks like rows of this table.

    Two quotes that were forgotten make one cell of all that stands between them. A line in a cell
    looks like a row if it has as many cells, each of the form of its column: a number, a word,
    several words, or nothing. So do the lines of the whole row, without its quotes.

    Args:
        table: A text table.
        broken: Its rows with line breaks, with the blanks around their cells.
    """
    sample, separator = (*table.rows[:SAMPLED_ROWS], *broken), table.separator or ","
    forms = [
        {_form(cells[i].split("\n")[0]) for _, cells in sample} for i in range(len(table.header))
    ]
    numbers = any("number" in known for known in forms)
    for i, known in enumerate(forms):
        # Where a column of numbers tells rows from prose, text is text. A cell that is broken may
        # have held any text.
        if known & {"word", "words"} and (numbers or any("\n" in cells[i] for _, cells in broken)):
            known |= {"word", "words"}

    def is_row(text: str) -> bool:
        cells = text.split(separator)
        return len(cells) == len(forms) and all(map(_fits, cells, forms))

    for line, cells in broken:
        inner = [part for cell in cells if "\n" in cell for part in cell.split("\n")]
        plain = separator.join(cells).split("\n")
        if any(map(is_row, inner)) or all(map(is_row, plain)):
            table.problem(
                line,
                "a quote opens a cell that holds what looks like further rows; a quote is missing "
                "or too many (or take the line breaks out of this cell)",
            )


def _fits(cell: str, forms: Collection[str]) -> bool:
    form = _form(cell)
    return form == "nothing" or form in forms or {*forms} == {"nothing"}


def _form(cell: str) -> str:
    words = cell.split()
    if len(words) != 1:
        return "words" if words else "nothing"
    try:
        _numbers.number(cell, decimal_comma=True)
    except ValueError:
        return "word"
    return "number"


def without_unit(name: str) -> str:
    """A column's name without what stands in brackets behind it."""
    while (shorter := re.sub(r"\s*(?:\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\})\s*$", "", name)) != name:
        name = shorter
    return name


def shortened_list(names: Sequence[str], n: int = 12) -> str:
    """Names for a message: the first ones, and how many more."""
    said = ", ".join(shown(name, 40).strip("'") for name in names[:n])
    return said + (f" and {len(names) - n} more" if len(names) > n else "")


__all__ = [
    "SMILES",
    "Problems",
    "Table",
    "columns_of",
    "names_smiles",
    "notes_of",
    "shortened_list",
    "to_dataframe",
    "without_unit",
]
