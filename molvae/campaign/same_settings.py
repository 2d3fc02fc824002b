"""Compare given settings with those of a campaign file, before the campaign is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.bo.strategies.registry import get_strategy, is_same_strategy
from molvae.campaign.creation import changed_settings, given_objectives
from molvae.config import CampaignConfig, build, current_names, is_list, resumable_fields
from molvae.errors import CampaignError, encodable
from molvae.objectives.parsing import (
    make_part,
    merged,
    parse_constraint,
    parse_objective,
    spec_text,
    with_bounds,
)
from molvae.objectives.problem import Constraint, Objective
from molvae.objectives.registry import built_in_name

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign

OBJECTIVE_SETTINGS = ("objective", "command", "pattern", "direction", "name", "unit", "cost")
"""Settings that together make the objectives."""

READING_SETTINGS = ("smiles_column", "value_column", "standardize")
"""Settings of the starting file, which older campaign files do not hold."""


def check_same_settings(campaign: Campaign, settings: Mapping[str, Any]) -> None:
    """Refuse settings that differ from a campaign's; those that may change are not compared.

    Raises:
        CampaignError: Names each with both values.
    """
    given = current_names(CampaignConfig, settings)
    kept, different = campaign.config, dict[str, Any]()
    recorded = changed_settings(kept)
    if is_list(given.get("objective")) and len(given["objective"]) != 1:
        recorded = {name: v for name, v in recorded.items() if name not in OBJECTIVE_SETTINGS}
    overlaid = recorded | given
    build(CampaignConfig, overlaid)
    mine, problem, path = (
        [n for n in OBJECTIVE_SETTINGS if n in given],
        campaign.problem,
        campaign.path,
    )
    if mine:
        first, wanted = problem.objectives[0], _single_complete(recorded, given)
        if not _is_same_part(Objective, wanted, problem.objectives, path):
            text = _text(kept.objective) or "none"
            now = {"direction": first.direction, "unit": first.unit, "cost": first.cost}
            now["objective"] = text
            different |= {name: now.get(name, getattr(kept, name)) for name in mine}
    for name, kind in (("constraints", Constraint), ("fidelities", Objective)):
        own = getattr(problem, name)
        if name in given and not _is_same_part(kind, given[name], own, path):
            different[name] = _text(getattr(kept, name)) or "none"
    skip = {*resumable_fields(CampaignConfig), *OBJECTIVE_SETTINGS, "constraints", "fidelities"}
    skip |= set() if isinstance(kept.start, int) else {"dataset"}
    skip |= {*READING_SETTINGS} - {*campaign.metadata.get("config", ())}
    for name, value in given.items():
        if name not in skip and not _same(campaign, name, value):
            different[name] = getattr(kept, name)
    if different:
        texts = [f"{name} {old}, not {_text(given[name])}" for name, old in different.items()]
        raise CampaignError(
            f"{campaign.path} was created with {'; '.join(texts)}; leave those settings out to "
            "resume it, or name another campaign file"
        )


def _is_same_part(
    kind: type[Any], given: Sequence[Any], recorded: Sequence[Any], campaign_file: Path
) -> bool:
    """Whether given objectives or constraints are the recorded ones."""
    parse = parse_objective if kind is Objective else parse_constraint
    made = [make_part(kind, parse(one), campaign_file) for one in given]
    parts: Sequence[Any] = [part for part, _ in made]
    if kind is Constraint:  # in any order
        parts = sorted(merged(parts), key=_name)
        recorded = sorted(recorded, key=_name)
    else:
        functions = {part.name: function for part, function in made}
        recorded = [
            with_bounds(part, functions[part.name]) if part.name in functions else part
            for part in recorded
        ]
    return [*map(_essence, parts)] == [*map(_essence, recorded)]


def _essence(part: Objective | Constraint) -> dict[str, Any]:
    """What makes two objectives or constraints the same."""
    spec = spec_text(part)
    names = {"name": _name(part), "spec": spec and built_in_name(spec)}
    return asdict(part) | names | {"version": None, "is_cheap": False}


def _name(part: Objective | Constraint) -> str:
    return built_in_name(part.name)


def _same(campaign: Campaign, name: str, value: Any) -> bool:
    """Whether a setting is the campaign's, perhaps written in another way."""
    kept = getattr(campaign.config, name)
    if name == "library":
        from molvae.bo.screening import with_library

        same = with_library(None, value)[1].fingerprint if value and kept else None
        return same == (campaign.metadata["strategy"]["settings"] or {}).get("fingerprint")
    if name == "strategy" and value != kept:
        given = get_strategy(value)
        if campaign.config.library is not None and given.name == "screen":
            recorded = campaign.metadata["strategy"]["settings"] or {}
            given = replace(given, fingerprint=recorded.get("fingerprint", ""))  # type: ignore[type-var]
        return is_same_strategy(given, campaign.metadata["strategy"])
    if name == "space":
        return value == kept or Path(value).resolve() == Path(kept).resolve()
    return bool((encodable(value) if isinstance(value, str) else value) == kept)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if is_list(value) else str(value)


def _single_complete(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
    """Given objectives; a single one with the recorded name, unit and direction if not given."""
    items = given_objectives({**recorded, **given})
    items = [items] if isinstance(items, str) else list(items)
    if len(items) == 1:
        command = "command" in {**recorded, **given}
        names = ("direction", "unit", "cost", *(() if command else ("name",)))
        one = parse_objective(items[0])
        one = {k: recorded[k] for k in names if k in recorded} | one
        one |= {k: given[k] for k in names if k in given}
        items = [{"objective": one.pop("spec"), **one}]
    return items
