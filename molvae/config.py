"""All settings, as frozen dataclasses. No heavy import: the command line reads this for its help.

Order of precedence: the default here, then a TOML file, then a flag of the command line.
"""

from __future__ import annotations

import math
import operator
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from molvae.errors import ConfigError, DataError, UnknownNameError, require, shown

Config = TypeVar("Config")

MAX_SEED = 2**63 - 1

CHOICE_ALIASES = {
    "maximise": "maximize",
    "minimise": "minimize",
    "product": "desirability",
    "sum": "weighted_sum",
}  # old spellings of choices, still read

ALIASES: Mapping[str, Mapping[str, str]] = {
    "PrepareConfig": {"keep": "keep_columns"},
    "CampaignConfig": {
        "record": "campaign",
        "goals": "objective",
        "limits": "constraints",
        "batch": "batch_size",
        "most_failed": "max_failure_rate",
        "allow_equal": "allow_constant",
    },
    "Objective": {"computed": "is_cheap"},
    "Constraint": {"computed": "is_cheap"},
    "ModelConfig": {"explain": "residual_conditioning", "noise_levels": "noise_conditioning"},
    "LossConfig": {
        "beta_warm_up": "beta_warmup_fraction",
        "draws": "n_samples",
        "total_correlation": "total_correlation_weight",
        "similarity": "similarity_weight",
        "fingerprint": "fingerprint_weight",
    },
    "PriorConfig": {"passes": "epochs"},
    "Condition": {"sd": "std"},
    "TrainConfig": {
        "molecules": "n_molecules",
        "spellings": "randomized_smiles_fraction",
        "objective": "loss",
        "beta": "loss.beta",
        "beta_warm_up": "loss.beta_warmup_fraction",
        "prior_passes": "prior.epochs",
        "merges": "bpe_merges",
        "noisy": "noised_fraction",
        "labelled": "labeled_fraction",
        "clip": "max_grad_norm",
        "lr_warm_up": "lr_warmup_fraction",
        "lr_decay": "lr_decay_fraction",
        "more_share": "more_data_fraction",
    },
}
"""Current names of settings by their old ones, by dataclass; `table.name` is in a nested table."""


def whole_number(
    value: Any, name: str, *, least: int | None = None, most: int | None = None
) -> int:
    """A whole number as Python's int: of any type that is one, e.g. NumPy's, but no bool.

    Raises:
        ConfigError: Not a whole number, or out of range; `name` begins the message.
    """
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    try:
        kind = str(getattr(value, "dtype", type(value).__name__))
        number = None if kind in ("bool", "torch.bool") else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor without data
        number = None
    if number is None or not low <= number <= high:
        bounds = "" if least is None else f" from {least}"
        bounds += "" if most is None else f" to {most}"
        raise ConfigError(f"{name} must be a whole number{bounds}, got {value!r}")
    return number


def is_list(value: Any) -> bool:
    """Whether something holds several things one after the other; a text does not."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes)
        and getattr(value, "ndim", 1) > 0  # arrays and tensors of one number look like lists
    )


def check_seed(seed: Any) -> int:
    """A seed as Python's int, from 0 to 2**63 - 1: what all generators take."""
    return whole_number(seed, "seed", least=0, most=MAX_SEED)


def later_seed(seed: int, by: int) -> int:
    """`seed + by`; after the largest seed comes 0."""
    return (seed + by) % (MAX_SEED + 1)


def short_seed(seed: int) -> int:
    """A seed below 2**32, which is what scikit-learn takes."""
    return seed % 2**32


def at_least(config: Any, least: int, *names: str) -> None:
    """ConfigError for fields below the smallest value they may have."""
    for name in names:
        value = getattr(config, name)
        text = "must not be negative" if least == 0 else f"must be at least {least}"
        require(value >= least, f"{name} {text}, got {value}")


def build(kind: type[Config], settings: Mapping[str, Any], where: str = "settings") -> Config:
    """A config dataclass from plain values, tables inside included; old spellings are read.

    `where` is the source of the settings for messages, e.g. a file.

    Raises:
        UnknownNameError: A key is not a field; suggests the nearest one.
        ConfigError: A required field is missing, or a value has the wrong type or range.
    """
    settings, hints = current_names(kind, settings, where), get_type_hints(kind)
    values = {key: of_type(hints[key], value, where, key) for key, value in settings.items()}
    try:
        return kind(**values)
    except TypeError as error:  # its message ends with the fields that lack a value
        raise ConfigError(f"{where}: {str(error).split(': ')[-1]} must be given") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def of_type(hint: Any, value: Any, where: str, key: str) -> Any:
    """A plain value as a value of a field's type; errors as for `build`."""
    options = get_args(hint)
    if is_dataclass(hint):
        return build(hint, value, f"{where} [{key}]")  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list | str):
        value = (value,) if isinstance(value, str) else tuple(value)
    elif type(value) is int and (hint is float or float in options):
        value = float(value)
    elif isinstance(value, str) and value not in options:
        value = CHOICE_ALIASES.get(value, value) if _is_choice(hint) else value
    require(_fits(value, hint), f"{where}: {key} must be {_type_text(hint)}, got {value!r}")
    return value


