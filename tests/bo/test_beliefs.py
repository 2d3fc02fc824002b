"""Predictions of `rank`: they agree with the data, also with constraints, outliers and noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.acquisition import MultiObjectiveUCB, UpperConfidenceBound, best_between
from molvae.bo.base import Observations
from molvae.bo.pool import CandidatePool
from molvae.bo.strategies.rank import Rank
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem
from tests.contracts import toy_observations
from tests.toys import ToySpace

SMALL = Rank(n_generations=1, n_offspring=40)
UP = Objective(name="y", direction="maximize", spec=None)
DOWN = Objective(name="y", direction="minimize", spec=None)


def none_computed(smiles: Sequence[str]) -> NDArray[np.float64]:
    return np.empty((len(smiles), 0))


def carbons(smiles: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[molecule.count("C")] for molecule in smiles], dtype=np.float64)


def with_problem(
    observations: Observations, problem: OptimizationProblem, values: Tensor
) -> Observations:
    """The same molecules in a campaign with several goals or limits."""
    return dataclasses.replace(
        observations,
        y=torch.from_numpy(problem.y(values.numpy())),
        problem=problem,
        values=values,
        compute=carbons if problem.computed else none_computed,
    )


def pool_of(observations: Observations, n: int = 1) -> CandidatePool:
    weights = np.full(n, 0.5)
    acquisition: UpperConfidenceBound | MultiObjectiveUCB
    if observations.problem is None or observations.compute is None:
        acquisition = UpperConfidenceBound(observations, weights)
    else:
        rng = np.random.default_rng(0)
        acquisition = MultiObjectiveUCB(
            observations, observations.problem, observations.compute, weights, rng
        )
    with torch.no_grad():
        predictor = Rank().predictor(observations, ToySpace(), acquisition, seed=0)
        return CandidatePool(
            observations, ToySpace(), predictor=predictor, acquisition=acquisition, filters=()
        )


def proposed_smiles(observations: Observations, n: int = 4, seed: int = 0) -> list[str]:
    return [c.smiles for c in SMALL.propose(observations, ToySpace(), n, seed=seed)]


def screen_observations(n: int = 40) -> Observations:
    """Mostly inactive, with a few actives."""
    observations = toy_observations(n)
    y = torch.where(observations.y > observations.y.quantile(0.85), 8 + observations.y / 20, 5.0)
    return dataclasses.replace(observations, y=y)


def test_rank_with_a_satisfied_constraint_proposes_the_same() -> None:
    observations = screen_observations()
    measured = Constraint(name="other", spec=None, high=1e3)
    computed = Constraint(name="carbons", spec=None, high=1e3, is_cheap=True)
    own = Constraint(name="y", spec=None, low=-1e3)
    expected = proposed_smiles(observations)
    for limit, values in (
        (
            computed,
            torch.cat([observations.y, torch.from_numpy(carbons(observations.smiles))], dim=1),
        ),
        (measured, torch.cat([observations.y, observations.y.flip(0)], dim=1)),
        (own, observations.y),
    ):
        assert (
            proposed_smiles(
                with_problem(
                    observations,
                    OptimizationProblem(objectives=(UP,), constraints=(limit,)),
                    values,
                )
            )
            == expected
        )
    down = OptimizationProblem(objectives=(DOWN,), constraints=(own,))
    assert proposed_smiles(with_problem(observations, down, -observations.y)) == expected


@pytest.mark.parametrize(
    "problem",
    [
        OptimizationProblem(
            objectives=(UP,), constraints=(Constraint(name="y", spec=None, low=-9.0),)
        )
    ],
)
def test_rank_predictions_order_the_best_of_a_screen_with_constraints(
    problem: OptimizationProblem,
) -> None:
    observations = screen_observations()
    active = observations.y[:, 0] > 6
    assert int(active.sum()) == 6
    for pool in (
        pool_of(observations),
        pool_of(with_problem(observations, problem, observations.y)),
    ):
        scores = pool.mean[active, 0]
        assert len(scores.unique()) == len(observations.y[active, 0].unique()) > 2
        assert torch.equal(scores.argsort(), observations.y[active, 0].argsort())


def test_pareto_acquisition_has_predictions_and_front_on_one_scale() -> None:
    """What is better than all that was measured adds to the front, however far out that lies."""
    observations = screen_observations()
    other = Objective(name="other", direction="minimize", spec=None)
    values = torch.cat([observations.y, torch.rand(40, 1).double()], dim=1)
    pool = pool_of(with_problem(observations, OptimizationProblem(objectives=(UP, other)), values))
    acquisition = pool.acquisition
    assert isinstance(acquisition, MultiObjectiveUCB)
    best = pool.mean.max(dim=0).values
    std, exact = torch.zeros(3, 2).double(), np.empty((3, 0))
    candidates = torch.stack([best + 0.3, best + 0.1, best - 9])
    gains = acquisition.batch_gain(candidates, std, exact, 0, [])
    assert float(gains[0]) > float(gains[1]) > float(gains[2])


@pytest.mark.parametrize("worst", [-1e3, -1e6, -1e90])
@pytest.mark.parametrize("limits", [(), (Constraint(name="y", spec=None, low=-1e99),)])
def test_rank_proposals_are_independent_of_the_size_of_an_outlier(
    worst: float, limits: tuple[Constraint, ...]
) -> None:
    def proposals(value: float) -> list[str]:
        observations = toy_observations(20)
        y = observations.y.clone()
        y[7] = value
        spoilt = dataclasses.replace(observations, y=y)
        if limits:
            spoilt = with_problem(
                spoilt, OptimizationProblem(objectives=(UP,), constraints=limits), y
            )
        return proposed_smiles(spoilt)

    assert proposals(worst) == proposals(-500.0)


def test_rank_pareto_proposals_are_independent_of_the_size_of_an_outlier() -> None:
    other = Objective(name="other", direction="minimize", spec=None)
    observations = toy_observations(20)
    batches = []
    for worst in (500.0, 1e6):
        values = torch.cat([observations.y, carbons_of(observations)], dim=1)
        values[7] = values.new_tensor([-worst, worst])
        batches.append(
            proposed_smiles(
                with_problem(observations, OptimizationProblem(objectives=(UP, other)), values)
            )
        )
    assert batches[0] == batches[1]


def carbons_of(observations: Observations) -> Tensor:
    return torch.from_numpy(carbons(observations.smiles))


@pytest.mark.parametrize(("factor", "offset"), [(1e-9, 0.0), (1e9, 0.0), (1.0, -50.0)])
def test_rank_proposals_are_independent_of_the_unit(factor: float, offset: float) -> None:
    observations = toy_observations(20)
    noise = torch.full_like(observations.y, 0.5)
    plain = dataclasses.replace(observations, noise=noise)
    other = dataclasses.replace(
        observations, y=factor * observations.y + offset, noise=factor**2 * noise
    )
    assert proposed_smiles(other) == proposed_smiles(plain)
    second = Objective(name="other", direction="minimize", spec=None)
    problem, more = OptimizationProblem(objectives=(UP, second)), carbons_of(observations)
    batches = [
        proposed_smiles(with_problem(one, problem, torch.cat([one.y, more], dim=1)))
        for one in (
            observations,
            dataclasses.replace(observations, y=other.y),
        )
    ]
    assert batches[0] == batches[1]


def test_rank_parents_are_drawn_by_predicted_not_noisy_values() -> None:
    """A lucky value among similar molecules, known to be rough, is not believed."""
    observations = toy_observations(30)
    order = observations.y[:, 0].argsort()
    lucky, best = int(order[10]), int(order[-1])
    y = observations.y.clone()
    y[lucky] = y[best] + 20.0
    exact = pool_of(dataclasses.replace(observations, y=y))
    assert int(exact.mean[:30, 0].argmax()) == lucky
    noise = torch.full_like(y, 1e-2)
    noise[lucky] = 1e4
    noisy = pool_of(dataclasses.replace(observations, y=y, noise=noise))
    assert int(noisy.mean[:30, 0].argmax()) in order[-3:].tolist()
    assert bool((noisy.std[:30] == 0).all())
    assert noisy.parents(50, np.random.default_rng(0)).count(lucky) < 5
    assert exact.parents(50, np.random.default_rng(0)).count(lucky) > 5


def test_pareto_front_is_made_of_predicted_not_noisy_values() -> None:
    observations = toy_observations(30)
    values = torch.cat([observations.y, carbons_of(observations)], dim=1)
    lucky = int(values[:, 0].argsort()[10])
    values[lucky, 0] = 50.0
    noise = torch.full_like(values, 1e-2)
    noise[lucky, 0] = 1e4
    other = Objective(name="other", direction="minimize", spec=None)
    rough = dataclasses.replace(observations, noise=noise)
    fronts = []
    for one in (observations, rough):
        acquisition = pool_of(
            with_problem(one, OptimizationProblem(objectives=(UP, other)), values)
        ).acquisition
        assert isinstance(acquisition, MultiObjectiveUCB)
        best = acquisition.front[:, 0].max() * acquisition.span[0] + acquisition.low[0]
        fronts.append(float(best))
    assert fronts[0] == pytest.approx(50.0)
    assert fronts[1] < 30.0


def test_rank_pending_molecules_keep_means_of_other_molecules() -> None:
    few = toy_observations(20, pending=60)
    none = dataclasses.replace(few, pending_smiles=(), pending_z=few.pending_z[:0])
    waiting, alone = pool_of(few), pool_of(none)
    left = [m for m in ToySpace().molecules if m not in few.known]
    with torch.no_grad():
        for pool in (waiting, alone):
            pool.add(left, None, "")
    torch.testing.assert_close(waiting.mean, alone.mean, atol=1e-6, rtol=0)
    assert bool((waiting.std <= alone.std + 1e-9).all())
    for one, other in zip(waiting.predictor.models, alone.predictor.models, strict=True):
        torch.testing.assert_close(one.amplitude, other.amplitude)


def test_rank_inflation_falls_after_right_and_rises_after_wrong_predictions() -> None:
    observations = toy_observations(40)
    origins = ("start",) * 20 + ("rank latent",) * 20
    smooth = carbons_of(observations)
    wrong = smooth.clone()
    wrong[20::2], wrong[21::2] = smooth.min(), smooth.max()
    sure, unsure = (
        pool_of(dataclasses.replace(observations, y=y, origins=origins)).predictor.inflation[0]
        for y in (smooth, wrong)
    )
    assert sure < 1 < unsure
    assert pool_of(observations).predictor.inflation == [1.0]
    starting = dataclasses.replace(observations, origins=("start",) * 40)
    assert pool_of(starting).predictor.inflation == [1.0]


def test_best_between_gives_the_best_value_of_an_interval() -> None:
    low, high = np.array([0.0, 3.0, 9.0]), np.array([2.0, 6.0, 10.0])
    amid = Objective(name="y", direction="range", low=4.0, high=5.0, spec=None)
    for part, expected in (
        (UP, high),
        (DOWN, low),
        (amid, [2.0, 4.5, 9.0]),
        (Constraint(name="y", spec=None, low=4.0), high),
        (Constraint(name="y", spec=None, high=4.0), low),
        (Constraint(name="y", spec=None, low=4.0, high=5.0), [2.0, 4.5, 9.0]),
    ):
        assert best_between(part, low, high).tolist() == list(expected)
