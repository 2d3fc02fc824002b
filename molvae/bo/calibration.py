"""Calibration of predicted variances by the errors that the model would have made before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.exact_gp import ExactGP
from molvae.bo.transforms import GoodEnd, ScoreTransform

N_LATEST = 30  # latest proposals by whose errors predictions are calibrated
MAX_ERROR = 5.0  # in standard deviations; larger errors count as this


def errors_by_batch(
    model: ExactGP, values: Tensor, end: GoodEnd, rows: Sequence[int], size: int
) -> NDArray[np.float64]:
    """Errors in standard deviations, each predicted from the molecules before its batch.

    Scores, prior mean and amplitude are those of the molecules before; the kernel is that of all.

    Args:
        model: Process of scores that are linear in good values.
        values: Values of its molecules, `n`.
        end: Which end of the values is good.
        rows: Molecules in rising order.
        size: Size of a batch.
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


def variance_factor(errors: NDArray[np.float64]) -> float:
    """Mean squared error in units of the variance; one more value, 1, is averaged in."""
    return float((1 + np.square(errors.clip(-MAX_ERROR, MAX_ERROR)).sum()) / (1 + len(errors)))
