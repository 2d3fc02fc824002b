"""Progress of a Pareto search: the hypervolume after each evaluation; larger values are better."""

from __future__ import annotations

import numpy as np

from molvae.objectives.problem import Array, OptimizationProblem

MAX_EXACT_OBJECTIVES = 5  # with more, exact hypervolumes of large fronts take minutes
MAX_VOLUMES = 500  # hypervolumes computed at most along a search


def reference_point(problem: OptimizationProblem, columns: Array) -> Array:
    """Each objective's `worst` if it has one, else the worst value observed, `m`.

    Args:
        problem: With several objectives.
        columns: Values, `n x m`, n from 1.
    """
    point: Array = columns.min(axis=0)
    for place, goal in enumerate(problem.objectives):
        if goal.worst is not None:  # of a range, a distance outside
            point[place] = goal.worst if goal.direction == "maximize" else -goal.worst
    return point


def hypervolume_trace(columns: Array, reference: Array) -> Array:
    """The hypervolume after each row, `n`, never falling.

    Args:
        columns: `n x m`; a row of NaN, or not better than the reference in all, adds nothing.
        reference: `m`.
    """
    from moocore import filter_dominated  # type: ignore[import-untyped]

    trace, best, start = np.zeros(len(columns)), 0.0, 0
    front = np.empty((0, len(reference)))
    ends = np.linspace(0, len(columns), min(MAX_VOLUMES, len(columns)) + 1).round().astype(int)[1:]
    for end in ends.tolist():
        new = columns[start:end]
        new = new[(new > reference).all(axis=1)]  # never of NaN
        if len(new):
            grown = filter_dominated(np.vstack([front, new]), maximise=True)
            if not np.array_equal(grown, front):
                front, best = grown, max(best, volume(grown, reference))
        trace[end - 1 :] = best
        start = end
    return trace


def volume(points: Array, reference: Array) -> float:
    """Volume of the union of boxes from `reference`, `m`, to the points, `n x m`."""
    from moocore import hv_approx, hypervolume

    points = points[(points > reference).all(axis=1)]
    if not len(points):
        return 0.0
    if len(reference) <= MAX_EXACT_OBJECTIVES:
        return float(hypervolume(points, ref=reference, maximise=True))
    return float(hv_approx(points, ref=reference, maximise=True, nsamples=2**14, seed=0))
