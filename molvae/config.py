"""All settings, as frozen dataclasses. No heavy import: the command line reads this for its help.

Order of precedence: the default here, then a TOML file, then a flag of the command line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from molvae._settings import (
    ALIASES,
    CHOICE_ALIASES,
    LARGEST_SEED,
    as_settings,
    at_least,
    build,
    check_seed,
    current_names,
    is_list,
    later_seed,
    read_toml,
    short_seed,
    whole_number,
)
from molvae._training_config import LossConfig, ModelConfig, PriorConfig, TrainConfig
from molvae.errors import require

DEFAULT_PROPERTIES = ("logP", "SAS", "QED")
"""Properties that tables, reports and metrics show; see `molvae.chem.properties`."""


RESUMABLE = {"resumable": True}
"""Metadata of settings that may change when a campaign is resumed."""

STRATEGIES = {
    "random": "molvae.bo.strategies.random:Random",
    "log-ei": "molvae.bo.strategies.log_ei:LogEI",
    "thompson": "molvae.bo.strategies.thompson:Thompson",
    "turbo": "molvae.bo.strategies.turbo:Turbo",
    "gradient": "molvae.bo.strategies.gradient:Gradient",
    "rank": "molvae.bo.strategies.rank:Rank",
    "ga": "molvae.bo.strategies.genetic:Genetic",
}
"""The built-in strategies: name and class. To add one: one file in `bo/strategies` and one line."""


def is_imported(strategy: str) -> bool:
    """Whether a strategy is `module:Class`, not a built-in name with or without settings."""
    return (
        ":" in strategy
        and strategy.partition(":")[0] not in STRATEGIES
        and (not strategy.startswith("<"))
    )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What `prepare` keeps of a data set."""

    column: str | None = None
    """Column of a CSV or TSV file that holds the SMILES; by default `smiles`, in any case."""
    max_heavy_atoms: int = 100
    """Larger molecules are dropped."""
    elements: tuple[str, ...] = ()
    """If given, molecules with other elements are dropped, e.g. C, N, O."""
    skip_invalid: bool = False
    """Drop and count texts that are no molecules; otherwise the first one is an error."""
    share: float = 1.0
    """Share of the texts that are looked at, chosen by their hashes: a sample of a large data set,
    the same each time."""
    keep: tuple[str, ...] = ()
    """Columns of numbers that are kept beside the molecules, to be learned as `properties` or
    `conditions` of a training; an empty cell is a value that is not known."""

    def __post_init__(self) -> None:
        require(
            self.max_heavy_atoms >= 1,
            f"max_heavy_atoms must be at least 1, got {self.max_heavy_atoms}",
        )
        require(0 < self.share <= 1, f"share must lie in (0, 1], got {self.share}")
        for name in self.keep:
            require(
                bool(name.strip()) and name.lower() != "smiles" and self.keep.count(name) == 1,
                f"keep names columns of numbers, each once; got {', '.join(map(repr, self.keep))}",
            )


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """When to give up: timeout, retries, tolerated failures."""

    timeout: float | None = field(default=None, metadata=RESUMABLE)
    """Seconds after which an evaluation is stopped and has failed."""
    retries: int = field(default=0, metadata=RESUMABLE)
    """Further attempts at an evaluation that raised, died or timed out."""
    max_failure_rate: float = field(default=0.5, metadata=RESUMABLE)
    """Share of failures among the last 20 evaluations above which the run stops; 1: never stop."""
    failures_in_a_row: int = field(default=5, metadata=RESUMABLE)
    """Consecutive failures for the same reason (an outage, perhaps) after which the run stops and
    leaves them pending; 0: never."""

    def __post_init__(self) -> None:
        positive = self.timeout is None or (0 < self.timeout < math.inf)
        require(positive, f"timeout must be a positive number of seconds, got {self.timeout}")
        at_least(self, 0, "retries", "failures_in_a_row")
        require(
            0 <= self.max_failure_rate <= 1,
            f"max_failure_rate must lie in [0, 1], got {self.max_failure_rate}",
        )


