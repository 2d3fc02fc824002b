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
    from molvae.analysis.ascent import (
        AscentPath,
        AscentTarget,
        campaign_target,
        direction_target,
        gradient_ascent,
        head_target,
    )
    from molvae.analysis.directions import (
        LatentDirection,
        analogy,
        group_direction,
        head_direction,
        orthogonalize,
        property_direction,
        same_transformation,
        traverse,
    )
    from molvae.analysis.grids import draw_ascents, draw_neighbors, draw_path, draw_projection
    from molvae.analysis.interpolation import LatentPath, Segment, interpolate
    from molvae.analysis.neighborhood import Neighbor, Neighborhood, neighbors
    from molvae.analysis.projection import ProjectedMolecule, Projection, project

_HOMES = {
    "AscentPath": "ascent",
    "Projection": "projection",
    "LatentDirection": "directions",
    "AscentTarget": "ascent",
    "LatentPath": "interpolation",
    "Neighbor": "neighborhood",
    "Neighborhood": "neighborhood",
    "ProjectedMolecule": "projection",
    "Segment": "interpolation",
    "analogy": "directions",
    "gradient_ascent": "ascent",
    "campaign_target": "ascent",
    "project": "projection",
    "direction_target": "ascent",
    "draw_ascents": "grids",
    "draw_projection": "grids",
    "draw_neighbors": "grids",
    "draw_path": "grids",
    "group_direction": "directions",
    "head_direction": "directions",
    "head_target": "ascent",
    "orthogonalize": "directions",
    "interpolate": "interpolation",
    "neighbors": "neighborhood",
    "property_direction": "directions",
    "same_transformation": "directions",
    "traverse": "directions",
}

__all__ = [
    "AscentPath",
    "AscentTarget",
    "LatentDirection",
    "LatentPath",
    "Neighbor",
    "Neighborhood",
    "ProjectedMolecule",
    "Projection",
    "Segment",
    "analogy",
    "campaign_target",
    "direction_target",
    "draw_ascents",
    "draw_neighbors",
    "draw_path",
    "draw_projection",
    "gradient_ascent",
    "group_direction",
    "head_direction",
    "head_target",
    "interpolate",
    "neighbors",
    "orthogonalize",
    "project",
    "property_direction",
    "same_transformation",
    "traverse",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae.analysis' has no attribute {name!r}")
    return getattr(import_module(f"molvae.analysis.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
