"""Settings of a campaign file, read and checked.

Others may have written or damaged the file: missing or wrong entries are one clear error, and
nothing in it makes molvae run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any

from molvae.bo.strategies.registry import format_strategy, upgrade_text
from molvae.config import CHOICE_ALIASES, CampaignConfig, build
from molvae.errors import CampaignError, MolvaeError, shown
from molvae.objectives.parsing import (
    current_spec,
    format_part,
    own_name,
    python_object,
    runs_code,
    spec_text,
)
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem
from molvae.objectives.program import COMMAND_PREFIX

_REQUIRED: Mapping[str, type | UnionType] = {
    "objectives": list,
    "space": dict,
    "space.name": str,
    "space.fingerprint": str,
    "space.dim": int,
    "strategy": dict,
    "strategy.name": str,
    "strategy.settings": dict | None,
    "skipped": int,
    "duplicates": int,
}
_OPTIONAL = {"config": dict, "constraints": list, "fidelities": list, "versions": dict,
             "created": str, "start_rows": dict}  # fmt: skip
_UNTIL_FORMAT_4: Mapping[str, type | UnionType] = {"seed": int, "batch": int, "start": int | str}
"""Settings that stood on their own before there was `config`."""


def read_metadata(
    facts: Mapping[str, Any], path: Path
) -> tuple[CampaignConfig, OptimizationProblem]:
    """The settings and the problem of a campaign file of any format.

    A value counts as computed for every molecule only if molvae itself computes it, or if it is
    said to be cheap; code of files from elsewhere does not run, see `RecordedParts`.

    Raises:
        CampaignError: An entry is missing, or has a wrong type or value.
    """
    older = {} if "config" in facts else _UNTIL_FORMAT_4
    for name, kind in {**_REQUIRED, **_OPTIONAL, **older}.items():
        table, _, key = name.rpartition(".")
        there: Mapping[str, Any] = facts[table] if table else facts
        if key not in there and name not in _OPTIONAL:
            raise _damaged(path, f"its {name} is missing")
        # Python takes true for a whole number.
        if key in there and (not isinstance(there[key], kind) or isinstance(there[key], bool)):
            raise _damaged(path, f"its {name} is {shown(there[key])}")
    try:
        problem = _problem(facts)
        settings = dict(facts.get("config") or _config(facts, problem))
        settings.setdefault("plausibility", "none")  # as campaigns were before there was one
        settings.setdefault("tune", False)
        if isinstance(settings.get("strategy"), str):
            settings["strategy"] = upgrade_text(settings["strategy"])
        return build(CampaignConfig, settings, "settings"), problem
    except MolvaeError as error:
        raise _damaged(path, str(error)) from error


def _problem(facts: Mapping[str, Any]) -> OptimizationProblem:
    where = "its objectives and constraints"
    objectives = [build(Objective, one, where) for one in facts["objectives"]]
    kept = facts.get("constraints", facts.get("limits", ()))
    constraints = [build(Constraint, one, where) for one in kept]
    combine = (facts.get("config") or facts).get("combine", "pareto")
    return OptimizationProblem(
        objectives=tuple(replace(one, is_cheap=_is_computed(one)) for one in objectives),
        constraints=tuple(replace(one, is_cheap=_is_computed(one)) for one in constraints),
        combine=CHOICE_ALIASES.get(combine, combine),
        fidelities=tuple(build(Objective, one, where) for one in facts.get("fidelities", ())),
    )


def _is_computed(part: Objective | Constraint) -> bool:
    spec = spec_text(part)
    return part.is_cheap and (part.cheap or spec is None or not runs_code(spec))


def _config(facts: Mapping[str, Any], problem: OptimizationProblem) -> dict[str, Any]:
    """The settings of a campaign file that is older than `config`."""
    name, own = (facts["strategy"][key] for key in ("name", "settings"))
    settings: dict[str, Any] = {
        "objective": [format_part(one) for one in problem.objectives],
        "constraints": [format_part(one) for one in problem.constraints],
        "combine": problem.combine,
        "space": facts["space"]["name"],
        "strategy": format_strategy(name, own, defaults=True),
        "start": facts["start"],
        "batch_size": facts["batch"],
        "seed": facts["seed"],
        "skip_invalid": facts["skipped"] > 0,
        "dataset": found if isinstance(found := facts.get("dataset"), str) else "zinc250k",
    }
    single, *others = problem.objectives
    if not others and single.direction != "range":
        spec = current_spec(spec_text(single) or python_object(single.name))
        settings |= {"direction": single.direction, "unit": single.unit, "objective": [spec]}
        settings["name"] = own_name(single)
        if spec.startswith(COMMAND_PREFIX):
            command = spec.removeprefix(COMMAND_PREFIX)
            settings |= {"command": command, "objective": [single.name], "name": None}
    return settings


def _damaged(path: Path, why: str) -> CampaignError:
    return CampaignError(
        f"{path} lacks settings of a campaign, or they are damaged: {why}; go on from a copy, or "
        "update molvae"
    )
