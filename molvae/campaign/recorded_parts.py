"""Make and check the scoring functions and the strategy that a campaign file records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.bo.strategies.registry import (
    describe_strategy,
    get_strategy,
    imported_code,
    is_same_strategy,
)
from molvae.campaign.creation import load_space
from molvae.campaign.trust import is_trusted, trust
from molvae.config import STRATEGIES, CampaignConfig, is_imported
from molvae.errors import (
    CampaignError,
    ConfigError,
    InvalidMoleculeError,
    UnknownNameError,
    shown,
    warn,
)
from molvae.objectives.parsing import computed, make_scoring_function, name_of, runs_code
from molvae.objectives.problem import Objective, OptimizationProblem

if TYPE_CHECKING:
    from molvae.bo.base import Strategy
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.scoring import ScoringFunction


class RecordedParts:
    """The latent space, scoring functions and strategy that a campaign file records.

    Made when first needed, unless they were given; those given must be the recorded ones.
    """

    def __init__(
        self,
        metadata: Mapping[str, Any],
        config: CampaignConfig,
        problem: OptimizationProblem,
        path: Path,
        *,
        space: LatentSpaceProtocol | None,
        objective: ScoringFunction | None,
        strategy: Strategy | None,
    ) -> None:
        self.metadata, self.config, self.problem, self.path = metadata, config, problem, path
        self.functions = {} if objective is None else {name_of(objective): objective}
        self._space, self._strategy = space, strategy
        if space is not None:
            check_space(space, metadata, path)
        if objective is not None:
            check_function(objective, problem, path)
        if strategy is not None and not is_same_strategy(strategy, metadata["strategy"]):
            raise CampaignError(
                f"{path} was made with strategy {metadata['strategy']}, got "
                f"{describe_strategy(strategy)}; a campaign keeps its strategy"
            )

    @property
    def space(self) -> LatentSpaceProtocol:
        """See `Campaign.space`."""
        if self._space is None:
            space = load_space(self.metadata["space"]["name"])
            check_space(space, self.metadata, self.path)
            self._space = space
        return self._space

    @property
    def strategy(self) -> Strategy:
        """See `Campaign.strategy`."""
        if self._strategy is None:
            self._strategy = self._load_strategy()
        return self._strategy

    def _load_strategy(self) -> Strategy:
        if is_imported(self.config.strategy):
            self._check_trusted()
            return get_strategy(self.config.strategy)
        name, settings = (self.metadata["strategy"][key] for key in ("name", "settings"))
        if name not in STRATEGIES or settings is None:
            raise CampaignError(
                f"strategy {name!r} of {self.path} was given as an object; give it again: "
                "Campaign.open(path, strategy=...)"
            )
        if imported_code(settings):
            self._check_trusted()
        try:
            return get_strategy(name, **settings)
        except (ConfigError, UnknownNameError, TypeError) as error:
            raise CampaignError(
                f"{self.path} is damaged: it has no settings of a strategy ({error})"
            ) from error

    def function(self, name: str) -> ScoringFunction:
        """The scoring function of an objective or a constraint.

        Raises:
            CampaignError: It was given as an object, or is not trusted, or is damaged.
        """
        if name not in self.functions:
            self.functions[name] = self._load_function(name)
        return self.functions[name]

    def _load_function(self, name: str) -> ScoringFunction:
        part = self.problem.parts[name]
        if part.spec is None:
            raise CampaignError(
                f"objective {name!r} of {self.path} was given as an object; give it again: "
                "Campaign.open(path, objective=...)"
            )
        if runs_code(part.spec):
            self._check_trusted()
        own = isinstance(part, Objective) and part.direction != "range"
        direction = part.direction if own else None  # type: ignore[union-attr]
        try:
            made = make_scoring_function(part.spec, direction, name=name, campaign_file=self.path)
        except (ConfigError, InvalidMoleculeError) as error:
            raise CampaignError(f"{self.path} is damaged: {name}: {error}") from error
        check_function(made, self.problem, self.path)
        return made

    def compute(self, smiles: Sequence[str], names: Sequence[str]) -> list[dict[str, float]]:
        """Computed values of each molecule, without those that are not numbers."""
        return computed({name: self.function(name) for name in names}, smiles)

    @property
    def code(self) -> tuple[str, ...]:
        """See `Campaign.code`."""
        specs = [part.spec for part in self.problem.parts.values() if part.spec is not None]
        code = [spec for spec in specs if runs_code(spec)]
        code += [self.config.strategy] if is_imported(self.config.strategy) else []
        code += imported_code(self.metadata["strategy"]["settings"])
        return tuple(dict.fromkeys(code))

    def trust(self) -> None:
        """See `Campaign.trust`."""
        if self.code:
            trust(self.metadata, self.path, self.code)

    def _check_trusted(self) -> None:
        if not is_trusted(self.metadata):
            raise CampaignError(
                f"{self.path} was not created on this machine, and would run "
                f"{', '.join(map(shown, self.code))}; if you trust who made it, say so once: "
                "--trust (Campaign.open(path, trust=True))"
            )


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


__all__ = ["RecordedParts", "check_function", "check_space"]
