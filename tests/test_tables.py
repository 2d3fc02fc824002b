from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem

from molvae.errors import DataError
from molvae.tables import check_can_write_table, write_table

TABLE = pd.DataFrame(
    {
        "id": [1, 2],
        "smiles": ["CCO", "C[C@H](N)F"],
        "y": [1 / 3, float("nan")],
        "message": ['a\n\nb, "c"', ""],
    }
)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_a_table_comes_back(tmp_path: Path, ending: str) -> None:
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


def test_sdf_holds_molecules_with_their_data(tmp_path: Path) -> None:
    file = tmp_path / "t.sdf"
    write_table(TABLE, file)
    first, second = Chem.SDMolSupplier(str(file))
    assert [Chem.MolToSmiles(m) for m in (first, second)] == list(TABLE["smiles"])
    assert first.GetProp("message") == 'a\nb, "c"'
    assert float(first.GetProp("y")) == 1 / 3
    assert set(second.GetPropNames()) == {"id", "smiles"}


def test_what_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    for file, message in (
        (tmp_path / "t.csv", r"exists; choose another name, or overwrite it \(--overwrite\)"),
        (tmp_path / "t.xlsx", r"a table is \.csv, \.tsv, \.sdf, \.parquet"),
        (tmp_path / "no" / "t.csv", "there is no folder"),
    ):
        with pytest.raises(DataError, match=message):
            check_can_write_table(file, overwrite=False)
    check_can_write_table(tmp_path / "t.csv", overwrite=True)
