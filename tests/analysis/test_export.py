"""`write_table`: campaign tables as CSV, TSV, Parquet and SDF."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem

from molvae.analysis.export import check_can_write_table, write_table
from molvae.chem.readers import read_table
from molvae.errors import DataError

ROOT = Path(__file__).parents[2]
TABLE = pd.DataFrame(
    {
        "id": [1, 2],
        "smiles": ["CCO", "C[C@H](N)F"],
        "y": [1 / 3, float("nan")],
        "message": ['a\n\nb, "c"', ""],
    }
)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_write_table_is_read_back_equal(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"t{ending}"
    write_table(TABLE, file)
    read = {
        ".csv": pd.read_csv,
        ".tsv": lambda f: pd.read_csv(f, sep="\t"),
        ".parquet": pd.read_parquet,
    }
    back = read[ending](file).fillna({"message": ""})
    pd.testing.assert_frame_equal(back, TABLE)
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_write_table_sdf_holds_molecules_with_data(tmp_path: Path) -> None:
    file = tmp_path / "t.sdf"
    write_table(TABLE, file)
    first, second = Chem.SDMolSupplier(str(file))
    assert [Chem.MolToSmiles(m) for m in (first, second)] == list(TABLE["smiles"])
    assert first.GetProp("message") == 'a\nb, "c"'
    assert float(first.GetProp("y")) == 1 / 3
    assert set(second.GetPropNames()) == {"id", "smiles"}


def test_write_table_sdf_titles_are_compound_names(tmp_path: Path) -> None:
    table = TABLE.assign(**{"Compound ID": ["CMP-1", None], "Operator": ["AB", "CD"]})
    write_table(table, tmp_path / "t.sdf")
    first, second = Chem.SDMolSupplier(str(tmp_path / "t.sdf"))
    assert (first.GetProp("_Name"), second.GetProp("_Name")) == ("CMP-1", "")
    assert "name" not in read_table(tmp_path / "t.sdf").header


ODD = (
    "$$$$",
    "a\n$$$$\nb",
    "> <id>\n7",
    "a\r\n\r\nb",
    "M  END",
    "\x1b[31mred\x00\u202e",
    "=cmd|' /C calc'!A0",
    "-1",
    "@x",
)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".sdf", ".parquet"])
def test_write_table_keeps_odd_texts_and_column_names(tmp_path: Path, ending: str) -> None:
    texts = list(ODD)
    table = pd.DataFrame(
        {
            "id": range(1, len(texts) + 1),
            "smiles": ["CCO"] * len(texts),
            "note": texts,
            "a <b>\nc": texts,
        }
    )
    file = tmp_path / f"t{ending}"
    write_table(table, file)
    if ending == ".sdf":
        molecules = list(Chem.SDMolSupplier(str(file)))
        assert [m.GetProp("id") for m in molecules] == [str(i) for i in table["id"]]
        back = [m.GetProp("note") for m in molecules]
        assert back == [m.GetProp("a (b) c") for m in molecules]
    else:
        read = {
            ".csv": lambda f: pd.read_csv(f, keep_default_na=False, dtype=str),
            ".tsv": lambda f: pd.read_csv(f, sep="\t", keep_default_na=False, dtype=str),
            ".parquet": pd.read_parquet,
        }
        back = list(read[ending](file)["note"])
        assert len(read[ending](file)) == len(texts)
    assert back[texts.index("=cmd|' /C calc'!A0")] == "=cmd|' /C calc'!A0"
    if ending != ".parquet":  # which is no text
        assert back[5] == r"\x1b[31mred\x00\u202e"
    if ending != ".sdf":
        assert back[1] == "a\n$$$$\nb"
    else:
        assert back[1] == "a\n $$$$\nb"


def test_write_table_on_a_full_disk_leaves_no_partial_file(tmp_path: Path) -> None:
    """The process may write no file larger than a part of the table."""
    code = """
import resource, sys
import pandas as pd
from molvae.chem.readers import read_table
from molvae.errors import DataError
from molvae.analysis.export import write_table
n = 300
table = pd.DataFrame({"id": range(n), "smiles": ["C" * (n % 9 + 1) for n in range(n)],
                      "note": [f"{i * 7919 % 10007:x}" * 9 for i in range(n)]})
for ending in sys.argv[1:]:
    write_table(table.iloc[:1], "first" + ending)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for ending in sys.argv[1:]:
    try:
        write_table(table, "t" + ending)
    except DataError as error:
        print(error)
"""
    endings = [".csv", ".tsv", ".sdf", ".parquet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *endings],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert [line.split()[:2] for line in said] == [["cannot", "write"]] * len(endings)
    assert {path.name for path in tmp_path.iterdir()} == {f"first{ending}" for ending in endings}


def test_check_can_write_table_raises_for_invalid_paths(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    for file, message in (
        (tmp_path / "t.csv", r"exists; choose another name, or overwrite it \(--overwrite\)"),
        (tmp_path / "t.ods", r"a table is \.csv, \.tsv"),
        (tmp_path / "no" / "t.csv", "there is no folder"),
    ):
        with pytest.raises(DataError, match=message):
            check_can_write_table(file, overwrite=False)
    check_can_write_table(tmp_path / "t.csv", overwrite=True)