def current_names(
    kind: type[Any], settings: Mapping[str, Any], where: str = "settings"
) -> dict[str, Any]:
    """Settings under the names of a dataclass's fields; old names are read, see `ALIASES`.

    Raises:
        UnknownNameError: A key is not a field; suggests the nearest one.
        ConfigError: Not a mapping, or a setting stands there under two names.
    """
    settings = _table(settings, where)
    aliases, names = ALIASES.get(kind.__name__, {}), [f.name for f in fields(kind)]
    found: dict[str, Any] = {}
    for key, value in settings.items():
        table, _, name = aliases.get(key, key).rpartition(".")
        if not table and name not in names:
            raise UnknownNameError(f"setting of {where}", key, names)
        target = found
        if table:
            target = found[table] = {**_table(found.get(table, {}), f"{where} [{table}]")}
        elif isinstance(found.get(name), Mapping):
            value = _table(value, f"{where} [{name}]")
            twice = sorted(found[name].keys() & value.keys())
            require(not twice, f"{where}: {', '.join(twice)} is given twice, once in [{name}]")
            value = {**found.pop(name), **value}
        require(
            name not in target,
            f"{where}: {name} is given twice, perhaps under an old name; leave one out",
        )
        target[name] = value
    hints = get_type_hints(kind)
    for name, value in found.items():
        if is_dataclass(hints[name]) and isinstance(value, Mapping):
            found[name] = current_names(hints[name], value, f"{where} [{name}]")
    return found


def _table(value: Any, where: str) -> Mapping[str, Any]:
    require(isinstance(value, Mapping), f"{where} must be a table, got {shown(value)}")
    return cast("Mapping[str, Any]", value)


def _is_choice(hint: Any) -> bool:
    return any(get_origin(part) is Literal for part in (hint, *get_args(hint)))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value has a field's type; no conversions, and a bool is no int."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, part) for part in get_args(hint))
    return type(value) is (get_origin(hint) or hint)


