"""How far a Pareto search came: the volume between a reference point and the front.

Numbers only; in every column larger is better.
"""

from __future__ import annotations

import numpy as np

from molvae.bo.goals import Aim, Array, nondominated

EXACT = 3
"""Goals up to which volumes are exact; beyond, that takes minutes, and they are estimated."""
DRAWS = 2**14
"""Points of an estimate, whose standard error is then below 0.4 % of the whole box."""


def reference_point(aim: Aim, columns: Array) -> Array:
    """What is as bad as it gets: each goal's `worst` if it has one, else the worst value told.

    Args:
        aim: With several goals.
        columns: Of goals, `n x len(goals)`, n from 1.

    Returns:
        `len(goals)`, in columns.
    """
    point: Array = columns.min(axis=0)
    for place, goal in enumerate(aim.goals):
        if goal.worst is not None:
            # Of a range, `worst` is a distance outside.
            point[place] = (
                -goal.worst if goal.direction == "range" else goal.column(np.array([goal.worst]))[0]
            )
    return point


def growth(columns: Array, reference: Array) -> Array:
    """The volume after each row; exact up to `EXACT` columns, else estimated.

    Args:
        columns: `n x m`; a row of NaN adds nothing.
        reference: `m`; a row adds nothing if it is not better in every column.

    Returns:
        `n`, never falling.
    """
    add = _Exact(reference) if columns.shape[1] <= EXACT else _Estimate(reference, columns)
    total, path = 0.0, np.empty(len(columns))
    for row, point in enumerate(columns):
        if (point > reference).all():  # never of NaN
            total += add(point)
        path[row] = total
    return path


def volume(points: Array, reference: Array) -> float:
    """Of the union of boxes from `reference`, `m`, to each of the points, `n x m`, exactly.

    Cut into slabs along the last column.

    References:
        While et al. (2006), doi:10.1109/TEVC.2005.851275.
    """
    points = points[(points > reference).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max() - reference[0])
    points = points[np.argsort(-points[:, -1], kind="stable")]
    heights = points[:, -1] - np.append(points[1:, -1], reference[-1])
    if points.shape[1] == 2:
        return float((np.maximum.accumulate(points[:, 0]) - reference[0]) @ heights)
    slabs = [
        height * volume(points[: row + 1, :-1], reference[:-1]) if height > 0 else 0.0
        for row, height in enumerate(heights)
    ]
    return float(sum(slabs))


class _Exact:
    """What each new point adds to the points before."""

    def __init__(self, reference: Array) -> None:
        self.reference = reference
        self.front = np.empty((0, len(reference)))

    def __call__(self, point: Array) -> float:
        if (self.front >= point).all(axis=1).any():
            return 0.0
        own = float(np.prod(point - self.reference))
        shared = np.unique(np.minimum(self.front, point), axis=0)
        added = own - volume(shared[nondominated(shared)], self.reference)
        self.front = np.vstack([self.front[~(self.front <= point).all(axis=1)], point])
        return max(0.0, added)


class _Estimate:
    """The same from the share of points of a box, the same ones for all rows."""

    def __init__(self, reference: Array, columns: Array) -> None:
        size = np.maximum(np.nanmax(columns, axis=0) - reference, 0.0)
        draws = np.random.default_rng(0).random((DRAWS, len(reference)))
        self.left, self.each = reference + size * draws, float(np.prod(size)) / DRAWS

    def __call__(self, point: Array) -> float:
        inside = (self.left <= point).all(axis=1)
        self.left = self.left[~inside]
        return self.each * float(inside.sum())


__all__ = ["EXACT", "growth", "reference_point", "volume"]
