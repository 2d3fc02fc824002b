"""Tables of the groups on the core that a campaign keeps: how often each was tried, and its values.

RDKit's R-group decomposition finds the groups; positions without attachment points are numbered by
RDKit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import fmean
from typing import Any

import numpy as np
from rdkit import rdBase

from molvae.analysis.summary import Row
from molvae.chem.cores import Core
from molvae.chem.depiction import picture
from molvae.chem.molecules import parse
from molvae.errors import InvalidMoleculeError
from molvae.objectives.problem import Objective

MAX_GROUPS = 15  # groups of a position that are shown
DRAWING_PIXELS = (150, 90)  # width and height of a drawn group


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group at a position of the core."""

    smiles: str
    picture: str  # data address of an image; empty for hydrogen
    count: int
    values: tuple[tuple[float, float], ...]  # of each objective the mean and the best value


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position of the core and its groups, the best by the mean of the first objective first."""

    name: str
    groups: list[Group]
    n_groups: int  # how many there are, those that are not listed included


def group_tables(
    core: Core, rows: Sequence[Row], objectives: Sequence[Objective]
) -> tuple[str, list[Position]]:
    """The core as it is numbered, and a table for each position at which groups differ.

    Args:
        core: What the campaign keeps.
        rows: Trials with values; those without the core are left out.
        objectives: What the values are of.
    """
    held, mols = [], []
    for row in rows:
        try:
            if core.holds(row.trial.smiles):
                mols.append(parse(row.trial.smiles))
                held.append(row)
        except InvalidMoleculeError:  # a file that was not written by molvae
            continue
    if not mols:
        return "", []
    # By name: the stubs of this module are no valid Python.
    decomposition: Any = import_module("rdkit.Chem.rdRGroupDecomposition")
    settings = decomposition.RGroupDecompositionParameters()
    settings.onlyMatchAtRGroups = bool(core.points)
    with rdBase.BlockLogs():
        found, lost = decomposition.RGroupDecompose(
            [core.labeled()], mols, asSmiles=True, asRows=True, options=settings
        )
    there = [row for i, row in enumerate(held) if i not in set(lost)]
    if not found:
        return "", []
    tables: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row, parts in zip(there, found, strict=True):
        for name, group in parts.items():
            if name != "Core":
                tables[name][group].append(row)
    positions = [
        _position(name, groups, objectives)
        for name, groups in sorted(tables.items(), key=lambda item: int(item[0][1:]))
        if len(groups) > 1
    ]
    return picture(found[0]["Core"], size=(260, 190)), positions


def _position(name: str, tried: dict[str, list[Row]], objectives: Sequence[Objective]) -> Position:
    groups = [
        Group(
            smiles="H" if smiles.startswith("[H][*") else smiles,
            picture="" if smiles.startswith("[H][*") else picture(smiles, size=DRAWING_PIXELS),
            count=len(rows),
            values=tuple(_mean_and_best(rows, one) for one in objectives),
        )
        for smiles, rows in tried.items()
    ]
    merit = objectives[0].to_maximization
    groups.sort(key=lambda group: -float(merit(np.array(group.values[0][0]))))
    return Position(name=name, groups=groups[:MAX_GROUPS], n_groups=len(groups))


def _mean_and_best(rows: Sequence[Row], objective: Objective) -> tuple[float, float]:
    values = [row.value(objective.name) for row in rows]
    return fmean(values), values[int(objective.to_maximization(np.array(values)).argmax())]
