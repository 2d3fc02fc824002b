"""Creating a campaign file from settings, and comparing settings with those of a campaign file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from molvae._version import versions
from molvae.bo.strategies.registry import (
    describe_strategy,
    format_strategy,
    get_strategy,
    is_same_strategy,
    upgrade_text,
)
from molvae.campaign.initial_design import InitialDesign, build_initial_design
from molvae.campaign.schema import FORMAT
from molvae.campaign.storage import Storage, check_can_create, now
from molvae.campaign.trial import NewTrial
from molvae.config import (
    STRATEGIES,
    CampaignConfig,
    build,
    check_seed,
    current_names,
    is_list,
    resumable_fields,
    whole_number,
)
from molvae.errors import CampaignError, encodable, require
from molvae.objectives.parsing import (
    computed,
    current_spec,
    format_part,
    make_part,
    merged,
    parse_constraint,
    parse_objective,
    parse_problem,
    python_object,
    with_bounds,
)
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem
from molvae.objectives.program import COMMAND

if TYPE_CHECKING:
    from molvae.bo.base import Strategy
    from molvae.campaign.campaign import Campaign
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.parsing import ConstraintLike, ObjectiveLike
    from molvae.objectives.scoring import ScoringFunction

OF_OBJECTIVE = ("objective", "command", "direction", "name", "unit")
"""Settings that together make the objectives."""


@dataclass(frozen=True, kw_only=True)
class Created:
    """A new campaign file and the objects it was made from."""

    storage: Storage
    space: LatentSpaceProtocol
    strategy: Strategy
    functions: dict[str, ScoringFunction]


def create_file(
    path: str | Path,
    space: LatentSpaceProtocol | str | Path,
    config: CampaignConfig | None,
    settings: Mapping[str, Any],
) -> Created:
    """Create a campaign file, as `Campaign.create`; everything is checked before it is written."""
    path = Path(path).absolute()
    check_can_create(path)
    given = _settings_of(config) | current_names(CampaignConfig, settings)
    for name, check in (("seed", check_seed), ("batch_size", _batch_size)):
        if name in given:
            given[name] = check(given[name])
    start = _start(given.get("start", CampaignConfig.start))
    strategy = given.get("strategy", CampaignConfig.strategy)
    if isinstance(strategy, str):
        if "strategy" in given:
            given["strategy"] = upgrade_text(strategy)
        strategy = get_strategy(strategy)
    objective, constraints = given.get("objective", ()), given.get("constraints", ())
    plain = {**given, "objective": (), "constraints": (), "start": _start_label(start)}
    if not isinstance(given.get("strategy", ""), str):
        plain["strategy"] = strategy_text(describe_strategy(strategy))
    made = build(CampaignConfig, plain)
    problem, functions = parse_problem(
        _objectives_given(given),
        constraints,
        made.combine,
        campaign_file=path,
        direction=made.direction,
        name=made.name if made.command is None else None,
        unit=made.unit,
    )
    space = load_space(space)
    require(
        space.dim > 0,
        f"{space.name or 'the model'} is a language model: it has no vectors to search among; "
        "take a space with latent_dim above 0",
    )
    first = build_initial_design(
        start,
        space,
        problem.measured,
        dataset=made.dataset,
        seed=made.seed,
        skip_invalid=made.skip_invalid,
    )
    made = replace(
        made,
        campaign=path.name,
        space=_findable(space.name),
        objective=_labels(objective, problem.objectives, made.command),
        constraints=_labels(constraints, problem.constraints, None),
        combine=problem.combine,
    )
    facts = {
        "format": FORMAT,
        "created": now(),
        "versions": versions(),
        "config": asdict(made),
        # What the settings meant when the campaign was created:
        "space": {"name": made.space, "fingerprint": space.fingerprint, "dim": space.dim},
        "objectives": [asdict(one) for one in problem.objectives],
        "constraints": [asdict(one) for one in problem.constraints],
        "strategy": describe_strategy(strategy),
        "skipped": first.skipped,
        "duplicates": first.duplicates,
    }
    trials = []
    for trial, percentile in zip(first.trials, _percentiles(space, first), strict=True):
        values = completed(problem, trial, functions)
        failed = values is not None and not set(problem.names) <= set(values)
        trials.append(replace(trial, values=values, failed=failed, percentile=percentile))
    return Created(
        storage=Storage.create(path, facts, trials),
        space=space,
        strategy=strategy,
        functions=functions,
    )


def check_same_settings(campaign: Campaign, settings: Mapping[str, Any]) -> None:
    """Refuse settings that differ from a campaign's; those that may change are not compared.

    Raises:
        CampaignError: Names each with both values.
    """
    given = current_names(CampaignConfig, settings)
    kept, different = campaign.config, dict[str, Any]()
    recorded = _settings_of(kept)
    if is_list(given.get("objective")) and len(given["objective"]) != 1:
        recorded = {name: v for name, v in recorded.items() if name not in OF_OBJECTIVE}
    overlaid = recorded | given
    build(CampaignConfig, overlaid)
    mine = [name for name in OF_OBJECTIVE if name in given]
    if mine or "constraints" in given:
        found = _differences(
            campaign.problem,
            objective=_single_complete(recorded, given) if mine else None,
            constraints=given.get("constraints"),
            campaign_file=campaign.path,
        )
        for what in found:
            text = _text(getattr(kept, what)) or "none"
            names = mine if what == "objective" else [what]
            first = campaign.problem.objectives[0]
            now = {"direction": first.direction, "unit": first.unit, what: text}
            different |= {name: now.get(name, getattr(kept, name)) for name in names}
    skip = {*resumable_fields(CampaignConfig), *OF_OBJECTIVE, "constraints"}
    skip |= set() if isinstance(kept.start, int) else {"dataset"}
    for name, value in given.items():
        if name not in skip and not _same(campaign, name, value):
            different[name] = getattr(kept, name)
    if different:
        texts = [f"{name} {old}, not {_text(given[name])}" for name, old in different.items()]
        raise CampaignError(
            f"{campaign.path} was created with {'; '.join(texts)}; leave those settings out to "
            "resume it, or name another campaign file"
        )


def _differences(
    problem: OptimizationProblem,
    *,
    objective: Sequence[ObjectiveLike] | None,
    constraints: Sequence[ConstraintLike] | None,
    campaign_file: Path,
) -> list[str]:
    """Which of `objective` and `constraints` are given and differ from the problem's."""
    found = []
    pairs: tuple[tuple[str, Any, Any, Any, Any], ...] = (
        ("objective", objective, problem.objectives, Objective, parse_objective),
        ("constraints", constraints, problem.constraints, Constraint, parse_constraint),
    )
    for what, given, recorded, kind, parse in pairs:
        if given is None:
            continue
        made = [make_part(kind, parse(one), campaign_file) for one in given]
        parts = [part for part, _ in made]
        parts = list(merged(parts)) if kind is Constraint else parts
        functions = {part.name: function for part, function in made}
        known = [
            with_bounds(part, functions[part.name])
            if kind is Objective and part.name in functions
            else part
            for part in recorded
        ]
        if list(map(_essence, parts)) != list(map(_essence, known)):
            found.append(what)
    return found


