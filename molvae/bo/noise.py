"""How far measured values are to be believed.

A standard deviation from two or three replicates is hardly known itself, and a value that was
measured once is as rough as all others of its kind. So the variances of replicates are pooled.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PRIOR_DEGREES = 4
"""Degrees of freedom that the pooled variance counts for, beside a value's own replicates."""
MEDIAN_SHARE = 0.455
"""Median of the variance of two replicates, as a share of the true variance."""
GROSS = 25.0
"""Times the true variance, above which that of some replicates is a gross error: five standard
deviations."""


def variances_of_means(
    errors: Sequence[float | None], replicates: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """Variances of values, some of which are means of replicates.

    Those of replicates are shrunk towards the pooled one, so that two that happen to agree are not
    taken for exact. A value that was measured once has the pooled variance; where no replicates
    differ, the median of the variances that were given.

    Args:
        errors: Standard errors, where they were given or follow from replicates.
        replicates: Measurements of which each value is the mean; empty or one: it was measured
            once.

    Returns:
        `n`; NaN everywhere if nothing is known.

    References:
        Smyth (2004), doi:10.2202/1544-6115.1027 (moderated variances).
    """
    own = [statistics.variance(r) if len(r) > 1 else 0.0 for r in replicates]
    spread = np.array(own, dtype=np.float64)
    degrees = np.array([max(0, len(r) - 1) for r in replicates], dtype=np.float64)
    given = np.array([np.nan if e is None else e for e in errors], dtype=np.float64) ** 2
    given[degrees > 0] = np.nan
    if spread.any():
        single = _pooled(spread[degrees > 0], degrees[degrees > 0])
    else:  # all that agrees may be rounded
        single = float(np.nanmedian(given)) if np.isfinite(given).any() else np.nan
    moderated = (PRIOR_DEGREES * single + degrees * spread) / (PRIOR_DEGREES + degrees)
    found = np.where(np.isfinite(given), given, moderated / (degrees + 1))
    return np.asarray(found, dtype=np.float64)


def _pooled(spread: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """One variance for all; one set of replicates with a gross error does not make it large."""
    usual = np.quantile(spread, 0.5, method="lower") / MEDIAN_SHARE
    kept = np.minimum(spread, GROSS * usual) if usual > 0 else spread
    return float((degrees * kept).sum() / degrees.sum())


def complete(variances: Tensor) -> Tensor:
    """Variances, `n x m`, in which NaN is replaced by the median of the others of its column.

    0 in a column in which nothing is known.
    """
    usual = variances.nanquantile(0.5, dim=0)
    return torch.where(variances.isnan(), usual, variances).nan_to_num()


__all__ = ["complete", "variances_of_means"]
