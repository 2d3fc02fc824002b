"""Tables of molecules as files: CSV, TSV, SDF, Parquet.

Knows formats. Knows no campaigns.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def check_can_write_table(file: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before anything is done for it.

    Raises:
        DataError: It exists, its folder does not, or its ending is of no known format.
    """
    if file.suffix.lower() not in _WRITERS:
        raise DataError(f"{file}: a table is {', '.join(_WRITERS)}; choose another ending")
    if file.exists() and not overwrite:
        raise DataError(f"{file} exists; choose another name, or --overwrite")
    if not file.parent.is_dir():
        raise DataError(f"cannot write {file}: there is no folder {file.parent}; make it first")


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write a table; it is there as a whole, or not at all.

    Args:
        table: With a column `smiles`. In SDF each molecule has coordinates in the plane, and the
            other columns as data, where they hold something.
        file: Its ending says the format.

    Raises:
        DataError: See `check_can_write_table`; or Parquet is wanted and pyarrow is not installed.
    """
    check_can_write_table(file, overwrite=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        _WRITERS[file.suffix.lower()](table, draft)
        draft.replace(file)
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _csv(table: pd.DataFrame, file: Path) -> None:
    table.to_csv(file, index=False)


def _tsv(table: pd.DataFrame, file: Path) -> None:
    table.to_csv(file, index=False, sep="\t")


def _parquet(table: pd.DataFrame, file: Path) -> None:
    try:
        table.to_parquet(file, index=False)
    except ImportError as error:
        raise DataError("Parquet needs: pip install 'molvae[parquet]'") from error


def _sdf(table: pd.DataFrame, file: Path) -> None:
    from rdkit.Chem import SDWriter
    from rdkit.Chem.rdDepictor import Compute2DCoords

    from molvae.chem.mol import parse

    with SDWriter(str(file)) as writer:
        for row in table.to_dict("records"):
            mol = parse(row["smiles"])
            Compute2DCoords(mol)
            for name, value in row.items():
                if value is not None and value == value and value != "":
                    # A blank line would end the text in the file.
                    lines = [line for line in str(value).splitlines() if line.strip()]
                    mol.SetProp(str(name), "\n".join(lines))
            writer.write(mol)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".sdf": _sdf,
    ".parquet": _parquet,
}

__all__ = ["check_can_write_table", "write_table"]
