"""Predictions of a value before it is measured."""

from __future__ import annotations

from typing import NamedTuple

QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Stored quantiles: the ends of the 90 % and 50 % intervals, and the median."""
INTERVALS = (0.5, 0.9)  # probabilities of the central intervals


class Prediction(NamedTuple):
    """Quantiles of a value, in rising order."""

    q05: float
    q25: float
    q50: float
    q75: float
    q95: float

    def holds(self, value: float, interval: float) -> bool:
        """Whether a value lies in one of the `INTERVALS`."""
        low, high = (self.q25, self.q75) if interval == INTERVALS[0] else (self.q05, self.q95)
        return low <= value <= high

    def negated(self) -> Prediction:
        """The prediction of the negated value."""
        return Prediction(*(-quantile for quantile in reversed(self)))
