"""What a linear model reads off latent vectors: descriptors and structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import descriptors, morgan_counts
from molvae.config import check_seed
from molvae.latent.space import LatentSpace
from molvae.model.isolation import isolated

N_COMPONENTS = 64
"""Principal components of Morgan counts."""
FOLDS, FEWEST = 5, 2 * N_COMPONENTS
"""Folds of cross-validation, and molecules from which it is done."""


@isolated()
def linear_readout(space: LatentSpace, smiles: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Cross-validated R2 of ridge regression from z to descriptors and to structure.

    Args:
        space: The model.
        smiles: Distinct molecules that it can encode.
        seed: Seed of the five folds.

    Returns:
        `r2_ridge_descriptors`: mean over the descriptors of the surrogates (17, without those that
        are the same for all molecules); `r2_ridge_morgan`: mean over the first 64 principal
        components of Morgan counts (radius 2, 2,048 columns). NaN with fewer than 128 molecules.
    """
    seed = check_seed(seed)
    if len(smiles) < FEWEST:
        return {"r2_ridge_descriptors": np.nan, "r2_ridge_morgan": np.nan}
    from sklearn.decomposition import PCA

    z = space.encode(smiles).numpy()
    described = descriptors(smiles)
    counts = morgan_counts(smiles, radius=2, size=2048).astype(np.float32)
    components = PCA(N_COMPONENTS, svd_solver="randomized", random_state=seed % 2**32)
    return {
        "r2_ridge_descriptors": _r2(z, described[:, described.std(axis=0) > 0], seed),
        "r2_ridge_morgan": _r2(z, components.fit_transform(counts), seed),
    }


def _r2(z: NDArray[np.float64], y: NDArray[np.floating], seed: int) -> float:
    """Mean over the columns of y of the R2 of held-out folds."""
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
    folds = KFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    return float(r2_score(y, cross_val_predict(model, z, y, cv=folds)))


__all__ = ["linear_readout"]
