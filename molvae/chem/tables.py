"""Tables of text cells: columns by name, and bad rows that are reported together."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from molvae.chem.text_files import Record, fold
from molvae.chem.values import number
from molvae.errors import DataError, InvalidMoleculeError, MolvaeError, listed, shown

SMILES_COLUMN = "smiles"  # name of the column of molecules
MAX_TITLE_LINES = 20  # number of lines in which a header is looked for, to explain a missing column
MAX_SAMPLED_ROWS = 1000  # number of rows from which the form of a column's cells is determined


@dataclass
class Table:
    """The rows of a source."""

    name: str
    """Name of the source, for messages."""
    header: list[str]
    """Names of columns, as written."""
    rows: list[Record]
    """Line, counted from 1, and one stripped cell for each name of the header."""
    separator: str | None = None
    """Separator of a text table."""
    places: dict[int, str] = field(default_factory=dict)
    """Texts printed instead of "line N", by line."""
    unit: str = "line"
    """The word printed instead of "line"."""
    has_header: bool = True
    """False for a list of SMILES without names of columns."""
    is_drawn: bool = False
    """Whether the molecules are drawings."""
    bad_rows: list[tuple[int, str, str, type[MolvaeError]]] = field(default_factory=list)
    """Line, message, advice and class of the error; reported together."""
    misfits: dict[int, list[str]] = field(default_factory=dict)
    """Cells of the first rows that do not fit the header, by line."""
    blank_lines: list[int] = field(default_factory=list)
    """Rows of empty cells before the last row, which are left out."""

    def where(self, line: int) -> str:
        """The place of a row for messages, e.g. "line 3"."""
        return self.places.get(line, f"{self.unit} {line}")

    def problem(
        self, line: int, text: str, advice: str = "", kind: type[MolvaeError] = DataError
    ) -> None:
        """Note a bad row; an advice is printed once for all rows."""
        self.bad_rows.append((line, f"{self.where(line)}: {text}", advice, kind))

    def invalid(self, line: int, place: int, error: object) -> None:
        """Note a row whose text, in the column `place`, is not a molecule."""
        advice = "correct that, or skip invalid molecules (--skip-invalid)"
        column = f"{self.header[place]}: " if self.has_header and len(self.header) > 1 else ""
        self.problem(line, f"{column}{error}", advice, InvalidMoleculeError)

    def check(self) -> None:
        """Raise one error for all bad rows, if there are any.

        Raises:
            InvalidMoleculeError: All problems are texts that are no molecules.
            DataError: Otherwise.
        """
        if self.bad_rows:
            only_molecules = {kind for *_, kind in self.bad_rows} == {InvalidMoleculeError}
            error = InvalidMoleculeError if only_molecules else DataError
            advice = dict.fromkeys(advice for _, _, advice, _ in self.bad_rows if advice)
            found = sorted(self.bad_rows, key=lambda bad: bad[0])
            raise error(
                f"{self.name}, {listed([text for _, text, *_ in found], '; '.join(advice))}"
            )

    def find(self, *names: str) -> int | None:
        """The index of the first of these columns that exists; None if none does.

        Case and blanks are ignored, and so is a unit in brackets if no column has the name alone.
        Two columns of one name are a `DataError`.
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
        """`find` for a required column; a `DataError` lists those that exist."""
        place = self.find(*names)
        if place is None:
            raise DataError(self.lacks(*names))
        return place

    def find_molecules(self) -> int | None:
        """The index of the column `smiles`, else of the only one whose name has that word."""
        if (found := self.find(SMILES_COLUMN)) is not None:
            return found
        places = [i for i, name in enumerate(self.header) if names_smiles(name)]
        if len(places) > 1:
            raise DataError(
                f"{self.name} has no column {SMILES_COLUMN!r}, and several that may be meant: "
                f"{shortened_list([self.header[i] for i in places])}; name one of them "
                f"{SMILES_COLUMN}"
            )
        if len(self.header) == 1 and places and "|" in self.header[0]:
            raise DataError(
                f"{self.name} has one column, {shown(self.header[0])}: separate names and cells by "
                "commas, semicolons or tabs instead of bars"
            )
        return places[0] if places else None

    def find_either(self, name: str, other: str) -> int | None:
        """The index of a column, else of the other; rows with a value in the other only are bad.

        A column without any value, as a plate has it, is passed over.
        """
        place, second = self.find(name), self.find(other)
        if place is None or second is None or place == second:
            return second if place is None else place
        if not any(cells[place] for _, cells in self.rows):
            return second
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
        """The message about a missing column: the existing ones, and a suggestion."""
        wanted = " or ".join(map(repr, names))
        if not self.header:
            return f"{self.name} is empty, so it has no column {wanted}"
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
        elif self.unit == "line" and (
            len(self.header) == 1 or any(_form(one) == "number" for one in self.header)
        ):
            hint += (
                "; the first line must hold the names of the columns, with commas, semicolons or "
                "tabs between them"
            )
        elif SMILES_COLUMN in names:
            hint += (
                f"; name the column of the molecules {SMILES_COLUMN}, or say which one it is "
                "(--column, in a campaign --smiles-column)"
            )
        return (
            f"{self.name} has no column {wanted}; its columns are: "
            f"{shortened_list(self.header)}{hint}"
        )

    def _header_below(self, names: Sequence[str]) -> tuple[int, str] | None:
        """Line and cell of a wanted name below the header, as when a title stands above it."""
        wanted = {fold(name) for name in names}
        rows = sorted([*self.rows[:MAX_TITLE_LINES], *self.misfits.items()])

        def is_wanted(name: str) -> bool:
            return fold(without_unit(name)) in wanted or (
                SMILES_COLUMN in wanted and names_smiles(name)
            )

        return next(((n, one) for n, row in rows for one in row if is_wanted(one)), None)

    def is_numbered(self) -> bool:
        """Whether all cells after the first column are numbers."""
        rest = [cell for _, cells in self.rows for cell in cells[1:] if cell]
        return bool(rest) and all(_form(cell) == "number" for cell in rest)


