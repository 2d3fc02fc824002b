"""Objectives and constraints from text, tables, objects and functions.

    [NAME:] [maximize|minimize] SPEC [in LOW..HIGH | = X | >= X | <= X]
            [, weight W] [, cost C] [, worst A] [, best B] [, unit U] [, cheap]

SPEC names a scoring function, see `get_objective`. The colon after NAME is followed by a space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from molvae.config import CHOICE_ALIASES, build, is_list
from molvae.errors import CampaignError, ConfigError, UnknownNameError, encodable, require
from molvae.objectives.computing import is_cheap, name_of
from molvae.objectives.problem import Combine, Constraint, Objective, OptimizationProblem, interval
from molvae.objectives.program import COMMAND_PREFIX, Program
from molvae.objectives.trial_columns import check_names

if TYPE_CHECKING:
    from molvae.objectives.scoring import ScoringFunction

    Spec = str | ScoringFunction | Callable[[str], float]
    ObjectiveLike = Spec | Mapping[str, Any] | Objective
    ConstraintLike = str | Mapping[str, Any] | Constraint

MANUAL_PREFIX = "manual:"  # `manual:NAME`: values that a person measures and tells
NEAREST_PREFIX = "nearest:"
PREFIXES_WITHOUT_CODE = (MANUAL_PREFIX, "similarity:", "matches:", "alerts:", "elements-outside:")
"""Prefixes of specs that run no code but molvae's own."""
PROPERTY_PREFIXES = (NEAREST_PREFIX, "rdkit:")  # the same, in any case
SPEC_ALIASES = {
    "by-hand:": MANUAL_PREFIX,
    "other-elements:": "elements-outside:",
    "penalised-logp": "penalized_logp",
    "penalised_logp": "penalized_logp",
    "penalized-logp": "penalized_logp",
    "heavy-atoms": "heavy_atoms",
    "largest-ring": "largest_ring",
}
"""Old spellings of specs, still read."""
CALLS_SUFFIX = ".calls"
"""Suffix of the folder beside a campaign file in which calls of a program are kept."""


@dataclass(frozen=True, kw_only=True)
class ManualScoring:
    """A scoring function without a function: values come from a laboratory, by `tell`."""

    name: str
    direction: str = "maximize"

    def __call__(self, smiles: Sequence[str]) -> NoReturn:
        """Refuse to be called."""
        raise CampaignError(
            f"values of {self.name!r} are measured by people: use ask and tell instead of run"
        )


def current_spec(spec: str) -> str:
    """A spec without old spellings.

    >>> current_spec("by-hand:pIC50"), current_spec("heavy-atoms")
    ('manual:pIC50', 'heavy_atoms')
    """
    spec = spec.strip()
    for old, new in SPEC_ALIASES.items():
        if spec.lower() == old or (old.endswith(":") and spec.startswith(old)):
            return new + spec[len(old) :]
    return spec


def spec_text(part: Objective | Constraint) -> str | None:
    """The scoring function of a part as text; None for an object of Python."""
    return part.spec if isinstance(part.spec, str) else None


def parse_problem(
    objective: ObjectiveLike | Sequence[ObjectiveLike] | OptimizationProblem,
    constraints: Sequence[ConstraintLike] = (),
    combine: Combine = "pareto",
    *,
    campaign_file: Path,
    direction: str | None = None,
    name: str | None = None,
    unit: str | None = None,
    cost: float | None = None,
    fidelities: Sequence[ObjectiveLike] = (),
) -> tuple[OptimizationProblem, dict[str, ScoringFunction]]:
    """The problem, and the scoring function of each value by name; as `Campaign.create` takes it.

    A single objective without constraints is always measured. Otherwise values that RDKit computes
    are known for every molecule.
    """
    if isinstance(objective, OptimizationProblem):
        require(not constraints, "constraints are part of the OptimizationProblem; leave them out")
        combine, constraints = objective.combine, objective.constraints
        fidelities = fidelities or objective.fidelities
        objective = objective.objectives
    several = is_list(objective) and not callable(objective) and not isinstance(objective, Mapping)
    given = [parse_objective(one) for one in cast(Any, objective if several else (objective,))]
    settings = {"direction": direction, "name": name, "unit": unit, "cost": cost}
    settings = {key: value for key, value in settings.items() if value is not None}
    require(
        not settings or len(given) == 1,
        f"{', '.join(settings)} belong to a single objective; with several, say them of each",
    )
    for key, value in settings.items():
        value = CHOICE_ALIASES.get(str(value), value)
        require(
            given[0].setdefault(key, value) == value,
            f"the objective has the {key} {given[0][key]!r} and {key} is {value!r}; say one",
        )
    made = [make_part(Objective, one, campaign_file) for one in given]
    kept = [make_part(Constraint, parse_constraint(one), campaign_file) for one in constraints]
    lower = [make_part(Objective, parse_objective(one), campaign_file) for one in fidelities]
    parts = [*made, *kept, *lower]
    check_names([part.name for part, _ in parts])
    require(
        bool(lower) or all(one.cost == 1 for one, _ in made),
        "a cost compares the objective with lower fidelities; give one of these, or leave it out",
    )
    single = len(made) + len(kept) == 1
    problem = OptimizationProblem(
        objectives=tuple(replace(o, is_cheap=o.is_cheap and not single) for o, _ in made),
        constraints=merged([constraint for constraint, _ in kept]),
        combine=combine,
        fidelities=tuple(replace(one, is_cheap=False) for one, _ in lower),
    )
    return problem, {part.name: function for part, function in parts}


