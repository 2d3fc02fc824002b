"""`decoded`, `records` and `read_bytes`: files as text, and text as cells."""

from __future__ import annotations

import gzip
import io
import sys
import warnings
from pathlib import Path

import pytest

from molvae.chem import text_files as _text
from molvae.chem.text_files import decoded, read_bytes, records, separator_of
from molvae.errors import DataError, MolvaeWarning


def cells(text: str, separator: str = ",") -> list[tuple[int, list[str]]]:
    return list(records(text, separator, "t"))


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_decoded_reads_unicode_without_a_byte_order_mark(encoding: str) -> None:
    text = "smiles;value\r\nCCO;5,3 µM\rCCN;1\n"
    assert decoded(text.encode(encoding), "t") == "smiles;value\nCCO;5,3 µM\nCCN;1\n"


def test_decoded_windows_1252_warns() -> None:
    with pytest.warns(MolvaeWarning, match=r"t\.csv .*Windows-1252"):
        assert decoded("5 µM, café €".encode("cp1252"), "t.csv") == "5 µM, café €"


@pytest.mark.parametrize(
    ("data", "part"),
    [(b"CCO\nC\0C\n", "line 2: a NUL"), (b"\x81\x8d", "no text"), (b"\xff\xfeC", "no text")],
)
def test_decoded_of_binary_data_raises(data: bytes, part: str) -> None:
    with pytest.raises(DataError, match=part):
        decoded(data, "t")


def test_records_count_physical_lines_and_keep_breaks_in_quotes() -> None:
    text = 'a,b\n"x\ny",1\n\nc,"say ""hi"", twice"\nd, "e, f" \n'
    assert cells(text) == [
        (1, ["a", "b"]),
        (2, ["x\ny", "1"]),
        (4, [""]),
        (5, ["c", 'say "hi", twice']),
        (6, ["d", "e, f"]),
        (7, [""]),
    ]


def test_records_end_at_line_feeds_only() -> None:
    assert cells("a\x0bb,c\u2028d\x85e\x1cf\x0cg\n")[0] == (
        1,
        ["a\x0bb", "c\u2028d\x85e\x1cf\x0cg"],
    )


def test_records_accept_cells_of_any_length() -> None:
    long = "x" * 200_000
    assert cells(f'"{long}",1')[0] == (1, [long, "1"])


@pytest.mark.parametrize("separator", ["|", "^", "]", "\\", "\t", " "])
def test_records_accept_any_separator(separator: str) -> None:
    text = f'a{separator}"b{separator}c"\n'
    assert cells(text, separator)[0] == (1, ["a", f"b{separator}c"])


def test_records_keep_a_quote_inside_a_cell() -> None:
    assert cells('5" pipe,6" pipe')[0] == (1, ['5" pipe', '6" pipe'])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\nc,"d\ne,f\n', 2),
        ('a,b\n"c\nd",e\n"f\nd","g', 5),
        ('a,b\nc,"d" e\n', 2),
        ('a,b\nc,"d\ne,"f"\n', 2),
    ],
)
def test_records_with_an_unpaired_quote_raise_with_its_line(text: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"^t, line {line}: the quote"):
        cells(text)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("id;value\n4;7,31\n", ";"),
        ("id,value\n4,7.31\n", ","),
        ("id\tvalue\n4\t7,31\n", "\t"),
        ("id;value, mean;note\n4;7,3;a, b\n5;7,1;c\n", ";"),
        ('"id, of it";value\n4;7\n', ";"),
        ("id,note; long\n4,a;b;c\n5,d\n", ","),
        ("id\n4,5\n", ","),
        ("\n\nid;value\n", ";"),
    ],
)
def test_separator_of_a_table_is_found(text: str, separator: str) -> None:
    assert separator_of(text, "t", ("id",)) == separator


def test_separator_of_an_ambiguous_header_follows_the_number_of_cells() -> None:
    assert separator_of("a,b;c\n1;2\n3;4\n", "t") == ";"


def test_separator_of_two_readings_raises() -> None:
    with pytest.raises(DataError, match="commas or semicolons"):
        separator_of("a,b;c\n1,5;2\n", "t")


def test_read_bytes_unpacks_gzip_under_any_name(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "a.csv"):
        (tmp_path / name).write_bytes(gzip.compress(b"smiles\nCCO\n"))
        assert read_bytes(tmp_path / name) == b"smiles\nCCO\n"


def test_read_bytes_of_a_too_large_file_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_text, "SMALL_BYTES", 2**21)
    path = tmp_path / "a.smi.gz"
    path.write_bytes(gzip.compress(b"CCO\n" * 2**21))
    with pytest.raises(DataError, match=r"a\.smi\.gz has .* bytes and unpacks to more than"):
        read_bytes(path)
    monkeypatch.setattr(_text, "MAX_BYTES", 100)
    path.write_bytes(b"C" * 101)
    path = path.rename(tmp_path / "a.smi")
    with pytest.raises(DataError, match="larger than 100 bytes"):
        read_bytes(path)


def test_read_bytes_reads_standard_input_or_raises_if_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é".encode("utf-16"))))
    assert decoded(read_bytes("-"), "t") == "é"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="closed"):
        read_bytes("-")


def test_decoded_utf8_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(b"\xef\xbb\xbfabc", "t") == "abc"
