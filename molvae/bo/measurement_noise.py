"""Variances of measured values, pooled over replicates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PRIOR_DEGREES = 4
"""Degrees of freedom of the pooled variance, beside those of a value's own replicates; and those of
the variance that is expected before any replicates are known."""
PRIOR_SHARE = 0.05  # variance expected before, as a share of the variance of all values
MEDIAN_SHARE = 0.455  # median of the variance of two replicates, as a share of the true variance
GROSS_ERROR_RATIO = 25.0
"""Ratio to the usual variance above which a variance is a gross error: five std."""


def variances_of_means(
    values: Sequence[float | None],
    errors: Sequence[float | None],
    replicates: Sequence[Sequence[float]],
) -> NDArray[np.float64]:
    """Variances of values, which may be means of replicates.

    Variances of replicates are shrunk towards the pooled variance, so that two that agree by chance
    do not count as exact. Single measurements get the pooled variance, or the median of the given
    ones if no replicates differ. The pooled variance is shrunk towards a share of the variance of
    all values: a single pair of replicates, one of which is wrong, says little about the others.

    Args:
        values: Means; None if unknown.
        errors: Standard errors, if given or computed from replicates.
        replicates: Measurements whose mean is the value; at most one if measured once.

    Returns:
        `n`; all NaN if nothing is known.

    References:
        Smyth (2004), doi:10.2202/1544-6115.1027 (moderated variances).
    """
    own = [statistics.variance(r) if len(r) > 1 else 0.0 for r in replicates]
    spread = np.array(own, dtype=np.float64)
    degrees = np.array([max(0, len(r) - 1) for r in replicates], dtype=np.float64)
    given = np.array([np.nan if e is None else e for e in errors], dtype=np.float64) ** 2
    given[degrees > 0] = np.nan
    if spread.any():
        known = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        single = _pooled(spread[degrees > 0], degrees[degrees > 0], PRIOR_SHARE * _variance(known))
    else:  # equal replicates may be rounded
        single = float(np.nanmedian(given)) if np.isfinite(given).any() else np.nan
    moderated = (PRIOR_DEGREES * single + degrees * spread) / (PRIOR_DEGREES + degrees)
    found = np.where(np.isfinite(given), given, moderated / (degrees + 1))
    return np.asarray(found, dtype=np.float64)


def _variance(values: NDArray[np.float64]) -> float:
    """A robust variance, of the median absolute deviation; 0 if half of the values are equal."""
    known = values[np.isfinite(values)]
    return float(1.4826 * np.median(abs(known - np.median(known)))) ** 2 if len(known) else 0.0


def _pooled(spread: NDArray[np.float64], degrees: NDArray[np.float64], prior: float) -> float:
    """One variance for all, robust to a set of replicates with a gross error."""
    weight = PRIOR_DEGREES if prior > 0 else 0
    every = np.append(spread, [prior * MEDIAN_SHARE] * weight)
    usual = np.quantile(every, 0.5, method="lower") / MEDIAN_SHARE
    kept = np.minimum(spread, GROSS_ERROR_RATIO * usual) if usual > 0 else spread
    return float((weight * prior + degrees @ kept) / (weight + degrees.sum()))


def complete(variances: Tensor) -> Tensor:
    """Variances, `n x m`, with NaN replaced by the median of the column, or by 0."""
    usual = variances.nanquantile(0.5, dim=0)
    return torch.where(variances.isnan(), usual, variances).nan_to_num()
