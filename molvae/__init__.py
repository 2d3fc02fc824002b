"""molvae: optimise molecules in a learned, continuous space.

    >>> import molvae
    >>> space = molvae.load("zinc250k")
    >>> space.decode(space.encode(["CCO"]))  # doctest: +SKIP
    ['CCO']

Names are imported when first used, so that `import molvae` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from molvae import explore
    from molvae.campaign import Campaign
    from molvae.chem.mol import canonical
    from molvae.chem.objective import get_objective, objective
    from molvae.chem.properties import properties
    from molvae.latent import LatentSpace, load

_HOMES = {
    "Campaign": "molvae.campaign",
    "LatentSpace": "molvae.latent",
    "canonical": "molvae.chem.mol",
    "get_objective": "molvae.chem.objective",
    "load": "molvae.latent",
    "objective": "molvae.chem.objective",
    "properties": "molvae.chem.properties",
}

__all__ = [
    "Campaign",
    "LatentSpace",
    "canonical",
    "explore",
    "get_objective",
    "load",
    "objective",
    "properties",
]


def __getattr__(name: str) -> Any:
    if name == "explore":
        return import_module("molvae.explore")
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
