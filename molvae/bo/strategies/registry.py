"""The strategies by name, and their settings as text.

A strategy's module is imported when it is used; names and classes are in `config.STRATEGIES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from molvae.config import STRATEGIES as STRATEGIES
from molvae.config import build, is_imported
from molvae.errors import ConfigError, described, lookup, require
from molvae.objectives.parsing import python_object

if TYPE_CHECKING:
    from molvae.bo.base import Strategy

_ALIASES = {
    "random": {"patience": "max_decode_attempts"},
    "log-ei": {
        "restarts": "num_restarts",
        "iterations": "max_iterations",
        "samples": "mc_samples",
        "best": "n_best",
        "patience": "max_decode_attempts",
    },
    "thompson": {
        "vectors": "n_candidates",
        "around": "local_fraction",
        "best": "n_best",
        "patience": "max_decode_attempts",
    },
    "turbo": {
        "first": "length_init",
        "longest": "length_max",
        "shortest": "length_min",
        "successes": "success_tolerance",
        "fresh": "n_init",
        "vectors": "n_candidates",
        "patience": "max_decode_attempts",
    },
    "gradient": {"steps": "n_steps", "step": "step_size", "patience": "max_decode_attempts"},
    "rank": {
        "generations": "n_generations",
        "children": "n_offspring",
        "latent": "latent_fraction",
        "window": "adaptation_window",
        "tune": "finetune_every",
        "shortest": "min_radius",
        "longest": "max_radius",
        "safest": "kappa_min",
        "boldest": "kappa_max",
        "radius": "fingerprint_radius",
        "most": "max_observations",
        "patience": "max_decode_attempts",
    },
    "ga": {"population": "population_size", "patience": "max_generations"},
}
"""Names of settings in earlier versions, which are still read."""

_BEFORE: Mapping[str, Mapping[str, Any]] = {
    "rank": {
        "n_generations": 2,
        "n_offspring": 150,
        "n_warmup": 0,
        "branch_fraction": 0.0,
        "screen_fraction": 0.0,
        "n_cautious": 0,
    },
}
"""Settings that campaign files of earlier versions lack, and what those versions did."""


@cache
def strategy_class(name: str) -> Any:
    """The class of a strategy.

    Raises:
        UnknownNameError: No strategy has this name.
    """
    module, _, attribute = lookup("strategy", name, STRATEGIES).partition(":")
    return getattr(import_module(module), attribute)


def get_strategy(name: str, **settings: Any) -> Strategy:
    """A strategy by name, with some of its settings changed.

        >>> get_strategy("thompson", n_best=5).n_best
        5
        >>> get_strategy("rank:latent_fraction=0.8,filters=PAINS+BRENK").filters
        ('PAINS', 'BRENK')

    Args:
        name: A built-in strategy; settings may follow after a colon, as `name=value` with commas
            in between, several texts of one setting with `+`. Or `module:Class`.
        settings: Override those in the name.

    Raises:
        UnknownNameError: No strategy, or no setting of it, has this name.
        ConfigError: A setting is out of range or cannot be read.
    """
    if is_imported(name):
        return _imported(name, settings)
    name, _, text = name.partition(":")
    kind = strategy_class(name)
    given = upgrade_settings(name, parse_settings(text, kind) | upgrade_settings(name, settings))
    strategy: Strategy = build(kind, given, f"strategy {name}")
    return strategy


def recorded_strategy(name: str, settings: Mapping[str, Any]) -> Strategy:
    """The strategy of a campaign file, which may be older than some of its settings."""
    return get_strategy(name, **{**_BEFORE.get(name, {}), **upgrade_settings(name, settings)})


def _imported(spec: str, settings: Mapping[str, Any]) -> Strategy:
    """An own strategy, from `module:Class` or `module:object`."""
    from molvae.objectives.registry import import_attribute

    return own_strategy(import_attribute(spec), settings, spec)


def own_strategy(made: Any, settings: Mapping[str, Any] | None = None, title: str = "") -> Strategy:
    """An own strategy from an object, or from a class and settings.

    Raises:
        ConfigError: It cannot be made, has no name, or no method `propose`.
    """
    if isinstance(made, type):
        title = title or made.__name__
        try:
            made = made(**(settings or {}))
        except Exception as error:
            raise ConfigError(f"{title}(...) failed: {described(error)}") from error
    name = getattr(made, "name", None)
    require(
        isinstance(name, str) and bool(name) and callable(getattr(made, "propose", None)),
        f"{title or repr(made)} is no strategy: it needs a name, which is a text, and a method "
        "propose, see molvae.bo.Strategy",
    )
    strategy: Strategy = made
    return strategy


def upgrade_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names of this version."""
    names = _ALIASES.get(name, {})
    settings = {names.get(key, key): value for key, value in settings.items()}
    if name == "rank" and isinstance(kernel := settings.get("surrogate"), str):
        settings["surrogate"] = re.sub(r"\bstructure\b(?!:)", "tanimoto", kernel)
    return settings