def parse_objective(given: ObjectiveLike) -> dict[str, Any]:
    """Fields of `Objective`, as far as they are given.

        >>> parse_objective("minimize sas, weight 2")
        {'direction': 'minimize', 'spec': 'sas', 'weight': 2.0}
        >>> parse_objective("logp in 1..3")
        {'spec': 'logp', 'low': 1.0, 'high': 3.0, 'direction': 'range'}

    Takes such a text; a table with `objective` and fields of `Objective`; an `Objective`; a
    function of a SMILES; or a scoring function.

    Raises:
        ConfigError: It cannot be read.
    """
    found = _fields("objective", Objective, given)
    bounds = [found.get("low"), found.get("high")]
    if bounds != [None, None]:
        require(
            None not in bounds,
            f"objective {given!r}: a bound on one side is a constraint; an objective may have a "
            "range, e.g. 'logp in 1..3'",
        )
        require(
            found.setdefault("direction", "range") == "range",
            f"objective {given!r}: either a direction or a range",
        )
    return found


def parse_constraint(given: ConstraintLike) -> dict[str, Any]:
    """Fields of `Constraint`, as far as they are given.

        >>> parse_constraint("amide: matches:C(=O)N >= 1")
        {'name': 'amide', 'spec': 'matches:C(=O)N', 'low': 1.0}
        >>> parse_constraint("rings = 2")
        {'spec': 'rings', 'low': 2.0, 'high': 2.0}

    Raises:
        ConfigError: It cannot be read.
    """
    found = _fields("constraint", Constraint, given)
    allowed = {field.name for field in fields(Constraint)}
    if extra := [key for key in found if key not in allowed]:
        raise ConfigError(f"constraint {given!r} cannot have a {extra[0]}")
    if "low" not in found and "high" not in found:
        raise _unreadable("constraint", given)
    return found


def _fields(what: str, kind: type[Objective | Constraint], given: Any) -> dict[str, Any]:
    """Fields of an objective or a constraint from any of the forms."""
    if isinstance(given, str):
        return _parse(what, given)
    if isinstance(given, kind):
        unknown = ("version", "is_cheap")  # until the scoring function is made
        values = {f.name: getattr(given, f.name) for f in fields(given) if f.name not in unknown}
        said = {k: v for k, v in values.items() if v is not None and v is not False}
        return {"spec": given.name} | said
    if isinstance(given, Mapping):
        found = dict(given)
        for key in (what, "objective"):
            if key in found:
                found["spec"] = found.pop(key)
        require("spec" in found, f"{what} {given}: it lacks {what}")
        known = [f.name for f in fields(kind) if f.name not in ("version", "is_cheap")]
        for key in found:
            if key not in known:
                raise UnknownNameError(f"setting of an {what}", key, [what, *known])
        if found.get("direction") in CHOICE_ALIASES:
            found["direction"] = CHOICE_ALIASES[found["direction"]]
        return found
    return {"spec": given}


_SIGNS = str.maketrans({"≤": "<=", "≥": ">=", "\u2212": "-"})
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DIRECTION = re.compile(r"(maximi[sz]e|minimi[sz]e)\s+")
_NAME = re.compile(r"([^:,<>=]*[^:,<>=\s]):\s+")
_BODY = re.compile(
    rf"(?P<spec>\S.*?)"
    rf"(?:\s+in\s+(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})"
    rf"|\s*(?P<sign><=|>=)\s*(?P<bound>{_NUMBER})|\s+=\s*(?P<equal>{_NUMBER}))?"
    rf"(?P<more>(?:\s*,\s*(?:(?:weight|cost|worst|best)\s+{_NUMBER}|unit\s+[^,\s][^,]*|cheap))*)\s*"
)