def names_smiles(name: str) -> bool:
    """Whether a column's name has the word "smiles", as `canonical_smiles`."""
    return SMILES_COLUMN in re.split(r"[^a-z]+", fold(name))


ID_COLUMN = "id"  # name of the column of the numbers of trials
_THING = r"(compound|cmpd|cpd|molecule|mol|sample|registry|reg|corp(orate)?|chembl)(chembl)?"
_SOURCE = r"(catalog(ue)?|cat|vendor|supplier|product|item|zinc|substance)"
_NUMBER = r"(id|number|no|nr|code)"
COMPOUND_NAMES = tuple(
    re.compile(rf"(note)?({pattern})")
    for pattern in (
        rf"({_THING}|{_SOURCE}){_NUMBER}|idnumber",
        "id|code",
        rf"{_THING}(name)?|name|title|batch({_NUMBER}|name)?",
    )
)
"""Names of columns that tell compounds apart, the surest first, in small letters without signs."""


def compound_column(names: Iterable[str], *, apart_from: str = ID_COLUMN) -> str | None:
    """The column that most seems to tell compounds apart, such as `Compound ID`.

    `apart_from` is a name, in that spelling, that is none: that of the numbers of trials.

    >>> compound_column(["id", "Name", "Compound ID"]), compound_column(["Operator"])
    ('Compound ID', None)
    >>> compound_column(["Vendor", "Catalog No."]), compound_column(["name", "ID"])
    ('Catalog No.', 'ID')
    """
    keys = {name: re.sub(r"[^a-z]", "", name.lower()) for name in names if name != apart_from}
    found = (name for rank in COMPOUND_NAMES for name, key in keys.items() if rank.fullmatch(key))
    return next(found, None)


