"""Bayesian optimization with BoTorch: from observations to the next molecules to evaluate.

Names are imported when first used, so that reading a campaign file needs no BoTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.bo.base import Candidate, Observations, Strategy
    from molvae.bo.candidates import decode_novel
    from molvae.bo.strategies.genetic import Genetic
    from molvae.bo.strategies.gradient import Gradient
    from molvae.bo.strategies.log_ei import LogEI
    from molvae.bo.strategies.random import Random
    from molvae.bo.strategies.rank import Rank
    from molvae.bo.strategies.registry import get_strategy
    from molvae.bo.strategies.thompson import Thompson
    from molvae.bo.strategies.turbo import Turbo
    from molvae.bo.surrogate import fit_gp
    from molvae.config import STRATEGIES

_HOMES = {
    "STRATEGIES": "molvae.config",
    "Candidate": "molvae.bo.base",
    "Observations": "molvae.bo.base",
    "Genetic": "molvae.bo.strategies.genetic",
    "Gradient": "molvae.bo.strategies.gradient",
    "LogEI": "molvae.bo.strategies.log_ei",
    "Random": "molvae.bo.strategies.random",
    "Rank": "molvae.bo.strategies.rank",
    "Strategy": "molvae.bo.base",
    "Thompson": "molvae.bo.strategies.thompson",
    "Turbo": "molvae.bo.strategies.turbo",
    "decode_novel": "molvae.bo.candidates",
    "fit_gp": "molvae.bo.surrogate",
    "get_strategy": "molvae.bo.strategies.registry",
}

__all__ = [
    "STRATEGIES",
    "Candidate",
    "Genetic",
    "Gradient",
    "LogEI",
    "Observations",
    "Random",
    "Rank",
    "Strategy",
    "Thompson",
    "Turbo",
    "decode_novel",
    "fit_gp",
    "get_strategy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae.bo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