def _essence(part: Objective | Constraint) -> dict[str, Any]:
    """What makes two objectives or constraints the same."""
    names = {"name": current_spec(part.name), "spec": part.spec and current_spec(part.spec)}
    return asdict(part) | names | {"version": None, "is_cheap": False}


def _same(campaign: Campaign, name: str, value: Any) -> bool:
    """Whether a setting is the campaign's, perhaps written in another way."""
    kept = getattr(campaign.config, name)
    if name == "strategy" and value != kept:
        return is_same_strategy(get_strategy(value), campaign.metadata["strategy"])
    if name == "space":
        return value == kept or Path(value).resolve() == Path(kept).resolve()
    return bool((encodable(value) if isinstance(value, str) else value) == kept)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if is_list(value) else str(value)


def _objectives_given(settings: Mapping[str, Any]) -> Any:
    """What the settings give as objectives; with `command`, they name its values."""
    objective = settings.get("objective", ())
    if (command := settings.get("command")) is None:
        return objective
    name = objective if isinstance(objective, str) else next(iter(objective), None)
    name = settings.get("name") or name
    return [{"objective": COMMAND + command} | ({} if name is None else {"name": name})]


def _single_complete(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
    """Given objectives; a single one with the recorded name, unit and direction if not given."""
    items = _objectives_given({**recorded, **given})
    items = [items] if isinstance(items, str) else list(items)
    if len(items) == 1:
        names = ("direction", "unit", *(() if "command" in {**recorded, **given} else ("name",)))
        one = parse_objective(items[0])
        one = {k: recorded[k] for k in names if k in recorded} | one
        one |= {k: given[k] for k in names if k in given}
        items = [{"objective": one.pop("spec"), **one}]
    return items


def _settings_of(config: CampaignConfig | None) -> dict[str, Any]:
    """The settings that are not at their defaults."""
    if config is None:
        return {}
    values = ((one.name, one.default, getattr(config, one.name)) for one in fields(config))
    return {name: value for name, default, value in values if value != default}


def _batch_size(value: Any) -> int:
    return whole_number(value, "batch_size", least=1)


def _labels(
    given: Any, parts: Sequence[Objective | Constraint], command: str | None
) -> tuple[Any, ...]:
    """Objectives or constraints as settings hold them; objects as text."""
    items = list(given) if is_list(given) and not callable(given) else [given]
    if command is not None or all(_is_plain(one) for one in items):
        return tuple(items)
    if len(items) != len(parts):  # several constraints on one value are merged
        return tuple(map(format_part, parts))
    pairs = zip(items, parts, strict=True)
    return tuple(one if _is_plain(one) else format_part(part) for one, part in pairs)


def _is_plain(item: Any) -> bool:
    if isinstance(item, Mapping):
        return all(isinstance(value, str | int | float) for value in item.values())
    return isinstance(item, str)


def _start(start: Any) -> Any:
    """Initial molecules, a list of SMILES as a list."""
    require(
        not isinstance(start, Mapping) and getattr(start, "ndim", 1) < 2,
        f"start is a {type(start).__name__}; give a list of SMILES and tell their values "
        "after, or write a table with columns smiles and value to a file",
    )
    if not isinstance(start, str | Path) and is_list(start):
        return list(cast("Sequence[str]", start))
    return start if isinstance(start, str | Path) else whole_number(start, "start", least=0)


def _start_label(start: int | str | Path | Sequence[str]) -> int | str:
    if isinstance(start, list):
        return f"{len(start)} given molecules"
    return start if isinstance(start, int) else str(start)


def strategy_text(described: Mapping[str, Any]) -> str:
    """A strategy as text that can be read back."""
    name, settings = described["name"], described["settings"]
    if name not in STRATEGIES or settings is None:
        return python_object(name)
    return format_strategy(name, settings)


def load_space(space: LatentSpaceProtocol | str | Path) -> LatentSpaceProtocol:
    """A latent space as given, or loaded by its name or folder."""
    if isinstance(space, str | Path):
        from molvae.latent.loading import load

        return load(space)
    return space


def _percentiles(space: LatentSpaceProtocol, start: InitialDesign) -> list[float | None]:
    import torch

    from molvae.latent.density import density_percentiles

    z = torch.tensor([trial.z for trial in start.trials], dtype=torch.float64, device="cpu")
    smiles = [trial.smiles for trial in start.trials]
    return density_percentiles(space, smiles, z.reshape(len(smiles), space.dim))


def _findable(name: str) -> str:
    """A model folder by its full path, so that the campaign opens from anywhere; else the name."""
    if not Path(name).is_dir():
        return name
    from molvae.latent.loading import list_models

    return name if name in list_models() else str(Path(name).resolve())


def completed(
    problem: OptimizationProblem, trial: NewTrial, functions: Mapping[str, ScoringFunction]
) -> dict[str, float] | None:
    """Known initial values, with those that can be computed if no measured one is missing."""
    if trial.values is None or not set(problem.measured) <= set(trial.values):
        return None if trial.values is None else dict(trial.values)
    mine = {name: functions[name] for name in problem.computed}
    return {**trial.values, **computed(mine, [trial.smiles])[0]}


__all__ = [
    "Created",
    "check_same_settings",
    "completed",
    "create_file",
    "describe_strategy",
    "load_space",
    "strategy_text",
]
