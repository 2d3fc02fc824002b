"""What users hand to commands: molecules, measured values, latent vectors, held-out molecules.

Reads and checks, and names file and line of what is wrong. Writes nothing and calls no model.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from molvae.cli.terminal import say
from molvae.config import require
from molvae.errors import DataError, InvalidMoleculeError

if TYPE_CHECKING:
    from torch import Tensor


def molecules_of(file: str, *, skip_invalid: bool, column: str | None = None) -> list[str]:
    """Canonical SMILES of a file."""
    from molvae.chem.mol import canonical
    from molvae.datasets import read

    rows: list[str] = []
    lines, errors = [], []
    for line, text in read(file, column=column):
        lines.append(line)
        try:
            rows.append(canonical(text))
            errors.append("")
        except InvalidMoleculeError as error:
            errors.append(str(error))
    check_rows(file, lines, errors, skip_invalid=skip_invalid)
    return rows


def check_rows(
    file: str, lines: Sequence[int], errors: Sequence[str], *, skip_invalid: bool
) -> None:
    """Stop at the first row with an error, or count them.

    Raises:
        InvalidMoleculeError: Names file and line.
    """
    bad = [(line, error) for line, error in zip(lines, errors, strict=True) if error]
    if not bad:
        return
    if not skip_invalid:
        name, (line, error) = "standard input" if file == "-" else file, bad[0]
        raise InvalidMoleculeError(f"{name}, line {line}: {error}; --skip-invalid goes on without")
    say(f"{len(bad)} of {len(lines)} skipped: no molecules (first: line {bad[0][0]})")


def held_out(data: str, n: int, seed: int, skip_invalid: bool) -> tuple[list[str], set[str] | None]:
    """Molecules to measure a model on, and its training molecules if they are known."""
    from molvae.chem.mol import canonical_or_none
    from molvae.chem.parallel import each
    from molvae.datasets import DATASETS, load_split, read, split_of

    require(n >= 1, f"n must be at least 1 molecule, got {n}")
    training = None
    if Path(data).is_dir():
        test, training = load_split(data, "test"), set(load_split(data, "train"))
    elif data in DATASETS:
        say(f"reading all of {data}; a folder made by prepare is faster")
        parsed = each(canonical_or_none, [text for _, text in read(data)])
        molecules = sorted({molecule for molecule in parsed if molecule is not None})
        test = [molecule for molecule in molecules if split_of(molecule) == "test"]
        training = {molecule for molecule in molecules if split_of(molecule) == "train"}
    else:
        test = molecules_of(data, skip_invalid=skip_invalid)
    return Random(seed).sample(test, min(n, len(test))), training


ASKED = ("id", "smiles", "percentile")
"""Columns of a sheet as `ask` prints it."""


def drawn(
    data: str,
    n: int,
    seed: int,
    *,
    skip_invalid: bool = False,
    column: str | None = None,
    values: str | None = None,
) -> tuple[list[str], list[float]]:
    """Random distinct molecules of a data set, in random order; all if there are fewer.

    Args:
        data: A folder made by prepare, whose training molecules are taken; or as of
            `molvae.datasets.read`.
        n: How many, at least 1.
        seed: Of the draw.
        skip_invalid: Leave out and count texts that are no molecules. Those of the known data sets
            are passed over in any case.
        column: Of the molecules in a table.
        values: Of numbers in it.

    Returns:
        Canonical SMILES, and the numbers, NaN where the cell is empty; no numbers without a column.

    Raises:
        ConfigError: n is below 1.
        DataError: As of `molvae.datasets.read`; or a cell is no number.
        InvalidMoleculeError: A text is not a molecule.
    """
    from molvae.chem.mol import canonical
    from molvae.datasets import DATASETS, load_split, read

    require(n >= 1, f"n must be at least 1 molecule, got {n}")
    if Path(data).is_dir():
        if values is not None:
            raise DataError(f"{data} holds molecules only, no column {values!r}; name a table")
        rows = list(enumerate(load_split(data, "train"), 1))
    else:
        rows = list(read(data, column=column))
    cells = {} if values is None else dict(read(data, column=values))
    found: dict[str, float] = {}
    lines, errors = [], []
    Random(seed).shuffle(rows)
    for line, text in rows:
        if len(found) == n:
            break
        lines.append(line)
        try:
            molecule = canonical(text)
            errors.append("")
        except InvalidMoleculeError as error:
            errors.append("" if data in DATASETS else str(error))
            continue
        value = told_value(cells.get(line), f"{data}, line {line}")
        if isinstance(value, list):
            raise DataError(f"{data}, line {line}: several values of {values}; give one")
        found.setdefault(molecule, math.nan if value is None else value)
    check_rows(data, lines, errors, skip_invalid=skip_invalid)
    return list(found), [] if values is None else list(found.values())


def is_record(file: str | Path) -> bool:
    """Whether a file is a campaign's record, by its first bytes."""
    try:
        with open(file, "rb") as opened:
            return opened.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


@dataclass(frozen=True)
class Told:
    """What a sheet says of a trial."""

    id: int
    values: dict[str, float | list[float] | None]
    """By name; several are replicates; None: it could not be measured."""
    errors: dict[str, float] = field(default_factory=dict)
    """Standard errors, where there are any."""
    message: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    """What other columns hold."""