_LEFT_OVER = re.compile(r",|[<>=]|\s+in\s|\.\.|^(?:max|min)[a-z]*\s")
"""Signs of a bound, a weight or a direction that is not written as it is read."""


def _unreadable(what: str, text: object) -> ConfigError:
    examples = {
        "objective": "'qed', 'minimize sas, weight 2' or 'logp in 1..3'",
        "constraint": "'logp <= 5', 'qed >= 0.5', 'mw in 200..500' or 'rings = 2'",
    }
    return ConfigError(f"{what} {text!r} cannot be read; write e.g. {examples[what]}")


def _parse(what: str, text: str) -> dict[str, Any]:
    """The fields that a text gives, as in the module's docstring."""
    found, rest = dict[str, Any](), text.strip().translate(_SIGNS)
    prefixes = {
        prefix.strip(":") for prefix in (*PREFIXES_WITHOUT_CODE, COMMAND_PREFIX, *SPEC_ALIASES)
    }
    for _ in range(2):  # NAME and direction, in any order
        if "direction" not in found and (match := _DIRECTION.match(rest)):
            found["direction"] = CHOICE_ALIASES.get(match[1], match[1])
            rest = rest[match.end() :]
        match = _NAME.match(rest)
        if "name" not in found and match and match[1] not in prefixes:
            found["name"], rest = match[1], rest[match.end() :]
    match = _BODY.fullmatch(rest)
    if match is None:
        raise _unreadable(what, text)
    found["spec"] = match["spec"]
    bounds = {"low": match["low"] or match["equal"], "high": match["high"] or match["equal"]}
    if match["sign"]:
        bounds["low" if match["sign"] == ">=" else "high"] = match["bound"]
    found |= {key: float(number) for key, number in bounds.items() if number is not None}
    for part in match["more"].split(","):
        if part.strip():
            key, _, value = part.strip().partition(" ")
            require(key not in found, f"{what} {text!r} has two values of {key}; leave one out")
            if key == "cheap":
                found[key] = True
            else:
                found[key] = value.strip() if key == "unit" else float(value)
    return found


def format_part(part: Objective | Constraint) -> str:
    """An objective or a constraint as text that can be read back.

    >>> format_part(Objective("qed", spec="qed", weight=2.0))
    'maximize qed, weight 2'
    >>> format_part(Constraint("amide", spec="matches:C(=O)N", low=1.0, high=3.0))
    'amide: matches:C(=O)N in 1..3'
    """
    written = spec_text(part)
    spec = python_object(part.name) if written is None else current_spec(written)
    name = own_name(part)
    text = "" if name is None else f"{name}: "
    if isinstance(part, Objective) and part.direction != "range":
        text += f"{part.direction} {spec}"
    else:
        text += f"{spec} {interval(part.low, part.high, _short)}"
    if isinstance(part, Objective):
        for key in ("weight", "cost", "worst", "best"):
            value = getattr(part, key)
            if value is not None and (key, value) not in (("weight", 1.0), ("cost", 1.0)):
                text += f", {key} {_short(value)}"
    text += f", unit {part.unit}" if part.unit else ""
    return text + (", cheap" if part.cheap else "")


def own_name(part: Objective | Constraint) -> str | None:
    """The name that was given to values; None if it is their scoring function's."""
    written = spec_text(part)
    if written is None or ":" in part.name:
        return None
    spec = current_spec(written)
    return None if part.name in (spec, spec.removeprefix(MANUAL_PREFIX), written) else part.name


def python_object(name: str) -> str:
    """What stands in texts for an object that was given from Python."""
    return f"<{name}: an object of Python>"


