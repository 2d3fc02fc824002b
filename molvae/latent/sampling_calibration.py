"""The noise and temperature with which a model generates by default."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.latent.space import LatentSpace

NOISES, TEMPERATURES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95), (0.0, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Values that are compared."""
N_FIRST, N_LAST, N_FINALISTS = 1_500, 10_000, 5
"""Molecules for each of all settings; for each of the best of these, if the data set has as many;
and how many those are. The standard error of a mean of 10,000 is a hundredth of the standard
deviation."""


def calibrate_sampling(
    space: LatentSpace, known: NDArray[np.float64], *, seed: int = 0, workers: int | None = None
) -> tuple[float, float]:
    """Noise and temperature whose generated molecules are nearest to others in logP, SAS and QED.

    The worst of the three decides: the difference of means, in standard deviations of the other
    molecules, or the difference of the ratio of standard deviations from 1.

    Args:
        space: Space of a model with noise conditioning.
        known: Properties of the training molecules, `n x 3`; held-out ones are too few to tell
            settings apart.
        seed: Seed of the samples; the same for every setting.
        workers: Processes that score; None for one per core.
    """

    def distance(setting: tuple[float, float], n: int) -> float:
        noise, temperature = setting
        drawn = space.generate(min(n, len(known)), seed, noise=noise, temperature=temperature)
        here = score([m for m in drawn if m is not None], DEFAULT_PROPERTIES, workers=workers)
        return _distance(here, known)

    settings = list(product(NOISES, TEMPERATURES))
    finalists = sorted(settings, key=lambda setting: distance(setting, N_FIRST))[:N_FINALISTS]
    return min(finalists, key=lambda setting: distance(setting, N_LAST))


def _distance(here: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    """See `calibrate_sampling`; infinite if there is nothing to compare."""
    if min(len(here), len(there)) < 2:
        return math.inf
    std = np.nanstd(there, axis=0)
    shift = np.abs(np.nanmean(here, axis=0) - np.nanmean(there, axis=0)) / std
    spread = np.abs(np.nanstd(here, axis=0) / std - 1)
    return float(np.nan_to_num(np.maximum(shift, spread), nan=math.inf).max())
