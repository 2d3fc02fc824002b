"""Proposals of every strategy are independent of unit, zero and sign of an objective."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molvae.bo.base import Observations, Strategy
from molvae.bo.strategies.genetic import Genetic
from molvae.bo.strategies.gradient import Gradient
from molvae.bo.strategies.log_ei import LogEI
from molvae.bo.strategies.random import Random
from molvae.bo.strategies.rank import Rank
from molvae.bo.strategies.screen import Screen
from molvae.bo.strategies.thompson import Thompson
from molvae.bo.strategies.turbo import Turbo
from molvae.config import STRATEGIES
from molvae.objectives.problem import Combine, Constraint, Objective, OptimizationProblem
from tests.contracts import toy_observations
from tests.toys import ToySpace

RANK = Rank(n_generations=1, n_offspring=30)
STRATEGIES_TRIED: list[Strategy] = [
    Random(),
    LogEI(num_restarts=1, raw_samples=8, max_iterations=5, mc_samples=16),
    Thompson(n_candidates=64),
    Turbo(n_candidates=64),
    Gradient(step_size=0.03, sigma=0.05, n_steps=5),
    Genetic(),
    *(replace(RANK, surrogate=s) for s in ("weighted", "tanimoto+descriptors", "latent", "auto")),
]
ONE_EACH = list({strategy.name: strategy for strategy in reversed(STRATEGIES_TRIED)}.values())
SEVERAL = [s for s in ONE_EACH if s.name in ("random", "log-ei", "rank")]
SPACE = ToySpace()
N = 12
HILL = toy_observations(N).y[:, 0].numpy()
"""Values of the first goal; the second and the limits look at where a molecule lies."""
PLACES = toy_observations(N).z.numpy()


@dataclass(frozen=True)
class Unit:
    """Another way of writing the same values."""

    scale: float = 1.0
    shift: float = 0.0
    negated: bool = False

    def of(self, values: np.ndarray | float) -> np.ndarray | float:
        return (-1 if self.negated else 1) * (values * self.scale + self.shift)

    def goal(
        self, name: str, direction: str, worst: float, best: float, weight: float
    ) -> Objective:
        other = {"maximize": "minimize", "minimize": "maximize"}
        turned = other[direction] if self.negated else direction
        ends = {"worst": float(self.of(worst)), "best": float(self.of(best))}
        return Objective(name=name, direction=turned, spec=None, weight=weight, **ends)

    def at_least(self, name: str, low: float, **more: bool) -> Constraint:
        end = "high" if self.negated else "low"
        return Constraint(name=name, spec=None, **{end: float(self.of(low))}, **more)


UNITS = {
    "1e-15, negated": Unit(1e-15, negated=True),
    "1e15": Unit(1e15),
    "-50": Unit(shift=-50.0),
    "1e-3 - 50, negated": Unit(1e-3, -50.0, negated=True),
}
FEW = ["1e-15, negated", "1e-3 - 50, negated"]


@pytest.fixture(autouse=True)
def quick_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molvae.bo.surrogate.FIT_STEPS", 10)


def observations_in(
    unit: Unit,
    *,
    goals: int = 1,
    combine: Combine = "pareto",
    limits: str = "",
    worst: float | None = None,
) -> Observations:
    """The same toy campaign, its values in some unit, the first of them perhaps an outlier."""
    hill = HILL if worst is None else np.array([worst, *HILL[1:]])
    weight = 1 / unit.scale if combine == "weighted_sum" else 1.0
    first = unit.goal("hill", "maximize", -60.0, 0.0, weight)
    second = Objective(name="place", direction="minimize", spec=None, worst=5.0, best=-5.0)
    values = {"hill": unit.of(hill), "place": PLACES[:, 0], "side": PLACES[:, 1]}
    kept = {
        "": (),
        "measured": (Constraint(name="side", spec=None, high=1.0),),
        "own": (unit.at_least("hill", -30.0),),
        "computed": (unit.at_least("place", 0.0, is_cheap=True),),
    }[limits]
    if limits == "computed":
        values["place"] = unit.of(PLACES[:, 0])
    problem = OptimizationProblem(
        objectives=(first, second)[:goals], constraints=kept, combine=combine
    )
    rows = np.stack([values[name] for name in problem.names], axis=1)

    def compute(smiles: list[str]) -> np.ndarray:
        places = unit.of(SPACE.encode(smiles, skip_unknown=True).nan_to_num()[:, :1].numpy())
        return np.asarray(places)[:, : len(problem.computed)]

    return replace(
        toy_observations(N, pending=2),
        y=torch.from_numpy(problem.y(rows)),
        problem=None if problem.is_single_objective else problem,
        values=None if problem.is_single_objective else torch.from_numpy(rows),
        compute=None if problem.is_single_objective else compute,
        origins=("start",) * (N // 2) + ("turbo",) * (N - N // 2),
    )


def proposed_smiles(strategy: Strategy, observations: Observations) -> list[str]:
    return [c.smiles for c in strategy.propose(observations, SPACE, 2, seed=4)]


def assert_same_proposals(strategy: Strategy, units: list[str], **setup: object) -> None:
    usual = proposed_smiles(strategy, observations_in(Unit(), **setup))
    for name in units:
        assert proposed_smiles(strategy, observations_in(UNITS[name], **setup)) == usual, name


def test_unit_tests_cover_every_strategy() -> None:
    assert {strategy.name for strategy in STRATEGIES_TRIED} | {Screen.name} == set(STRATEGIES)


def test_screen_proposals_in_another_unit_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "library.smi"
    file.write_text("\n".join(SPACE.molecules))
    assert_same_proposals(Screen(dataset=str(file), n_screened=100), list(UNITS))


@pytest.mark.parametrize("strategy", STRATEGIES_TRIED, ids=lambda s: s.name)
def test_proposals_of_one_objective_in_another_unit_are_the_same(strategy: Strategy) -> None:
    assert_same_proposals(strategy, list(UNITS))


@pytest.mark.parametrize("limits", ["measured", "own", "computed"])
@pytest.mark.parametrize("strategy", ONE_EACH, ids=lambda s: s.name)
def test_proposals_with_a_constraint_in_another_unit_are_the_same(
    strategy: Strategy, limits: str
) -> None:
    assert_same_proposals(strategy, FEW, limits=limits)


@pytest.mark.parametrize("limits", ["", "measured", "own"])
@pytest.mark.parametrize("strategy", SEVERAL, ids=lambda s: s.name)
def test_proposals_of_a_pareto_search_in_another_unit_are_the_same(
    strategy: Strategy, limits: str
) -> None:
    assert_same_proposals(strategy, FEW, goals=2, limits=limits)


@pytest.mark.parametrize("combine", ["weighted_sum", "desirability"])
@pytest.mark.parametrize("strategy", ONE_EACH, ids=lambda s: s.name)
def test_proposals_of_a_combined_score_in_another_unit_are_the_same(
    strategy: Strategy, combine: Combine
) -> None:
    """Of a sum whose weights, of a product whose ends are written in that unit as well."""
    assert_same_proposals(strategy, FEW, goals=2, combine=combine)


@pytest.mark.parametrize("setup", [{}, {"limits": "measured"}], ids=["alone", "limit"])
@pytest.mark.parametrize("strategy", ONE_EACH, ids=lambda s: s.name)
def test_proposals_are_independent_of_the_size_of_an_outlier(
    strategy: Strategy, setup: dict[str, str]
) -> None:
    bad, worse = (observations_in(Unit(), worst=worst, **setup) for worst in (-1e4, -1e6))
    assert proposed_smiles(strategy, bad) == proposed_smiles(strategy, worse)


@pytest.mark.parametrize("strategy", SEVERAL, ids=lambda s: s.name)
def test_pareto_proposals_are_independent_of_the_size_of_an_outlier(
    strategy: Strategy,
) -> None:
    bad, worse = (observations_in(Unit(), worst=worst, goals=2) for worst in (-1e4, -1e6))
    assert proposed_smiles(strategy, bad) == proposed_smiles(strategy, worse)
