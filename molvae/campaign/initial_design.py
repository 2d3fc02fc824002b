"""The initial design of a campaign: given molecules, a file's, or random ones of a data set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.campaign.evaluation import standard_error
from molvae.campaign.trial import NewTrial, Outcome
from molvae.chem.measurements import (
    columns_of,
    measured_values,
    notes_of,
    standard_errors,
    warn_of_bounds,
)
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MolvaeError,
    listed,
    shown,
    warn,
    without_warnings,
)

if TYPE_CHECKING:
    from molvae.chem.tables import Table
    from molvae.chem.values import Censored
    from molvae.latent.protocol import LatentSpaceProtocol

ORIGIN, ADDED = "start", "added"

REDRAWS = 20
"""Rounds in which random molecules that the space cannot encode are replaced."""


@dataclass(frozen=True, kw_only=True)
class InitialDesign:
    """The first trials of a campaign."""

    trials: tuple[NewTrial, ...]
    skipped: int = 0
    """Number of given texts left out: invalid, or not encodable by the space."""
    duplicates: int = 0
    """Number of given molecules that repeat an earlier one."""


@dataclass(frozen=True, kw_only=True)
class InitialMolecule:
    """A given molecule with its values and notes."""

    text: str
    where: str
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Measurements by name; NaN: known to fail."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of values, by name."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Texts of other columns, by name."""


def build_initial_design(
    start: int | str | Path | Sequence[str],
    space: LatentSpaceProtocol,
    names: Sequence[str],
    *,
    dataset: str,
    seed: int,
    skip_invalid: bool,
) -> InitialDesign:
    """The first trials of a campaign; arguments and errors as for `Campaign.create`.

    `names` are those of measured values.
    """
    if isinstance(start, int):
        return _drawn(start, space, dataset, seed)
    if isinstance(start, str | Path):
        given = read_start(start, names, check_molecules=not skip_invalid)
    else:
        given = [
            InitialMolecule(text=text, where=f"starting molecule {i}")
            for i, text in enumerate(start, 1)
        ]
    return _given(given, space, names, skip_invalid=skip_invalid)


def read_start(
    path: str | Path, names: Sequence[str], *, check_molecules: bool = False
) -> list[InitialMolecule]:
    """Molecules of a file, with values from the columns `names` (of a single name also `value`).

    All bad lines are reported together, those with invalid molecules if `check_molecules`.
    """
    from molvae.chem.datasets import DATASETS, read_molecules
    from molvae.chem.molecules import canonical

    if str(path) in DATASETS:
        raise ConfigError(
            f"start={str(path)!r} would start with all of that data set; give a number of "
            f"molecules, and dataset={str(path)!r}"
        )
    table, place = read_molecules(path, None, (*names, "value"))
    alone = len(names) == 1
    columns = columns_of(table, names, "value" if alone else "{}")
    if columns and (lacking := [name for name in names if name not in columns]):
        raise DataError(
            f"{table.lacks(*lacking[:1])}; there is one of {', '.join(columns)}: give values of "
            "all, or of none"
        )
    if names and not table.has_header and table.is_numbered():
        warn(
            f"{table.name}: numbers stand behind the molecules, and are kept as names; if they are "
            f'values, write "smiles {names[0]}" into the first line'
        )
    elif names and not columns and len(table.header) > 1 and table.has_header:
        warn(f"{table.lacks(*names, *['value'] * alone)}; so no molecule starts with a value")
    values = {name: measured_values(table, at) for name, at in columns.items()}
    beside = columns_of(table, list(columns), "error" if alone else "{}_error", own="{}_error")
    errors = {
        name: standard_errors(table, at, values[name], words=columns[name])
        for name, at in beside.items()
    }
    if None not in map(table.find, ("status", "origin", "asked_at")):
        _complete_export(table, values, errors)
    warn_of_bounds(
        table,
        {columns[name]: found for name, found in values.items()},
        "these molecules start without a value, with the bound as a note",
    )
    used = {place, *columns.values(), *beside.values()}
    found = []
    for line, cells in table.rows:
        notes = notes_of(table, cells, used)
        measured = {}
        for name, at in columns.items():
            here = values[name].get(line, [])
            measured[name] = [one for one in here if isinstance(one, float)]
            if cells[at] and (len(measured[name]) < len(here) or not here):
                notes[table.header[at]] = cells[at]  # a bound, or a word for no value
            if name in beside and cells[beside[name]] and all(map(math.isnan, measured[name])):
                notes[table.header[beside[name]]] = cells[beside[name]]
        found.append(
            InitialMolecule(
                text=cells[place],
                where=f"{table.name}, {table.where(line)}",
                values={name: here for name, here in measured.items() if here},
                errors={name: of[line] for name, of in errors.items() if line in of},
                notes=notes,
            )
        )
        if check_molecules:
            try:
                canonical(cells[place])
            except InvalidMoleculeError as error:
                table.invalid(line, error)
    table.check()
    return found


def _complete_export(
    table: Table,
    values: Mapping[str, dict[int, list[float | Censored]]],
    errors: Mapping[str, dict[int, float]],
) -> None:
    """Take failures and replicates from a table that molvae has exported."""
    status = table.column("status")
    for name, found in values.items():
        if (replicates := table.find(f"{name}_replicates")) is not None:
            several = measured_values(table, replicates)
            found |= several
            for line in several:
                errors.get(name, {}).pop(line, None)  # computed from the replicates
        for line, cells in table.rows:
            if cells[status] == "failed":
                found.setdefault(line, [math.nan])


