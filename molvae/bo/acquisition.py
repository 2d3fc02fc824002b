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

from molvae.bo.base import Observations
from molvae.bo.noise import complete
from molvae.bo.transforms import GoodEnd, OutcomeTransform
from molvae.objectives.problem import (
    Constraint,
    Objective,
    OptimizationProblem,
    is_non_dominated,
    outlier_floor,
)

Array = NDArray[np.float64]


BESIDE = 0.05
"""Weight of the sum in a scalarisation by the worst goal, so that the others count as well."""


class UpperConfidenceBound:
    """One measured goal: the upper confidence bound."""

    def __init__(self, observations: Observations, weights: Array) -> None:
        self.weights, self.n = weights, len(weights)
        self.transforms = (OutcomeTransform(observations.y[:, 0], "high"),)
        self.measured = transformed(observations.y, self.transforms)
        self.noise = transformed_noise(observations.y, observations.noise, self.transforms)

    def believe(self, scores: Tensor) -> None:
        """Nothing depends on it."""

    def compute(self, smiles: Sequence[str]) -> Array:
        """Nothing is computed, `n x 0`."""
        return np.empty((len(smiles), 0))

    def feasible(self, exact: Array) -> NDArray[np.bool_]:
        """Everything."""
        return np.ones(len(exact), dtype=bool)

    def scores(self, mean: Tensor, sd: Tensor, exact: Array, which: int) -> Tensor:
        """Under one of the weights."""
        return mean[:, 0] + float(self.weights[which]) * sd[:, 0]

    def hypervolume_improvement(
        self, mean: Tensor, sd: Tensor, exact: Array, which: int, chosen: Sequence[int]
    ) -> Tensor:
        """The same: that some are chosen is known from the smaller uncertainty."""
        return self.scores(mean, sd, exact, which)


class MultiObjectiveUCB:
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
        observations: Observations,
        problem: OptimizationProblem,
        compute: Callable[[Sequence[str]], Array],
        weights: Array,
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.compute = problem, compute
        self.weights, self.n = weights, len(weights)
        if (
            problem.outcomes > 1
        ):  # without a draw else, so that a limit that all keep changes nothing
            self.goal_weights = rng.dirichlet(np.ones(len(problem.objectives)), size=self.n)
        assert observations.values is not None
        self.values = observations.values.numpy()
        measured = observations.values[:, [problem.names.index(name) for name in problem.measured]]
        self.transforms = tuple(
            OutcomeTransform(column, good_end(problem, name))
            for name, column in zip(problem.measured, measured.T, strict=True)
        )
        self.measured = transformed(measured, self.transforms)
        self.noise = transformed_noise(measured, observations.noise, self.transforms)
        self._compare_with(self.values)

    def believe(self, scores: Tensor) -> None:
        """Compare with what is believed of the measured values, `n x measured`, not with them."""
        values = self.values.copy()
        for k, (name, transform) in enumerate(
            zip(self.problem.measured, self.transforms, strict=True)
        ):
            values[:, self.problem.names.index(name)] = transform.inverse(scores[:, k]).numpy()
        self._compare_with(values)

    def _compare_with(self, values: Array) -> None:
        """What others have to be better than, on a scale on which the best of each goal is 1.

        0 is what a quarter is worse than: how bad the worst is does not matter.
        """
        columns, ok = self.problem.columns(values), self.problem.feasible(values)
        good = columns[ok] if ok.any() else columns
        floor = [outlier_floor(column, 0.25) for column in good.T]
        self.low, high = np.maximum(np.quantile(good, 0.25, axis=0), floor), good.max(axis=0)
        self.low = np.where(high > self.low, self.low, good.min(axis=0))
        self.span = np.where(high > self.low, high - self.low, 1.0)
        if self.problem.outcomes > 1:
            good = (good - self.low) / self.span
            self.front = good[is_non_dominated(good)]
            below = infer_reference_point(
                torch.from_numpy(self.front), scale=0.1, max_ref_point=None
            )
            one = len(self.front) < 2
            self.reference = below.clamp_max(0.0) if one else below

    def feasible(self, exact: Array) -> NDArray[np.bool_]:
        """What keeps all limits that can be computed."""
        ok = np.ones(len(exact), dtype=bool)
        for limit in self.problem.constraints:
            if limit.name in self.problem.computed:
                ok &= limit.slack(exact[:, self.problem.computed.index(limit.name)]) >= 0
        return ok

    def _optimistic(
        self, mean: Tensor, sd: Tensor, exact: Array, weight: float
    ) -> tuple[Array, Array]:
        """Columns of goals, and violations of limits, as they may well be."""
        problem = self.problem
        low = np.empty((len(exact), len(problem.names)))
        high = np.empty_like(low)
        for k, (name, transform) in enumerate(zip(problem.measured, self.transforms, strict=True)):
            place, reach = problem.names.index(name), weight * sd[:, k]
            ends = [
                transform.inverse(end).numpy() for end in (mean[:, k] - reach, mean[:, k] + reach)
            ]
            low[:, place], high[:, place] = np.minimum(*ends), np.maximum(*ends)
        for k, name in enumerate(problem.computed):
            low[:, problem.names.index(name)] = high[:, problem.names.index(name)] = exact[:, k]

        def best(part: Objective | Constraint) -> Array:
            place = problem.names.index(part.name)
            return best_between(part, low[:, place], high[:, place])

        columns = np.stack(
            [goal.to_maximization(best(goal)) for goal in problem.objectives], axis=1
        )
        constraint_slacks = [limit.slack(best(limit)) for limit in problem.constraints]
        return columns, problem.violation(
            np.array(constraint_slacks).T.reshape(len(exact), len(constraint_slacks))
        )

    def scores(self, mean: Tensor, sd: Tensor, exact: Array, which: int) -> Tensor:
        """Under one of the weights."""
        return self._scores(*self._optimistic(mean, sd, exact, float(self.weights[which])), which)

    def _scores(self, columns: Array, outside: Array, which: int) -> Tensor:
        if self.problem.outcomes == 1:
            merit = self.problem.scalarize(columns)[:, 0]
        else:
            lacking = (1 - (columns - self.low) / self.span) * self.goal_weights[which]
            merit = -lacking.max(axis=1) - BESIDE * lacking.sum(axis=1)
        return _feasible_first(merit, outside)

    def hypervolume_improvement(
        self, mean: Tensor, sd: Tensor, exact: Array, which: int, chosen: Sequence[int]
    ) -> Tensor:
        """What a molecule may add to those that were told and those that are chosen."""
        columns, outside = self._optimistic(mean, sd, exact, float(self.weights[which]))
        scores = self._scores(columns, outside, which)
        if self.problem.outcomes == 1:
            return scores
        expected, _ = self._optimistic(mean, sd, exact, 0.0)
        there = (expected[list(chosen)] - self.low) / self.span
        gain = improvement(
            torch.from_numpy((columns - self.low) / self.span),
            torch.from_numpy(np.concatenate([self.front, there])),
            self.reference,
        )
        # Where nothing is gained, the scalarisation decides.
        ranks = scores.argsort(stable=True).argsort(stable=True) / len(scores)
        total = gain / gain.max().clamp_min(1e-300) + 1e-3 * ranks
        return _feasible_first(total.numpy(), outside)


