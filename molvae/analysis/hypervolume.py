"""How far a Pareto search came: the volume between a reference point and the front.

Numbers only; in every column larger is better.
"""

from __future__ import annotations

import numpy as np

from molvae.objectives.problem import Array, OptimizationProblem, is_non_dominated

EXACT = 3
"""Goals up to which volumes are exact; beyond, that takes minutes, and they are estimated."""


STEPS = 500
"""Volumes that are computed at most along a search."""


DRAWS = 2**14
"""Points of an estimate, whose standard error is then below 0.4 % of the whole box."""


def reference_point(problem: OptimizationProblem, columns: Array) -> Array:
    """What is as bad as it gets: each goal's `worst` if it has one, else the worst value told.

    Args:
        problem: With several goals.
        columns: Of goals, `n x len(goals)`, n from 1.

    Returns:
        `len(goals)`, in columns.
    """
    point: Array = columns.min(axis=0)
    for place, goal in enumerate(problem.goals):
        if goal.worst is not None:
            # Of a range, `worst` is a distance outside.
            point[place] = (
                -goal.worst
                if goal.direction == "range"
                else goal.to_maximization(np.array([goal.worst]))[0]
            )
    return point


def hypervolume_trace(columns: Array, reference: Array) -> Array:
    """The volume after each row; exact up to `EXACT` columns, else estimated.

    Of many rows it is computed after every few, `STEPS` times in all, and stays as it is in
    between.

    Args:
        columns: `n x m`; a row of NaN adds nothing.
        reference: `m`; a row adds nothing if it is not better in every column.

    Returns:
        `n`, never falling.
    """
    measure = volume if columns.shape[1] <= EXACT else _Estimate(reference, columns)
    path, total, begin = np.zeros(len(columns)), 0.0, 0
    front = np.empty((0, len(reference)))
    ends = np.linspace(0, len(columns), min(STEPS, len(columns)) + 1).round().astype(int)[1:]
    for end in ends.tolist():
        new = columns[begin:end]
        new = new[(new > reference).all(axis=1)]  # never of NaN
        beaten = [bool((front >= point).all(axis=1).any()) for point in new]
        new = new[~np.array(beaten, dtype=bool)]
        if len(new):
            front = np.vstack([front, new])
            front = front[is_non_dominated(front)]
            total = max(total, measure(front, reference))
        path[end - 1 :] = total
        begin = end
    return path


def volume(points: Array, reference: Array) -> float:
    """Of the union of boxes from `reference`, `m`, to each of the points, `n x m`, exactly."""
    from moocore import hypervolume  # type: ignore[import-untyped]

    points = points[(points > reference).all(axis=1)]
    if not len(points):
        return 0.0
    return float(hypervolume(points, ref=reference, maximise=True))


class _Estimate:
    """The same from the share of points of a box, the same ones for all fronts of a search."""

    def __init__(self, reference: Array, columns: Array) -> None:
        size = np.maximum(np.nanmax(columns, axis=0) - reference, 0.0)
        draws = np.random.default_rng(0).random((DRAWS, len(reference)))
        self.left, self.size = reference + size * draws, float(np.prod(size))
        self.seen = set[bytes]()

    def __call__(self, points: Array, reference: Array) -> float:
        for point in points:
            if (row := point.tobytes()) not in self.seen:
                self.seen.add(row)
                self.left = self.left[~(self.left <= point).all(axis=1)]
        return self.size * (1 - len(self.left) / DRAWS)


__all__ = ["EXACT", "hypervolume_trace", "reference_point", "volume"]
