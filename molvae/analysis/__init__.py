"""A latent space as a map: ways, neighbours, directions, ascents, and the map itself.

    >>> from molvae import analysis
    >>> path = analysis.interpolate(molvae.load("qm9"), "CCO", "CCCN")  # doctest: +SKIP
    >>> path.molecules  # doctest: +SKIP

Each function takes a `molvae.LatentSpace` and gives a frozen result that has a `table()`, and that
a function of the same kind draws. Knows chemistry by its SMILES, and asks a space only what
`molvae.latent.protocol.LatentSpaceProtocol` says. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.analysis.directions import (
        Direction,
        analogy,
        group_direction,
        head_direction,
        holding,
        property_direction,
        same_change,
        walk,
    )
    from molvae.analysis.drawing import draw_ascents, draw_path
    from molvae.analysis.gradient_ascent import (
        Ascent,
        Hill,
        ascend,
        campaign_hill,
        direction_hill,
        head_hill,
    )
    from molvae.analysis.grids import draw_chart, draw_neighbours
    from molvae.analysis.interpolation import LatentPath, Stop, interpolate
    from molvae.analysis.neighbors import Neighbour, Neighbourhood, neighbours
    from molvae.analysis.projection import Chart, Spot, chart

_HOMES = {
    "Ascent": "gradient_ascent",
    "Chart": "projection",
    "Direction": "directions",
    "Hill": "gradient_ascent",
    "LatentPath": "interpolation",
    "Neighbour": "neighbors",
    "Neighbourhood": "neighbors",
    "Spot": "projection",
    "Stop": "interpolation",
    "analogy": "directions",
    "ascend": "gradient_ascent",
    "campaign_hill": "gradient_ascent",
    "chart": "projection",
    "direction_hill": "gradient_ascent",
    "draw_ascents": "drawing",
    "draw_chart": "grids",
    "draw_neighbours": "grids",
    "draw_path": "drawing",
    "group_direction": "directions",
    "head_direction": "directions",
    "head_hill": "gradient_ascent",
    "holding": "directions",
    "interpolate": "interpolation",
    "neighbours": "neighbors",
    "property_direction": "directions",
    "same_change": "directions",
    "walk": "directions",
}

__all__ = [
    "Ascent",
    "Chart",
    "Direction",
    "Hill",
    "LatentPath",
    "Neighbour",
    "Neighbourhood",
    "Spot",
    "Stop",
    "analogy",
    "ascend",
    "campaign_hill",
    "chart",
    "direction_hill",
    "draw_ascents",
    "draw_chart",
    "draw_neighbours",
    "draw_path",
    "group_direction",
    "head_direction",
    "head_hill",
    "holding",
    "interpolate",
    "neighbours",
    "property_direction",
    "same_change",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae.analysis' has no attribute {name!r}")
    return getattr(import_module(f"molvae.analysis.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
