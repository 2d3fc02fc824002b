"""Molecules of files of any length, in slices that are read one after the other."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

from molvae.chem.datasets import DATASETS, locate
from molvae.chem.readers import KINDS, LIST, NAME_COLUMN, PARQUET, TABLE, list_table, text_kind
from molvae.chem.tables import (
    SMILES_COLUMN,
    SWALLOWED_ROWS,
    Table,
    build_table,
    compound_column,
)
from molvae.chem.text_files import decoded, encoding_of, records, separator_of
from molvae.errors import DataError, MissingPackageError, UnknownNameError, reason_of, shown, warn

MAX_CELL_LINES = 1000  # further lines of a cell in quotes that are read across the end of a slice


class Row(NamedTuple):
    """A record of a source."""

    line: int
    """Line, from 1; in Parquet the number of the row."""
    name: str
    """Name in the source; the line if it has none."""
    smiles: str
    """SMILES as written."""
    problem: str = ""
    """Why the record cannot be read; empty if it can."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Consecutive records of a source."""

    number: int
    digest: str
    """SHA-256 of what was read."""
    rows: Callable[[], list[Row]]
    """Parses the records."""


Part = tuple[str, int, Callable[[], list[Row]]]
"""Digest, number of lines, and what parses them, with lines from 1."""


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Names of columns that were asked for."""

    smiles: str | None
    name: str | None

    def find(self, table: Table) -> tuple[int, int | None]:
        """Indices of the columns of molecules and of names in a table."""
        smiles = table.find_molecules() if self.smiles is None else table.column(self.smiles)
        if smiles is None:
            raise DataError(table.lacks(SMILES_COLUMN))
        if self.name is not None:
            return smiles, table.column(self.name)
        others = [one for i, one in enumerate(table.header) if i != smiles]
        found = compound_column(others, apart_from="")
        place = None if found is None else table.header.index(found)
        if place is None and len(table.header) > 1:
            warn(
                f"{table.name}: no column looks like names of compounds, so that numbers of lines "
                "stand for them (another column by --name-column)"
            )
        return smiles, place


def read_slices(
    source: str | Path, size: int, *, column: str | None = None, name_column: str | None = None
) -> Iterator[Slice]:
    """The records of a source in slices, of which one at a time is in memory.

    Args:
        source: Name of a data set, or a list of SMILES, CSV, TSV or Parquet file; text may be
            gzipped.
        size: Lines or rows in a slice.
        column: Column of the molecules in a table; `smiles` by default.
        name_column: Column of their names; by default one like `Compound ID`, or `id`.

    Raises:
        UnknownNameError: Neither a data set nor a file.
        DataError: The file cannot be read, is of another kind, or lacks a column.
        MissingPackageError: A package that reads such files is not installed.
    """
    name = str(source)
    files = [Path(source)]
    if name in DATASETS:
        files, column = locate(name), column or DATASETS[name].column
    elif not files[0].exists() and not files[0].suffix and files[0].name == name:
        raise UnknownNameError("data set or file", name, DATASETS)
    number = before = 0
    columns = _Columns(smiles=column, name=name_column)
    for file in files:
        read = _parquet if file.suffix.lower() in KINDS[PARQUET] else _text
        done = 0
        for digest, done, rows in read(file, size, columns):  # noqa: B007
            yield Slice(number=number, digest=digest, rows=partial(_numbered, rows, before))
            number += 1
        before += done


def _numbered(rows: Callable[[], list[Row]], before: int) -> list[Row]:
    moved = [row._replace(line=row.line + before) for row in rows()]
    return [row if row.name else row._replace(name=str(row.line)) for row in moved]


def _parquet(file: Path, size: int, columns: _Columns) -> Iterator[Part]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingPackageError(
            f"{file} is Parquet, which needs: pip install 'molvae[parquet]'"
        ) from error
    done = 0
    try:
        opened = parquet.ParquetFile(file)
        header = [one.name for one in opened.schema_arrow]
        names = [
            header[i]
            for i in columns.find(Table(str(file), header, [], unit="row"))
            if i is not None
        ]
        for batch in opened.iter_batches(batch_size=size, columns=list(dict.fromkeys(names))):
            cells = [[_cell(one) for one in batch.column(name).to_pylist()] for name in names]
            written = "\n".join(map("\t".join, zip(*cells, strict=True)))
            digest = hashlib.sha256(written.encode("utf-8", "backslashreplace")).hexdigest()
            rows = partial(_rows_of_cells, cells, done)
            done += batch.num_rows
            yield digest, done, rows
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {file}: {shown(str(error))}") from error


def _cell(value: object) -> str:
    """A value of Parquet as text; texts may be stored as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _rows_of_cells(cells: Sequence[list[str]], done: int) -> list[Row]:
    names = cells[1] if len(cells) > 1 else [""] * len(cells[0])
    pairs = zip(names, cells[0], strict=True)
    return [Row(line, name, smiles) for line, (name, smiles) in enumerate(pairs, done + 1)]


