"""How the molecules of a campaign are distributed: in properties and in the latent space."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from molvae.analysis.summary import CampaignSummary, Row, evenly
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import MolvaeError

SAMPLE = 500
"""Maximum number of molecules of each group whose properties are computed."""


@dataclass(frozen=True, kw_only=True)
class MapPoint:
    """A trial on the map."""

    row: Row
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Map:
    """Latent vectors on their first two principal components."""

    places: list[MapPoint]
    """The worst first, so that the best are drawn over them."""
    shares: tuple[float, float]
    """Fractions of the variance."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A property of the initial molecules, of the new ones, and of the data set."""

    name: str
    start: list[float]
    new: list[float]
    dataset: list[float] = field(default_factory=list)


def latent_map(found: CampaignSummary) -> Map | None:
    """The latent vectors on their first two principal components, or None."""
    rows = found.ranked[::-1]
    z = [np.frombuffer(r.trial.z_bytes, "<f8", count=len(r.trial.z_bytes) // 8) for r in rows]
    sizes = {len(row) for row in z}
    if len(z) < 3 or len(sizes) != 1 or min(sizes) < 2:
        return None
    from sklearn.decomposition import PCA

    points = np.stack(z).astype(np.float64)
    there = np.asarray(np.isfinite(points).all(axis=1))
    if there.sum() < 3:
        return None
    pca = PCA(2, svd_solver="full").fit(points[there])
    if not pca.explained_variance_[0] > 0:
        return None
    where, shares = pca.transform(points[there]), pca.explained_variance_ratio_
    kept = [row for row, is_there in zip(rows, there.tolist(), strict=True) if is_there]
    return Map(
        places=[
            MapPoint(row=row, x=float(x), y=float(y))
            for row, (x, y) in zip(kept, where.tolist(), strict=True)
        ],
        shares=(float(shares[0]), float(shares[1])),
    )


def distributions(found: CampaignSummary) -> list[Distribution]:
    """Properties of molecules with values, beside those of the data set."""
    from molvae.chem.properties import score

    rows = [
        row
        for group in (False, True)
        for row in evenly([row for row in found.rows if row.place and row.new == group], SAMPLE)
    ]
    table = score([row.trial.smiles for row in rows], DEFAULT_PROPERTIES, workers=1)
    new = np.array([row.new for row in rows], dtype=bool)
    sample = None if found.dataset is None else dataset_properties(found.dataset)

    def finite(column: NDArray[np.float64]) -> list[float]:
        return [float(value) for value in column if math.isfinite(value)]

    return [
        Distribution(
            name=name,
            start=finite(table[~new, i]),
            new=finite(table[new, i]),
            dataset=[] if sample is None else finite(sample[:, i]),
        )
        for i, name in enumerate(DEFAULT_PROPERTIES)
    ]


@lru_cache(maxsize=4)
def dataset_properties(name: str) -> NDArray[np.float64] | None:
    """Properties of random molecules of a data set, or None if it is not installed."""
    from molvae.chem.datasets import DATASETS, sample_molecules
    from molvae.chem.properties import score

    if name not in DATASETS:  # a record may hold any path: nothing is read from there
        return None
    try:
        return score(sample_molecules(name, SAMPLE, seed=0), DEFAULT_PROPERTIES, workers=1)
    except MolvaeError:
        return None


__all__ = [
    "SAMPLE",
    "Distribution",
    "Map",
    "MapPoint",
    "dataset_properties",
    "distributions",
    "latent_map",
]
