"""How good a molecule may be, from what is believed of its values.

A batch has a weight of the uncertainty for each of its molecules: what is judged is the value that
a molecule may well have, so many standard deviations better than expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.evidence import Evidence
from molvae.bo.goals import Aim, nondominated

Array = NDArray[np.float64]
BESIDE = 0.05
"""Weight of the sum in a scalarisation by the worst goal, so that the others count as well."""


class Plain:
    """One measured goal: the upper confidence bound."""

    def __init__(self, evidence: Evidence, weights: Array) -> None:
        self.weights, self.n = weights, len(weights)
        y = evidence.y
        self.measured = scaled(y[:, 0])[:, None]
        self.noise = None if evidence.noise is None else evidence.noise / _span(y[:, 0]) ** 2

    def compute(self, smiles: Sequence[str]) -> Array:
        """Nothing is computed, `n x 0`."""
        return np.empty((len(smiles), 0))

    def allowed(self, exact: Array) -> NDArray[np.bool_]:
        """Everything."""
        return np.ones(len(exact), dtype=bool)

    def scores(self, mean: Tensor, sd: Tensor, exact: Array, which: int) -> Tensor:
        """Under one of the weights."""
        return mean[:, 0] + float(self.weights[which]) * sd[:, 0]

    def gains(
        self, mean: Tensor, sd: Tensor, exact: Array, which: int, chosen: Sequence[int]
    ) -> Tensor:
        """The same: that some are chosen is known from the smaller uncertainty."""
        return self.scores(mean, sd, exact, which)


class Verdict:
    """Several goals, or limits.

    Of goals that are combined into one number, that number for the optimistic values. In a Pareto
    search each molecule of the batch has weights of the goals of its own, under which parents are
    drawn; the batch is chosen by what its molecules may add to the hypervolume, one after the
    other. What breaks a limit, as far as can be told, comes after all that does not.

    References:
        Knowles (2006), doi:10.1109/TEVC.2005.851274 (random weights, the worst goal counts);
        Emmerich et al. (2006), doi:10.1109/TEVC.2005.859463 (improvement of the hypervolume).
    """

    def __init__(
        self,
        evidence: Evidence,
        aim: Aim,
        compute: Callable[[Sequence[str]], Array],
        weights: Array,
        rng: np.random.Generator,
    ) -> None:
        self.aim, self.compute = aim, compute
        self.weights, self.n = weights, len(weights)
        self.goal_weights = rng.dirichlet(np.ones(len(aim.goals)), size=self.n)
        values = evidence.values
        assert values is not None
        places = [aim.names.index(name) for name in aim.measured]
        v = values[:, places]
        ends = [_ends(column) for column in v.T]
        self.low = v.new_tensor([low for low, _ in ends])
        self.span = v.new_tensor([high - low if high > low else 1.0 for low, high in ends])
        self.measured = ((v - self.low) / self.span).clamp(0.0, 1.0)
        self.noise = None if evidence.noise is None else evidence.noise / self.span**2
        told = values.numpy()
        self.columns = aim.columns(told)
        ok = aim.feasible(told)
        self.good = self.columns[ok] if ok.any() else self.columns
        if aim.outcomes > 1:
            self.front = self.good[nondominated(self.good)]
            below = infer_reference_point(
                torch.from_numpy(self.front), scale=0.1, max_ref_point=None
            )
            worst = torch.from_numpy(self.good.min(axis=0))
            self.reference = torch.minimum(below, worst) if len(self.front) < 2 else below

    def allowed(self, exact: Array) -> NDArray[np.bool_]:
        """What keeps all limits that can be computed."""
        ok = np.ones(len(exact), dtype=bool)
        for limit in self.aim.limits:
            if limit.name in self.aim.computed:
                ok &= limit.slack(exact[:, self.aim.computed.index(limit.name)]) >= 0
        return ok

    def _optimistic(
        self, mean: Tensor, sd: Tensor, exact: Array, weight: float
    ) -> tuple[Array, Array]:
        """Columns of goals, and violations of limits, as they may well be."""
        aim = self.aim
        values = np.empty((len(exact), len(aim.names)))
        spreads = np.zeros_like(values)
        measured = (mean * self.span + self.low).numpy()
        uncertain = (sd * self.span).numpy()
        for k, name in enumerate(aim.measured):
            values[:, aim.names.index(name)] = measured[:, k]
            spreads[:, aim.names.index(name)] = uncertain[:, k]
        for k, name in enumerate(aim.computed):
            values[:, aim.names.index(name)] = exact[:, k]
        columns = aim.columns(values)
        for k, goal in enumerate(aim.goals):
            columns[:, k] += weight * spreads[:, aim.names.index(goal.name)]
            if goal.direction == "range":
                columns[:, k] = np.minimum(columns[:, k], 0.0)
        slacks = aim.slacks(values)
        for k, limit in enumerate(aim.limits):
            slacks[:, k] += weight * spreads[:, aim.names.index(limit.name)]
        return columns, aim.violation(slacks)

    def scores(self, mean: Tensor, sd: Tensor, exact: Array, which: int) -> Tensor:
        """Under one of the weights."""
        return self._scores(*self._optimistic(mean, sd, exact, float(self.weights[which])), which)

    def _scores(self, columns: Array, outside: Array, which: int) -> Tensor:
        if self.aim.outcomes == 1:
            merit = self.aim.merit(columns)[:, 0]
        else:
            low, high = self.good.min(axis=0), self.good.max(axis=0)
            lacking = (high - columns) / np.where(high > low, high - low, 1.0)
            lacking = lacking * self.goal_weights[which]
            merit = -lacking.max(axis=1) - BESIDE * lacking.sum(axis=1)
        return _feasible_first(merit, outside)

    def gains(
        self, mean: Tensor, sd: Tensor, exact: Array, which: int, chosen: Sequence[int]
    ) -> Tensor:
        """What a molecule may add to those that were told and those that are chosen."""
        columns, outside = self._optimistic(mean, sd, exact, float(self.weights[which]))
        scores = self._scores(columns, outside, which)
        if self.aim.outcomes == 1:
            return scores
        expected, _ = self._optimistic(mean, sd, exact, 0.0)
        there = torch.from_numpy(np.concatenate([self.front, expected[list(chosen)]]))
        gain = improvement(torch.from_numpy(columns), there, self.reference)
        # Where nothing is gained, the scalarisation decides.
        ranks = scores.argsort(stable=True).argsort(stable=True) / len(scores)
        total = gain / gain.max().clamp_min(1e-300) + 1e-3 * ranks
        return _feasible_first(total.numpy(), outside)


def improvement(points: Tensor, there: Tensor, reference: Tensor) -> Tensor:
    """Hypervolume that each point alone adds to that of others.

    Args:
        points: `n x m`, larger is better.
        there: `k x m`.
        reference: `m`; what is worse in some column adds nothing.
    """
    cells = FastNondominatedPartitioning(ref_point=reference, Y=there).get_hypercell_bounds()
    low, high = cells[0], cells[1]
    sides = (torch.minimum(points[:, None], high) - low).clamp_min(0)
    volume: Tensor = sides.prod(dim=2).sum(dim=1)
    return volume


def _feasible_first(merit: Array, outside: Array) -> Tensor:
    if outside.any() and len(merit):
        merit = np.where(outside > 0, merit.min() - outside, merit)
    return torch.from_numpy(merit)


def scaled(y: Tensor) -> Tensor:
    """Values on a scale whose 1 is the best and whose 0 is the worst.

    What lies ten interquartile ranges below the median counts as no worse than that: a failed
    docking of -1,000 says that a molecule is bad, and must not make all others look alike.
    """
    floor = _floor(y)
    if floor == y.max():  # all are the same: what is least known is ranked first
        return torch.zeros_like(y)
    return (y.clamp_min(floor) - floor) / (y.max() - floor)


def _ends(y: Tensor) -> tuple[float, float]:
    """Least and largest value, but for what is ten interquartile ranges from the median.

    A failed docking of 1,000 must not make all others look alike.
    """
    low, middle, high = y.quantile(y.new_tensor([0.25, 0.5, 0.75])).tolist()
    reach = 10 * (high - low)
    least, most = max(float(y.min()), middle - reach), min(float(y.max()), middle + reach)
    return (least, most) if most > least else (float(y.min()), float(y.max()))


def _floor(y: Tensor) -> Tensor:
    low, middle, high = y.quantile(y.new_tensor([0.25, 0.5, 0.75]))
    floor = torch.maximum(y.min(), middle - 10 * (high - low))
    return y.min() if floor == y.max() else floor


def _span(y: Tensor) -> Tensor:
    span = y.max() - _floor(y)
    return span if span > 0 else torch.ones_like(span)


__all__ = ["Plain", "Verdict", "improvement", "scaled"]
