"""Expected values of censored measurements, of which only a limit is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_ndtr  # type: ignore[import-untyped]
from torch import Tensor

from molvae.bo.features import features
from molvae.bo.kernels import Columns, GramMatrices
from molvae.bo.surrogate import molecule_gp, reproducible
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS

KERNEL, FINGERPRINT_RADIUS = "tanimoto+descriptors", 1
NOISE_VARIANCE = 0.3
"""Variance of measured scores around the modeled ones. A process that takes values for exact is too
sure of what it predicts, and then censored values can do harm: see docs/how-it-works.md."""
N_ROUNDS = 4  # rounds of imputation; further ones change little
MAX_MOLECULES = 1500  # largest number of molecules; of more, censored values stay at their limits


def impute_censored(
    smiles: Sequence[str], values: Tensor, operators: Sequence[str | None]
) -> Tensor:
    """Values, with those of censored measurements replaced by their expectations.

    A Gaussian process over the molecules predicts each censored value from all others; its
    expectation is that of the predictive distribution, truncated at the limit. This is repeated
    with the expectations as values. Without a measured value, limits stay.

    Args:
        values: Measured values or limits, `n`.
        operators: `<` or `>` of a limit, None of a measured value.

    References:
        Tobin (1958), doi:10.2307/1907382 (censored regression); Dempster et al. (1977),
        doi:10.1111/j.2517-6161.1977.tb01600.x (expectation maximization).
    """
    sign = np.array([{"<": -1.0, ">": 1.0}.get(one or "", 0.0) for one in operators])
    censored = np.flatnonzero(sign)
    if not len(censored) or len(censored) == len(sign) or len(sign) > MAX_MOLECULES:
        return values
    transform = ScoreTransform(values, "neither", linear=False)
    limits = transform(values)
    scores, x = limits.clone(), features(smiles, FINGERPRINT_RADIUS)
    noise = torch.full_like(scores[:, None], NOISE_VARIANCE)
    bounds = torch.empty(2, 0, dtype=torch.float64)  # z is not used
    gram = GramMatrices(Columns(bounds, len(DESCRIPTORS), x))
    with reproducible():
        for _ in range(N_ROUNDS):
            model = molecule_gp(
                x,
                scores[:, None],
                bounds,
                kernel=KERNEL,
                n_descriptors=len(DESCRIPTORS),
                noise=noise,
                gram=gram,
            )
            mean, std, _ = (part.numpy()[censored] for part in model.leave_one_out())
            found = truncated_mean(mean, std, limits.numpy()[censored], sign[censored])
            scores[censored] = torch.from_numpy(found)
    imputed = values.clone()
    imputed[censored] = transform.inverse(scores[censored])
    return imputed


def truncated_mean(
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    limit: NDArray[np.float64],
    sign: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Means of normal distributions below (sign -1) or above (sign 1) a limit, each `n`.

    >>> truncated_mean(*np.array([[0.0], [1.0], [0.0], [1.0]])).round(4)  # sqrt(2 / pi)
    array([0.7979])
    """
    beyond = sign * (mean - limit) / std
    hazard = np.exp(-0.5 * beyond**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(beyond))
    found: NDArray[np.float64] = mean + sign * std * hazard
    return np.where(sign > 0, np.maximum(found, limit), np.minimum(found, limit))