def good_end(problem: OptimizationProblem, name: str) -> GoodEnd:
    """Which end of a value is good; of what has to keep a limit, and is no goal, neither."""
    for goal in problem.objectives:
        if goal.name == name and goal.direction != "range":
            return "high" if goal.direction == "maximize" else "low"
    return "neither"


def best_between(part: Objective | Constraint, low: Array, high: Array) -> Array:
    """The best of the values from `low` to `high`."""
    wants_low = part.high is not None
    wants_high = part.low is not None
    if isinstance(part, Objective) and part.direction != "range":
        wants_low, wants_high = part.direction == "minimize", part.direction == "maximize"
    if wants_low and wants_high:
        assert part.low is not None
        assert part.high is not None
        inside: Array = np.clip((part.low + part.high) / 2, low, high)
        return inside
    return low if wants_low else high


def transformed(values: Tensor, transforms: Sequence[OutcomeTransform]) -> Tensor:
    """Columns of values as the surrogate sees them, `n x m`."""
    columns = [to(column) for to, column in zip(transforms, values.T, strict=True)]
    return torch.stack(columns, dim=1) if columns else values


def transformed_noise(
    values: Tensor, noise: Tensor | None, transforms: Sequence[OutcomeTransform]
) -> Tensor | None:
    """Their variances, `n x m`; None where none are known."""
    if noise is None:
        return None
    columns = [
        to.variances(value, variance)
        for to, value, variance in zip(transforms, values.T, complete(noise).T, strict=True)
    ]
    return torch.stack(columns, dim=1)


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
    """Merits; where a limit is broken, ranks instead, those of infeasible molecules negative."""
    if not outside.any():
        return torch.from_numpy(merit)
    ranks, below = (np.unique(v, return_inverse=True)[1] for v in (merit, -outside))
    return torch.from_numpy(np.where(outside > 0, below - float(len(merit)), ranks))


__all__ = ["MultiObjectiveUCB", "UpperConfidenceBound", "best_between", "good_end", "improvement"]
