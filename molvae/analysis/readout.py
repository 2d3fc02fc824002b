"""What a linear model reads off latent vectors: descriptors and structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molvae.analysis.vectors import cross_validated_r2
from molvae.chem.fingerprints import descriptors, morgan_counts
from molvae.config import check_seed, short_seed
from molvae.latent.space import LatentSpace
from molvae.model.isolation import isolated

N_COMPONENTS = 64  # principal components of Morgan counts
MIN_MOLECULES = 2 * N_COMPONENTS


@isolated()
def linear_readout(space: LatentSpace, smiles: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Cross-validated R2 of ridge regression from z to descriptors and to structure.

    The molecules are distinct ones that the model can encode.

    Returns:
        `r2_ridge_descriptors`: mean over the descriptors of the surrogates (17, without those that
        are the same for all molecules); `r2_ridge_morgan`: mean over the first 64 principal
        components of Morgan counts (radius 2, 2,048 columns). NaN with fewer than 128 molecules.
    """
    seed = check_seed(seed)
    if len(smiles) < MIN_MOLECULES:
        return {"r2_ridge_descriptors": np.nan, "r2_ridge_morgan": np.nan}
    from sklearn.decomposition import PCA

    z = space.encode(smiles).numpy()
    described = descriptors(smiles)
    varied = described[:, np.ptp(described, axis=0) > 0]  # a std can be rounding
    counts = morgan_counts(smiles, radius=2, size=2048).astype(np.float32)
    components = PCA(N_COMPONENTS, svd_solver="randomized", random_state=short_seed(seed))
    return {
        "r2_ridge_descriptors": cross_validated_r2(z, varied, seed=seed),
        "r2_ridge_morgan": cross_validated_r2(z, components.fit_transform(counts), seed=seed),
    }
