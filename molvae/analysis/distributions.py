"""How the molecules of a campaign are distributed: in properties and in the latent space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from molvae.analysis.summary import CampaignSummary, Row, evenly
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import MolvaeError

MAX_SAMPLE_SIZE = 500  # maximum number of molecules of each group whose properties are computed


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A property of the initial molecules, of the new ones, and of the data set."""

    name: str
    start: list[float]
    new: list[float]
    dataset: list[float]


def latent_map(
    found: CampaignSummary,
) -> tuple[list[tuple[float, float, Row]], tuple[float, float]] | None:
    """Latent vectors on their first two principal components.

    Returns:
        Coordinates with the trial, the worst first, so that the best are drawn over them; and the
        fractions of the variance. None if the vectors span no plane.
    """
    rows = found.ranked[::-1]
    z = [np.frombuffer(r.trial.z_bytes, "<f8", count=len(r.trial.z_bytes) // 8) for r in rows]
    kept = [row for row, vector in zip(rows, z, strict=True) if np.isfinite(vector).all()]
    if len(kept) < 3 or len({len(vector) for vector in z}) != 1 or len(z[0]) < 2:
        return None
    from sklearn.decomposition import PCA

    points = np.stack([vector for vector in z if np.isfinite(vector).all()]).astype(np.float64)
    pca = PCA(2, svd_solver="full").fit(points)
    if not pca.explained_variance_[0] > 0:
        return None
    first, second = pca.explained_variance_ratio_.tolist()
    places = zip(pca.transform(points).tolist(), kept, strict=True)
    return [(x, y, row) for (x, y), row in places], (first, second)


def distributions(found: CampaignSummary) -> list[Distribution]:
    """Properties of molecules with values, beside those of the data set."""
    from molvae.chem.properties import score

    def properties(new: bool) -> NDArray[np.float64]:
        rows = [row for row in found.rows if row.place and row.new == new]
        smiles = [row.trial.smiles for row in evenly(rows, MAX_SAMPLE_SIZE)]
        return score(smiles, DEFAULT_PROPERTIES, workers=1)

    sample = dataset_properties(found.dataset) if found.dataset is not None else None
    tables = [properties(False), properties(True), np.empty((0, 3)) if sample is None else sample]
    found_of_each = []
    for i, name in enumerate(DEFAULT_PROPERTIES):
        start, new, dataset = (t[np.isfinite(t[:, i]), i].tolist() for t in tables)
        found_of_each.append(Distribution(name=name, start=start, new=new, dataset=dataset))
    return found_of_each


@lru_cache(maxsize=4)
def dataset_properties(name: str) -> NDArray[np.float64] | None:
    """Properties of random molecules of a data set, or None if it is not installed."""
    from molvae.chem.datasets import DATASETS, sample_molecules
    from molvae.chem.properties import score

    if name not in DATASETS:  # a campaign file may hold any path: nothing is read from there
        return None
    try:
        return score(sample_molecules(name, MAX_SAMPLE_SIZE, seed=0), DEFAULT_PROPERTIES, workers=1)
    except MolvaeError:
        return None
