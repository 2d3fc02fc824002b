"""Text tables: files as bytes, as text in any encoding, and as rows of cells with line numbers."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import sys
import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from molvae.errors import DataError, reason_of, shown, warn

STDIN = "-"
MAX_BYTES = 2**30  # largest size of a file, decompressed
CHUNK_BYTES = 2**20  # bytes read at once
MAX_DECOMPRESSION_RATIO = 100
"""Largest growth of a file by decompression; lists of molecules grow three to ten times."""
SMALL_BYTES = 2**26  # decompressed size up to which any growth is allowed
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MAX_SNIFFED_ROWS = 1000  # number of rows that decide the separator, if the header does not
Record = tuple[int, list[str]]  # first line of a row, counted from 1, and its cells


def name_of(source: str | Path) -> str:
    """Name of a source in messages."""
    return "standard input" if str(source) == STDIN else str(source)


def read_bytes(source: str | Path) -> bytes:
    """The bytes of a file or of standard input, decompressed if gzipped."""
    name = name_of(source)
    try:
        if str(source) == STDIN:
            return _unpacked(_standard_input(), name)
        with open(source, "rb") as file:
            return _unpacked(file, name, packed=str(source).lower().endswith(".gz"))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {name}: {reason_of(error)}") from error


def _standard_input() -> IO[bytes]:
    if sys.stdin is None:
        raise DataError("standard input is closed; name a file")
    raw: IO[bytes] | None = getattr(sys.stdin, "buffer", None)
    if raw is not None:
        return raw
    return io.BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape"))


def _unpacked(file: IO[bytes], name: str, *, packed: bool = False) -> bytes:
    data = bytearray()
    while part := file.read(CHUNK_BYTES):
        data += part
        if len(data) > MAX_BYTES:
            raise DataError(f"{name} is larger than {MAX_BYTES:,} bytes; split it")
    if not packed and not data.startswith(b"\x1f\x8b"):
        return bytes(data)
    raw, found = io.BytesIO(data), bytearray()
    with gzip.GzipFile(fileobj=raw) as opened:
        while part := opened.read(CHUNK_BYTES):
            found += part
            if len(found) > min(MAX_BYTES, max(SMALL_BYTES, MAX_DECOMPRESSION_RATIO * raw.tell())):
                raise DataError(
                    f"{name} has {len(data):,} bytes and unpacks to more than {len(found):,}; "
                    "unpack it and look whether it is what it should be, or split it"
                )
    return bytes(found)


def decoded(data: bytes, name: str) -> str:
    """UTF-8, UTF-16 or UTF-32 as text with line feeds; else Windows-1252, with a warning."""
    encoding = encoding_of(data)
    try:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            encoding = "cp1252" if encoding == "utf-8" else encoding
            text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(re.split("\r\n?|\n", data[: error.start].decode(encoding, "ignore")))
        raise DataError(
            f"cannot read {name}, line {line}: this is no text in {encoding.upper()} "
            f"({error.reason}); it is damaged, or to be saved as UTF-8"
        ) from error
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{name}, line {line}: a NUL character; it is no text, or damaged: take it out"
        )
    if encoding == "cp1252":
        warn(f"{name} is not UTF-8; it is read as Windows-1252: look at names with accents")
    return text


def encoding_of(data: bytes) -> str:
    """The encoding that a file begins in: UTF-32 or UTF-16 by their marks or zeros, or UTF-8."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = data[:4096:2], data[1:4096:2]
    if odd.count(0) > len(odd) / 2 and not even.count(0):
        return "utf-16-le"
    if even.count(0) > len(even) / 2 and not odd.count(0):
        return "utf-16-be"
    return "utf-8"


def separator_of(text: str, name: str, wanted: Collection[str] = ()) -> str:
    """The separator of a table's cells: a comma, a semicolon or a tab.

    The one in the header, outside of quotes. Of several, the one that makes a wanted column; else
    the one that gives all rows as many cells as the header has; else a `DataError`.
    """
    headers = {separator: _header(text, separator) for separator in SEPARATORS}
    present = [separator for separator, header in headers.items() if len(header) > 1]
    if not present:  # one column
        return next((one for one in SEPARATORS if one in text), ",")
    names = {fold(one) for one in wanted}
    fitting = [one for one in present if names & {fold(cell) for cell in headers[one]}] or present
    if len(fitting) > 1:
        fitting = [one for one in fitting if _consistent(text, one)] or fitting[:1]
    if len(fitting) > 1:
        said = " or ".join(SEPARATORS[one] for one in fitting)
        raise DataError(
            f"{name} may be separated by {said}, and the cells differ; put quotes around the names "
            "in the header that hold such a character"
        )
    return fitting[0]


def fold(name: str) -> str:
    """A column's name in lower case with single blanks."""
    return " ".join(name.split()).casefold()


def _header(text: str, separator: str) -> list[str]:
    try:
        return next((cells for _, cells in records(text, separator, "") if any(cells)), [])
    except DataError:  # the quotes fit another separator
        return []


def _consistent(text: str, separator: str) -> bool:
    rows = islice(records(text, separator, ""), MAX_SNIFFED_ROWS + 1)
    try:
        return len({len(cells) for _, cells in rows if any(cell.strip() for cell in cells)}) == 1
    except DataError:
        return False


def records(text: str, separator: str, name: str) -> Iterator[Record]:
    """The rows of decoded text, header and empty lines included; line breaks in quotes are kept.

    Raises:
        DataError: A quote has no partner; names the line of the opening one.
    """
    if '"' not in text:
        for line, row in enumerate(text.split("\n"), 1):
            yield line, row.split(separator)
        return
    ends = re.escape(separator) + r"\n"
    cell = re.compile(rf' *"([^"]*+(?:""[^"]*+)*+)" *(?=[{ends}]|\Z)|(?! *")[^{ends}]*+')
    place, line, began, cells = 0, 1, 1, list[str]()
    while place <= len(text):
        if not (found := cell.match(text, place)):
            opened = text[place : place + 100].partition("\n")[0]
            raise DataError(
                f"{name}, line {line}: the quote that opens at {shown(opened, 30)} has no partner "
                "that ends the cell; correct it, or double the quotes that belong to the text"
            )
        cells.append(found[0] if found[1] is None else found[1].replace('""', '"'))
        line += found[0].count("\n")
        if found.end() == len(text) or text[found.end()] == "\n":
            yield began, cells
            line += 1
            began, cells = line, []
        place = found.end() + 1
