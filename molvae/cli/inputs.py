"""Inputs of commands: molecules, vectors, conditions; errors name the line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from molvae.chem.measurements import has_decimal_comma, mean_values
from molvae.chem.tables import Table
from molvae.chem.values import not_a_number, number
from molvae.cli.terminal import say
from molvae.config import check_seed, whole_number
from molvae.errors import DataError, InvalidMoleculeError, listed, shown

if TYPE_CHECKING:
    from torch import Tensor

    from molvae.latent.space import LatentSpace


def read_smiles(file: str, *, skip_invalid: bool, column: str | None = None) -> list[str]:
    """Canonical SMILES of a file."""
    from molvae.chem.datasets import read_molecules
    from molvae.chem.molecules import canonical

    table, place = read_molecules(file, column)
    rows, skipped = list[str](), list[int]()
    for line, cells in table.rows:
        try:
            rows.append(canonical(cells[place]))
        except InvalidMoleculeError as error:
            skipped.append(line)
            if not skip_invalid:
                table.invalid(line, place, error)
    table.check()
    print_skipped(table, skipped, len(table.rows))
    return rows


def only_encodable(space: LatentSpace, molecules: Sequence[str]) -> list[str]:
    """The molecules that a space can encode; prints which others are skipped."""
    readable = space.can_encode(molecules)
    if others := [m for m, ok in zip(molecules, readable, strict=True) if not ok]:
        said = listed([shown(one, 60) for one in others])
        say(f"{len(others)} of {len(molecules)} skipped: {space.name} cannot encode them ({said})")
    return [m for m, ok in zip(molecules, readable, strict=True) if ok]


def print_skipped(table: Table, lines: Sequence[int], n: int) -> None:
    """Print how many of `n` rows held no molecules, and which."""
    if lines:
        places = listed([table.where(line) for line in lines])
        say(f"{len(lines)} of {n} skipped: no molecules ({places})")


def test_split(
    data: str, n: int, seed: int, skip_invalid: bool
) -> tuple[list[str], set[str] | None]:
    """Molecules to measure a model on, and its training molecules if they are known."""
    from molvae.chem._parallel import parallel_map
    from molvae.chem.datasets import DATASETS, read
    from molvae.chem.molecules import canonical_or_none
    from molvae.chem.prepare import load_split, split_of

    n, seed = whole_number(n, "n", least=1), check_seed(seed)
    training = None
    if Path(data).is_dir():
        test, training = load_split(data, "test"), set(load_split(data, "train"))
    elif data in DATASETS:
        say(f"reading all of {data}; a folder made by prepare is faster")
        parsed = parallel_map(canonical_or_none, [text for _, text in read(data)])
        molecules = sorted({molecule for molecule in parsed if molecule is not None})
        test = [molecule for molecule in molecules if split_of(molecule) == "test"]
        training = {molecule for molecule in molecules if split_of(molecule) == "train"}
    else:
        test = read_smiles(data, skip_invalid=skip_invalid)
    return Random(seed).sample(test, min(n, len(test))), training


def sample_rows(
    data: str, n: int, seed: int, *, skip_invalid: bool, column: str | None = None,
    values: str | None = None,
) -> tuple[list[str], list[float]]:  # fmt: skip
    """Random distinct molecules, in random order; all if there are fewer than `n`.

    Of a folder made by prepare, its training molecules; otherwise `data` is as of
    `molvae.chem.datasets.read`. Texts of named data sets that are no molecules are always skipped.

    Returns:
        Canonical SMILES, and the numbers in the column `values`: means over the rows of a molecule,
        NaN without any; empty without `values`.
    """
    from molvae.chem._parallel import parallel_map
    from molvae.chem.datasets import DATASETS, read_molecules
    from molvae.chem.molecules import canonical, canonical_or_none
    from molvae.chem.prepare import load_split

    n, seed = whole_number(n, "n", least=1), check_seed(seed)
    if Path(data).is_dir():
        if values is not None:
            raise DataError(f"{data} holds molecules only, no column {values!r}; name a table")
        molecules = load_split(data, "train")
        Random(seed).shuffle(molecules)
        return molecules[:n], []
    known_set = data in DATASETS
    table, place = read_molecules(data, column, () if values is None else (values,))
    numbers = {} if values is None else mean_values(table, table.column(values))
    rows, skipped, found = list(table.rows), list[int](), dict[str, list[float]]()
    Random(seed).shuffle(rows)
    texts = [cells[place] for _, cells in rows]
    # Any row of a molecule may have a value; without values the first `n` molecules are enough.
    all_rows = values is not None and not known_set
    parsed = parallel_map(canonical_or_none, texts) if all_rows else map(canonical_or_none, texts)
    for (line, cells), molecule in zip(rows, parsed, strict=True):
        if molecule is None:
            skipped.append(line)
            if not skip_invalid and not known_set:
                try:
                    canonical(cells[place])
                except InvalidMoleculeError as error:
                    table.invalid(line, place, error)
        elif molecule in found or len(found) < n:
            found.setdefault(molecule, []).extend([numbers[line]] if line in numbers else [])
        if len(found) == n and not all_rows:
            break
    table.check()
    if not known_set:
        print_skipped(table, sorted(skipped), len(rows))
    means = [fmean(several) if several else math.nan for several in found.values()]
    return list(found), [] if values is None else means


def parse_conditions(text: str) -> dict[str, float]:
    """Conditions as numbers by name.

    >>> parse_conditions("logP=2.5, QED=0.9")
    {'logP': 2.5, 'QED': 0.9}

    Raises:
        DataError: A part is not NAME=NUMBER, or a name comes twice.
    """
    found = dict[str, float]()
    for part in text.split(",") if text.strip() else ():
        name, _, written = (word.strip() for word in part.partition("="))
        try:
            value = number(written)
        except ValueError:
            name = ""
        if not name:
            said = shown(part.strip())
            raise DataError(f"conditions are written logP=2.5,QED=0.9; got {said}")
        if name in found:
            raise DataError(f"condition {name!r} is given twice: {text!r}")
        found[name] = value
    return found


def read_vectors(file: str, space: LatentSpace) -> Tensor:
    """Latent vectors of a table with columns z1, z2, ..., `n x dim`."""
    import torch

    from molvae.chem.readers import read_table

    columns = [f"z{i}" for i in range(1, space.dim + 1)]
    table = read_table(file, columns)
    numbers = {int(name[1:]) for name in table.header if re.fullmatch("[zZ][0-9]{1,6}", name)}
    if numbers and max(numbers) != space.dim:
        raise DataError(
            f"{table.name} has vectors up to z{max(numbers)}, and those of {space.title} go to "
            f"z{space.dim}; decode them with the model that encoded them"
        )
    for line in table.blank_lines:  # without one, molecules would stand beside other rows
        table.problem(line, "the row is empty", "remove it, or fill it in")
    places = [table.column(column) for column in columns]
    commas = [has_decimal_comma(table, place) for place in places]
    rows = []
    for line, cells in table.rows:
        row = list[float]()
        for place, comma in zip(places, commas, strict=True):
            try:
                row.append(number(cells[place], decimal_comma=comma))
            except ValueError as error:
                reason = str(error).partition(";")[0]  # what follows is about measured values
                table.problem(line, f"{table.header[place]}: {not_a_number(cells[place], reason)}")
        rows.append(row)
    table.check()
    if not rows:
        raise DataError(f"{table.name} has no rows below its header")
    return torch.tensor(rows, dtype=torch.float64)
