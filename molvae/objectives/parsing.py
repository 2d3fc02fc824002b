"""From what users write to goals and limits, and the objectives that bring their values.

Knows how objectives are found and named. Knows no records, beyond where programs keep their calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from molvae.chem.values import MAX_VALUE
from molvae.errors import ConfigError, UnknownNameError, encodable, require
from molvae.objectives.manual import ManualScoring
from molvae.objectives.problem import (
    COLUMNS,
    DERIVED_COLUMNS,
    EARLIER,
    VALUE_COLUMNS,
    Combine,
    Constraint,
    Direction,
    Objective,
    OptimizationProblem,
)
from molvae.objectives.program import Program

if TYPE_CHECKING:
    from molvae.objectives.scoring import ScoringFunction

MANUAL = "by-hand:"
"""`by-hand:NAME` is an objective without a function: its values are only told."""


WITHOUT_CODE = (MANUAL, "similarity:", "matches:", "alerts:", "other-elements:")
"""Beginnings of specs that run nothing but molvae's own code."""


CALLS = ".calls"
"""After a record's name: the folder in which the calls of a program are kept."""


def parse_problem(
    objective: ScoringFunction | str | Sequence[str | Mapping[str, Any]],
    limits: Sequence[str],
    combine: Combine,
    *,
    record: Path,
    direction: Direction | None = None,
    name: str | None = None,
    unit: str | None = None,
) -> tuple[OptimizationProblem, dict[str, ScoringFunction]]:
    """Goals and limits, and the objective of each by its name; arguments as in `Campaign.create`.

    A single goal without limits is measured, whatever it is. Of several, those that RDKit computes
    are known for every molecule.
    """
    if isinstance(objective, str) or not isinstance(objective, Sequence):
        spec = objective if isinstance(objective, str) else None
        made = make_objective(objective, direction, name=name, record=record)
        goal = Objective(
            name=name_of(made),
            direction=direction or cast(Direction, made.direction),
            spec=spec,
            unit=unit,
            version=_version(made),
        )
        goals = [(goal, made)]
    else:
        require(
            direction is None and name is None and unit is None,
            "direction, name and unit belong to a single objective; with several goals, say them "
            f"of each, got {direction}, {name}, {unit}",
        )
        goals = [_goal(text, record) for text in objective]
    kept = [_limit(text, record) for text in limits]
    several = len(goals) + len(kept) > 1
    _check_names([name_of(made) for _, made in [*goals, *kept]])
    problem = OptimizationProblem(
        goals=tuple(
            replace(g, computed=several and is_computed(g.spec, made)) for g, made in goals
        ),
        limits=merged([limit for limit, _ in kept]),
        combine=combine,
    )
    return problem, {name_of(made): made for _, made in [*goals, *kept]}


def make_objective(
    objective: ScoringFunction | str,
    direction: str | None,
    *,
    name: str | None = None,
    record: Path | None = None,
) -> ScoringFunction:
    """The objective, under another name if one is given; its calls are kept beside the record."""
    made = _objective(objective, direction)
    if isinstance(made, Program) and made.folder is None and record is not None:
        made = replace(made, folder=str(record.absolute()) + CALLS)
    if name is not None and isinstance(objective, str):
        made = replace(cast(Any, made), name=name)
    return made


def _objective(objective: ScoringFunction | str, direction: str | None) -> ScoringFunction:
    if isinstance(objective, str):
        if objective.startswith(MANUAL):
            name = objective.removeprefix(MANUAL).strip()
            require(bool(name), f"{objective!r} lacks a name; write e.g. {MANUAL}pIC50")
            return cast(
                "ScoringFunction", ManualScoring(name=name, direction=direction or "maximise")
            )
        from molvae.objectives.registry import get_objective

        return get_objective(objective, direction=cast(Any, direction))
    if not callable(objective) or not all(hasattr(objective, a) for a in ("name", "direction")):
        raise ConfigError(
            "an objective has a name, a direction and __call__(list of SMILES), got "
            f"{objective!r}; decorate "
            "a function of one molecule with molvae.objective(name)"
        )
    return objective


def computed(
    objectives: Mapping[str, ScoringFunction], smiles: Sequence[str]
) -> list[dict[str, float]]:
    """Values of objectives that cost nothing, for each molecule; what is no number is left out."""
    columns = {name: objective(smiles) for name, objective in objectives.items()}
    return [
        {name: float(c[row]) for name, c in columns.items() if abs(float(c[row])) <= MAX_VALUE}
        for row in range(len(smiles))
    ]


def name_of(objective: ScoringFunction) -> str:
    """The name of an objective as records can hold it."""
    return encodable(str(objective.name))


def is_cheap(objective: ScoringFunction) -> bool:
    """RDKit computes it, and nobody would call it an experiment."""
    return bool(getattr(objective, "computed", False))


def is_computed(spec: str | None, objective: ScoringFunction) -> bool:
    """It costs nothing, and computing it runs no code but molvae's own or the caller's object."""
    return is_cheap(objective) and (spec is None or not runs_code(spec))


def runs_code(spec: str) -> bool:
    """Whether an objective's spec imports a module (`module:attribute`) or runs a command.

    What has no colon is only looked up.
    """
    return ":" in spec and not spec.strip().startswith(WITHOUT_CODE)