def upgrade_text(text: str) -> str:
    """A strategy with its settings as text, under the names of this version."""
    name, colon, written = text.partition(":")
    if name not in STRATEGIES:
        return text
    parts = [part.partition("=") for part in written.split(",")] if written else []
    now = [upgrade_settings(name, {key.strip(): value}) for key, _, value in parts]
    return name + colon + ",".join(f"{k}={v}" for one in now for k, v in one.items())


def parse_settings(text: str, kind: Any) -> dict[str, Any]:
    """Settings written after the name of a strategy, each with the type of its field."""
    types = {f.name: f.type for f in fields(kind)}
    settings: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        require(equals == "=", f"strategy {kind.name}: expected name=value, got {part!r}")
        key = _ALIASES.get(kind.name, {}).get(key, key)
        require(key not in settings, f"strategy {kind.name}: {key} is given twice; leave one out")
        if types.get(key) in ("int", "float"):
            try:
                if "_" in value:  # Python reads 1_0 as 10
                    raise ValueError(value)
                settings[key] = int(value) if types[key] == "int" else float(value)
            except ValueError as error:
                raise ConfigError(
                    f"strategy {kind.name}: {key} must be a number ({types[key]}), got {value!r}"
                ) from error
        else:
            text_like = str(types.get(key)).startswith("str")
            settings[key] = value if text_like else tuple(value.split("+"))
    return settings


def describe_strategy(strategy: Strategy) -> dict[str, Any]:
    """Name and settings as a campaign file stores them; the settings of an own object are None."""
    settings: dict[str, Any] | None = None
    if is_dataclass(strategy) and not isinstance(strategy, type):
        settings = {f.name: getattr(strategy, f.name) for f in fields(strategy)}
        settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
        if not all(isinstance(v, str | int | float | list) for v in settings.values()):
            settings = None
    return {"name": strategy.name, "settings": settings}


def is_same_strategy(strategy: Strategy, stored: Mapping[str, Any]) -> bool:
    """Whether a campaign file stores this strategy, also as an earlier version described it."""
    if stored["name"] in STRATEGIES and stored["settings"] is not None:
        stored = describe_strategy(recorded_strategy(stored["name"], stored["settings"]))
    return _essence(describe_strategy(strategy)) == _essence(stored)


def _essence(described: Mapping[str, Any]) -> dict[str, Any]:
    """Name and settings without the place of a library, which its fingerprint identifies."""
    settings = dict(described["settings"] or {})
    if settings.get("fingerprint"):
        settings.pop("library", None)
    return {**described, "settings": described["settings"] and settings}


def imported_code(settings: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Settings that name an object to import, as `module:attribute`."""
    texts = [str((settings or {}).get(name, "")) for name in ("surrogate", "acquisition")]
    return tuple(text for text in texts if ":" in text)


def format_strategy(
    name: str, settings: Mapping[str, Any] | None, *, defaults: bool = False
) -> str:
    """A strategy as `get_strategy` reads it: its name, and the settings that are not its defaults.

    Args:
        name: Name of a strategy; one that is not built in was an object, and is named as such.
        settings: All of its settings, also under the names of earlier versions.
        defaults: Write all settings: the defaults may be others in another version.
    """
    if name not in STRATEGIES or settings is None:
        return python_object(name)
    if defaults:
        given, usual = upgrade_settings(name, settings), dict[str, Any]()
    else:
        given = describe_strategy(recorded_strategy(name, settings))["settings"]
        usual = describe_strategy(strategy_class(name)())["settings"]
    written = [
        f"{key}={'+'.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in given.items()
        if (value not in ([], "") if defaults else value != usual[key])
    ]
    return name + (":" + ",".join(written) if written else "")
