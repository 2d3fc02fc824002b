"""Transforms of measured values to scores, on which surrogates are trained."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri  # type: ignore[import-untyped]
from scipy.stats import rankdata  # type: ignore[import-untyped]
from torch import Tensor

from molvae.objectives.problem import outlier_floor

Array = NDArray[np.float64]
GoodEnd = Literal["high", "low", "neither"]
"""Which end of the values is good; `neither` for a range or a constraint."""
N_DECIMALS = 10
"""Decimals of values, in units of the distance from the origin to the best value, or of the
interquartile range if neither end is good."""
MAX_SHARE = 1e150  # largest value in that unit
MAX_MERIT = 1e300
"""Largest magnitude of a value before the transform, so that differences stay finite."""


class ScoreTransform:
    """A monotone map of values to scores with a standard deviation near 1, fitted to values.

    Not a BoTorch outcome transform: surrogates are trained on scores, and their posteriors stay
    posteriors of scores.

    A larger score is better, or belongs to a larger value if neither end is good. Above the origin,
    the median or the `outlier_floor`, the map is linear, so that the best values stay as far apart
    as they are. Below, the score is at least the normal score, the quantile of the standard normal
    distribution at the rank, so that it does not matter how bad outliers are. If neither end is
    good, or with `linear=False`, all scores are normal scores. Scores do not depend on unit and
    offset of the values.

    Args:
        values: `n`, finite, at least one.
        good: Which end is good.
        linear: Whether the map is linear above the origin.

    References:
        van der Waerden (1952), Indagationes Mathematicae 14, 453-458 (normal scores).
    """

    def __init__(self, values: Tensor, good: GoodEnd, *, linear: bool = True) -> None:
        self.sign = -1.0 if good == "low" else 1.0
        upward = self._upward(values)
        usual, floor = np.sort(upward), outlier_floor(upward)
        if good == "neither":
            floor, ceiling = outlier_floor(upward, 0.25), -outlier_floor(-upward, 0.25)
            inside = (usual >= floor) & (usual <= ceiling)
            usual, floor = usual[inside] if inside.any() else usual, -np.inf
        self.origin = max(float(usual[(len(usual) - 1) // 2]), floor)
        above, below = float(upward.max()) - self.origin, self.origin - float(upward.min())
        amid = float(np.subtract(*np.quantile(usual, [0.75, 0.25])))
        self.unit = (
            (amid if good == "neither" else 0.0) or above or below or abs(self.origin) or 1.0
        )
        shares = self._shares(values)
        scores = ndtri((rankdata(shares) - 0.5) / len(shares))
        knots, first = np.unique(shares, return_index=True)
        levels = scores[first]
        middle = int(np.searchsorted(knots, 0.0))
        if linear and good != "neither" and above > 0:
            far = shares > 0  # least squares through the origin
            slope = (shares * (scores - levels[middle]))[far].sum() / (shares[far] ** 2).sum()
            line = levels[middle] + slope * knots
            levels = np.where(knots > 0, line, np.maximum(line, levels))
        self.knots, self.levels = knots, levels
        rise, run = np.abs(levels[[0, -1]] - levels[middle]), np.abs(knots[[0, -1]])
        low, high = np.divide(rise, run, out=np.zeros(2), where=run > 0).tolist()
        self.slopes = (low or high or 1.0, high or low or 1.0)
        """Slopes below the worst value and above the best."""

    def _shares(self, values: Tensor) -> Array:
        """Distances from the origin in `unit`, rounded, so that the unit of the values cancels."""
        with np.errstate(over="ignore"):
            shares = (self._upward(values) - self.origin) / self.unit
        within = np.clip(shares, -MAX_SHARE, MAX_SHARE)
        rounded: Array = np.round(within, N_DECIMALS)
        return rounded

    def _upward(self, values: Tensor) -> Array:
        finite: Array = np.clip(values.detach().double().numpy(), -MAX_MERIT, MAX_MERIT)
        return self.sign * finite

    def __call__(self, values: Tensor) -> Tensor:
        """Scores of values, any shape."""
        levels = _piecewise(self._shares(values), self.knots, self.levels, self.slopes)
        return torch.from_numpy(levels)

    def inverse(self, scores: Tensor) -> Tensor:
        """Values with these scores."""
        low, high = self.slopes
        shares = _piecewise(scores.numpy(), self.levels, self.knots, (1 / low, 1 / high))
        return torch.from_numpy(self.sign * (self.origin + self.unit * shares))

    def variances(self, values: Tensor, variances: Tensor) -> Tensor:
        """Variances of scores, from the transformed interval of one std around each value."""
        std = variances.sqrt()
        return ((self(values + std) - self(values - std)) / 2).square()


def standardized(y: Tensor) -> Tensor:
    """Scores of each column of `y`, `n x m`, larger is better."""
    return _by_column([ScoreTransform(c, "high")(c) for c in y.T if len(c)], y)


def standardized_variances(y: Tensor, variances: Tensor) -> Tensor:
    """Variances of the scores of `y`, `n x m`; NaN if unknown."""
    pairs = zip(y.T, variances.T, strict=True)
    return _by_column([ScoreTransform(c, "high").variances(c, v) for c, v in pairs if len(c)], y)


def _by_column(columns: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(columns, dim=1) if columns else torch.empty_like(like)


def _piecewise(x: Array, knots: Array, levels: Array, slopes: tuple[float, float]) -> Array:
    """Linear interpolation, with given slopes beyond either end."""
    below = np.minimum(x - knots[0], 0.0) * slopes[0]
    above = np.maximum(x - knots[-1], 0.0) * slopes[1]
    found: Array = np.interp(x, knots, levels) + below + above
    return found