def _text(file: Path, size: int, columns: _Columns) -> Iterator[Part]:
    name = str(file)
    ending = file.with_suffix("") if file.suffix.lower() == ".gz" else file
    kinds = (kind for kind, endings in KINDS.items() if ending.suffix.lower() in endings)
    expected = next(kinds, None)
    try:
        with _lines(file) as lines:
            part = list(islice(lines, size))
            text = decoded(b"".join(part), name)
            wanted = [one for one in (columns.smiles or SMILES_COLUMN, columns.name) if one]
            kind = text_kind(text, expected, wanted, lists=True)
            if kind not in (TABLE, LIST) or expected not in (TABLE, LIST, None):
                raise DataError(
                    f"{name} is {expected or kind}, which is not read in parts; write it as a list "
                    "of SMILES, as CSV, TSV or Parquet"
                )
            separator = separator_of(text, name, wanted) if kind == TABLE else None
            blank = next((i for i, line in enumerate(part) if line.strip()), len(part))
            first = "".join(decoded(line, name) for line in part[blank : blank + 1])
            has_header = kind == TABLE or first.lower().split()[:1] == [SMILES_COLUMN]
            done, header = (blank + 1, first.rstrip("\n") + "\n") if has_header else (0, "")
            parse = partial(_parsed, name, header, separator, columns)
            parse("")  # a missing column is an error before anything is done
            part = part[done:] or list(islice(lines, size))
            while part:
                if separator:
                    part += islice(_rest_of_cell(part, lines), MAX_CELL_LINES)
                data = b"".join(part)
                rows = partial(_rows_of_text, parse, data, name, done)
                done += len(part)
                yield hashlib.sha256(data).hexdigest(), done, rows
                part = list(islice(lines, size))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {name}: {reason_of(error)}") from error


def _rest_of_cell(part: list[bytes], lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines up to the end of a cell in quotes that the part ends in."""
    is_open = b"".join(part).count(b'"') % 2
    while is_open and (line := next(lines, b"")):
        yield line
        is_open ^= line.count(b'"') % 2


@contextmanager
def _lines(file: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a text file that may be gzipped, in UTF-16, or have carriage returns as ends."""
    with open(file, "rb") as opened:
        is_packed = opened.read(2) == b"\x1f\x8b"
    with cast("io.BufferedReader", gzip.open(file)) if is_packed else open(file, "rb") as data:
        head = data.peek(4096)
        encoding = encoding_of(head)
        if encoding == "utf-8" and not (b"\r" in head and b"\n" not in head):
            yield data
            return
        own = "latin-1" if encoding == "utf-8" else encoding  # with which bytes stay as they are
        with io.TextIOWrapper(data, own) as lines:
            yield _encoded(lines, "latin-1" if own == "latin-1" else "utf-8", file)


def _encoded(lines: io.TextIOWrapper, encoding: str, file: Path) -> Iterator[bytes]:
    try:
        yield from (line.encode(encoding) for line in lines)
    except UnicodeDecodeError as error:
        raise DataError(
            f"cannot read {file}: this is no text in {error.encoding.upper()} ({error.reason}); it "
            "is damaged, or to be saved as UTF-8"
        ) from error


def _rows_of_text(
    parse: Callable[[str], list[Row]], data: bytes, name: str, done: int
) -> list[Row]:
    """Records of some lines, after `done` others; each line alone if a quote has no partner."""
    text = decoded(data, name)
    try:
        rows = parse(text)
    except DataError:
        rows = []
        for place, line in enumerate(text.split("\n")):
            try:
                found = parse(line)
            except DataError as error:
                found = [Row(1, "", line, str(error).partition(": ")[2] or str(error))]
            rows += [row._replace(line=row.line + place) for row in found]
    return [row._replace(line=row.line + done) for row in rows]


def _parsed(
    name: str, header: str, separator: str | None, columns: _Columns, body: str
) -> list[Row]:
    """The records of text, lines from 1 below the header."""
    text, above = header + body, header.count("\n")
    if separator is None:
        table = list_table(text, name)
        if not table.has_header:
            for wanted in (columns.smiles, columns.name):
                if wanted is not None:
                    raise DataError(table.lacks(wanted))
    else:
        table = build_table(records(text, separator, name), name, separator)
        if any(SWALLOWED_ROWS in message for _, message, *_ in table.bad_rows):
            raise DataError(f"{name}: {SWALLOWED_ROWS}")  # lines are parsed alone
    place, names = columns.find(table) if table.has_header else (0, table.find(NAME_COLUMN))
    found = {
        line: Row(line - above, "" if names is None else cells[names], cells[place])
        for line, cells in table.rows
    }
    for line, message, *_ in table.bad_rows:
        smiles = ""
        with suppress(IndexError):
            smiles = found[line].smiles if line in found else table.misfits[line][place]
        found[line] = Row(line - above, "", smiles, message.partition(": ")[2])
    return [found[line] for line in sorted(found)]
