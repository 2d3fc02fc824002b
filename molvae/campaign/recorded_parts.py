"""Make and check the scoring functions and the strategy that a campaign file records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.bo.strategies.registry import (
    describe_strategy,
    get_strategy,
    imported_code,
    is_same_strategy,
    own_strategy,
    recorded_strategy,
)
from molvae.campaign.creation import bound_to, load_space, needs_space
from molvae.campaign.metadata import read_metadata
from molvae.campaign.trust import is_trusted, trust
from molvae.config import STRATEGIES, CampaignConfig, is_imported, is_list
from molvae.errors import (
    CampaignError,
    ConfigError,
    InvalidMoleculeError,
    UnknownNameError,
    shown,
    warn,
)
from molvae.objectives.computing import computed, name_of
from molvae.objectives.parsing import make_scoring_function, runs_code, spec_text
from molvae.objectives.problem import Objective, OptimizationProblem

if TYPE_CHECKING:
    from molvae.bo.base import Strategy
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.scoring import ScoringFunction


def given_functions(given: Any, path: Path) -> dict[str, ScoringFunction]:
    """Scoring functions given from Python, by the names of their values."""
    functions = {}
    for one in given if is_list(given) else [] if given is None else [given]:
        spec, name = one, None
        if isinstance(one, Objective):
            spec, name = one.name if one.spec is None else one.spec, one.name
        function = make_scoring_function(spec, None, name=name, campaign_file=path)
        functions[name_of(function)] = function
    return functions


class RecordedParts:
    """The part of `molvae.Campaign` that a campaign file records: space, functions, strategy.

    Made when first needed, unless they were given; those given must be the recorded ones.
    """

    path: Path
    """The campaign file."""
    metadata: dict[str, Any]
    """What the file records of its creation: config, objectives, constraints, space, strategy,
    versions, created, format, skipped, duplicates, start_rows."""
    config: CampaignConfig
    """The settings."""
    problem: OptimizationProblem
    """The optimization problem."""

    def __init__(
        self,
        metadata: dict[str, Any],
        path: Path,
        *,
        space: LatentSpaceProtocol | None = None,
        functions: Mapping[str, ScoringFunction] | None = None,
        strategy: Strategy | str | None = None,
    ) -> None:
        self.metadata, self.path = metadata, path
        self.config, self.problem = read_metadata(metadata, path)
        self._functions = dict(functions or {})
        if space is not None:
            self.space = self._checked_space(space)
        for function in self._functions.values():
            self._check_function(function)
        if strategy is not None:
            named = isinstance(strategy, str)
            strategy = get_strategy(str(strategy)) if named else own_strategy(strategy)
            if not is_same_strategy(strategy, metadata["strategy"]):
                raise CampaignError(
                    f"{path} was made with strategy {metadata['strategy']}, got "
                    f"{describe_strategy(strategy)}; a campaign keeps its strategy"
                )
            self.strategy = strategy

    @cached_property
    def space(self) -> LatentSpaceProtocol:
        """The latent space; `CampaignError` if the recorded name is now another model's."""
        return self._checked_space(load_space(self.metadata["space"]["name"]))

    @cached_property
    def strategy(self) -> Strategy:
        """The strategy; `CampaignError` if it was an object that has to be given again."""
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
            return recorded_strategy(name, settings)
        except (ConfigError, UnknownNameError, TypeError) as error:
            raise CampaignError(
                f"{self.path} is damaged: it has no settings of a strategy ({error})"
            ) from error

    def function(self, name: str) -> ScoringFunction:
        """The scoring function of an objective or a constraint."""
        if name in self._functions:
            return self._functions[name]
        part = self.problem.all_parts[name]
        if (spec := spec_text(part)) is None:
            raise CampaignError(
                f"objective {name!r} of {self.path} was given as an object; give it again: "
                "Campaign.open(path, objective=...)"
            )
        if runs_code(spec):
            self._check_trusted()
        own = isinstance(part, Objective) and part.direction != "range"
        direction = part.direction if own else None  # type: ignore[union-attr]
        try:
            made = make_scoring_function(spec, direction, name=name, campaign_file=self.path)
        except (ConfigError, InvalidMoleculeError) as error:
            raise CampaignError(f"{self.path} is damaged: {name}: {error}") from error
        self._check_function(made)
        if needs_space(made):
            made = bound_to(self.space, made)
        self._functions[name] = made
        return made

    def compute(self, smiles: Sequence[str], names: Sequence[str]) -> list[dict[str, float]]:
        """Computed values of each molecule, without those that are not numbers."""
        return computed({name: self.function(name) for name in names}, smiles)

    @property
    def code(self) -> tuple[str, ...]:
        """Modules and commands of the file that `run` imports or runs: `module:attribute`, ..."""
        parts = self.problem.all_parts.values()
        specs = [spec for part in parts if (spec := spec_text(part)) is not None]
        code = [spec for spec in specs if runs_code(spec)]
        code += [self.config.strategy] if is_imported(self.config.strategy) else []
        code += imported_code(self.metadata["strategy"]["settings"])
        return tuple(dict.fromkeys(code))

    def trust(self) -> None:
        """Let `run` execute the `code` that a file from elsewhere names, here and from now on."""
        if self.code:
            trust(self.metadata, self.path, self.code)

    def _check_trusted(self) -> None:
        if not is_trusted(self.metadata):
            raise CampaignError(
                f"{self.path} was not created on this machine, and would run "
                f"{', '.join(map(shown, self.code))}; if you trust who made it, say so once: "
                "--trust (Campaign.open(path, trust=True))"
            )

    def _checked_space(self, space: LatentSpaceProtocol) -> LatentSpaceProtocol:
        """Refuse another model than the one that the campaign was created with."""
        recorded = self.metadata["space"]
        if space.fingerprint != recorded["fingerprint"] or space.dim != recorded["dim"]:
            raise CampaignError(
                f"{self.path} was made with the model {recorded['name']!r} (dim {recorded['dim']}, "
                f"fingerprint {recorded['fingerprint'][:12]}), got {space.name!r} "
                f"(dim {space.dim}, fingerprint {space.fingerprint[:12]}); give that model, or "
                "start a new campaign"
            )
        return space

    def _check_function(self, objective: ScoringFunction) -> None:
        """Refuse a scoring function of another name, and warn of one of another version."""
        part = self.problem.all_parts.get(name_of(objective))
        if part is None:
            raise CampaignError(
                f"{self.path} asks for {', '.join(map(repr, self.problem.value_names))}, got the "
                f"objective {objective.name!r}; give that one, or start a new campaign"
            )
        version = getattr(objective, "version", None)
        if part.version is not None and str(version) != part.version:
            warn(
                f"{self.path} was created with version {part.version} of {objective.name!r}, now "
                f"it is version {version}: values may not be comparable"
            )
