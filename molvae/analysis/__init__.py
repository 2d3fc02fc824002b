"""Exploring a latent space: paths, neighbors, directions, gradient ascents, and maps.

    >>> from molvae import analysis
    >>> path = analysis.interpolate(molvae.load("qm9"), "CCO", "CCCN")  # doctest: +SKIP
    >>> path.molecules  # doctest: +SKIP

Each function takes a `molvae.LatentSpace` and returns a frozen result that has a `table()`, and
that a function of `grids` draws. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.analysis.ascent import AscentPath as AscentPath
    from molvae.analysis.ascent import AscentTarget as AscentTarget
    from molvae.analysis.ascent import campaign_target as campaign_target
    from molvae.analysis.ascent import direction_target as direction_target
    from molvae.analysis.ascent import gradient_ascent as gradient_ascent
    from molvae.analysis.ascent import head_target as head_target
    from molvae.analysis.directions import LatentDirection as LatentDirection
    from molvae.analysis.directions import analogy as analogy
    from molvae.analysis.directions import group_direction as group_direction
    from molvae.analysis.directions import head_direction as head_direction
    from molvae.analysis.directions import orthogonalize as orthogonalize
    from molvae.analysis.directions import property_direction as property_direction
    from molvae.analysis.directions import same_transformation as same_transformation
    from molvae.analysis.directions import traverse as traverse
    from molvae.analysis.grids import draw_ascents as draw_ascents
    from molvae.analysis.grids import draw_neighbors as draw_neighbors
    from molvae.analysis.grids import draw_path as draw_path
    from molvae.analysis.grids import draw_projection as draw_projection
    from molvae.analysis.interpolation import LatentPath as LatentPath
    from molvae.analysis.interpolation import Segment as Segment
    from molvae.analysis.interpolation import interpolate as interpolate
    from molvae.analysis.neighborhood import Neighbor as Neighbor
    from molvae.analysis.neighborhood import Neighborhood as Neighborhood
    from molvae.analysis.neighborhood import neighbors as neighbors
    from molvae.analysis.projection import ProjectedMolecule as ProjectedMolecule
    from molvae.analysis.projection import Projection as Projection
    from molvae.analysis.projection import project as project

_NAMES = {
    "ascent": "AscentPath AscentTarget campaign_target direction_target gradient_ascent "
    "head_target",
    "directions": "LatentDirection analogy group_direction head_direction orthogonalize "
    "property_direction same_transformation traverse",
    "grids": "draw_ascents draw_neighbors draw_path draw_projection",
    "interpolation": "LatentPath Segment interpolate",
    "neighborhood": "Neighbor Neighborhood neighbors",
    "projection": "ProjectedMolecule Projection project",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae.analysis' has no attribute {name!r}")
    return getattr(import_module(f"molvae.analysis.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
