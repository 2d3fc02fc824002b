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
    values: dict[str, float] | None = None
    """Measured, by name; NaN: known to fail; None: not measured."""


def gather(
    start: int | str | Path | Sequence[str],
    space: Space,
    names: Sequence[str],
    *,
    dataset: str,
    seed: int,
    skip_invalid: bool,
) -> Start:
    """The first trials of a campaign; arguments and errors as in `Campaign.create`.

    Args:
        start: Count, file or SMILES.
        space: Encodes the molecules.
        names: Under which measured values are kept.
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
        given = read_start(start, names)
    else:
        given = [
            Given(text=text, where=f"starting molecule {i}") for i, text in enumerate(start, 1)
        ]
    return _given(given, space, skip_invalid=skip_invalid)


def read_start(path: str | Path, names: Sequence[str]) -> list[Given]:
    """Molecules of a file, and their values from columns of these names; of one, also `value`.

    Raises:
        ConfigError: The name of a data set instead of a file.
        DataError: The file cannot be read, is empty, a value in it is not a number, or a molecule
            has some of the values but not all.
    """
    from molvae.datasets import DATASETS, read

    if str(path) in DATASETS:
        raise ConfigError(
            f"start={str(path)!r} would start with all of that data set; give a number of "
            f"molecules, and dataset={str(path)!r}"
        )
    molecules = list(read(str(path)))
    columns: dict[str, dict[int, str]] = {}
    if {".csv", ".tsv"} & {suffix.lower() for suffix in Path(path).suffixes}:
        for name in names:
            for column in (name, "value") if len(names) == 1 else (name,):
                try:
                    columns[name] = dict(read(str(path), column=column))
                except DataError:  # no such column: the other one, or nothing is measured
                    continue
                break
    found = []
    for line, text in molecules:
        read_values = {n: _number(columns[n].get(line, ""), path, line) for n in columns}
        values = {n: value for n, value in read_values.items() if value is not None}
        if values and (lacking := [name for name in names if name not in values]):
            raise DataError(
                f"{path}, line {line}: a value of {', '.join(values)} but none of "
                f"{', '.join(lacking)}; give all of them, NaN for what could not be measured, or "
                "none"
            )
        found.append(Given(text=text, where=f"{path}, line {line}", values=values or None))
    return found


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


def _given(given: Sequence[Given], space: Space, *, skip_invalid: bool) -> Start:
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
            values=_told(first[molecules[row]].values),
            message="" if first[molecules[row]].values is None else "known at the start",
        )
        for row in rows
    ]
    return Start(trials=tuple(trials), skipped=skipped, duplicates=duplicates)


def _told(values: dict[str, float] | None) -> dict[str, float] | None:
    if values is None:
        return None
    return {name: value for name, value in values.items() if not math.isnan(value)}


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