def sheet(file: str, names: Sequence[str]) -> list[Told]:
    """A file of measurements: CSV, TSV or SDF.

    Args:
        file: With a column `id`, one for each name, and perhaps `NAME_error` and `message`. If only
            one thing is measured, its columns may be called `value` and `error`.
        names: Of what is measured.

    Raises:
        DataError: Names file and line of what cannot be read.
    """
    told = []
    for where, row in _table(file, ["id"]):
        columns = {name: name for name in names}
        if len(names) == 1 and names[0] not in row:
            columns = {names[0]: "value"}
        if lacking := [column for column in columns.values() if column not in row]:
            there = ", ".join(list(row)[:8])
            raise DataError(f"{where}: there is no column {lacking[0]!r}; there are {there}")
        if not row["id"].isdecimal():
            raise DataError(f"{where}: the id must be a whole number, got {row['id']!r}")
        errors, own = dict[str, float](), {*ASKED, "message", *columns.values()}
        for name, column in columns.items():
            beside = "error" if column == "value" else f"{column}_error"
            own.add(beside)
            error = told_value(row.get(beside), where)
            if isinstance(error, list) or (error is not None and error < 0):
                raise DataError(f"{where}: a standard error is a number from 0, got {error}")
            if error is not None:
                errors[name] = error
        told.append(
            Told(
                id=int(row["id"]),
                values={name: told_value(row[column], where) for name, column in columns.items()},
                errors=errors,
                message=row.get("message", ""),
                notes={name: text for name, text in row.items() if text and name not in own},
            )
        )
    return told


def told_value(text: str | None, where: str) -> float | list[float] | None:
    """A told value; several are replicates; None for one that could not be measured."""
    if text and ";" in text:
        values = [told_value(part.strip(), where) for part in text.split(";")]
        return [value for value in values if isinstance(value, float)] or None
    if not text or text.lower() in ("failed", "nan"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {text!r} is no number; write failed if it could not be measured")
    return value


def conditions(text: str) -> dict[str, float]:
    """Numbers by name, from a text.

    >>> conditions("logP=2.5, QED=0.9")
    {'logP': 2.5, 'QED': 0.9}

    Raises:
        DataError: A part of it is not a name with a number, or a name comes twice.
    """
    found = dict[str, float]()
    for part in text.split(",") if text.strip() else ():
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise DataError(f"conditions are written logP=2.5,QED=0.9; got {part.strip()!r}")
        if name in found:
            raise DataError(f"condition {name!r} is given twice: {text!r}")
        found[name] = value
    return found


def vectors(file: str, dim: int) -> Tensor:
    """Latent vectors of a table with columns z1, z2, ..., `n x dim`."""
    import torch

    columns = [f"z{i}" for i in range(1, dim + 1)]
    rows = []
    for where, row in _table(file, columns):
        try:
            rows.append([float(row[column]) for column in columns])
        except ValueError as error:
            raise DataError(f"{where}: {error}; expected a number in each column z") from error
    return torch.tensor(rows, dtype=torch.float64)


def _table(file: str, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The rows of a CSV, TSV or SDF file, with their places; tabs separate if the header has one.

    Raises:
        DataError: It cannot be read, lacks a column or rows, or a row has too few cells.
    """
    name = "standard input" if file == "-" else file
    if name.endswith(".sdf"):
        return _sdf(name, columns)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text: {error}") from error
    lines = text.splitlines()
    reader = csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",")
    header = list(reader.fieldnames or ())
    if missing := [column for column in columns if column not in header]:
        raise DataError(
            f"{name} has no column {missing[0]!r}; it has {', '.join(header[:8]) or 'nothing'}"
        )
    rows = []
    for row in reader:
        where = f"{name}, line {reader.line_num}"
        if any(row[column] is None for column in header):
            raise DataError(f"{where}: fewer cells than the header names; leave a cell empty if so")
        rows.append((where, {key: (cell or "").strip() for key, cell in row.items() if key}))
    if not rows:
        raise DataError(f"{name} has no rows below its header")
    return rows


def _sdf(name: str, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The data of an SDF file's molecules; the drawings are not looked at: the id says which."""
    from rdkit import Chem

    try:
        found = list(Chem.SDMolSupplier(name, sanitize=False))
    except OSError as error:
        raise DataError(f"cannot read {name}: {error}") from error
    rows = []
    for place, mol in enumerate(found, 1):
        where = f"{name}, molecule {place}"
        if mol is None:
            raise DataError(f"{where}: it cannot be read")
        row = {key: mol.GetProp(key).strip() for key in mol.GetPropNames()}
        if "id" not in row:
            raise DataError(f"{where}: it has no id; it has {', '.join(row) or 'no data'}")
        rows.append((where, {key: row.get(key, "") for key in (*columns, *row)}))
    if not rows:
        raise DataError(f"{name} has no molecules")
    return rows


__all__ = [
    "ASKED",
    "Told",
    "check_rows",
    "conditions",
    "drawn",
    "held_out",
    "is_record",
    "molecules_of",
    "sheet",
    "told_value",
    "vectors",
]