def _given(
    given: Sequence[InitialMolecule],
    space: LatentSpaceProtocol,
    names: Sequence[str],
    *,
    skip_invalid: bool,
) -> InitialDesign:
    from molvae.chem.molecules import canonical

    rows: dict[str, list[InitialMolecule]] = {}
    left_out, bad = list[InitialMolecule](), list[str]()
    for one in given:
        try:
            rows.setdefault(canonical(one.text), []).append(one)
        except InvalidMoleculeError as error:
            left_out.append(one)
            bad.append(f"{one.where}: {error}")
    if bad and not skip_invalid:
        raise InvalidMoleculeError(listed(bad, "correct them, or skip invalid molecules"))
    lacking = [
        f"{several[0].where}: a value of {', '.join(known)} but none of "
        f"{', '.join(name for name in names if name not in known)}"
        for several in rows.values()
        if (known := {name: None for one in several for name in one.values})
        and len(known) < len(names)
    ]
    if lacking:
        raise DataError(
            listed(lacking, "give all of them, NaN for what could not be measured, or none")
        )
    z = _encoded(space, list(rows))
    lost = [smiles for smiles in rows if smiles not in z]
    if lost and not skip_invalid:
        _refuse(space, [(rows[smiles][0].where, smiles) for smiles in lost])
    left_out += [one for smiles in lost for one in rows[smiles]]
    if given and not z:
        raise DataError(
            f"none of {len(given)} starting molecules can be used; check that they are SMILES"
        )
    if left_out:
        said = listed([f"{one.where}: {shown(one.text, 60)}" for one in left_out])
        warn(f"{len(left_out)} starting molecules left out, with their values: {said}")
    if mixed := [rows[smiles][0].where for smiles in z if "." in smiles]:
        warn(f"{len(mixed)} starting molecules of several parts, taken as written: {listed(mixed)}")
    trials = tuple(_merged(smiles, vector, rows[smiles]) for smiles, vector in z.items())
    duplicates = sum(len(several) - 1 for several in rows.values())
    return InitialDesign(trials=trials, skipped=len(left_out), duplicates=duplicates)


def _refuse(space: LatentSpaceProtocol, lost: Sequence[tuple[str, str]]) -> None:
    """Raise the first error of molecules that the space cannot encode, with all messages."""
    errors, said = list[MolvaeError](), list[str]()
    for where, smiles in lost:
        try:
            space.encode([smiles])
        except MolvaeError as error:
            errors.append(error)
            said.append(f"{where}: {error}")
    parts = "write the parent molecule of a salt alone; " if any("." in m for _, m in lost) else ""
    errors[0].args = (listed(said, f"{parts}or leave these molecules out (--skip-invalid)"),)
    raise errors[0]


def _merged(smiles: str, z: list[float], rows: Sequence[InitialMolecule]) -> NewTrial:
    """One trial from all rows of a molecule: a value beats a failure, several are replicates."""
    all_values: dict[str, list[float]] = {}
    for row in rows:
        for name, some in row.values.items():
            all_values.setdefault(name, []).extend(some)
    known = {name: [v for v in of if not math.isnan(v)] for name, of in all_values.items()}
    several = {name: of for name, of in known.items() if len(of) > 1}
    errors = {name: error for row in rows for name, error in row.errors.items()}
    notes: dict[str, dict[str, None]] = {}
    for row in rows:
        own = {f"standard error of {name}": str(e) for name, e in row.errors.items()}
        replaced = {note: text for note, text in own.items() if several}
        for name, text in {**row.notes, **replaced}.items():
            notes.setdefault(name, {})[text] = None
    values = {n: statistics.fmean(of) for n, of in known.items() if of}
    outcome = Outcome(
        complete=len(values) == len(all_values),
        values=values,
        errors=errors | {name: standard_error(of) for name, of in several.items()},
        replicates=several,
        message="known at the start",
    )
    return NewTrial(
        smiles=smiles,
        z=z,
        origin=ORIGIN,
        notes={name: "; ".join(texts) for name, texts in notes.items()},
        outcome=outcome if all_values else None,
    )


def _drawn(n: int, space: LatentSpaceProtocol, dataset: str, seed: int) -> InitialDesign:
    """`n` random molecules that the space can encode."""
    if n == 0:
        return InitialDesign(trials=())
    from molvae.bo.candidates import spawn_seed
    from molvae.chem.datasets import sample_molecules

    z: dict[str, list[float]] = {}
    for draw in range(REDRAWS):
        draw_seed = spawn_seed(seed, draw) if draw else seed
        found = sample_molecules(dataset, n - len(z), draw_seed)
        z |= _encoded(space, [smiles for smiles in found if smiles not in z])
        if len(z) == n:
            trials = [NewTrial(smiles=smiles, z=row, origin=ORIGIN) for smiles, row in z.items()]
            return InitialDesign(trials=tuple(trials))
    raise DataError(
        f"only {len(z)} of {n} random molecules of {dataset} can be encoded by {space.name!r}; "
        "start from a data set or a file that is nearer to its training molecules"
    )


def _encoded(space: LatentSpaceProtocol, molecules: Sequence[str]) -> dict[str, list[float]]:
    """Latent vectors of the molecules that the space can encode."""
    if not molecules:
        return {}
    with without_warnings():  # what is left out is counted by the caller
        z = space.encode(molecules, skip_unknown=True)
    lost = z.isnan().any(dim=1).tolist()
    rows = zip(molecules, z.tolist(), lost, strict=True)
    return {smiles: row for smiles, row, missing in rows if not missing}
