"""How a campaign can be had again: its settings, versions, and the command that begins it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molvae._version import __version__
from molvae.analysis.summary import DASH
from molvae.config import STRATEGY_NAMES
from molvae.objectives.problem import Constraint, Objective

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign

_GIVEN = re.compile(r"\d+ given molecules")


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The command that begins the same campaign."""

    command: str
    """For a shell; what was given from Python stands there in angle brackets."""
    notes: tuple[str, ...]
    """What the command alone does not bring back."""


def reproduction_command(campaign: Campaign, calls: int) -> Reproduction:
    """The command that begins the same campaign; it is not run, and nothing is imported for it.

    Args:
        campaign: Open.
        calls: Objective calls so far.
    """
    from molvae.objectives.parsing import MANUAL
    from molvae.objectives.program import COMMAND

    made, problem, notes = campaign.settings, campaign.problem, list[str]()
    by_hand = all((goal.spec or "").startswith(MANUAL) for goal in problem.goals)
    words = ["molvae", *(("ask",) if by_hand else ("optimize",)), campaign.path.name]
    words += ["--create"] if by_hand else []
    goal = problem.goals[0]
    if len(problem.goals) > 1 or goal.direction == "range":
        words += ["--goals", *(_goal(goal) for goal in problem.goals)]
        words += ["--combine", problem.combine] if len(problem.goals) > 1 else []
        notes += [
            f"The unit of {g.name}, {g.unit}, has to stand in a TOML file."
            for g in problem.goals
            if g.unit
        ]
    else:
        spec = goal.spec or _object(goal.name)
        if spec.startswith(COMMAND):
            words += ["--objective", goal.name, "--command", spec.removeprefix(COMMAND)]
        else:
            words += ["--objective", spec]
        words += ["--direction", goal.direction]
        words += ["--unit", goal.unit] if goal.unit else []
    if problem.limits:
        words += ["--limits", *(text for limit in problem.limits for text in _limits(limit))]
    objects = [name for name, part in problem.parts.items() if part.spec is None]
    text = _strategy_text(made)
    if text is None:
        objects.append(made["strategy"]["name"])
    words += ["--strategy", _object(objects[-1]) if text is None else text]
    notes += [
        f"{name} was an object given from Python: give the same one to Campaign.create."
        for name in objects
    ]
    words += ["--space", str((made.get("space") or {}).get("name"))]
    start = made.get("start")
    if isinstance(start, str) and _GIVEN.fullmatch(start):
        words += ["--start", "start.smi"]
        notes.append(
            "The starting molecules were given from Python: write those of origin start, in their "
            "order, to start.smi."
        )
    else:
        words += ["--start", str(start)]
    words += ["--dataset", str(made["dataset"])] if made.get("dataset") else []
    words += ["--skip-invalid"] if campaign.skipped else []
    words += ["--batch", str(campaign.batch), "--seed", str(campaign.seed)]
    if not by_hand:
        words += ["--budget", str(max(1, calls))]
    return Reproduction(command=_lines(words), notes=tuple(notes))


def _strategy_text(made: Mapping[str, Any]) -> str | None:
    """A strategy as `get_strategy` reads it; None for an object that was given from Python.

    What was written on creation leaves out the defaults of then. If that was another molvae, all
    settings are written, so that nothing has to be loaded to know the defaults of now.
    """
    if "strategy_text" in made and (made.get("versions") or {}).get("molvae") == __version__:
        text: str | None = made["strategy_text"]
        return text
    name, settings = made["strategy"]["name"], made["strategy"]["settings"]
    if name not in STRATEGY_NAMES or settings is None:
        return None
    written = [
        f"{key}={'+'.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in settings.items()
        if value not in ([], "")
    ]
    return str(name) + (":" + ",".join(written) if written else "")


def _lines(words: list[str]) -> str:
    """Words for a shell, a flag with its values a line."""
    text = ""
    for word in words:
        quoted = shlex.quote(word)
        text += f" \\\n    {quoted}" if word.startswith("--") else f" {quoted}"
    return text.strip()


def _object(name: str) -> str:
    return f"<{name}: an object of Python>"


def _short(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _goal(goal: Objective) -> str:
    """As `molvae.objectives.parsing.parse_objective` takes it."""
    spec = goal.spec or _object(goal.name)
    if goal.low is not None and goal.high is not None and goal.direction == "range":
        text = f"{spec} in {_short(goal.low)}..{_short(goal.high)}"
    else:
        text = f"{goal.direction} {spec}"
    for key, value in (("weight", goal.weight), ("worst", goal.worst), ("best", goal.best)):
        if value is not None and (key, value) != ("weight", 1.0):
            text += f", {key} {_short(value)}"
    return text


def _limits(limit: Constraint) -> list[str]:
    spec = limit.spec or _object(limit.name)
    ends = ((">=", limit.low), ("<=", limit.high))
    return [f"{spec} {sign} {_short(end)}" for sign, end in ends if end is not None]


def flat(settings: Any, name: str = "") -> list[tuple[str, str]]:
    """Settings as rows, without those that are not set.

    What is inside a table or a list of tables gets a dotted name.
    """
    if isinstance(settings, list) and any(isinstance(one, Mapping) for one in settings):
        settings = {str(place): one for place, one in enumerate(settings, 1)}
    if not isinstance(settings, Mapping):
        return [] if settings is None or settings == [] else [(name, str(settings))]
    dotted = f"{name}." if name else ""
    return [row for key, value in settings.items() for row in flat(value, f"{dotted}{key}")]


def versions(campaign: Campaign) -> list[tuple[str, str, str]]:
    """Of each package: its name, its version when the campaign began, and now."""
    from molvae._version import versions as versions_now

    then, now = campaign.settings.get("versions") or {}, versions_now()
    then = then if isinstance(then, Mapping) else {}
    names = dict.fromkeys([*then, *now])
    return [(str(n), str(then.get(n, DASH)), str(now.get(n, DASH))) for n in names]


__all__ = ["Reproduction", "flat", "reproduction_command", "versions"]
