"""The initial design of a campaign: given molecules, a file's, or random ones of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from molvae.bo.origins import START
from molvae.campaign.evaluation import combined
from molvae.campaign.outlying_values import far_from_others
from molvae.campaign.start_file import InitialMolecule, read_start
from molvae.campaign.start_rows import Fate, StartRow
from molvae.campaign.trial import NewTrial
from molvae.chem.values import Censored
from molvae.chem.workbooks import is_frame
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MolvaeError,
    listed,
    require,
    shown,
    warn,
    without_warnings,
)

if TYPE_CHECKING:
    import pandas as pd

    from molvae.chem.plausibility import Plausibility
    from molvae.latent.keeping import KeepingSpace
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.problem import OptimizationProblem

ORIGINAL_SMILES_NOTE = "original_smiles"
"""Note with the molecule as it was given, if its salt or charges were removed."""

MIN_NESTED = 5  # initial molecules that are evaluated at every fidelity, at least
MAX_REDRAWS = 20  # rounds in which random molecules that the space cannot encode are replaced
MAX_GENERATION_ROUNDS = 5  # rounds in which molecules with a core, or analogues, are made
MIN_SIMILARITY = 0.4  # Tanimoto similarity of a campaign's molecules to the one to stay near


@dataclass(frozen=True, kw_only=True)
class InitialDesign:
    """The first trials of a campaign."""

    trials: tuple[NewTrial, ...]
    rows: tuple[StartRow, ...] = ()
    """What became of each given molecule, in their order."""
    outlying: tuple[str, ...] = ()
    """Given values that are far from all others, each as a message."""

    @property
    def skipped(self) -> int:
        """Number of given molecules left out: invalid, mixtures, or not encodable by the space."""
        return sum(row.fate.startswith("left out") for row in self.rows)

    @property
    def duplicates(self) -> int:
        """Number of given molecules that repeat an earlier one."""
        return sum(bool(row.repeats) for row in self.rows)


def build_initial_design(
    start: int | str | Path | Sequence[str] | pd.DataFrame,
    space: LatentSpaceProtocol,
    names: Sequence[str],
    *,
    seed: int,
    skip_invalid: bool,
    dataset: str = "",
    standardize: bool | None = None,
    smiles_column: str | None = None,
    value_column: str | None = None,
) -> InitialDesign:
    """The first trials of a campaign; arguments and errors as for `Campaign.create`.

    `names` are those of measured values. `standardize` takes the parent molecules of salts and
    ions, and leaves out mixtures; None: if there are measured values.
    """
    if isinstance(start, int):
        return _drawn(start, space, dataset, seed)
    if isinstance(start, str | Path) or is_frame(start):
        given = read_start(
            start,
            names,
            smiles_column=smiles_column,
            value_column=value_column,
            check_molecules=not skip_invalid,
        )
    else:
        given = [
            InitialMolecule(text=text, where=f"initial molecule {i}")
            for i, text in enumerate(start, 1)
        ]
    if standardize is None:
        standardize = any(one.values for one in given)
    return _given(given, space, names, skip_invalid=skip_invalid, standardize=standardize)


def listed_molecules(molecules: Iterable[str], name: str) -> list[str]:
    """Molecules as a list; a set has no order, so that a seed would not repeat a campaign."""
    require(
        not isinstance(molecules, set | frozenset),
        f"{name} is a set, which has no order; give a list of SMILES, such as sorted({name})",
    )
    return list(molecules)


def _given(
    given: Sequence[InitialMolecule],
    space: LatentSpaceProtocol,
    names: Sequence[str],
    *,
    skip_invalid: bool,
    standardize: bool,
) -> InitialDesign:
    from molvae.chem.molecules import canonical
    from molvae.chem.standardize import MixtureError, parent

    rows: dict[str, list[InitialMolecule]] = {}
    lost: dict[int, tuple[Fate, str]] = {}  # by index in `given`
    smiles_of: dict[int, str] = {}
    for i, one in enumerate(given):
        try:
            smiles = smiles_of[i] = (parent if standardize else canonical)(one.text)
        except MixtureError as error:
            lost[i] = "left out: mixture", str(error)
        except InvalidMoleculeError as error:
            lost[i] = "left out: invalid molecule", str(error)
        else:
            if smiles != canonical(one.text):
                one = replace(one, notes={**one.notes, ORIGINAL_SMILES_NOTE: one.text})
            rows.setdefault(smiles, []).append(one)
    bad = [i for i, (fate, _) in lost.items() if fate != "left out: mixture"]
    if bad and not skip_invalid:
        said = [f"{given[i].place}: {lost[i][1]}" for i in bad]
        raise InvalidMoleculeError(listed(said, "correct them, or skip invalid molecules"))
    _check_complete(rows, names)
    z = _encoded(space, list(rows))
    unknown = [smiles for smiles in rows if smiles not in z]
    if unknown and not skip_invalid:
        _refuse(space, [(rows[smiles][0].place, smiles) for smiles in unknown])
    for i, smiles in smiles_of.items():
        if smiles not in z:
            lost[i] = "left out: cannot be encoded", f"{space.name} cannot encode it"
    if given and not z:
        raise DataError(
            f"none of {len(given)} initial molecules can be used; check that they are SMILES"
        )
    if lost:
        said = [f"{given[i].place}: {_reason(*lost[i], given[i])}" for i in sorted(lost)]
        warn(f"{len(lost)} initial molecules left out, with their values: {listed(said)}")
    if mixed := [rows[smiles][0].place for smiles in z if "." in smiles]:
        warn(f"{len(mixed)} initial molecules of several parts, taken as written: {listed(mixed)}")
    return InitialDesign(
        trials=tuple(_merged(smiles, vector, rows[smiles]) for smiles, vector in z.items()),
        rows=_account(given, smiles_of, lost),
        outlying=tuple(_outlying(given, names)),
    )


def _outlying(given: Sequence[InitialMolecule], names: Sequence[str]) -> list[str]:
    """Given values that are far from all others, each as a message."""
    known = {
        name: [
            value
            for one in given
            for value in one.values.get(name, ())
            if isinstance(value, float) and not math.isnan(value)
        ]
        for name in names
    }
    return far_from_others(known, {one.place: one.values for one in given})


def _reason(fate: Fate, reason: str, one: InitialMolecule) -> str:
    return reason if fate == "left out: mixture" else shown(one.text, 60)


def _check_complete(rows: Mapping[str, Sequence[InitialMolecule]], names: Sequence[str]) -> None:
    """Refuse molecules with some of the values only."""
    lacking = [
        f"{several[0].place}: a value of {', '.join(known)} but none of "
        f"{', '.join(name for name in names if name not in known)}"
        for several in rows.values()
        if (known := {name: None for one in several for name in one.values})
        and len(known) < len(names)
    ]
    if lacking:
        raise DataError(
            listed(lacking, "give all of them, NaN for what could not be measured, or none")
        )


def _account(
    given: Sequence[InitialMolecule],
    smiles_of: Mapping[int, str],
    lost: Mapping[int, tuple[Fate, str]],
) -> tuple[StartRow, ...]:
    """What became of each given molecule."""
    from molvae.chem.molecules import canonical

    first, same, rows = dict[str, str](), dict[str, str](), list[StartRow]()
    for i, one in enumerate(given):
        fate, reason = lost.get(i, (_fate(one), ""))
        smiles = "" if i in lost else smiles_of[i]
        cells = repr((one.text, one.values, one.errors, one.notes))
        rows.append(
            StartRow(
                where=one.where,
                molecule=one.text,
                fate=fate,
                values="; ".join(
                    f"{name} {one_value}" for name, of in one.values.items() for one_value in of
                ),
                reason=reason,
                smiles=smiles,
                parent=smiles if smiles and smiles != canonical(one.text) else "",
                repeats=first.get(smiles, ""),
                copies=same.get(cells, ""),
            )
        )
        if smiles:
            first.setdefault(smiles, one.where)
            same.setdefault(cells, one.where)
    return tuple(rows)


def _fate(one: InitialMolecule) -> Fate:
    found = [value for of in one.values.values() for value in of]
    if any(isinstance(value, float) and not math.isnan(value) for value in found):
        return "measured value"
    if any(isinstance(value, Censored) for value in found):
        return "censored value"
    return "failed measurement" if found else "no value"


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
    all_values: dict[str, list[float | Censored]] = {}
    for row in rows:
        for name, some in row.values.items():
            all_values.setdefault(name, []).extend(some)
    try:
        known = combined(all_values)
    except ConfigError as error:
        raise DataError(f"{', '.join(row.place for row in rows)}: {error}") from error
    errors = {name: error for row in rows for name, error in row.errors.items()}
    notes: dict[str, dict[str, None]] = {}
    for row in rows:
        own = {f"standard error of {name}": str(e) for name, e in row.errors.items()}
        replaced = {note: text for note, text in own.items() if known.replicates}
        for name, text in {**row.notes, **replaced}.items():
            notes.setdefault(name, {})[text] = None
    outcome = replace(known, errors={**errors, **known.errors}, message="known at the start")
    return NewTrial(
        smiles=smiles,
        z=z,
        origin=START,
        notes={name: "; ".join(texts) for name, texts in notes.items()},
        outcome=outcome if all_values else None,
    )


def _drawn(n: int, space: LatentSpaceProtocol, dataset: str, seed: int) -> InitialDesign:
    """`n` random molecules that the space can encode."""
    if n == 0:
        return InitialDesign(trials=())
    from molvae.chem.datasets import sample_molecules
    from molvae.model.isolation import spawn_seed

    z: dict[str, list[float]] = {}
    for draw in range(MAX_REDRAWS):
        draw_seed = spawn_seed(seed, draw) if draw else seed
        found = sample_molecules(dataset, n - len(z), draw_seed)
        z |= _encoded(space, [smiles for smiles in found if smiles not in z])
        if len(z) == n:
            trials = [NewTrial(smiles=smiles, z=row, origin=START) for smiles, row in z.items()]
            return InitialDesign(trials=tuple(trials))
    raise DataError(
        f"only {len(z)} of {n} random molecules of {dataset} can be encoded by {space.name!r}; "
        "start from a file, or from a data set (dataset, --dataset) that is nearer to its training "
        "molecules"
    )


def analogue_design(
    n: int,
    space: LatentSpaceProtocol,
    smiles: str,
    seed: int,
    check: Plausibility | None,
    keeping: KeepingSpace | None = None,
) -> InitialDesign:
    """A molecule and `n - 1` random analogues of it that are similar enough, and hold a core.

    Raises:
        InvalidMoleculeError, UnknownTokenError, TooLongError: As for `LatentSpace.encode`.
        ConfigError: The molecule does not hold the core of `keeping`.
    """
    from molvae.chem.fingerprints import morgan_bits, tanimoto

    require(hasattr(space, "morph"), f"similar_to needs a model, not {space.name or 'this space'}")
    require(
        keeping is None or keeping.core.holds(smiles),
        f"{smiles}, the molecule to stay near, does not hold the core that is kept, substituted as "
        "it says; give one that does, or leave out one of the two (similar_to, keep)",
    )
    target = morgan_bits([smiles])

    def analogues(n: int, seed: int) -> list[str]:
        with without_warnings():
            found: list[str] = space.morph(smiles, n, seed)  # type: ignore[attr-defined]
            if keeping is not None:
                branches = keeping.branch(2 * n * [smiles], seed=seed)
                found = [
                    *filter(keeping.core.holds, found),
                    *(b.smiles for b in branches if b.smiles),
                ]
                found = list(dict.fromkeys(found))
        near = tanimoto(morgan_bits(found), target)[:, 0] >= MIN_SIMILARITY
        return Random(seed).sample(list(compress(found, near)), int(near.sum()))

    space.encode([smiles])  # raises if the model cannot write it
    return generated_design(n, space, analogues, seed, check, first=[smiles])


def generated_design(
    n: int,
    space: LatentSpaceProtocol,
    make: Callable[[int, int], Sequence[str]],
    seed: int,
    check: Plausibility | None,
    *,
    first: Sequence[str] = (),
) -> InitialDesign:
    """The first `n` of given molecules and new ones; with a fault only where others lack.

    `make` makes so many molecules at most, with a seed.
    """
    from molvae.model.isolation import spawn_seed

    made = dict.fromkeys(first, False)  # whether they have a fault
    for draw in range(MAX_GENERATION_ROUNDS if n else 0):
        for smiles in make(2 * n, spawn_seed(seed, draw) if draw else seed):
            if smiles not in made:
                made[smiles] = check is not None and not check.accepts(smiles)
        if list(made.values()).count(False) >= n:
            break
    z = _encoded(space, sorted(made, key=made.__getitem__)[:n])
    trials = [NewTrial(smiles=smiles, z=row, origin=START) for smiles, row in z.items()]
    return InitialDesign(trials=tuple(trials))


def at_fidelities(design: InitialDesign, problem: OptimizationProblem) -> InitialDesign:
    """The initial design of a problem with lower fidelities.

    All molecules are evaluated at the cheapest fidelity. Unless values of the objective are known,
    the first ones are evaluated at the others as well: as many as cost the same as all at the
    cheapest, and at least `MIN_NESTED`.
    """
    if not problem.fidelities:
        return design
    cheapest, *others = sorted(problem.fidelities, key=lambda one: one.cost)
    known = [trial for trial in design.trials if trial.outcome is not None]
    new = [replace(trial, outcome=None) for trial in design.trials]
    trials = [*known, *(replace(trial, fidelity=cheapest.name) for trial in new)]
    for name, cost in [*((one.name, one.cost) for one in others), ("", problem.cost())]:
        n = max(MIN_NESTED, math.ceil(len(new) * cheapest.cost / cost))
        trials += [replace(trial, fidelity=name) for trial in new[: 0 if known else n]]
    return replace(design, trials=tuple(trials))


def check_affords_a_value(
    problem: OptimizationProblem, fidelities: Iterable[str], budget: int
) -> None:
    """Refuse a budget that trials at lower fidelities spend before the objective has a value."""
    lower = sum(problem.cost(name) for name in fidelities if name)
    least = problem.cost() + lower
    require(
        not problem.fidelities or budget >= least,
        f"a budget of {budget} ends before {problem.objectives[0].name} has a value: an evaluation "
        f"costs {problem.cost():g}, and the initial molecules of lower fidelities {lower:g}; give "
        f"at least {least:g}",
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