def _short(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def make_part(kind: type[Any], given: dict[str, Any], campaign_file: Path) -> tuple[Any, Any]:
    """An objective or a constraint with its scoring function."""
    given = dict(given)
    spec, name, direction = given.pop("spec"), given.pop("name", None), given.get("direction")
    if isinstance(spec, str) and spec.lower().startswith(NEAREST_PREFIX):
        # The campaign may be opened from another folder.
        name = spec if name is None else name
        spec = NEAREST_PREFIX + str(Path(spec[len(NEAREST_PREFIX) :].strip()).absolute())
    own = None if direction == "range" else direction  # scoring functions know no ranges
    try:
        made = make_scoring_function(spec, own, name=name, campaign_file=campaign_file)
    except UnknownNameError as error:
        if isinstance(spec, str) and ":" not in spec and _LEFT_OVER.search(spec):
            raise _unreadable(kind.__name__.lower(), spec) from error
        raise
    text = spec if isinstance(spec, str) else None
    version = getattr(made, "version", None)
    about = {
        "name": name_of(made) if name is None else encodable(name),
        "spec": text,
        "version": None if version is None else str(version),
        "is_cheap": is_cheap(made) or bool(given.get("cheap")),
    }
    if is_cheap(made) and text is not None and runs_code(text):
        given["cheap"] = True
    require(
        not (given.get("cheap") and isinstance(made, ManualScoring | Program)),
        f"{about['name']} cannot be cheap: it would be computed for thousands of candidates, and "
        "is measured by a person, or another program",
    )
    if kind is Constraint:
        return build(Constraint, about | given, "constraint"), made
    about["direction"] = CHOICE_ALIASES.get(made.direction, made.direction)
    return with_bounds(build(Objective, about | given, "objective"), made), made


def with_bounds(objective: Objective, function: ScoringFunction) -> Objective:
    """An objective whose worst and best values, if not given, are the function's bounds."""
    bounds = getattr(function, "bounds", None)
    if bounds is None or objective.direction == "range":
        return objective
    worst, best = bounds if objective.direction == "maximize" else reversed(bounds)
    return replace(
        objective,
        worst=worst if objective.worst is None else objective.worst,
        best=best if objective.best is None else objective.best,
    )


def make_scoring_function(
    spec: Spec,
    direction: str | None,
    *,
    name: str | None = None,
    campaign_file: Path | None = None,
) -> ScoringFunction:
    """The scoring function of a spec; a program's calls are kept beside the campaign file."""
    if isinstance(spec, str) and current_spec(spec).startswith(MANUAL_PREFIX):
        own = current_spec(spec).removeprefix(MANUAL_PREFIX).strip()
        require(bool(own), f"{spec!r} lacks a name; write e.g. {MANUAL_PREFIX}pIC50")
        made: Any = ManualScoring(name=own, direction=direction or "maximize")
    else:
        from molvae.objectives.registry import get_objective

        # The direction of an object is its own; the objective's counts.
        own = cast(Any, direction if isinstance(spec, str) else None)
        made = get_objective(spec, direction=own, name=name)
    if isinstance(made, Program) and made.folder is None and campaign_file is not None:
        made = replace(made, folder=str(campaign_file.absolute()) + CALLS_SUFFIX)
    if name is not None and is_dataclass(made) and not isinstance(made, type):
        made = replace(cast(Any, made), name=name)
    return cast("ScoringFunction", made)


def told_names(problem: OptimizationProblem) -> tuple[str, ...]:
    """Names of the values that people tell: the manual ones; without any, all measured ones."""
    manual = tuple(name for name in problem.measured if is_manual(problem.parts[name]))
    return manual or problem.measured


def all_told_names(problem: OptimizationProblem) -> tuple[str, ...]:
    """Names of the values that people tell, those of lower fidelities included."""
    names = (*problem.measured, *(one.name for one in problem.fidelities))
    return tuple(name for name in names if is_manual(problem.all_parts[name])) or names


def is_manual(part: Objective | Constraint) -> bool:
    """Whether people measure the values of an objective or a constraint."""
    return current_spec(spec_text(part) or "").startswith(MANUAL_PREFIX)


def runs_code(spec: str) -> bool:
    """Whether a spec imports a module (`module:attribute`) or runs a command.

    A spec without a colon is only looked up.
    """
    current = current_spec(spec)
    known = current.startswith(PREFIXES_WITHOUT_CODE) or current.lower().startswith(
        PROPERTY_PREFIXES
    )
    return ":" in spec and not known


def _known_spec(part: Constraint) -> Any:
    """What a constraint is on: objectives of molvae are the same in any case."""
    from molvae.objectives.registry import built_in_name

    return built_in_name(part.spec) if isinstance(part.spec, str) else part.spec


def merged(constraints: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """Constraints on one value joined: the largest lower and the smallest upper bound."""
    by_name: dict[str, Constraint] = {}
    for one in constraints:
        both = (by_name.get(one.name, one), one)
        require(
            _known_spec(both[0]) == _known_spec(one) and both[0].unit == one.unit,
            f"two constraints are called {one.name}, on {both[0].spec} and {one.spec}; rename one",
        )
        low = max((x.low for x in both if x.low is not None), default=None)
        high = min((x.high for x in both if x.high is not None), default=None)
        by_name[one.name] = replace(one, low=low, high=high)
        require(
            low is None or high is None or low <= high,
            f"constraint {one.name}: no value is both at least {low} and at most {high}",
        )
    return tuple(by_name.values())
