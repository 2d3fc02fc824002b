"""Reading settings: a dataclass from plain values, old spellings included."""

from __future__ import annotations

import math
import operator
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from molvae.errors import ConfigError, DataError, UnknownNameError, require, shown

Config = TypeVar("Config")

LARGEST_SEED = 2**63 - 1

CHOICE_ALIASES = {
    "maximise": "maximize",
    "minimise": "minimize",
    "product": "desirability",
    "sum": "weighted_sum",
}
"""Old spellings of choices, still read."""

ALIASES: Mapping[str, Mapping[str, str]] = {
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
    "LossConfig": {"beta_warm_up": "beta_warmup_fraction", "draws": "n_samples"},
    "PriorConfig": {"passes": "epochs"},
    "TrainConfig": {
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
"""Old names of settings by dataclass, still read; after a dot, in the table before it."""


def whole_number(
    value: Any, name: str, *, least: int | None = None, most: int | None = None
) -> int:
    """A whole number as Python's int: of any type that is one, e.g. NumPy's, but no bool.

    Args:
        value: What came.
        name: Of what it should be, for the message.
        least: Smallest that is allowed.
        most: Largest that is allowed.

    Raises:
        ConfigError: It is none, or out of range.
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
    """Whether something holds several things one after the other: not so a text, or one number."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes)
        and getattr(value, "ndim", 1) > 0  # arrays and tensors of one number look like lists
    )


def check_seed(seed: Any) -> int:
    """A seed as Python's int, from 0 to 2**63 - 1: what all generators take.

    Raises:
        ConfigError: It is none.
    """
    return whole_number(seed, "seed", least=0, most=LARGEST_SEED)


def later_seed(seed: int, by: int) -> int:
    """The seed so many places on, from 0 again after the largest."""
    return (seed + by) % (LARGEST_SEED + 1)


def short_seed(seed: int) -> int:
    """A seed below 2**32, which is what scikit-learn takes."""
    return seed % 2**32


def at_least(config: Any, least: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        text = "must not be negative" if least == 0 else f"must be at least {least}"
        require(value >= least, f"{name} {text}, got {value}")


def build(kind: type[Config], settings: Mapping[str, Any], where: str = "settings") -> Config:
    """A config dataclass from plain values, tables inside included; old spellings are read.

    Args:
        kind: The dataclass.
        settings: Values by field name; a mapping for a field that is a dataclass.
        where: Their source for error messages, e.g. the file.

    Raises:
        UnknownNameError: A key is not a field; suggests the nearest one.
        ConfigError: A required field is missing, or a value has the wrong type or range.
    """
    settings = current_names(kind, settings, where)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        hint = hints[key]
        options = get_args(hint)
        if is_dataclass(hint):
            value = build(hint, value, f"{where} [{key}]")  # type: ignore[arg-type]
        elif get_origin(hint) is tuple and isinstance(value, list | str):
            value = (value,) if isinstance(value, str) else tuple(value)
        elif type(value) is int and (hint is float or float in options):
            value = float(value)
        elif isinstance(value, str) and value not in options:
            value = CHOICE_ALIASES.get(value, value) if _is_choice(hint) else value
        require(_fits(value, hint), f"{where}: {key} must be {_type_text(hint)}, got {value!r}")
        values[key] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('() ')[-1]}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


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
        require(name not in target, f"{where}: {name} is given twice, once as {key}")
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
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(_type_text(part) for part in get_args(hint) if part is not type(None))
    return f"of type {'list' if get_origin(hint) is tuple else hint.__name__}"


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        DataError: The file is not there or is not TOML.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML: {error}") from error


def as_settings(config: Any) -> dict[str, Any]:
    """The inverse of `build`: plain values for JSON, nested tables included."""
    return asdict(config)
