"""Campaigns that start from analogues stay near them at first."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from molvae.bo.base import Observations
from molvae.bo.origins import START
from molvae.chem.fingerprints import morgan_bits, tanimoto

ANALOG_SIMILARITY = 0.5
"""Tanimoto similarity of ECFP4 bits from which on two molecules are analogues."""
MAX_ANALOGS = 2000  # largest number of initial molecules that are compared with each other


@lru_cache(maxsize=4)
def nearest_similarities(smiles: tuple[str, ...]) -> NDArray[np.float64] | None:
    """Similarity of each molecule to the nearest other one; None if they are no analogues."""
    if not 2 <= len(smiles) <= MAX_ANALOGS:
        return None
    bits = morgan_bits(smiles)
    similar = tanimoto(bits, bits)
    np.fill_diagonal(similar, 0.0)
    nearest: NDArray[np.float64] = similar.max(axis=1)
    return None if np.median(nearest) < ANALOG_SIMILARITY else nearest


def similarity_floor(observations: Observations) -> float:
    """Similarity to an observed molecule that candidates need at first; 0: none.

    If the initial molecules are analogues, candidates must be as similar to one of them as these
    are to each other, all but a tenth, until half as many molecules were proposed. From there on
    the floor sinks, to 0 at as many.
    """
    start = [i for i, origin in enumerate(observations.origins) if origin == START]
    nearest = nearest_similarities(tuple(observations.smiles[i] for i in start))
    if nearest is None:
        return 0.0
    left = 2 * (1 - (len(observations.smiles) - len(start)) / len(start))
    return float(np.clip(left, 0.0, 1.0) * np.quantile(nearest, 0.1))
