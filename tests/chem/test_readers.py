"""`read_table` on files of every kind: their rows, and the errors in them."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from rdkit import Chem

from molvae.analysis.export import write_table
from molvae.chem.measurements import mean_values, measured_values
from molvae.chem.molecules import canonical
from molvae.chem.readers import list_table, read_table
from molvae.chem.structure_files import UNREADABLE_DRAWING, is_drawing_of, sdf_table
from molvae.chem.tables import Table
from molvae.errors import DataError, InvalidMoleculeError, MissingPackageError, MolvaeWarning

HEADER = ["id", "smiles", "value"]
ROWS = [["4", "CCO", "7.31"], ["5", "c1ccccc1", "6.5"]]


def workbook(path: Path, *sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for number, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"Sheet{number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def block(smiles: str, title: str = "") -> str:
    mol = Chem.MolFromSmiles(smiles)
    mol.SetProp("_Name", title)
    return str(Chem.MolToMolBlock(mol))


# --- kinds


def test_read_table_of_every_kind_gives_the_same_rows(tmp_path: Path) -> None:
    table = pd.DataFrame([[4, "CCO", 7.31], [5, "c1ccccc1", 6.5]], columns=HEADER)
    for ending in (".csv", ".tsv", ".parquet", ".sdf"):
        write_table(table, tmp_path / f"t{ending}")
    workbook(tmp_path / "t.xlsx", [HEADER, [4, "CCO", 7.31], [5, "c1ccccc1", 6.5]])
    (tmp_path / "t.SDF").write_bytes((tmp_path / "t.sdf").read_bytes())
    (tmp_path / "t.sdf.gz").write_bytes(gzip.compress((tmp_path / "t.sdf").read_bytes()))
    (tmp_path / "t.txt").write_text("id\tsmiles\tvalue\n4\tCCO\t7.31\n5\tc1ccccc1\t6.5\n")
    for path in sorted(tmp_path.iterdir()):
        found = read_table(path, lists=True)
        places = [found.column(name) for name in HEADER]
        assert [[cells[i] for i in places] for _, cells in found.rows] == ROWS, path
        assert found.bad_rows == []


@pytest.mark.parametrize(
    ("name", "made_by", "parts"),
    [
        ("a.csv", "t.xlsx", ["a.csv", "an Excel workbook", ".xlsx"]),
        ("a.smi", "t.sdf", ["a.smi", "an SDF file", ".sdf"]),
        ("a.csv", "t.parquet", ["a.csv", "a Parquet file"]),
        ("a.sdf", "t.csv", ["a.sdf", "text table", ".csv"]),
        ("a.xlsx", "t.csv", ["a.xlsx", "text table"]),
        ("a.parquet", "t.csv", ["a.parquet", "text table"]),
        ("a.csv", "t.sdf", ["a.csv", "an SDF file"]),
    ],
)
def test_read_table_with_wrong_file_ending_names_the_real_kind(
    tmp_path: Path, name: str, made_by: str, parts: list[str]
) -> None:
    table = pd.DataFrame([[4, "CCO", 7.31]], columns=HEADER)
    if made_by == "t.xlsx":
        workbook(tmp_path / made_by, [HEADER, [4, "CCO", 7.31]])
    else:
        write_table(table, tmp_path / made_by)
    (tmp_path / made_by).rename(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / name, lists=True)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"SQLite format 3\0" + b"\0" * 84, "molvae export"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 500, "97-2003"),
        (b"PK\x03\x04" + b"\0" * 26 + b"a.csv", "zip archive"),
    ],
)
def test_read_table_of_unsupported_kind_raises_data_error(
    tmp_path: Path, data: bytes, part: str
) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataError, match=part):
        read_table(tmp_path / "a")


@pytest.mark.parametrize("name", ["a.html", "a.jsonl", "a.pdf", "a.docx"])
def test_read_table_of_an_ending_of_no_table_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=f"{name} is .*, not a table"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.sdf", "a.xlsx", "a.parquet"])
def test_read_table_of_damaged_or_empty_file_raises_with_its_name(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    if name == "a.csv":
        assert read_table(tmp_path / name).header == []
        return
    with pytest.raises(DataError, match="is empty"):
        read_table(tmp_path / name)
    (tmp_path / name).write_bytes({"a.xlsx": b"PK\x03\x04xl/workbook", "a.parquet": b"PAR1"}.get(
        name, b"x\n\n\nM  END\n$$$$\n"
    ))  # fmt: skip
    if name == "a.sdf":
        assert read_table(tmp_path / name).rows[0][1][0] == UNREADABLE_DRAWING
        return
    with pytest.raises(DataError, match=rf"{name}.*damaged"):
        read_table(tmp_path / name)


def test_read_table_without_openpyxl_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbook(tmp_path / "t.xlsx", [HEADER, [4, "CCO", 1]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingPackageError, match=r"molvae\[xlsx\]"):
        read_table(tmp_path / "t.xlsx")


# --- text tables


def to_dataframe(tmp_path: Path, text: str, name: str = "t.csv") -> Table:
    (tmp_path / name).write_bytes(text.encode())
    found = read_table(tmp_path / name, lists=True)
    found.check()
    return found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("smiles,value\nCCO,7,31\n", ["line 2: 3 cells, the header names 2", "7,31"]),
        ("smiles,value,note\nCCO,7,a, b\n", ["line 2: 4 cells", "'b'"]),
        ("smiles,value\nCCO\n", ["line 2: 1 cell, the header names 2", "fewer cells"]),
        ("smiles\nCCO;5\n", ["line 2: 2 cells, the header names 1"]),
        ("smiles,value,note\nCCO,1,\"x\nCCN,2,b\nCCC,3,c\"\n", ["line 2", "further rows"]),
        ("smiles,name\nCCO,\"x\nCCN,b\"\nCCC,c\n", ["line 2", "further rows"]),
        ("smiles,value,\nCCO,1,late\n", ["line 2: 3 cells", "'late'", "give the column a name"]),
        ("smiles,value,\nCCO,7,31\n", ["line 2: 3 cells", "7,31"]),
        ("smiles,value\nCCO,,1\n", ["line 2: 3 cells", "'1'"]),
        ("smiles,,value\nCCO,1\n", ["line 2: 2 cells, the header names 3"]),
    ],
)  # fmt: skip
def test_read_table_rows_longer_than_the_header_raise_with_their_lines(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        to_dataframe(tmp_path, text)
    for part in parts:
        assert part in str(caught.value)


def test_read_table_with_many_bad_rows_lists_the_first_ten_lines(tmp_path: Path) -> None:
    text = "smiles,value\n" + "CCO,1,2\n" * 15
    with pytest.raises(DataError) as caught:
        to_dataframe(tmp_path, text)
    said = str(caught.value)
    assert "line 2:" in said
    assert "line 11:" in said
    assert "line 12:" not in said
    assert "5 more (15 in all)" in said


@pytest.mark.parametrize(
    "text",
    [
        "\n \nsmiles,value\nCCO,1\n",
        "smiles,value,,\nCCO,1,,\n,,,\n",
        "smiles,value\nCCO,1,\n",
        "smiles;value\nCCO;1;;;\n;;;;;\n",
        "sep=;\nsmiles;value\nCCO;1\n",
        " SMILES , Value \n CCO , 1 \n\n\n",
        'smiles,value\nCCO, "1"\n',
    ],
)
def test_read_table_ignores_blank_rows_and_empty_trailing_cells(tmp_path: Path, text: str) -> None:
    found = to_dataframe(tmp_path, text)
    places = (found.column("smiles"), found.column("value"))
    (row,) = found.rows
    assert [row[1][place] for place in places] == ["CCO", "1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id;smiles;value;note\nx;CCO;CCO;5;\n", "look at smiles and value"),
        ("id;smiles;v;w;note\nx;C;4;5;\ny;CC;4;4;5;\n", "look at v and w"),
        ("id;smiles;v;w;note\nx;C;4;5;\ny;CC;;4;5;\n", "look at v and w"),
        ("id;smiles;v;note\nx;C;4;\ny;CC;4;\nC-;3;CCC;4;\n", "look at smiles, which is '3' here"),
        ("id,smiles,value,note\nx,C,5,29,\ny,CC,6,1,\n", "decimal comma"),
        ("id;smiles;v;w;;\nx;C;4;5;;\ny;CC;4;4;5;;\n", "look at v and w"),
        ("id;smiles;v;w\nx;C;4;5\ny;CC;4;5;5\n", "look at w)"),
        ("id;smiles;v;w\nx;C;4;5\ny;CC;4\n", "none for w"),
        ("id;smiles;v;w\nx;C;4;5\ny;CC;4;4;5\n", "look at v and w"),
    ],
)
def test_check_raises_for_rows_with_shifted_cells(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        to_dataframe(tmp_path, text).check()
    assert said in str(caught.value)
    assert f"line {text.count(chr(10))}: " in str(caught.value)


def test_read_table_ignores_empty_cells_at_the_end_of_all_rows(tmp_path: Path) -> None:
    found = to_dataframe(tmp_path, "smiles;v;w\nC;4;4;;\nCC;;5;;\n")
    assert found.rows == [(2, ["C", "4", "4"]), (3, ["CC", "", "5"])]


def test_read_table_gives_unnamed_columns_a_number(tmp_path: Path) -> None:
    found = to_dataframe(tmp_path, ",smiles\n0,CCO\n1,CCN\n")
    assert found.header == ["column 1", "smiles"]


@pytest.mark.parametrize(
    ("header", "wanted", "place"),
    [
        ("id,pIC50 [-log M]", "pIC50", 1),
        ("id,IC50 (nM) [mean]", "IC50", 1),
        ("id,PIC50", "pIC50", 1),
        ("id,pIC50 (sd),pIC50", "pIC50", 2),
        ("id,p IC50", "pIC50", None),
    ],
)
def test_find_column_ignores_case_and_unit(
    tmp_path: Path, header: str, wanted: str, place: int | None
) -> None:
    found = to_dataframe(tmp_path, header + "\n" + "1" + ",1" * header.count(",") + "\n")
    assert found.find(wanted) == place


@pytest.mark.parametrize("header", ["value,Value", "value (nM),value (uM)", "value,value"])
def test_find_column_with_two_matches_raises_with_both_names(tmp_path: Path, header: str) -> None:
    found = to_dataframe(tmp_path, f"smiles,{header}\nCCO,1,2\n")
    with pytest.raises(DataError) as caught:
        found.find("value")
    for name in header.split(","):
        assert repr(name) in str(caught.value)


def test_column_missing_raises_with_the_nearest_name(tmp_path: Path) -> None:
    found = to_dataframe(tmp_path, "smiles,valeu\nCCO,1\n")
    with pytest.raises(DataError, match=r"columns are: smiles, valeu; did you mean 'valeu'"):
        found.column("value")


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ("id,canonical_smiles", 1),
        ("id,Canonical SMILES", 1),
        ("SMILES_parent,id", 0),
        ("smiles,isomeric_smiles", 0),
        ("id,smilesinfo", None),
        ("id,Structure", None),
    ],
)
def test_find_molecules_finds_the_column_with_a_word_for_molecules_in_its_name(
    tmp_path: Path, header: str, place: int | None
) -> None:
    found = to_dataframe(tmp_path, header + "\nC,C\n")
    assert found.find_molecules() == place
    if place is not None and "smiles," not in header:
        (tmp_path / "t.txt").write_text(header + "\nC,C\n", "utf-8")
        assert read_table(tmp_path / "t.txt", lists=True).find_molecules() == place


def test_find_molecules_with_several_candidates_raises_data_error(tmp_path: Path) -> None:
    found = to_dataframe(tmp_path, "canonical_smiles,isomeric_smiles\nC,C\n")
    with pytest.raises(DataError, match="canonical_smiles, isomeric_smiles"):
        found.find_molecules()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Plate 7\nid,value\n4,1\n", 2),
        ("Plate 7;;\n;;\nid;value;note\n4;1;x\n", 3),
        ("Compound,,Assay\nname,ID,value\nA,4,1\n", 2),
    ],
)
def test_column_in_a_header_below_a_title_raises_with_the_line(
    tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / "t.csv").write_text(text, "utf-8")
    found = read_table(tmp_path / "t.csv", ("id",))
    with pytest.raises(DataError, match=f"line {line} says '(id|ID)'.*take out"):
        found.column("id")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("smiles;value\nC;1,234\nCC;5,5\n", [1.234, 5.5]),
        ("smiles\tvalue\nC\t1,234\nCC\t5,5\n", [1.234, 5.5]),
        ("smiles\tvalue\tother\nC\t1,234\t0,5\n", [1.234]),
        ("smiles,value\nC,1.234\n", [1.234]),
        ('smiles,value\nC,"5,29"\n', [5.29]),
        ("smiles;value\nC;1.234\nCC;0.5\n", [1.234, 0.5]),
    ],
)
def test_mean_values_with_decimal_commas_are_read(
    tmp_path: Path, text: str, values: list[float]
) -> None:
    found = to_dataframe(tmp_path, text)
    assert list(mean_values(found, found.column("value")).values()) == values


@pytest.mark.parametrize(
    "text",
    [
        "smiles\tvalue\nC\t1,234\n",
        'smiles,value\nC,"1,234"\nCC,0.5\n',
        "smiles;value\nC;1,234\nCC;0.5\n",
        "smiles;value\nC;1.234\nCC;0,5\n",
    ],
)
def test_mean_values_that_may_have_thousands_marks_raise(tmp_path: Path, text: str) -> None:
    found = to_dataframe(tmp_path, text)
    mean_values(found, found.column("value"))
    with pytest.raises(DataError, match=r"line 2: value: '1[.,]234'"):
        found.check()


def test_mean_values_read_as_decimal_commas_by_the_separator_warn(tmp_path: Path) -> None:
    found = to_dataframe(tmp_path, "smiles;value\nC;1,234\nCC;2,345\n")
    with pytest.warns(MolvaeWarning, match=r"1,234 in column 'value' is read as 1\.234"):
        assert mean_values(found, 1) == {2: 1.234, 3: 2.345}


def test_mean_values_leave_limits_out_and_warn(tmp_path: Path) -> None:
    found = to_dataframe(tmp_path, "smiles,value\nC,<5\nCC,1;2\nCCC,NaN\nCCCC,n.d.\n")
    with pytest.warns(MolvaeWarning, match=r"value has limits.*1 in all.*<5 \(line 2\)"):
        assert mean_values(found, 1) == {3: 1.5}


# --- lists


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        ("CCO ethyl  x\n\nC\n", ["smiles", "name"], [(1, ["CCO", "ethyl  x"]), (3, ["C", ""])]),
        ("smiles\nCCO\n", ["smiles"], [(2, ["CCO"])]),
        ("smiles\nCCO x\nC\n", ["smiles", "name"], [(2, ["CCO", "x"]), (3, ["C", ""])]),
        ("SMILES value\nCCO 5\nC\n", ["SMILES", "value"], [(2, ["CCO", "5"]), (3, ["C", ""])]),
        ("smiles,value\nCCO,5.1\n", ["smiles", "value"], [(2, ["CCO", "5.1"])]),
        ("smiles id value\nCCO a 5.1\n", ["smiles", "id", "value"], [(2, ["CCO", "a", "5.1"])]),
    ],
)  # fmt: skip
def test_read_table_of_smiles_list_gives_header_and_rows(
    tmp_path: Path, text: str, header: list[str], rows: list[tuple[int, list[str]]]
) -> None:
    found = to_dataframe(tmp_path, text, "t.smi")
    assert (found.header, found.rows) == (header, rows)


def test_check_of_smiles_list_with_too_few_words_raises_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: 2 words, the header names 3"):
        to_dataframe(tmp_path, "smiles id value\nC a 5\nCC 5\nCCC\n", "t.smi").check()


# --- workbooks


def test_read_table_of_workbook_keeps_notes_beside_and_refuses_shifted_cells(
    tmp_path: Path,
) -> None:
    rows = [["smiles", "v", "w"], ["C", 4, 5, "a note"], ["CC", 4, 4, 5]]
    found = read_table(workbook(tmp_path / "t.xlsx", rows))
    assert found.rows == [(2, ["C", "4", "5", "a note"])]
    with pytest.raises(DataError, match=r"row 3: .*look at v and w"):
        found.check()


def test_read_table_of_workbook_gives_cells_as_text(tmp_path: Path) -> None:
    from datetime import date, datetime

    path = workbook(
        tmp_path / "t.xlsx",
        [[], HEADER, [4, "CCO", 0.3], [], [5.0, "CC", "5,29"]],
        [["nothing"], ["here"]],
    )
    found = read_table(path)
    assert found.rows == [
        (3, ["4", "CCO", "0.3"]),
        (5, ["5", "CC", "5,29"]),
    ]
    assert found.where(3) == "row 3"
    found = read_table(workbook(path, [["smiles", "day"], ["CCO", date(2026, 3, 1)],
                                       ["CC", datetime(2026, 3, 1, 12)], ["C", True]]))  # fmt: skip
    assert [cells[1] for _, cells in found.rows] == ["2026-03-01", "2026-03-01 12:00:00", "True"]


def test_read_table_of_workbook_gives_unnamed_columns_a_number(tmp_path: Path) -> None:
    found = read_table(workbook(tmp_path / "t.xlsx", [HEADER, [4, "CCO", 1, "late"]]))
    found.check()
    assert (found.header[3], found.rows[0][1][3]) == ("column 4", "late")


def test_check_of_workbook_names_error_cells_and_formulas_without_values(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [HEADER, [4, "CCO", "#DIV/0!"], [5, "CC", "=A1*2"]])
    found = read_table(path)
    measured_values(found, found.column("value"))
    with pytest.raises(DataError, match=r"row 2: value: '#DIV/0!'.*row 3: column 3:.*formula"):
        found.check()


def test_read_table_of_workbook_with_wrong_dimension_reads_all_rows(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [HEADER, [4, "CCO", 7.31], [5, "c1ccccc1", 6.5]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "u.xlsx", "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b'<dimension ref="A1:C3"', b'<dimension ref="A1"'))
    assert [cells for _, cells in read_table(tmp_path / "u.xlsx").rows] == ROWS


def test_read_table_of_workbook_with_two_tables_raises_with_sheet_names(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [HEADER, [4, "CCO", 1]], [HEADER, [4, "CCO", 2]])
    with pytest.raises(DataError, match=r"several sheets.*Sheet1, Sheet2"):
        read_table(path)


# --- structure files


def test_sdf_table_without_smiles_gives_smiles_of_the_drawings() -> None:
    smiles = ["CCO", "C[C@H](N)C(=O)O", "C/C=C/C", "[Na+].[Cl-]"]
    text = "".join(
        f"{block(one, f'CMP-{i}')}>  <pIC50>\n{i},5\n\n$$$$\n" for i, one in enumerate(smiles)
    )
    found = sdf_table(text, "t.sdf")
    assert found.header == ["smiles", "pIC50", "name"]
    assert [canonical(cells[0]) for _, cells in found.rows] == list(map(canonical, smiles))
    assert [cells[1:] for _, cells in found.rows][1] == ["1,5", "CMP-1"]
    assert found.where(1) == "molecule 1 (line 1)"
    assert found.is_drawn


def test_sdf_table_of_invalid_drawings_gives_texts_that_raise_the_reason() -> None:
    carbon = block("CC(C)(C)C").replace("V2000", "V2000", 1)
    mol = Chem.RWMol(Chem.MolFromSmiles("CC(C)(C)C"))
    mol.AddBond(1, mol.AddAtom(Chem.Atom(6)), Chem.BondType.SINGLE)
    text = f"{Chem.MolToMolBlock(mol, kekulize=False)}$$$$\nnoise\n$$$$\n{carbon}$$$$\n"
    found = sdf_table(text, "t.sdf")
    with pytest.raises(InvalidMoleculeError, match="valence"):
        canonical(found.rows[0][1][0])
    with pytest.raises(InvalidMoleculeError, match=UNREADABLE_DRAWING):
        canonical(found.rows[1][1][0])
    assert canonical(found.rows[2][1][0]) == "CC(C)(C)C"


@pytest.mark.parametrize("groups", ["&1:2", "o1:2"])
def test_sdf_table_of_a_drawn_racemate_gives_a_text_that_raises_the_reason(groups: str) -> None:
    drawn = Chem.MolToV3KMolBlock(Chem.MolFromSmiles(f"CC[C@@H](C)O |{groups}|"))
    for field in ("", ">  <smiles>\nCC[C@@H](C)O\n\n"):
        found = sdf_table(f"{drawn}{field}$$$$\n", "t.sdf")
        with pytest.raises(InvalidMoleculeError, match="several stereoisomers"):
            canonical(found.rows[0][1][0])


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (">  <value>\n1\n\n>  <value>\n2\n\n", "'value' is there twice"),
        (">  <value>\n1\n\nlost\n\n", "'lost'.* belongs to no field"),
        (">  <SMILES>\nCCN\n\n", "the drawing is 'CCO', but its field SMILES says 'CCN'"),
    ],
)
def test_check_of_sdf_table_names_data_that_would_be_lost(data: str, part: str) -> None:
    found = sdf_table(f"{block('CCO')}{data}$$$$\n", "t.sdf")
    with pytest.raises(DataError, match=rf"t\.sdf, molecule 1 \(line 1\): .*{part}"):
        found.check()


@pytest.mark.parametrize(
    ("drawn", "smiles", "same"),
    [
        ("OCC", "CCO", True),
        ("C/C=C/C", "CC=CC", True),
        ("CC=CC", "C/C=C/C", False),
        ("C/C=C/C", "C/C=C\\C", False),
        ("C[C@H](N)C(=O)O", "CC(N)C(=O)O", False),
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", False),
        ("CCO", "CCOC", False),
        ("CCO.Cl", "CCO", False),
    ],
)
def test_is_drawing_of_compares_stereo_of_drawing_and_smiles(
    drawn: str, smiles: str, same: bool
) -> None:
    assert is_drawing_of(drawn, smiles) == same


def test_find_molecules_in_a_bar_separated_table_names_the_separators(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one column, 'SMILES\|y': .* commas, semicolons or tabs"):
        to_dataframe(tmp_path, "SMILES|y\nC|1\n").find_molecules()


def test_list_table_keeps_stereo_groups_with_their_molecule() -> None:
    table = list_table("CCO ethanol\nC[C@H](O)CC |&1:1| racemate\nCC |x|", "some.smi")
    assert [cells for _, cells in table.rows] == [
        ["CCO", "ethanol"],
        ["C[C@H](O)CC |&1:1|", "racemate"],
        ["CC", "|x|"],
    ]
    with pytest.raises(InvalidMoleculeError, match="stereoisomers"):
        canonical(table.rows[1][1][0])
