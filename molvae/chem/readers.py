"""Tables of every kind: lists of SMILES, CSV and TSV, SDF, Excel, Parquet; no cell is dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from molvae.chem.tables import (
    SMILES_COLUMN,
    Table,
    build_table,
    names_smiles,
    shortened_list,
    without_unit,
)
from molvae.chem.text_files import STDIN, decoded, fold, name_of, read_bytes, records, separator_of
from molvae.chem.workbooks import parquet_table, workbook_table
from molvae.errors import DataError

NAME_COLUMN = "name"
"""Column of the words after a SMILES in a list, and of the titles of an SDF file."""
KINDS = {
    "a text table": (".csv", ".tsv", ".tab"),
    "a list of SMILES": (".smi", ".smiles", ".ism", ".can"),
    "an SDF file": (".sdf", ".sd", ".mol"),
    "an Excel workbook": (".xlsx", ".xlsm"),
    "a Parquet file": (".parquet", ".pq"),
}
"""Endings of file names by kind."""
TABLE, LIST, SDF, WORKBOOK, PARQUET = KINDS
NO_TABLES = {
    "a page to look at": (".html", ".htm"),
    "a document": (".pdf", ".docx", ".doc", ".odt", ".rtf", ".md"),
    "JSON": (".json", ".jsonl", ".ndjson"),
    "a picture": (".png", ".jpg", ".jpeg", ".svg"),
}
"""Endings of files that hold no table, by what they are."""
UNREAD = {
    "record": "a campaign file; write its table with molvae export",
    "old workbook": "an Excel 97-2003 workbook, which is not read; save it as .xlsx or .csv",
    "archive": "a zip archive, which is not read; unpack it, or save a spreadsheet as .xlsx",
}


def read_table(
    source: str | Path, wanted: Iterable[str] = (SMILES_COLUMN,), *, lists: bool = False
) -> Table:
    """The rows of a file, or of standard input (`-`).

    The kind of file is determined from its content and must agree with its ending. Text with a
    header is a table; without one it is a list of SMILES, whose further words are names.

    Args:
        source: A file, perhaps gzipped.
        wanted: Columns of which the table should have one; they decide on the separator and on the
            sheet of a workbook.
        lists: Also accept a list of SMILES.

    Raises:
        DataError: It cannot be read, or is of another kind. Bad rows are in `Table.bad_rows`.
        MissingPackageError: A package that reads such files is not installed.
    """
    name, wanted = name_of(source), tuple(wanted)
    data = read_bytes(source)
    path = Path("" if str(source) == STDIN else str(source).lower())
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    expected = next((kind for kind, endings in KINDS.items() if ending in endings), None)
    if other := next((what for what, endings in NO_TABLES.items() if ending in endings), None):
        raise DataError(
            f"{name} is {other}, not a table; fill in or save a .csv, .tsv, .xlsx or .sdf file, "
            "and give that"
        )
    text, kind = "", _binary_kind(data)
    if kind is None:
        text = decoded(data, name)
        kind = text_kind(text, expected, wanted, lists)
    if kind in UNREAD:
        raise DataError(f"{name} is {UNREAD[kind]}")
    if expected is not None and kind != expected and {kind, expected} != {TABLE, LIST}:
        raise DataError(
            f"{name} holds {kind}, not {expected} as its name says; give it the ending "
            f"{' or '.join(KINDS[kind])}"
            if data.strip()
            else f"{name} is empty"
        )
    if kind == SDF:
        from molvae.chem.structure_files import sdf_table

        return sdf_table(text, name)
    if kind == WORKBOOK:
        return workbook_table(data, name, wanted)
    if kind == PARQUET:
        return parquet_table(data, name)
    if kind == LIST:
        return list_table(text, name)
    if named := re.match(r"sep=(.)\n", text):  # a line that spreadsheets write
        text, separator = text[named.end(1) :], named[1]
    else:
        separator = separator_of(text, name, wanted)
    return build_table(records(text, separator, name), name, separator)


def _binary_kind(data: bytes) -> str | None:
    if data.startswith(b"PK\x03\x04"):
        return WORKBOOK if b"xl/workbook" in data else "archive"
    magic = {
        b"PAR1": PARQUET,
        b"\xd0\xcf\x11\xe0": "old workbook",
        b"SQLite format 3\0": "record",
    }
    return next((kind for start, kind in magic.items() if data.startswith(start)), None)


_COUNTS = re.compile(r"(?:[^\n]*\n){3}[^\n]*V[23]000")
_END = re.compile(r"^(?:M  END|\$\$\$\$)[ \t]*$", re.MULTILINE)


def text_kind(text: str, expected: str | None, wanted: Sequence[str], lists: bool) -> str:
    """The kind of file that a text seems to be, of those in `KINDS`."""
    if _COUNTS.match(text) or (expected in (SDF, None, LIST) and _END.search(text)):
        return SDF
    if expected == TABLE or not lists:
        return TABLE
    found = re.search(r"[^\n]*\S[^\n]*", text)
    first = found[0] if found else ""
    if re.match(r"sep=.$", first):
        return TABLE
    names = {fold(one) for one in (*wanted, SMILES_COLUMN)}
    for separator in (",", ";", "\t"):
        cells = first.split(separator)
        folded = {fold(without_unit(cell.strip(' "'))) for cell in cells}
        like = any(names_smiles(one) and not one.startswith(f"{SMILES_COLUMN} ") for one in folded)
        if (like or folded & names) and (len(cells) > 1 or fold(first) != SMILES_COLUMN):
            return TABLE
    return LIST


def _molecule_and_rest(row: str) -> list[str]:
    """The molecule, with groups of stereo centers between bars (CXSMILES), and its name."""
    if extended := re.fullmatch(r"(\S+\s+\|[^|]*\|)\s*(.*)", row.strip()):
        from molvae.chem.molecules import STEREO_GROUPS  # imports RDKit

        if STEREO_GROUPS.search(extended[1]):
            return [part for part in extended.groups() if part]
    return row.split(maxsplit=1)


def list_table(text: str, name: str) -> Table:
    """A list of SMILES; a first line that begins with "smiles" is the header."""
    lines = ((line, _molecule_and_rest(row)) for line, row in enumerate(text.split("\n"), 1))
    rows = [(line, words) for line, words in lines if words]
    header, has_header = [SMILES_COLUMN], False
    if rows and rows[0][1][0].lower() == SMILES_COLUMN:
        header, has_header = " ".join(rows.pop(0)[1]).split(), True
    if len(header) == 1 and any(len(words) > 1 for _, words in rows):
        header.append(NAME_COLUMN)
    if (n := len(header)) > 2:
        rows = [(line, " ".join(words).split(maxsplit=n - 1)) for line, words in rows]
    table = Table(name, header, rows, has_header=has_header)
    for line, words in rows:
        if 1 < len(words) < n:  # which one is missing, nobody knows
            table.problem(
                line, f"{len(words)} words, the header names {n}: {shortened_list(header)}"
            )
        words += [""] * (n - len(words))
    return table
