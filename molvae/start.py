"""The molecules that a campaign starts with: given, from a file, or drawn from a data set.

Gathers, checks and encodes them before anything is written. Knows no record and calls no objective.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.bo.store import NewTrial
from molvae.config import require
from molvae.errors import ConfigError, DataError, InvalidMoleculeError, MolvaeWarning

if TYPE_CHECKING:
    from torch import Tensor

    from molvae.bo.evidence import Space

ORIGIN = "start"
REDRAWS = 20
"""Times that random molecules which the space cannot encode are replaced before giving up."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a campaign starts with."""

    trials: tuple[NewTrial, ...]
    skipped: int = 0
    """Given molecules left out: no molecules, or none that the space can encode."""
    duplicates: int = 0
    """Given molecules that repeated an earlier one; the first is kept."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A text that should be a molecule, and what came with it."""

    text: str
    where: str
    value: float | None = None
    """Measured; NaN: known to fail; None: not measured."""


def gather(
    start: int | str | Path | Sequence[str],
    space: Space,
    objective: str,
    *,
    dataset: str,
    seed: int,
    skip_invalid: bool,
) -> Start:
    """The first trials of a campaign; arguments and errors as in `Campaign.create`.

    Args:
        start: Count, file or SMILES.
        space: Encodes the molecules.
        objective: The name under which measured values are kept.
        dataset: Where random molecules come from.
        seed: Of the drawing.
        skip_invalid: Leave out instead of raising.
    """
    if isinstance(start, int):
        require(
            not isinstance(start, bool) and start >= 0,
            "start must be a number of molecules from 0, a file, or a list of SMILES; got "
            f"{start!r}",
        )
        return _drawn(start, space, dataset, seed)
    if isinstance(start, str | Path):
        given = read_start(start, objective)
    else:
        given = [
            Given(text=text, where=f"starting molecule {i}") for i, text in enumerate(start, 1)
        ]
    return _given(given, space, objective, skip_invalid=skip_invalid)


def read_start(path: str | Path, objective: str) -> list[Given]:
    """Molecules of a file, and values from a column `value` or with the objective's name.

    Raises:
        ConfigError: The name of a data set instead of a file.
        DataError: The file cannot be read, is empty, or a value in it is not a number.
    """
    from molvae.datasets import DATASETS, read

    if str(path) in DATASETS:
        raise ConfigError(
            f"start={str(path)!r} would start with all of that data set; give a number of "
            "molecules, and "
            f"dataset={str(path)!r}"
        )
    values: dict[int, str] = {}
    molecules = list(read(str(path)))
    if {".csv", ".tsv"} & {suffix.lower() for suffix in Path(path).suffixes}:
        for column in (objective, "value"):
            try:
                values = dict(read(str(path), column=column))
            except DataError:  # no such column: the other one, or nothing is measured
                continue
            break
    return [
        Given(
            text=text, where=f"{path}, line {line}", value=_number(values.get(line, ""), path, line)
        )
        for line, text in molecules
    ]


def _number(text: str, path: str | Path, line: int) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(
            f"{path}, line {line}: the value {text!r} is not a number; leave it empty if it was "
            "not "
            "measured, or write NaN if it could not be"
        ) from error
    if math.isinf(value):
        raise DataError(f"{path}, line {line}: the value must be finite, or NaN; got {text!r}")
    return value


def _given(given: Sequence[Given], space: Space, objective: str, *, skip_invalid: bool) -> Start:
    from molvae.chem.mol import canonical

    first: dict[str, Given] = {}
    skipped = duplicates = 0
    for one in given:
        try:
            smiles = canonical(one.text)
        except InvalidMoleculeError as error:
            if not skip_invalid:
                raise InvalidMoleculeError(
                    f"{one.where}: {error}; mend it, or skip invalid molecules"
                ) from error
            skipped += 1
            continue
        duplicates += smiles in first
        first.setdefault(smiles, one)
    molecules = list(first)
    if molecules:
        z = _encode_known(space, molecules) if skip_invalid else space.encode(molecules)
        rows = _encoded(z)
        skipped += len(molecules) - len(rows)
    else:
        rows = []
    if given and not rows:
        raise DataError(
            f"none of {len(given)} starting molecules can be used; check that they are SMILES"
        )
    trials = [
        NewTrial(
            smiles=molecules[row],
            z=z[row].tolist(),
            origin=ORIGIN,
            values=_told(first[molecules[row]].value, objective),
            message="" if first[molecules[row]].value is None else "known at the start",
        )
        for row in rows
    ]
    return Start(trials=tuple(trials), skipped=skipped, duplicates=duplicates)


def _told(value: float | None, objective: str) -> dict[str, float] | None:
    if value is None:
        return None
    return {} if math.isnan(value) else {objective: value}


def _drawn(n: int, space: Space, dataset: str, seed: int) -> Start:
    """`n` random molecules that the space can encode; at first `sample_molecules`."""
    if n == 0:
        return Start(trials=())
    from molvae.bo.proposals import derived
    from molvae.datasets import sample_molecules

    trials: dict[str, NewTrial] = {}
    for draw in range(REDRAWS):
        molecules = [
            smiles
            for smiles in sample_molecules(
                dataset, n - len(trials), derived(seed, draw) if draw else seed
            )
            if smiles not in trials
        ]
        z = _encode_known(space, molecules)
        for row in _encoded(z):
            smiles = molecules[row]
            trials[smiles] = NewTrial(smiles=smiles, z=z[row].tolist(), origin=ORIGIN)
        if len(trials) == n:
            return Start(trials=tuple(trials.values()))
    raise DataError(
        f"only {len(trials)} of {n} random molecules of {dataset} can be encoded by "
        f"{space.name!r}; start from "
        "a data set or a file that is nearer to its training molecules"
    )


def _encode_known(space: Space, molecules: Sequence[str]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)  # what is left out is counted by the caller
        return space.encode(molecules, skip_unknown=True)


def _encoded(z: Tensor) -> list[int]:
    return [row for row, missing in enumerate(z.isnan().any(dim=1).tolist()) if not missing]


__all__ = ["Given", "Start", "gather", "read_start"]
