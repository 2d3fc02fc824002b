"""The noise and temperature with which a model generates by default."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.latent.space import LatentSpace

NOISES, TEMPERATURES = (0.6, 0.7, 0.8), (0.0, 0.6, 0.7, 0.75, 0.8)
"""Values that are compared."""
N_GENERATED = 10_000
"""Molecules for each, if the data set has as many: the standard error of their mean is a hundredth
of their standard deviation."""


def calibrate_sampling(
    space: LatentSpace, known: NDArray[np.float64], *, seed: int = 0, workers: int | None = None
) -> tuple[float, float]:
    """Noise and temperature whose generated molecules are nearest to others in logP, SAS and QED.

    The worst of the three decides: the difference of means, in standard deviations of the other
    molecules, or the difference of the ratio of standard deviations from 1.

    Args:
        space: Of a model with noise conditioning.
        known: Properties of the training molecules, `n x 3`; held-out ones are too few to tell
            settings apart.
        seed: Of the samples; the same for every setting.
        workers: Processes that score; None for one per core.
    """
    n = min(N_GENERATED, len(known))
    settings = [(noise, temperature) for noise in NOISES for temperature in TEMPERATURES]
    off = []
    for noise, temperature in settings:
        drawn = space.generate(n, seed, noise=noise, temperature=temperature)
        here = score([m for m in drawn if m is not None], DEFAULT_PROPERTIES, workers=workers)
        off.append(_distance(here, known))
    return settings[int(np.argmin(off))]


def _distance(here: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    """See `calibrate_sampling`; infinite if there is nothing to compare."""
    if min(len(here), len(there)) < 2:
        return math.inf
    sd = np.nanstd(there, axis=0)
    shift = np.abs(np.nanmean(here, axis=0) - np.nanmean(there, axis=0)) / sd
    spread = np.abs(np.nanstd(here, axis=0) / sd - 1)
    return float(np.nan_to_num(np.maximum(shift, spread), nan=math.inf).max())