def _check_names(names: Sequence[str]) -> None:
    """Refuse names that would hide a column of tables.

    Raises:
        ConfigError: One of them does.
    """
    derived = DERIVED_COLUMNS if len(names) > 1 else {}
    beside = {f"{name}_{what}" for name in names for what in VALUE_COLUMNS}
    taken = {*COLUMNS, EARLIER, *derived, *beside}
    for name in names:
        require(
            name not in taken,
            f"values cannot be called {name!r}: tables of trials have a column of that name; give "
            "them another one (name, of an objective; by-hand:NAME)",
        )


def _version(objective: ScoringFunction) -> str | None:
    version = getattr(objective, "version", None)
    return None if version is None else str(version)


def _goal(text: str | Mapping[str, Any], record: Path) -> tuple[Objective, ScoringFunction]:
    given = parse_objective(text)
    spec, name = given.pop("spec"), given.pop("name", None)
    direction = given.get("direction")
    # An objective has no ranges: values outside are its business, what is good is the goal's.
    own = direction if direction in ("maximise", "minimise") else None
    made = make_objective(spec, own, name=name, record=record)
    given.setdefault("direction", made.direction)
    bounds = getattr(made, "bounds", None)
    if bounds is not None and given["direction"] != "range":
        low, high = bounds if given["direction"] == "maximise" else reversed(bounds)
        given = {"worst": low, "best": high} | given
    goal = Objective(
        name=name_of(made),
        spec=spec,
        version=_version(made),
        computed=is_computed(spec, made),
        **given,
    )
    return goal, made


def _limit(text: str, record: Path) -> tuple[Constraint, ScoringFunction]:
    given = parse_constraint(text)
    made = make_objective(given["spec"], None, record=record)
    limit = Constraint(
        name=name_of(made),
        version=_version(made),
        computed=is_computed(given["spec"], made),
        **given,
    )
    return limit, made


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


_GOAL = re.compile(
    rf"(?:(?P<direction>maximise|minimise)\s+)?(?P<spec>\S.*?)"
    rf"(?:\s+in\s+(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER}))?"
    rf"(?P<more>(?:\s*,\s*(?:weight|worst|best)\s+{_NUMBER})*)\s*"
)


_LIMIT = re.compile(rf"(?P<spec>\S.*?)\s*(?P<sign><=|>=)\s*(?P<number>{_NUMBER})\s*")


def parse_objective(text: str | Mapping[str, Any]) -> dict[str, Any]:
    """A goal as users write it, as fields of `Objective`; what they do not say is not there.

        >>> parse_objective("minimise sas, weight 2")
        {'spec': 'sas', 'direction': 'minimise', 'weight': 2.0}
        >>> parse_objective("logp in 1..3")
        {'spec': 'logp', 'direction': 'range', 'low': 1.0, 'high': 3.0}

    Args:
        text: `[maximise|minimise] NAME [in LOW..HIGH][, weight W][, worst A][, best B]`, where NAME
            is that of an objective; or a table with `objective` and fields of `Objective`.

    Raises:
        ConfigError: It cannot be read.
    """
    if isinstance(text, Mapping):
        given = dict(text)
        require("objective" in given, f"goal {given}: it lacks objective")
        given["spec"] = given.pop("objective")
        known = [
            field.name for field in fields(Objective) if field.name not in ("version", "computed")
        ]
        for key in given:
            if key not in known:
                raise UnknownNameError("setting of a goal", key, ["objective", *known])
        if "low" in given or "high" in given:
            given.setdefault("direction", "range")
        return given
    match = _GOAL.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"goal {text!r} cannot be read; write e.g. 'qed', 'minimise sas, weight 2' or "
            "'logp in 1..3'"
        )
    found: dict[str, Any] = {"spec": match["spec"]}
    if match["direction"]:
        found["direction"] = match["direction"]
    if match["low"]:
        require(not match["direction"], f"goal {text!r}: either a direction or a range")
        found |= {"direction": "range", "low": float(match["low"]), "high": float(match["high"])}
    for part in match["more"].split(","):
        if part.strip():
            key, number = part.split()
            found[key] = float(number)
    return found


def parse_constraint(text: str) -> dict[str, Any]:
    """A limit as users write it, as fields of `Constraint`.

        >>> parse_constraint("logp <= 5")
        {'spec': 'logp', 'high': 5.0}

    Raises:
        ConfigError: It cannot be read.
    """
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"limit {text!r} cannot be read; write e.g. 'logp <= 5' or 'qed >= 0.5'")
    return {
        "spec": match["spec"],
        "low" if match["sign"] == ">=" else "high": float(match["number"]),
    }


def merged(limits: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """Limits of one value together: at least and at most."""
    by_name: dict[str, Constraint] = {}
    for limit in limits:
        if (earlier := by_name.get(limit.name)) is not None:
            lows = [x.low for x in (earlier, limit) if x.low is not None]
            highs = [x.high for x in (earlier, limit) if x.high is not None]
            limit = replace(limit, low=max(lows, default=None), high=min(highs, default=None))
        by_name[limit.name] = limit
    return tuple(by_name.values())


__all__ = [
    "CALLS",
    "MANUAL",
    "computed",
    "is_cheap",
    "is_computed",
    "make_objective",
    "merged",
    "name_of",
    "parse_constraint",
    "parse_objective",
    "parse_problem",
    "runs_code",
]
