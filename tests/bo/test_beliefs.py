"""What `rank` believes of molecules, and that it believes what the data say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.acquisition import Plain, Verdict, best_between
from molvae.bo.base import Evidence
from molvae.bo.pool import Pool
from molvae.bo.strategies.rank import Rank
from molvae.objectives.problem import Aim, Goal, Limit
from tests.contracts import toy_evidence
from tests.toys import ToySpace

SMALL = Rank(generations=1, children=40)
UP = Goal(name="y", direction="maximise", spec=None)
DOWN = Goal(name="y", direction="minimise", spec=None)


def none_computed(smiles: Sequence[str]) -> NDArray[np.float64]:
    return np.empty((len(smiles), 0))


def carbons(smiles: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[molecule.count("C")] for molecule in smiles], dtype=np.float64)


def goals(evidence: Evidence, aim: Aim, values: Tensor) -> Evidence:
    """The same molecules in a campaign with several goals or limits."""
    return dataclasses.replace(
        evidence,
        y=torch.from_numpy(aim.y(values.numpy())),
        aim=aim,
        values=values,
        compute=carbons if aim.computed else none_computed,
    )


def pool_of(evidence: Evidence, n: int = 1) -> Pool:
    weights = np.full(n, 0.5)
    verdict: Plain | Verdict
    if evidence.aim is None or evidence.compute is None:
        verdict = Plain(evidence, weights)
    else:
        rng = np.random.default_rng(0)
        verdict = Verdict(evidence, evidence.aim, evidence.compute, weights, rng)
    with torch.no_grad():
        return Pool(
            evidence,
            ToySpace(),
            verdict=verdict,
            surrogate="structure+descriptors",
            radius=1,
            most=100,
            filters=(),
            seed=0,
        )


def chosen(evidence: Evidence, n: int = 4, seed: int = 0) -> list[str]:
    return [c.smiles for c in SMALL.propose(evidence, ToySpace(), n, seed=seed)]


def screen(n: int = 40) -> Evidence:
    """Mostly inactive, with a few actives."""
    evidence = toy_evidence(n)
    y = torch.where(evidence.y > evidence.y.quantile(0.85), 8 + evidence.y / 20, 5.0)
    return dataclasses.replace(evidence, y=y)


def test_a_limit_that_everything_keeps_changes_nothing() -> None:
    evidence = screen()
    measured = Limit(name="other", spec=None, high=1e3)
    computed = Limit(name="carbons", spec=None, high=1e3, computed=True)
    own = Limit(name="y", spec=None, low=-1e3)
    expected = chosen(evidence)
    for limit, values in (
        (computed, torch.cat([evidence.y, torch.from_numpy(carbons(evidence.smiles))], dim=1)),
        (measured, torch.cat([evidence.y, evidence.y.flip(0)], dim=1)),
        (own, evidence.y),
    ):
        assert chosen(goals(evidence, Aim(goals=(UP,), limits=(limit,)), values)) == expected
    down = Aim(goals=(DOWN,), limits=(own,))
    assert chosen(goals(evidence, down, -evidence.y)) == expected


@pytest.mark.parametrize("aim", [Aim(goals=(UP,), limits=(Limit(name="y", spec=None, low=-9.0),))])
def test_the_best_of_a_screen_are_told_apart_with_a_limit_too(aim: Aim) -> None:
    evidence = screen()
    active = evidence.y[:, 0] > 6
    assert int(active.sum()) == 6
    for pool in (pool_of(evidence), pool_of(goals(evidence, aim, evidence.y))):
        scores = pool.mean[active, 0]
        assert len(scores.unique()) == len(evidence.y[active, 0].unique()) > 2
        assert torch.equal(scores.argsort(), evidence.y[active, 0].argsort())


def test_predictions_and_the_pareto_front_are_on_one_scale() -> None:
    """What is better than all that was measured adds to the front, however far out that lies."""
    evidence = screen()
    other = Goal(name="other", direction="minimise", spec=None)
    values = torch.cat([evidence.y, torch.rand(40, 1).double()], dim=1)
    pool = pool_of(goals(evidence, Aim(goals=(UP, other)), values))
    verdict = pool.verdict
    assert isinstance(verdict, Verdict)
    best = pool.mean.max(dim=0).values
    sd, exact = torch.zeros(3, 2).double(), np.empty((3, 0))
    candidates = torch.stack([best + 0.3, best + 0.1, best - 9])
    gains = verdict.gains(candidates, sd, exact, 0, [])
    assert float(gains[0]) > float(gains[1]) > float(gains[2])


@pytest.mark.parametrize("worst", [-1e3, -1e6, -1e90])
@pytest.mark.parametrize("limits", [(), (Limit(name="y", spec=None, low=-1e99),)])
def test_how_bad_an_outlier_is_does_not_matter(worst: float, limits: tuple[Limit, ...]) -> None:
    def proposals(value: float) -> list[str]:
        evidence = toy_evidence(20)
        y = evidence.y.clone()
        y[7] = value
        spoilt = dataclasses.replace(evidence, y=y)
        if limits:
            spoilt = goals(spoilt, Aim(goals=(UP,), limits=limits), y)
        return chosen(spoilt)

    assert proposals(worst) == proposals(-500.0)


def test_how_bad_an_outlier_is_does_not_matter_in_a_pareto_search() -> None:
    other = Goal(name="other", direction="minimise", spec=None)
    evidence = toy_evidence(20)
    batches = []
    for worst in (500.0, 1e6):
        values = torch.cat([evidence.y, carbons_of(evidence)], dim=1)
        values[7] = values.new_tensor([-worst, worst])
        batches.append(chosen(goals(evidence, Aim(goals=(UP, other)), values)))
    assert batches[0] == batches[1]


def carbons_of(evidence: Evidence) -> Tensor:
    return torch.from_numpy(carbons(evidence.smiles))


@pytest.mark.parametrize(("factor", "offset"), [(1e-9, 0.0), (1e9, 0.0), (1.0, -50.0)])
def test_proposals_do_not_depend_on_the_unit(factor: float, offset: float) -> None:
    evidence = toy_evidence(20)
    noise = torch.full_like(evidence.y, 0.5)
    plain = dataclasses.replace(evidence, noise=noise)
    other = dataclasses.replace(evidence, y=factor * evidence.y + offset, noise=factor**2 * noise)
    assert chosen(other) == chosen(plain)
    second = Goal(name="other", direction="minimise", spec=None)
    aim, more = Aim(goals=(UP, second)), carbons_of(evidence)
    batches = [
        chosen(goals(one, aim, torch.cat([one.y, more], dim=1)))
        for one in (
            evidence,
            dataclasses.replace(evidence, y=other.y),
        )
    ]
    assert batches[0] == batches[1]


def test_parents_are_ranked_by_what_is_believed_of_them() -> None:
    """A lucky value among similar molecules, known to be rough, is not believed."""
    evidence = toy_evidence(30)
    order = evidence.y[:, 0].argsort()
    lucky, best = int(order[10]), int(order[-1])
    y = evidence.y.clone()
    y[lucky] = y[best] + 20.0
    exact = pool_of(dataclasses.replace(evidence, y=y))
    assert int(exact.mean[:30, 0].argmax()) == lucky
    noise = torch.full_like(y, 1e-2)
    noise[lucky] = 1e4
    noisy = pool_of(dataclasses.replace(evidence, y=y, noise=noise))
    assert int(noisy.mean[:30, 0].argmax()) in order[-3:].tolist()
    assert bool((noisy.sd[:30] == 0).all())
    assert noisy.parents(50, np.random.default_rng(0)).count(lucky) < 5
    assert exact.parents(50, np.random.default_rng(0)).count(lucky) > 5


def test_a_lucky_value_does_not_make_the_pareto_front() -> None:
    evidence = toy_evidence(30)
    values = torch.cat([evidence.y, carbons_of(evidence)], dim=1)
    lucky = int(values[:, 0].argsort()[10])
    values[lucky, 0] = 50.0
    noise = torch.full_like(values, 1e-2)
    noise[lucky, 0] = 1e4
    other = Goal(name="other", direction="minimise", spec=None)
    rough = dataclasses.replace(evidence, noise=noise)
    fronts = []
    for one in (evidence, rough):
        verdict = pool_of(goals(one, Aim(goals=(UP, other)), values)).verdict
        assert isinstance(verdict, Verdict)
        best = verdict.front[:, 0].max() * verdict.span[0] + verdict.low[0]
        fronts.append(float(best))
    assert fronts[0] == pytest.approx(50.0)
    assert fronts[1] < 30.0


def test_pending_molecules_leave_beliefs_of_others_as_they_are() -> None:
    few = toy_evidence(20, pending=60)
    none = dataclasses.replace(few, pending_smiles=(), pending_z=few.pending_z[:0])
    waiting, alone = pool_of(few), pool_of(none)
    left = [m for m in ToySpace().molecules if m not in few.known]
    with torch.no_grad():
        for pool in (waiting, alone):
            pool.add(left, [None] * len(left), [""] * len(left))
    torch.testing.assert_close(waiting.mean, alone.mean, atol=1e-6, rtol=0)
    assert bool((waiting.sd <= alone.sd + 1e-9).all())
    for one, other in zip(waiting.models, alone.models, strict=True):
        assert torch.equal(one.covar_module.outputscale, other.covar_module.outputscale)


def test_surer_after_having_been_right_and_less_sure_after_having_been_wrong() -> None:
    evidence = toy_evidence(40)
    origins = ("start",) * 20 + ("rank latent",) * 20
    smooth = carbons_of(evidence)
    wrong = smooth.clone()
    wrong[20::2], wrong[21::2] = smooth.min(), smooth.max()
    sure, unsure = (
        pool_of(dataclasses.replace(evidence, y=y, origins=origins)).inflation[0]
        for y in (smooth, wrong)
    )
    assert sure < 1 < unsure
    assert pool_of(evidence).inflation == [1.0]
    starting = dataclasses.replace(evidence, origins=("start",) * 40)
    assert pool_of(starting).inflation == [1.0]


def test_the_best_between_two_values() -> None:
    low, high = np.array([0.0, 3.0, 9.0]), np.array([2.0, 6.0, 10.0])
    amid = Goal(name="y", direction="range", low=4.0, high=5.0, spec=None)
    for part, expected in (
        (UP, high),
        (DOWN, low),
        (amid, [2.0, 4.5, 9.0]),
        (Limit(name="y", spec=None, low=4.0), high),
        (Limit(name="y", spec=None, high=4.0), low),
        (Limit(name="y", spec=None, low=4.0, high=5.0), [2.0, 4.5, 9.0]),
    ):
        assert best_between(part, low, high).tolist() == list(expected)
