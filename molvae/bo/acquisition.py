"""Acquisition values of molecules, from the predicted mean and standard deviation of their scores.

A batch has one kappa, the weight of the standard deviation, for each of its molecules. All values
are ordered so that larger is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.base import Observations
from molvae.bo.measurement_noise import complete
from molvae.bo.transforms import GoodEnd, ScoreTransform
from molvae.errors import CampaignError, shown
from molvae.objectives.problem import (
    Constraint,
    Objective,
    OptimizationProblem,
    is_non_dominated,
    outlier_floor,
)

Array = NDArray[np.float64]

CHEBYSHEV_RHO = 0.05  # weight of the sum in the augmented Chebyshev scalarization


class Acquisition(Protocol):
    """An own acquisition function of one measured objective, for `Rank(acquisition=...)`."""

    def values(self, mean: Tensor, std: Tensor, *, best: float, kappa: float) -> Tensor:
        """Acquisition values, `n`, larger is better.

        Args:
            mean: Predicted scores, `n`, larger is better, see `ScoreTransform`.
            std: Their standard deviations, `n`, positive.
            best: Best score so far.
            kappa: Weight of the standard deviation for this molecule of the batch.
        """
        ...


def own_numbers(made: Any, source: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers that own code returned as float64, -1 in `shape` for any number of them.

    Raises:
        CampaignError: They are no numbers, NaN, or of another shape.
    """
    try:
        numbers = torch.as_tensor(made, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CampaignError(f"{source} returned {shown(made)}, not numbers") from error
    fits = all(n in (size, -1) for n, size in zip(shape, numbers.shape, strict=False))
    if numbers.dim() != len(shape) or not fits:
        wanted = " x ".join("any number" if n == -1 else str(n) for n in shape)
        raise CampaignError(
            f"{source} returned numbers of shape {tuple(numbers.shape)}; expected {wanted}"
        )
    if numbers.isnan().any():
        raise CampaignError(f"{source} returned NaN; every molecule needs a number")
    return numbers


class LinearScores(NamedTuple):
    """Scores that are linear in good values, of which values are predicted."""

    transforms: tuple[ScoreTransform, ...]
    scores: Tensor  # `n x m`
    noise: Tensor | None  # their variances, `n x m`
    values: Tensor  # of the molecules, `n x m`
    ends: tuple[GoodEnd, ...]  # the good end of each


def linear_scores(values: Tensor, noise: Tensor | None, ends: Sequence[GoodEnd]) -> LinearScores:
    """Scores of columns of values, `n x m`, with variances `n x m`, and the good end of each."""
    columns = zip(values.T, ends, strict=True)
    transforms = tuple(ScoreTransform(column, end) for column, end in columns)
    scores = transformed(values, transforms)
    noise = transformed_noise(values, noise, transforms)
    return LinearScores(transforms, scores, noise, values, tuple(ends))


class UpperConfidenceBound:
    """`mean + kappa std` of one measured objective, or an own acquisition function of these."""

    def __init__(
        self, observations: Observations, kappas: Array, own: Acquisition | None = None
    ) -> None:
        self.kappas, self.n, self.own = kappas, len(kappas), own
        self.transforms = (ScoreTransform(observations.y[:, 0], "high", linear=False),)
        self.linear = linear_scores(observations.y, observations.noise, ("high",))
        self.measured = transformed(observations.y, self.transforms)  # n x 1
        self.noise = transformed_noise(observations.y, observations.noise, self.transforms)
        self.best = float(self.measured.max())

    def use_predictions(self, scores: Tensor) -> None:
        """Replace noisy scores of the observations, `n x 1`, by predicted ones."""
        self.best = float(scores.max())

    def compute(self, smiles: Sequence[str]) -> Array:
        """Computed values: none, `n x 0`."""
        return np.empty((len(smiles), 0))

    def feasible(self, exact: Array) -> NDArray[np.bool_]:
        """All molecules are feasible."""
        return np.ones(len(exact), dtype=bool)

    def values(self, mean: Tensor, std: Tensor, exact: Array, which: int) -> Tensor:
        """Acquisition values under one kappa, `n`."""
        kappa = float(self.kappas[which])
        if self.own is None:
            return mean[:, 0] + kappa * std[:, 0]
        std = std[:, 0].clamp_min(1e-9)  # known values have none
        made = self.own.values(mean[:, 0], std, best=self.best, kappa=kappa)
        return own_numbers(made, f"acquisition function {type(self.own).__name__}", (len(mean),))

    def batch_gain(
        self, mean: Tensor, std: Tensor, exact: Array, which: int, chosen: Sequence[int]
    ) -> Tensor:
        """The acquisition values: chosen molecules count through smaller standard deviations."""
        return self.values(mean, std, exact, which)


class MultiObjectiveUCB:
    """Optimistic values of several objectives, or of objectives with constraints.

    With `combine` desirability or weighted_sum, values are combined. In a Pareto search each
    molecule of the batch has its own weights of the objectives, by which parents are sampled; the
    batch is chosen greedily by hypervolume improvement. Infeasible molecules come after all
    feasible ones.

    References:
        Knowles (2006), doi:10.1109/TEVC.2005.851274 (random weights, augmented Chebyshev);
        Emmerich et al. (2006), doi:10.1109/TEVC.2005.859463 (hypervolume improvement).
    """

    def __init__(
        self,
        observations: Observations,
        problem: OptimizationProblem,
        compute: Callable[[Sequence[str]], Array],
        kappas: Array,
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.compute = problem, compute
        self.kappas, self.n = kappas, len(kappas)
        # One outcome takes no sample, so that a constraint that all keep changes no proposal.
        if problem.outcomes > 1:
            self.weights = rng.dirichlet(
                np.ones(len(problem.objectives)), size=self.n
            )  # batch x goals
        assert observations.values is not None
        self.observed = observations.values.numpy()  # n x names
        measured = observations.values[:, [problem.names.index(name) for name in problem.measured]]
        ends = tuple(good_end(problem, name) for name in problem.measured)
        self.transforms = tuple(
            ScoreTransform(column, end, linear=False)
            for column, end in zip(measured.T, ends, strict=True)
        )
        self.linear = linear_scores(measured, observations.noise, ends)
        self.measured = transformed(measured, self.transforms)  # n x measured
        self.noise = transformed_noise(measured, observations.noise, self.transforms)
        self._scale_by(self.observed)

    def use_predictions(self, scores: Tensor) -> None:
        """Replace noisy scores of the observations, `n x measured`, by predicted ones."""
        values = self.observed.copy()
        for k, (name, transform) in enumerate(
            zip(self.problem.measured, self.transforms, strict=True)
        ):
            values[:, self.problem.names.index(name)] = transform.inverse(scores[:, k]).numpy()
        self._scale_by(values)

    def _scale_by(self, values: Array) -> None:
        """Set scale, Pareto front and reference point: per objective 1 is the best value.

        0 is the lower quartile, so that the worst values do not matter.
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
        """Which molecules keep the constraints on computed values."""
        ok = np.ones(len(exact), dtype=bool)
        for limit in self.problem.constraints:
            if limit.name in self.problem.computed:
                ok &= limit.slack(exact[:, self.problem.computed.index(limit.name)]) >= 0
        return ok

    def _optimistic(
        self, mean: Tensor, std: Tensor, exact: Array, kappa: float
    ) -> tuple[Array, Array]:
        """Columns of objectives, `n x goals`, and violations, `n`, at the best likely values."""
        problem = self.problem
        low = np.empty((len(exact), len(problem.names)))
        high = np.empty_like(low)
        for k, (name, transform) in enumerate(zip(problem.measured, self.transforms, strict=True)):
            column, margin = problem.names.index(name), kappa * std[:, k]
            ends = [
                transform.inverse(end).numpy() for end in (mean[:, k] - margin, mean[:, k] + margin)
            ]
            low[:, column], high[:, column] = np.minimum(*ends), np.maximum(*ends)
        for k, name in enumerate(problem.computed):
            low[:, problem.names.index(name)] = high[:, problem.names.index(name)] = exact[:, k]

        def best(part: Objective | Constraint) -> Array:
            column = problem.names.index(part.name)
            return best_between(part, low[:, column], high[:, column])

        columns = np.stack(
            [goal.to_maximization(best(goal)) for goal in problem.objectives], axis=1
        )
        slacks = [limit.slack(best(limit)) for limit in problem.constraints]
        return columns, problem.violation(np.array(slacks).T.reshape(len(exact), len(slacks)))

    def values(self, mean: Tensor, std: Tensor, exact: Array, which: int) -> Tensor:
        """Acquisition values under one kappa and one weighting of the objectives, `n`."""
        return self._scalarized(
            *self._optimistic(mean, std, exact, float(self.kappas[which])), which
        )

    def _scalarized(self, columns: Array, violation: Array, which: int) -> Tensor:
        if self.problem.outcomes == 1:
            merit = self.problem.scalarize(columns)[:, 0]
        else:  # augmented Chebyshev
            regret = (1 - (columns - self.low) / self.span) * self.weights[which]  # n x goals
            merit = -regret.max(axis=1) - CHEBYSHEV_RHO * regret.sum(axis=1)
        return _feasible_first(merit, violation)

    def batch_gain(
        self, mean: Tensor, std: Tensor, exact: Array, which: int, chosen: Sequence[int]
    ) -> Tensor:
        """Improvement over the observed molecules and the chosen ones, `n`."""
        columns, violation = self._optimistic(mean, std, exact, float(self.kappas[which]))
        scalarized = self._scalarized(columns, violation, which)
        if self.problem.outcomes == 1:
            return scalarized
        expected, _ = self._optimistic(mean, std, exact, 0.0)
        gain = improvement(
            torch.from_numpy((columns - self.low) / self.span),
            torch.from_numpy(
                np.concatenate([self.front, (expected[list(chosen)] - self.low) / self.span])
            ),
            self.reference,
        )
        # The scalarization orders molecules without improvement.
        ranks = scalarized.argsort(stable=True).argsort(stable=True) / len(scalarized)
        total = gain / gain.max().clamp_min(1e-300) + 1e-3 * ranks
        return _feasible_first(total.numpy(), violation)


def good_end(problem: OptimizationProblem, name: str) -> GoodEnd:
    """Which end of a value is good; neither, if it is in a range or a constraint only."""
    for goal in problem.objectives:
        if goal.name == name and goal.direction != "range":
            return "high" if goal.direction == "maximize" else "low"
    return "neither"


def best_between(part: Objective | Constraint, low: Array, high: Array) -> Array:
    """The best of the values from `low` to `high`, each `n`."""
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


def transformed(values: Tensor, transforms: Sequence[ScoreTransform]) -> Tensor:
    """Scores of columns of values, `n x m`."""
    columns = [to(column) for to, column in zip(transforms, values.T, strict=True)]
    return torch.stack(columns, dim=1) if columns else values


def transformed_noise(
    values: Tensor, noise: Tensor | None, transforms: Sequence[ScoreTransform]
) -> Tensor | None:
    """Variances of the scores, `n x m`; None if none are known."""
    if noise is None:
        return None
    columns = [
        to.variances(value, variance)
        for to, value, variance in zip(transforms, values.T, complete(noise).T, strict=True)
    ]
    return torch.stack(columns, dim=1)


def improvement(points: Tensor, others: Tensor, reference: Tensor) -> Tensor:
    """Hypervolume that each point alone adds to that of the others, `n`.

    Args:
        points: `n x m`, larger is better.
        others: `k x m`.
        reference: `m`; a point that is worse in any column adds nothing.
    """
    cells = FastNondominatedPartitioning(ref_point=reference, Y=others).get_hypercell_bounds()
    low, high = cells[0], cells[1]  # cells x m
    sides = (torch.minimum(points[:, None], high) - low).clamp_min(0)  # n x cells x m
    volume: Tensor = sides.prod(dim=2).sum(dim=1)
    return volume


def _feasible_first(merit: Array, violation: Array) -> Tensor:
    """Merits; if any molecule is infeasible, ranks, with those of infeasible molecules negative."""
    if not violation.any():
        return torch.from_numpy(merit)
    ranks, below = (np.unique(v, return_inverse=True)[1] for v in (merit, -violation))
    return torch.from_numpy(np.where(violation > 0, below - float(len(merit)), ranks))