def _type_text(hint: Any) -> str:
    """A field's type in words."""
    origin = get_origin(hint)
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    if origin in (UnionType, Union):
        return " or ".join(_type_text(part) for part in get_args(hint) if part is not type(None))
    return "a list (of tables: [[NAME]])" if origin is tuple else f"of type {hint.__name__}"


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file; `DataError` if it is not there, or is no TOML."""
    try:
        # Some editors begin a file with a byte order mark, which is no TOML.
        return tomllib.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML: {error}") from error


DEFAULT_PROPERTIES = ("logP", "SAS", "QED")  # what tables, reports and metrics show
RESUMABLE = {"resumable": True}  # metadata of settings that may change when a campaign is resumed

STRATEGIES = {
    "random": "molvae.bo.strategies.random:Random",
    "log-ei": "molvae.bo.strategies.log_ei:LogEI",
    "thompson": "molvae.bo.strategies.thompson:Thompson",
    "turbo": "molvae.bo.strategies.turbo:Turbo",
    "gradient": "molvae.bo.strategies.gradient:Gradient",
    "rank": "molvae.bo.strategies.rank:Rank",
    "screen": "molvae.bo.strategies.screen:Screen",
    "ga": "molvae.bo.strategies.genetic:Genetic",
}
"""The built-in strategies: name and class. To add one: one file in `bo/strategies` and one line."""

MULTI_FIDELITY = ("rank", "screen")  # the strategies that choose among fidelities
PLAUSIBILITY = ("alerts", "precedents", "size")  # see `molvae.chem.plausibility`


def plausibility_parts(text: str) -> tuple[str, ...]:
    """The parts in `PLAUSIBILITY` that a text names, with commas; `none` is no part."""
    names = tuple(name.strip().lower() for name in text.split(",") if text != "none")
    if unknown := [name for name in names if name not in PLAUSIBILITY]:
        require("none" not in unknown, f"plausibility: none stands alone, got {text!r}")
        raise UnknownNameError("part of plausibility", unknown[0], [*PLAUSIBILITY, "none"])
    return names


def is_imported(strategy: str) -> bool:
    """Whether a strategy is `module:Class`, not a built-in name with or without settings."""
    name, colon, _ = strategy.partition(":")
    return bool(colon) and name not in STRATEGIES and not strategy.startswith("<")


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
    keep_columns: tuple[str, ...] = ()
    """Columns of numbers that are kept beside the molecules, to be learned as `properties` or
    `conditions` of a training; an empty cell is a value that is not known."""

    def __post_init__(self) -> None:
        at_least(self, 1, "max_heavy_atoms")
        require(0 < self.share <= 1, f"share must lie in (0, 1], got {self.share}")
        given = ", ".join(map(repr, self.keep_columns))
        for name in self.keep_columns:
            own = name.strip().lower() not in ("", "smiles") and self.keep_columns.count(name) == 1
            message = "keep_columns must list columns of numbers, each once, not smiles; got"
            require(own, f"{message} {given}")


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
        positive = self.timeout is None or 0 < self.timeout < math.inf
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
    """External program that scores a molecule: `dock.sh {smiles}`, or `dock.sh {file}` for a file
    of SMILES; otherwise it reads standard input. It prints a number, JSON, or CSV."""
    pattern: str | None = None
    """Regular expression that finds the value in the command's output: 'Affinity: (\\S+)'."""
    name: str | None = None
    """Name of the values of a single objective, instead of the objective's own."""
    unit: str | None = None
    """Unit of the values of a single objective, shown with them."""
    cost: float | None = None
    """Cost of an evaluation of a single objective, in units of the budget; 1 by default."""
    fidelities: tuple[str, ...] = field(default=(), metadata={"flag": "--fidelity", "repeat": True})
    """Cheaper evaluation that says something of a single objective, with its cost, e.g. "minimize
    vina: my_lab.docking:score, cost 1". May be given several times. Each proposal is made at the
    fidelity that tells most of the best molecule for its cost; strategies rank and screen."""
    direction: Literal["maximize", "minimize"] | None = None
    """Overrides the direction of a single objective."""
    space: str = "druglike"
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
    plausibility: str = ",".join(PLAUSIBILITY)
    """Faults that proposals must not have, unless the initial molecules do: structural `alerts` and
    unstable groups; ring systems or atom environments without `precedents` in the training data; an
    unusual `size`. Parts separated by commas, or `none`."""
    keep: str | None = None
    """Core that every proposal holds: a SMILES, or a SMARTS. With attachment points, `[*:1]`, it is
    substituted there alone; two fragments, `A.B`, are linked. Random initial molecules are
    decorations of it."""
    similar_to: str | None = None
    """Molecule, a SMILES, to stay near: a Tanimoto similarity of at least 0.4 is a constraint, and
    random initial molecules are the molecule itself and analogues of it."""
    library: str | None = None
    """Propose only molecules of this library (see molvae library build), by strategy screen; random
    initial molecules are of the library, too."""
    suggest_from: str | None = field(default=None, metadata=RESUMABLE)
    """Note the most similar molecules of this library beside each proposal, to buy instead."""
    start: int | str | None = None
    """Initial molecules: this many random ones of `dataset`, by default a third of the budget and
    at most 100; or a file of molecules (with a column `value` if measured)."""
    dataset: str | None = None
    """Data set of random initial molecules; by default that of the model, or zinc250k."""
    budget: int = field(default=300, metadata=RESUMABLE)
    """Total number of evaluations, initial molecules and earlier runs included; with fidelities,
    their total cost."""
    batch_size: int = field(default=10, metadata=RESUMABLE)
    """Molecules chosen together before the surrogate is fitted again."""
    tune: bool | None = None
    """Fine-tune the decoder on the initial molecules, in some 5 s, before molecules are proposed.
    By default if at least 10 of them are measured and they are analogues (half have another one at
    a Tanimoto similarity of 0.5)."""
    batch_distance: float = 0.0
    """Least Tanimoto distance, from 0 to 1, between two molecules of a batch, and between them and
    pending ones: Morgan bits of radius 2, 2,048 of them. 0: none."""
    per_scaffold: int = 0
    """Most trials with the same Bemis-Murcko scaffold in the whole campaign, initial molecules
    included; 0: any number. Molecules without rings have no scaffold."""
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
    smiles_column: str | None = None
    """Column of the molecules in the file of initial molecules; `smiles` in any case by default."""
    value_column: str | None = None
    """Column of the measured values in the file of initial molecules; by default `value` or the
    name of the objective, in any case and with or without a unit in brackets."""
    standardize: bool | None = None
    """Take the parent molecules of the initial molecules: counter-ions and solvents are removed,
    charges neutralized, mixtures left out. By default if the file has measured values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("unit", "direction", "name", "cost"):
            single = getattr(self, name) is None or len(self.objective) <= 1
            require(single, f"{name} belongs to a single objective; of several, give it for each")
        require(self.pattern is None or self.command is not None, "pattern belongs to a command")
        diverse = self.batch_distance or self.per_scaffold
        require(
            not (self.fidelities and diverse),
            "batch_distance and per_scaffold are not kept with fidelities; leave them out",
        )
        plausibility_parts(self.plausibility)
        at_least(self, 0, "workers", "per_scaffold")
        require(0 <= (d := self.batch_distance) < 1, f"batch_distance must lie in [0, 1), got {d}")
        at_least(self, 1, "budget", "batch_size")
        check_seed(self.seed)
        if isinstance(self.start, int):
            require(self.start >= 0, f"start must not be negative, got {self.start}")


def resumable_fields(kind: type[Any]) -> tuple[str, ...]:
    """Names of the settings that may change when a campaign is resumed."""
    return tuple(one.name for one in fields(kind) if one.metadata.get("resumable"))