def build_table(
    found: Iterable[Record], name: str, separator: str | None, unit: str = "line"
) -> Table:
    """A table from records, the first of which is the header; bad rows are noted."""
    filled, blank = list[Record](), list[int]()
    for line, cells in found:
        if any(cell.strip() for cell in cells):
            filled.append((line, cells))
        elif len(cells) > 1:
            blank.append(line)
    first, names = filled[0] if filled else (0, list[str]())
    header = [cell.strip().lstrip("\ufeff").strip() for cell in names]
    named = max([1, *(i for i, cell in enumerate(header, 1) if cell)])
    n = len(header) if separator is None else min(named, len(header))  # empty ones at the end
    header = [cell or f"column {i}" for i, cell in enumerate(header[:n], 1)]
    widths = Counter(len(cells) for _, cells in filled)
    table = Table(name, header, [], separator, unit=unit)
    table.blank_lines = [line for line in blank if filled and line < filled[-1][0]]
    broken, wrong = list[Record](), list[Record]()
    if separator and any("\n" in cell and separator in cell for cell in names):
        table.problem(first, "a quote in the header opens a cell that holds what looks like rows")
    for line, written in filled[1:]:
        cells = [cell.strip() for cell in written]
        extra = named < len(cells)
        moved = extra and _moved(cells, named, separator, widths, is_own=len(cells) == len(names))
        if extra and not moved and not any(cells[n:]):
            cells = cells[:n]
        if len(cells) == n and not moved:
            table.rows.append((line, cells))
            if any("\n" in cell for cell in written):
                broken.append((line, written[:n]))
            continue
        wrong.append((line, cells))
        if len(table.misfits) < MAX_TITLE_LINES:
            table.misfits[line] = cells
    sample = table.rows[: MAX_SAMPLED_ROWS if wrong else 0]
    forms = [{_form(cells[i]) for _, cells in sample} for i in range(named)]
    for line, cells in wrong:
        table.problem(line, _misfit(cells, header[:named], forms, separator))
    if broken and separator and n > 1:
        _note_swallowed(table, broken)
    return table


def _misfit(
    cells: Sequence[str], header: Sequence[str], forms: Sequence[set[str]], separator: str | None
) -> str:
    """What is wrong with a row that has more cells than the header, or fewer; where it seems to be.

    `forms` are those of the other rows' cells, by column.
    """
    n, looked = len(header), ""
    places = range(1, n + 1 if len(cells) > n else 0)
    if twice := next((i for i in places if _is_doubtful(cells, i)), 0):
        looked = f" (look at {' and '.join(header[twice - 1 : twice + 1])})"
    elif (i := next((i for i, c in enumerate(cells[:n]) if not _fits(c, forms[i])), n)) < n:
        looked = f" (look at {header[i]}, which is {shown(cells[i], 30)} here)"
    said = f"{len(cells)} cell{'s' * (len(cells) > 1)}, the header names {n}{looked}"
    if len(cells) < n:
        lacking = shortened_list(header[len(cells) :])
        return f"{said} (none for {lacking}: fewer cells than names; leave a cell empty if so)"
    if comma := _split_number(cells, separator):
        return f"{said}; is {comma} a number with a decimal comma? separate the cells by ; or tabs"
    if not any(cells[n:]):
        return (
            f"{said}; a cell seems to be there twice, or cut in two: correct that, or take out the "
            "empty cells at the end of this row"
        )
    mark = "a tab" if separator == "\t" else repr(separator or "a separator")
    unnamed = next(cell for cell in cells[n:] if cell)
    return (
        f"{said}; nothing names {shown(unnamed, 30)}: put quotes around text that holds {mark}, "
        "take out a cell that is there twice, or give the column a name"
    )


