"""Make and check the scoring functions and the strategy that a campaign file records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.bo.strategies.registry import get_strategy, imported_code
from molvae.config import STRATEGIES, is_imported
from molvae.errors import CampaignError, ConfigError, InvalidMoleculeError, UnknownNameError, warn
from molvae.objectives.parsing import make_scoring_function, name_of, runs_code
from molvae.objectives.problem import Objective, OptimizationProblem

if TYPE_CHECKING:
    from molvae.bo.base import Strategy
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.scoring import ScoringFunction


def load_function(
    problem: OptimizationProblem, name: str, path: Path, check_trusted: Callable[[], None]
) -> ScoringFunction:
    """The scoring function of an objective or a constraint.

    Raises:
        CampaignError: It was given as an object, or is not trusted, or is damaged.
    """
    part = problem.parts[name]
    if part.spec is None:
        raise CampaignError(
            f"objective {name!r} of {path} was given as an object; give it again: "
            "Campaign.open(path, objective=...)"
        )
    if runs_code(part.spec):
        check_trusted()
    own = isinstance(part, Objective) and part.direction != "range"
    direction = part.direction if own else None  # type: ignore[union-attr]
    try:
        made = make_scoring_function(part.spec, direction, name=name, campaign_file=path)
    except (ConfigError, InvalidMoleculeError) as error:
        raise CampaignError(f"{path} is damaged: {name}: {error}") from error
    check_function(made, problem, path)
    return made


def load_strategy(
    metadata: Mapping[str, Any], text: str, path: Path, check_trusted: Callable[[], None]
) -> Strategy:
    """The strategy of a campaign.

    Raises:
        CampaignError: It was given as an object, or is not trusted, or its settings are damaged.
    """
    if is_imported(text):
        check_trusted()
        return get_strategy(text)
    recorded = metadata["strategy"]
    if recorded["name"] not in STRATEGIES or recorded["settings"] is None:
        raise CampaignError(
            f"strategy {recorded['name']!r} of {path} was given as an object; give it again: "
            "Campaign.open(path, strategy=...)"
        )
    if imported_code(recorded["settings"]):
        check_trusted()
    try:
        return get_strategy(recorded["name"], **recorded["settings"])
    except (ConfigError, UnknownNameError, TypeError) as error:
        raise CampaignError(
            f"{path} is damaged: it has no settings of a strategy ({error})"
        ) from error


def check_space(space: LatentSpaceProtocol, metadata: Mapping[str, Any], path: Path) -> None:
    """Refuse another model than the one that the campaign was created with."""
    recorded = metadata["space"]
    if space.fingerprint != recorded["fingerprint"] or space.dim != recorded["dim"]:
        raise CampaignError(
            f"{path} was made with the model {recorded['name']!r} (dim {recorded['dim']}, "
            f"fingerprint {recorded['fingerprint'][:12]}), got {space.name!r} "
            f"(dim {space.dim}, fingerprint {space.fingerprint[:12]}); give that model, or "
            "start a new campaign"
        )


def check_function(objective: ScoringFunction, problem: OptimizationProblem, path: Path) -> None:
    """Refuse a scoring function of another name, and warn of one of another version."""
    name = name_of(objective)
    if name not in problem.parts:
        raise CampaignError(
            f"{path} asks for {', '.join(map(repr, problem.names))}, got the objective "
            f"{objective.name!r}; give that one, or start a new campaign"
        )
    recorded, version = problem.parts[name].version, getattr(objective, "version", None)
    if recorded is not None and str(version) != recorded:
        warn(
            f"{path} was created with version {recorded} of {objective.name!r}, now it is "
            f"version {version}: values may not be comparable"
        )


__all__ = ["check_function", "check_space", "load_function", "load_strategy"]
