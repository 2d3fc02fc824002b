"""Bayesian optimisation: what is known, a surrogate for it, and which molecules to ask for next.

Knows BoTorch and the interface of a latent space, and of chemistry how alike two molecules are and
how one becomes another. Knows no networks. Names are imported when first used, so that reading a
record needs no BoTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.bo.evidence import Candidate, Evidence, Space, Strategy
    from molvae.bo.genetic import Genetic
    from molvae.bo.gradient import Gradient
    from molvae.bo.proposals import decode_new
    from molvae.bo.rank import Rank
    from molvae.bo.store import Store, Trial
    from molvae.bo.strategy import STRATEGIES, LogEI, Random, Thompson, get_strategy
    from molvae.bo.surrogate import fit_gp
    from molvae.bo.turbo import Turbo

_HOMES = {
    "STRATEGIES": "molvae.bo.strategy",
    "Candidate": "molvae.bo.evidence",
    "Evidence": "molvae.bo.evidence",
    "Genetic": "molvae.bo.genetic",
    "Gradient": "molvae.bo.gradient",
    "LogEI": "molvae.bo.strategy",
    "Random": "molvae.bo.strategy",
    "Rank": "molvae.bo.rank",
    "Space": "molvae.bo.evidence",
    "Store": "molvae.bo.store",
    "Strategy": "molvae.bo.evidence",
    "Thompson": "molvae.bo.strategy",
    "Trial": "molvae.bo.store",
    "Turbo": "molvae.bo.turbo",
    "decode_new": "molvae.bo.proposals",
    "fit_gp": "molvae.bo.surrogate",
    "get_strategy": "molvae.bo.strategy",
}

__all__ = [
    "STRATEGIES",
    "Candidate",
    "Evidence",
    "Genetic",
    "Gradient",
    "LogEI",
    "Random",
    "Rank",
    "Space",
    "Store",
    "Strategy",
    "Thompson",
    "Trial",
    "Turbo",
    "decode_new",
    "fit_gp",
    "get_strategy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae.bo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