def _moved(
    cells: Sequence[str], n: int, separator: str | None, widths: Counter[int], *, is_own: bool
) -> bool:
    """Whether cells of a row with more than the `n` named ones may stand in the next column.

    One that is there twice, or cut in two, moves those behind it. If the last column is empty in
    this row, no filled cell is left over: then the row is told by its width alone, which other rows
    do not have. `is_own` says that the header, as written, has it.
    """
    doubtful = any(_is_doubtful(cells, i) for i in range(1, n))
    if any(cells[n:]):
        return separator is None and doubtful  # notes beside a sheet's table are left alone
    if separator is None:
        return False
    most, width = max(widths.values()), widths[len(cells)]
    if width < most or (not is_own and _split_number(cells[:n], separator)):
        return True
    return doubtful and [*widths.values()].count(most) > 1


def _is_doubtful(cells: Sequence[str], i: int) -> bool:
    """Whether the cell at `i` may be a copy of the one before it, or moved by an empty one."""
    return bool(cells[i]) and cells[i - 1] in ("", cells[i])


def _split_number(cells: Sequence[str], separator: str | None) -> str:
    """Two adjacent cells that look like a number split at its decimal comma."""
    for one, other in reversed(list(pairwise(cells))) if separator == "," else ():
        if re.fullmatch(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?", f"{one},{other}"):
            return f"{one},{other}"
    return ""


SWALLOWED_ROWS = "a quote opens a cell that holds what looks like further rows"


def _note_swallowed(table: Table, broken: Sequence[Record]) -> None:
    """Note cells with line breaks, not stripped, that seem to contain rows of this table.

    A missing quote merges everything up to the next quote into one cell. A line in a cell looks
    like a row if it has as many cells, each of the form of its column: a number, a word, several
    words, or nothing; or if all lines of the whole row, without its quotes, do.
    """
    sample, separator = (*table.rows[:MAX_SAMPLED_ROWS], *broken), table.separator or ","
    forms = [
        {_form(cells[i].split("\n")[0]) for _, cells in sample} for i in range(len(table.header))
    ]
    numbers = any("number" in known for known in forms)
    for i, known in enumerate(forms):
        # If a column of numbers distinguishes rows from prose, any text fits a text column. So it
        # does in a column of broken cells.
        if known & {"word", "words"} and (numbers or any("\n" in cells[i] for _, cells in broken)):
            known |= {"word", "words"}

    def is_row(text: str) -> bool:
        cells = text.split(separator)
        return len(cells) == len(forms) and all(map(_fits, cells, forms))

    for line, cells in broken:
        inner = [part for cell in cells if "\n" in cell for part in cell.split("\n")]
        if any(map(is_row, inner)) or all(map(is_row, separator.join(cells).split("\n"))):
            table.problem(
                line,
                f"{SWALLOWED_ROWS}; a quote is missing "
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
        number(cell, decimal_comma=True)
    except ValueError:
        return "word"
    return "number"


OTHER_QUANTITIES = re.compile(
    r"predicted|pred|calculated|calc|computed|estimated|est|expected|fitted|model|docking|docked"
    r"|qsar|simulated|sd|std|stdev|stddev|se|sem|rsd|cv|error|err|deviation|variance|var|ci"
    r"|uncertainty|count|replicates|rank|score|zscore|lower|upper|limit|reference|control|old"
    r"|previous|difference|delta|ratio"
)
"""Words in brackets after which a column holds something else than what stands before them."""


def without_unit(name: str) -> str:
    """A column's name without trailing brackets, unless these say that it is another quantity.

    >>> without_unit("IC50 (nM)"), without_unit("IC50 (SD)")
    ('IC50', 'IC50 (SD)')
    """
    while found := re.fullmatch(r"(.*?)\s*[(\[{]([^()\[\]{}]*)[)\]}]\s*", name):
        if any(map(OTHER_QUANTITIES.fullmatch, re.split(r"[^a-z]+", found[2].lower()))):
            break
        name = found[1]
    return name


def shortened_list(names: Sequence[str], n: int = 12) -> str:
    """Names for a message: the first `n`, and the number of others."""
    said = ", ".join(shown(name, 40).strip("'") for name in names[:n])
    return said + (f" and {len(names) - n} more" if len(names) > n else "")
