"""How to reproduce a campaign: its settings, versions, and the command that creates it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from molvae._version import __version__
from molvae.analysis.summary import DASH
from molvae.bo.strategies.registry import format_strategy
from molvae.config import STRATEGIES

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.objectives.problem import Constraint, Objective

_GIVEN = re.compile(r"\d+ given molecules")
_OBJECT = re.compile(r"<(.*?): an object of Python>")
ALWAYS_STATED = ("objective", "space", "strategy", "start", "dataset", "batch_size", "seed")
"""Settings that the command states even at their defaults."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The command that creates the same campaign."""

    command: str  # for a shell; objects given from Python stand in angle brackets
    notes: tuple[str, ...]  # what the command alone does not reproduce


def reproduction_command(campaign: Campaign, calls: int) -> Reproduction:
    """The command that creates the same campaign after some calls; nothing is run or imported."""
    from molvae.objectives.parsing import format_part, is_manual

    config, problem, notes = campaign.config, campaign.problem, list[str]()
    manual = all(map(is_manual, problem.objectives))
    words = ["molvae", "ask" if manual else "optimize", campaign.path.name]
    words += ["--create"] * manual
    parts: dict[str, Sequence[Objective | Constraint]] = {
        "objective": problem.objectives,
        "constraints": problem.constraints,
        "fidelities": problem.fidelities,
    }
    for one in fields(config):
        name, value = one.name, getattr(config, one.name)
        unused = name == "dataset" and not isinstance(config.start, int)
        stated = name in ALWAYS_STATED
        unstored = one.metadata.get("resumable") and name != "skip_invalid" and not stated
        if unused or unstored or (value == one.default and not stated):
            continue
        flag = one.metadata.get("flag", f"--{name.replace('_', '-')}")
        if name in parts:
            written = all(isinstance(text, str) for text in value)
            texts = value if written else map(format_part, parts[name])
            words += [word for text in texts for word in (flag, text)]
        elif name == "start" and _GIVEN.fullmatch(str(value)):
            words += [flag, "start.smi"]
            notes.append(
                "The initial molecules were given from Python: write those of origin start, in "
                "their order, to start.smi."
            )
        else:
            value = _strategy_text(campaign) if name == "strategy" else value
            switches = {True: [flag], False: [f"--no-{flag.removeprefix('--')}"]}
            words += switches[value] if isinstance(value, bool) else [flag, str(value)]
    notes += [
        f"{name} was an object given from Python: give the same one to Campaign.create."
        for name in _OBJECT.findall(" ".join(words))
    ]
    if not manual:
        words += ["--budget", str(max(1, calls))]
    texts = [(" \\\n    " if word.startswith("--") else " ") + shlex.quote(word) for word in words]
    return Reproduction(command="".join(texts).strip(), notes=tuple(notes))


def _strategy_text(campaign: Campaign) -> str:
    """The strategy; with all its settings if another version's defaults may differ."""
    made = campaign.metadata
    same_version = (made.get("versions") or {}).get("molvae") == __version__
    if same_version or made["strategy"]["name"] not in STRATEGIES:
        return campaign.config.strategy
    name, settings = (made["strategy"][key] for key in ("name", "settings"))
    return format_strategy(name, settings, defaults=True)


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
    """Packages with their versions: name, version when the campaign was created, and now."""
    from molvae._version import versions as versions_now

    then, now = campaign.metadata.get("versions") or {}, versions_now()
    then = then if isinstance(then, Mapping) else {}
    names = dict.fromkeys([*then, *now])
    return [(str(n), str(then.get(n, DASH)), str(now.get(n, DASH))) for n in names]
