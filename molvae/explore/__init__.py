"""A latent space as a map: ways, neighbours, directions, ascents, and the map itself.

    >>> from molvae import explore
    >>> path = explore.interpolate(molvae.load("qm9"), "CCO", "CCCN")  # doctest: +SKIP
    >>> path.molecules  # doctest: +SKIP

Each function takes a `molvae.LatentSpace` and gives a frozen result that has a `table()`, and that
a function of the same kind draws. Knows chemistry by its SMILES, and asks a space only what
`molvae.explore.space.Space` says. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.explore.ascent import (
        Ascent,
        Hill,
        ascend,
        campaign_hill,
        direction_hill,
        head_hill,
    )
    from molvae.explore.directions import (
        Direction,
        analogy,
        group_direction,
        head_direction,
        holding,
        property_direction,
        same_change,
        walk,
    )
    from molvae.explore.drawing import draw_ascents, draw_path
    from molvae.explore.grids import draw_chart, draw_neighbours
    from molvae.explore.neighbourhood import Neighbour, Neighbourhood, neighbours
    from molvae.explore.paths import LatentPath, Stop, interpolate
    from molvae.explore.plane import Chart, Spot, chart

_HOMES = {
    "Ascent": "ascent",
    "Chart": "plane",
    "Direction": "directions",
    "Hill": "ascent",
    "LatentPath": "paths",
    "Neighbour": "neighbourhood",
    "Neighbourhood": "neighbourhood",
    "Spot": "plane",
    "Stop": "paths",
    "analogy": "directions",
    "ascend": "ascent",
    "campaign_hill": "ascent",
    "chart": "plane",
    "direction_hill": "ascent",
    "draw_ascents": "drawing",
    "draw_chart": "grids",
    "draw_neighbours": "grids",
    "draw_path": "drawing",
    "group_direction": "directions",
    "head_direction": "directions",
    "head_hill": "ascent",
    "holding": "directions",
    "interpolate": "paths",
    "neighbours": "neighbourhood",
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
        raise AttributeError(f"module 'molvae.explore' has no attribute {name!r}")
    return getattr(import_module(f"molvae.explore.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