@dataclass(frozen=True, kw_only=True)
class CampaignConfig(RunLimits):
    """A complete campaign, as in `pipelines/*.toml`.

    The campaign file holds these settings; resuming compares them, except the fields with
    `RESUMABLE` metadata.
    """

    campaign: str = field(default="", metadata=RESUMABLE)
    """The campaign file (SQLite); an existing one with the same settings is resumed."""
    objective: tuple[str, ...] = field(default=(), metadata={"repeat": True})
    """What to optimize: a name (molvae list), `module:attribute`, or text such as
    "minimize sas, weight 2" or "logp in 1..3"; with `command`, a name for its values. Give it
    several times for several objectives. A TOML file may also hold tables [[objective]] with
    objective, direction, low, high, worst, best, weight, name, unit."""
    constraints: tuple[str, ...] = field(
        default=(), metadata={"flag": "--constraint", "repeat": True}
    )
    """What molecules must satisfy, e.g. "logp <= 5", "mw in 200..500", "similarity:CCO >= 0.4" or
    "amide: matches:C(=O)N >= 1". May be given several times."""
    combine: Literal["pareto", "desirability", "weighted_sum"] = "pareto"
    """How several objectives become one search: the Pareto front, the weighted geometric mean of
    desirabilities, or the weighted sum."""
    command: str | None = None
    """Another program that scores a molecule, e.g. `dock.sh {smiles}`; without `{smiles}` it reads
    the molecule from standard input. It prints a number, JSON, or CSV with a header."""
    name: str | None = None
    """Name of the values of a single objective, instead of the objective's own."""
    unit: str | None = None
    """Unit of the values of a single objective, shown with them."""
    direction: Literal["maximize", "minimize"] | None = None
    """Overrides the direction of a single objective."""
    space: str = "zinc250k"
    """A bundled model or a model folder."""
    strategy: str = field(
        default="rank",
        metadata={
            "help": f"How molecules are chosen: {', '.join([*STRATEGIES][:-1])} or "
            f"{[*STRATEGIES][-1]}; settings may follow, as in "
            "`rank:latent_fraction=0.8,filters=PAINS+BRENK`. Or your own: `module:Class`."
        },
    )
    """How molecules are chosen: a name in `STRATEGIES`, with settings or not, or `module:Class`."""
    start: int | str = 100
    """Initial molecules: this many random ones of `dataset`, or a file of molecules (with a column
    `value` if measured)."""
    dataset: str = "zinc250k"
    """Data set of random initial molecules."""
    budget: int = field(default=300, metadata=RESUMABLE)
    """Total number of evaluations, initial molecules and earlier runs included."""
    batch_size: int = 10
    """Molecules chosen together before the surrogate is fitted again."""
    seed: int = 0
    """Random seed: the same seed and campaign give the same proposals on the CPU."""
    report: str | None = field(default=None, metadata=RESUMABLE)
    """Where to write the HTML report."""
    workers: int = field(default=0, metadata=RESUMABLE)
    """Processes that evaluate molecules; 0: one evaluation at a time in this process."""
    dask: str | None = field(default=None, metadata=RESUMABLE)
    """Address or scheduler file of a Dask cluster that evaluates molecules instead."""
    allow_constant: bool = field(default=False, metadata=RESUMABLE)
    """Continue although all values of the first batch are the same number."""
    skip_invalid: bool = field(default=False, metadata=RESUMABLE)
    """Leave out and count invalid initial molecules; otherwise the first one is an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("command", "unit", "direction", "name"):
            require(
                getattr(self, name) is None or len(self.objective) <= 1,
                f"{name} belongs to a single objective; with several, say it of each of them",
            )
        at_least(self, 0, "workers")
        at_least(self, 1, "budget", "batch_size")
        check_seed(self.seed)
        require(
            isinstance(self.start, str) or self.start >= 0,
            f"start must not be negative, got {self.start}",
        )


def resumable_fields(kind: type[Any]) -> tuple[str, ...]:
    """Names of the settings that may change when a campaign is resumed."""
    return tuple(one.name for one in fields(kind) if one.metadata.get("resumable"))


__all__ = [
    "ALIASES",
    "CHOICE_ALIASES",
    "DEFAULT_PROPERTIES",
    "LARGEST_SEED",
    "RESUMABLE",
    "STRATEGIES",
    "CampaignConfig",
    "LossConfig",
    "ModelConfig",
    "PrepareConfig",
    "PriorConfig",
    "RunLimits",
    "TrainConfig",
    "as_settings",
    "build",
    "check_seed",
    "current_names",
    "is_imported",
    "is_list",
    "later_seed",
    "read_toml",
    "resumable_fields",
    "short_seed",
    "whole_number",
]
