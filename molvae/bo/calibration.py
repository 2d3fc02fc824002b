"""Widths of predicted intervals, from the errors that the model would have made before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]
from torch import Tensor

from molvae.bo.exact_gp import ExactGP
from molvae.bo.prediction import INTERVALS
from molvae.bo.transforms import GoodEnd, ScoreTransform

TAIL_DEGREES, WIDTH = 4, 0.82
"""Degrees of freedom and scale of Student's t for predictions: errors have heavier tails than a
normal distribution. Of 2,070 molecules that `rank` proposed on four tasks, half of the errors were
below 0.58 standard deviations, and 90 % below 1.76."""
N_LATEST = 30
"""Latest proposals by whose errors intervals are calibrated."""
N_EXPECTED = 20
"""Number of expected errors that are added to the observed ones."""


def quantiles(
    levels: Sequence[float] | NDArray[np.float64], factors: Sequence[float] = (1.0, 1.0)
) -> NDArray[np.float64]:
    """Quantiles of an error in standard deviations; `factors` widen the `INTERVALS`."""
    levels = np.asarray(levels)
    widened = np.interp(np.abs(2 * levels - 1), INTERVALS, factors)
    found: NDArray[np.float64] = WIDTH * widened * stdtrit(TAIL_DEGREES, levels)
    return found


def errors_by_batch(
    model: ExactGP, values: Tensor, end: GoodEnd, rows: Sequence[int], size: int
) -> NDArray[np.float64]:
    """Errors in standard deviations, each predicted from the molecules before its batch.

    Scores, prior mean and amplitude are those of the molecules before; the kernel is that of all.

    Args:
        model: Of scores that are linear in good values.
        values: Of its molecules, `n`.
        end: Which end of the values is good.
        rows: Molecules in rising order.
        size: Of a batch.
    """
    errors = []
    for start in range(0, len(rows), size):
        batch = list(rows[start : start + size])
        before = values[: batch[0]]
        if len(before) == 0:
            continue
        transform = ScoreTransform(before, end)
        mean, std = model.predicted_from_first(transform(before), batch)
        errors.append(((transform(values[batch]) - mean) / std).numpy())
    return np.concatenate(errors) if errors else np.empty(0)


def interval_factors(errors: NDArray[np.float64]) -> tuple[float, ...]:
    """Factors of the half widths of the `INTERVALS`, so that these would have held the errors.

    As in conformal prediction, they are quantiles of the absolute errors; `N_EXPECTED` errors as
    expected are added, so that few observed ones change little.
    """
    if len(errors) == 0:
        return (1.0,) * len(INTERVALS)
    levels = (np.arange(N_EXPECTED) + 0.5) / N_EXPECTED
    everything = np.sort(np.concatenate([np.abs(errors), quantiles((1 + levels) / 2)]))
    n = len(everything)
    places = [min(n, int(np.ceil(share * (n + 1)))) - 1 for share in INTERVALS]
    expected = quantiles([(1 + share) / 2 for share in INTERVALS])
    return tuple((everything[places] / expected).tolist())
