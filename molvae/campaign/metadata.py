"""What a record says that its campaign was made with, checked before anything is done with it.

A record is a file that others may have written or damaged: what is lacking or of another type is
one clear error, and nothing that it says makes molvae run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from molvae.config import build
from molvae.errors import CampaignError, MolvaeError, shown
from molvae.objectives.parsing import runs_code
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem

_TYPES: Mapping[str, tuple[type, ...]] = {
    "objectives": (list,),
    "space": (dict,),
    "space.name": (str,),
    "space.fingerprint": (str,),
    "space.dim": (int,),
    "strategy": (dict,),
    "strategy.name": (str,),
    "strategy.settings": (dict, type(None)),
    "seed": (int,),
    "batch": (int,),
    "start": (int, str),
    "skipped": (int,),
    "duplicates": (int,),
}


_OPTIONAL: Mapping[str, tuple[type, ...]] = {
    "limits": (list,),
    "combine": (str,),
    "dataset": (str, type(None)),
    "strategy_text": (str, type(None)),
    "versions": (dict,),
    "created": (str,),
}


def check_facts(facts: Mapping[str, Any], record: Path) -> None:
    """Refuse facts that are lacking, of another type or out of range.

    Raises:
        CampaignError: Names the first one.
    """
    for name, types in {**_TYPES, **_OPTIONAL}.items():
        table, _, key = name.rpartition(".")
        there: Mapping[str, Any] = facts[table] if table else facts
        if key not in there and name in _OPTIONAL:
            continue
        value = there.get(key, _MISSING)
        # Python takes true for a whole number.
        if not isinstance(value, types) or isinstance(value, bool):
            raise _damaged(
                record, f"its {name} is {'lacking' if value is _MISSING else shown(value)}"
            )
    for name, least in (("seed", 0), ("batch", 1)):
        if facts[name] < least:
            raise _damaged(record, f"its {name} is {facts[name]}")


def problem_of(facts: Mapping[str, Any], record: Path) -> OptimizationProblem:
    """Goals and limits.

    That a value is computed for every molecule, without being asked, holds only for what molvae
    computes itself.

    Raises:
        CampaignError: They cannot be understood.
    """
    where = "its goals and limits"
    try:
        goals = [build(Objective, goal, where) for goal in facts["objectives"]]
        limits = [build(Constraint, limit, where) for limit in facts.get("limits", ())]
        return OptimizationProblem(
            goals=tuple(replace(goal, computed=_is_computed(goal)) for goal in goals),
            limits=tuple(replace(limit, computed=_is_computed(limit)) for limit in limits),
            combine=facts.get("combine", "pareto"),
        )
    except MolvaeError as error:
        raise _damaged(record, str(error)) from error


def _is_computed(part: Objective | Constraint) -> bool:
    return part.computed and (part.spec is None or not runs_code(part.spec))


_MISSING = object()


def _damaged(record: Path, why: str) -> CampaignError:
    return CampaignError(
        f"{record} lacks settings of a campaign, or they are damaged: {why}; go on from a copy, or "
        "update molvae"
    )


__all__ = ["check_facts", "problem_of"]
