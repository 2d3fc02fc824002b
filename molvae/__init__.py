"""molvae: optimize molecules in a learned, continuous space.

    >>> import molvae
    >>> space = molvae.load("druglike")
    >>> space.decode(space.encode(["CCO"]))  # doctest: +SKIP
    ['CCO']

Names are imported when first used, so that `import molvae` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from molvae._version import __version__ as __version__

if TYPE_CHECKING:
    from molvae import analysis, bo
    from molvae.campaign.campaign import Campaign
    from molvae.chem.molecules import canonical
    from molvae.chem.properties import properties
    from molvae.latent.library import Library
    from molvae.latent.loading import load
    from molvae.latent.space import LatentSpace
    from molvae.latent.train import train
    from molvae.latent.tuning import tuned as tune
    from molvae.objectives.problem import Constraint, Objective, OptimizationProblem
    from molvae.objectives.registry import get_objective, objective

_HOMES = {
    "Campaign": "molvae.campaign.campaign",
    "Constraint": "molvae.objectives.problem",
    "LatentSpace": "molvae.latent.space",
    "Library": "molvae.latent.library",
    "Objective": "molvae.objectives.problem",
    "OptimizationProblem": "molvae.objectives.problem",
    "canonical": "molvae.chem.molecules",
    "get_objective": "molvae.objectives.registry",
    "load": "molvae.latent.loading",
    "objective": "molvae.objectives.registry",
    "properties": "molvae.chem.properties",
    "train": "molvae.latent.train",
    "tune": "molvae.latent.tuning:tuned",
}

__all__ = [
    "Campaign",
    "Constraint",
    "LatentSpace",
    "Library",
    "Objective",
    "OptimizationProblem",
    "analysis",
    "bo",
    "canonical",
    "get_objective",
    "load",
    "objective",
    "properties",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in ("analysis", "bo"):
        return import_module(f"molvae.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
