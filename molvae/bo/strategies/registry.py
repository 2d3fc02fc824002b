"""Strategies by name, and their settings as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, cast

from botorch.acquisition.multi_objective import logei

from molvae.bo.base import Strategy
from molvae.bo.strategies.genetic import Genetic
from molvae.bo.strategies.gradient import Gradient
from molvae.bo.strategies.log_ei import LogEI
from molvae.bo.strategies.random import Random
from molvae.bo.strategies.rank import Rank
from molvae.bo.strategies.thompson import Thompson
from molvae.bo.strategies.turbo import Turbo
from molvae.config import build, is_imported
from molvae.errors import ConfigError, UnknownNameError, described, require

# BoTorch compiles a C++ kernel when this acquisition is first made: proposals would depend on the
# compiler of the machine, and a process killed meanwhile leaves a lock that all others wait for.
logei._load_attempted = True


Kind = (
    type[Random]
    | type[LogEI]
    | type[Thompson]
    | type[Turbo]
    | type[Gradient]
    | type[Rank]
    | type[Genetic]
)


STRATEGIES: dict[str, Kind] = {
    kind.name: kind for kind in (Random, LogEI, Thompson, Turbo, Gradient, Rank, Genetic)
}
"""The built-in strategies by name."""


def get_strategy(name: str, **settings: Any) -> Strategy:
    """A strategy by name, with some of its settings changed.

        >>> get_strategy("log-ei", restarts=8)
        LogEI(restarts=8, raw_samples=128, iterations=50, samples=128, best=16, patience=256)
        >>> get_strategy("rank:latent=0.8,filters=PAINS+BRENK").filters
        ('PAINS', 'BRENK')

    Args:
        name: A built-in strategy, whose settings may follow after a colon as `name=value` with
            commas in between, several texts of one setting with `+`; or `module:Class`.
        settings: Win over those in the name.

    Raises:
        UnknownNameError: No strategy, or no setting of it, has this name.
        ConfigError: A setting is out of range or cannot be read.
    """
    if is_imported(name):
        return _imported(name, settings)
    name, _, text = name.partition(":")
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    kind = STRATEGIES[name]
    return build(kind, _written(text, kind) | settings, f"strategy {name}")


def _imported(spec: str, settings: Mapping[str, Any]) -> Strategy:
    """A strategy of the user's, from `module:Class` or `module:object`."""
    from molvae.objectives.registry import import_attribute

    made = import_attribute(spec)
    if isinstance(made, type):
        try:
            made = made(**settings)
        except Exception as error:
            raise ConfigError(f"{spec}(...) failed: {described(error)}") from error
    require(
        callable(getattr(made, "propose", None)) and isinstance(getattr(made, "name", None), str),
        f"{spec} is no strategy: it needs a name and a method propose",
    )
    return cast(Strategy, made)


def _written(text: str, kind: Kind) -> dict[str, Any]:
    """Settings as written after a name, each read as what its field holds."""
    types = {f.name: f.type for f in fields(kind)}
    settings: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        require(equals == "=", f"strategy {kind.name}: expected name=value, got {part!r}")
        if types.get(key) in ("int", "float"):
            try:
                settings[key] = int(value) if types[key] == "int" else float(value)
            except ValueError as error:
                raise ConfigError(
                    f"strategy {kind.name}: {key} must be a number ({types[key]}), got {value!r}"
                ) from error
        else:
            settings[key] = value if types.get(key) == "str" else tuple(value.split("+"))
    return settings


def format_strategy(name: str, settings: Mapping[str, Any] | None) -> str:
    """A strategy as `get_strategy` reads it: its name, and the settings that are not its defaults.

    Args:
        name: Of a strategy; one that is not built in is given back as it is.
        settings: All of its settings.
    """
    if name not in STRATEGIES or settings is None:
        return name
    usual = asdict(STRATEGIES[name]())
    changed = [
        f"{key}={value if isinstance(value, (str, int, float)) else '+'.join(value)}"
        for key, value in settings.items()
        if (tuple(value) if isinstance(value, list) else value) != usual.get(key)
    ]
    return name + (":" + ",".join(changed) if changed else "")


__all__ = ["STRATEGIES", "format_strategy", "get_strategy"]
