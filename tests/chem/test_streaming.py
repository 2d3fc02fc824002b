"""`read_slices`: sources of any length come in slices, without a line lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from molvae.chem.streaming import Row, read_slices
from molvae.errors import DataError, UnknownNameError

SIZES = (1, 2, 3, 100)


def rows(path: Path, size: int = 2, **columns: str) -> list[Row]:
    return [row for one in read_slices(path, size, **columns) for row in one.rows()]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("size", SIZES)
def test_read_slices_of_list_gives_lines_and_names(size: int, tmp_path: Path) -> None:
    file = write(tmp_path / "a.smi", "CCO Z1\nCCC\n\nc1ccccc1 Z3 benzene\n")
    assert rows(file, size) == [
        Row(1, "Z1", "CCO"),
        Row(2, "2", "CCC"),
        Row(4, "Z3 benzene", "c1ccccc1"),
    ]


@pytest.mark.parametrize("size", SIZES)
def test_read_slices_of_list_with_header_counts_the_header_line(size: int, tmp_path: Path) -> None:
    file = write(tmp_path / "a.smi", "\nSMILES name\nCCO Z1\nCCC Z2\n")
    assert rows(file, size) == [Row(3, "Z1", "CCO"), Row(4, "Z2", "CCC")]


@pytest.mark.parametrize(
    "header",
    [
        "smiles,name,id,batch",
        "smiles,name,ID,title",
        "smiles,batch,Compound ID,id",
        "smiles,a,id,b",
    ],
)
def test_read_slices_of_table_takes_ids_before_names(header: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", f"{header}\nCCO,ethanol,7,b1\n")
    assert rows(file, 10) == [Row(2, "7", "CCO")]


@pytest.mark.parametrize("size", SIZES)
def test_read_slices_of_table_keeps_quoted_cells_across_slices_whole(
    size: int, tmp_path: Path
) -> None:
    text = 'Catalog ID,SMILES,note\nA-1,CCO,"one\ntwo, three"\nA-2,CCC,\nA-3,CCN,"x"\n'
    file = write(tmp_path / "a.csv", text)
    expected = [Row(2, "A-1", "CCO"), Row(4, "A-2", "CCC"), Row(5, "A-3", "CCN")]
    assert rows(file, size, name_column="Catalog ID") == expected


@pytest.mark.parametrize("size", SIZES)
def test_read_slices_of_table_marks_bad_lines_with_a_problem(size: int, tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "smiles\tid\nCCO\tA\nCCC\nCCN\tC\nO\tD\t7\n")
    found = rows(file, size)
    assert [row.line for row in found] == [2, 3, 4, 5]
    assert [bool(row.problem) for row in found] == [False, True, False, True]
    assert found[1].smiles == "CCC"


def test_read_slices_with_unpaired_quote_loses_its_line_only(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'smiles,id\nCCO,A\nCCC,"B\nCCN,C\nCCS,D\n')
    found = rows(file, 100)
    assert [(row.line, row.smiles, bool(row.problem)) for row in found if not row.problem] == [
        (2, "CCO", False), (4, "CCN", False), (5, "CCS", False),
    ]  # fmt: skip
    assert [row.line for row in found] == [2, 3, 4, 5]


def test_read_slices_of_gzip_equals_plain_text(tmp_path: Path) -> None:
    text = "smiles,id\n" + "".join(f"{'C' * n},M{n}\n" for n in range(1, 30))
    plain = write(tmp_path / "a.csv", text)
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert rows(packed, 7) == rows(plain, 7) == rows(plain, 1000)
    assert [one.digest for one in read_slices(packed, 7)] == [
        one.digest for one in read_slices(plain, 7)
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_read_slices_reads_any_encoding_and_line_end(
    size: int, encoding: str, end: str, tmp_path: Path
) -> None:
    lines = ["Compound,smiles", *(f"Mé-{n},{'C' * n}" for n in range(1, 6)), ""]
    data = end.join(lines).encode(encoding)
    expected = [Row(n + 1, f"Mé-{n}", "C" * n) for n in range(1, 6)]
    for name, content in (("a.csv", data), ("a.csv.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        assert rows(tmp_path / name, size) == expected


def test_read_slices_of_damaged_utf16_raises(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("smiles\nCCO\nCCN\n".encode("utf-16") + b"\x00")
    with pytest.raises(DataError, match="UTF-16"):
        rows(tmp_path / "a.csv")


def test_read_slices_of_parquet_reads_texts_stored_as_bytes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"smiles": [b"C", b"CC"], "id": [b"A-1", b"B\xff"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == [Row(1, "A-1", "C"), Row(2, "B\\xff", "CC")]


@pytest.mark.parametrize("size", SIZES)
def test_read_slices_of_parquet_numbers_the_rows(size: int, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"price": [1, 2, 3], "smiles": ["C", None, "CC"], "ID": [7, 8, None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    expected = [Row(1, "7", "C"), Row(2, "8", ""), Row(3, "3", "CC")]
    assert rows(tmp_path / "a.parquet", size) == expected


def test_read_slices_reads_a_data_set_by_its_name() -> None:
    first = next(read_slices("zinc250k", 5))
    assert [row.line for row in first.rows()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("a.csv", "", {}),
        ("a.csv", "structure,id\nC,1\n", {}),
        ("a.csv", "smiles,id\nC,1\n", {"name_column": "code"}),
        ("a.smi", "C 1\nCC 2\n", {"column": "smiles"}),
        ("a.sdf", "C 1\n", {}),
    ],
)
def test_read_slices_of_unreadable_source_raises_data_error(
    name: str, text: str, columns: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(DataError):
        rows(write(tmp_path / name, text), **columns)


def test_read_slices_of_unknown_source_raises(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        rows(Path("zinc"))
    with pytest.raises(DataError):
        rows(tmp_path / "nothing.smi")


def test_read_slices_of_table_with_quotes_around_rows_loses_no_line(tmp_path: Path) -> None:
    lines = [f"{'C' * i}O,V-{i}" for i in range(1, 31)]
    lines[4], lines[24] = 'CCCCCO,"V-5', f'{"C" * 25}O,V-25"'
    found = rows(write(tmp_path / "a.csv", "\n".join(["smiles,id", *lines]) + "\n"), 100)
    assert [row.line for row in found] == list(range(2, 32))
    assert [row.line for row in found if row.problem] == [6]
