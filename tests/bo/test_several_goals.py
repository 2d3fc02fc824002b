"""Campaigns with several objectives and constraints, over the toy space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molvae.bo.acquisition import MultiObjectiveUCB, _feasible_first
from molvae.bo.base import Candidate, Observations
from molvae.bo.candidates import propose_decoded
from molvae.bo.transforms import standardized
from molvae.campaign.campaign import Campaign
from molvae.campaign.running import evaluation_tasks
from molvae.errors import CampaignError, ConfigError, DataError, UnknownNameError
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem
from tests.toys import ToyObjective, ToySpace

GOALS = ["minimize mw", "maximize tpsa"]
RANK = "rank:n_offspring=40"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


def create_campaign(path: Path, **settings: Any) -> Campaign:
    space = ToySpace()
    defaults: dict[str, Any] = {
        "objective": GOALS,
        "strategy": RANK,
        "start": space.molecules[1:80:10],
        "batch_size": 4,
        "plausibility": "none",  # many toy molecules are acetals and hemiaminals
    }
    return Campaign.create(path, space, **(defaults | settings))


def scores_of_all_molecules(campaign: Campaign) -> list[float]:
    """The first column of what is maximized, of every molecule of the toy space."""
    found = campaign.compute(ToySpace().molecules, campaign.problem.names)
    values = np.array([[one[name] for name in campaign.problem.names] for one in found])
    return [float(value) for value in campaign.problem.y(values)[:, 0]]


def slow(smiles: str) -> dict[str, float]:
    """A measurement that brings two values."""
    return {"hill": ToyObjective()([smiles])[0], "carbons": float(smiles.count("C"))}


def here(what: str) -> str:
    return f"tests.bo.test_several_goals:{what}"


@pytest.mark.parametrize("combine", ["pareto", "desirability", "weighted_sum"])
def test_campaign_of_computed_objectives_finds_the_best_molecules(path: Path, combine: str) -> None:
    """Nothing is guessed at: the best of 324 molecules is soon found."""
    goals = ["minimize mw, worst 300, best 40", "maximize tpsa, worst 0, best 60"]
    with create_campaign(path, objective=goals, combine=combine, seed=1) as campaign:
        campaign.run(24)
        assert campaign.problem.measured == ()
        best = campaign.best(1).iloc[0]
        values = dict(zip(ToySpace().molecules, scores_of_all_molecules(campaign), strict=True))
        better = sum(value > values[best["smiles"]] for value in values.values())
        assert better <= 3, best
        assert campaign.best_value == (None if combine == "pareto" else best["score"])


def test_campaign_function_may_return_several_values_per_call(path: Path) -> None:
    calls: list[str] = []

    class Both:
        name, direction, version = "both", "maximize", "2"

        def __call__(self, smiles: list[str]) -> list[dict[str, float]]:
            calls.extend(smiles)
            return [slow(molecule) for molecule in smiles]

    goals = [
        {"objective": here("slow"), "name": "hill"},
        {"objective": here("slow"), "name": "carbons", "direction": "minimize"},
        "logp in -1..1",
    ]
    with create_campaign(path, objective=goals) as campaign:
        assert campaign.problem.measured == ("hill", "carbons")
        assert [call.names for call in evaluation_tasks(campaign, None)] == [
            ("hill", "carbons"),
            ("logp",),
        ]
        campaign.run(20)
        table = campaign.table()
        assert (table["status"] == "complete").all()
        assert (table["carbons"] == table["smiles"].str.count("C")).all()
        front = table[table["pareto_rank"] == 1]
        assert len(front) >= 2
        assert (front["origin"] != "start").any()


def test_tell_of_measured_objectives_takes_values_by_name(path: Path) -> None:
    goals = ["manual:pIC50", "minimize mw"]
    with create_campaign(
        path, objective=goals, constraints=["manual:tox <= 1", "tpsa >= 10"]
    ) as campaign:
        first, second, third, *_ = campaign.ask(4)
        with pytest.raises(ConfigError, match="measures pIC50, tox; give values by name, got 7"):
            campaign.tell(first.id, 7.0)
        with pytest.raises(UnknownNameError, match="did you mean 'pIC50'"):
            campaign.tell(first.id, {"pIC5": 7.0})
        told = campaign.tell(first.id, {"pIC50": [7.0, 8.0], "tox": 0.5}, error={"tox": 0.1})
        assert told.status == "complete"
        assert set(told.values) == {"pIC50", "mw", "tox", "tpsa"}
        assert told.errors == {"pIC50": 0.5, "tox": 0.1}
        half = campaign.tell(second.id, {"pIC50": 6.0}, "no toxicity")
        assert (half.status, half.values["pIC50"]) == ("failed", 6.0)
        campaign.tell(third.id, {"pIC50": 5.0, "tox": 3.0})
        assert campaign.best(5)["feasible"].tolist() == [True, False]
        assert len(campaign.ask(3)) == 3  # noise of some values, a modelled limit, pending ones
    with (
        Campaign.open(path, ToySpace()) as campaign,
        pytest.raises(CampaignError, match="ask and tell"),
    ):
        campaign.run(20)


def test_campaign_proposals_satisfy_constraints_from_the_first(path: Path) -> None:
    limits = ["matches:S >= 1", "largest_ring <= 0", "elements-outside:C+O+S <= 0"]
    some = ToySpace().molecules[1:240:30]  # of which one keeps them
    with create_campaign(
        path, objective=ToyObjective(), constraints=limits, start=some, seed=2
    ) as campaign:
        campaign.run(24)
        new = campaign.table().query("origin != 'start'")
        assert len(new) == 16
        assert new["feasible"].all()


@pytest.mark.parametrize(
    "strategy", ["random", "log-ei:num_restarts=1,raw_samples=8,max_iterations=3"]
)
def test_strategies_with_several_objectives_complete_a_campaign(path: Path, strategy: str) -> None:
    with create_campaign(path, strategy=strategy) as campaign:
        campaign.run(12)
        assert len(campaign) == 12


@pytest.mark.parametrize("strategy", ["ga", "thompson", "turbo", "gradient"])
def test_strategies_for_one_objective_raise_without_combine(path: Path, strategy: str) -> None:
    with (
        create_campaign(path, strategy=strategy) as campaign,
        pytest.raises(CampaignError, match=r"supports one objective, got 2; set combine"),
    ):
        campaign.run(12)
    with create_campaign(
        path.with_name("sum.db"), strategy=strategy, combine="weighted_sum"
    ) as campaign:
        campaign.run(10)


def test_campaign_of_several_objectives_resumes_the_same(path: Path) -> None:
    def smiles(c: Campaign) -> list[str]:
        return [trial.smiles for trial in c.trials]

    with create_campaign(path, constraints=["logp <= 2"]) as campaign:
        campaign.run(20)
        whole = smiles(campaign)
    other = path.with_name("other.db")
    with create_campaign(other, constraints=["logp <= 2"]) as campaign:
        campaign.run(12)  # a whole number of batches
    with Campaign.open(other, ToySpace()) as campaign:
        campaign.run(20)
        assert smiles(campaign) == whole
        assert not np.isnan(campaign.table()["logp"]).any()


def test_campaign_start_file_computes_the_other_objectives(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text("smiles,a,b\nCOCO,1,2\nCNCO,,\nCSCO,nan,1\n")
    goals = ["manual:a", "manual:b", "mw"]
    with create_campaign(path, objective=goals, start=str(file)) as campaign:
        assert [t.status for t in campaign.trials] == ["complete", "pending", "failed"]
        assert campaign.trials[0].values["mw"] == pytest.approx(62.07, abs=0.01)
    file.write_text("smiles,a,b\nCOCO,1,\n")
    with pytest.raises(DataError, match="line 2"):
        create_campaign(path.with_name("d.db"), objective=goals, start=str(file))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_scores_of_feasible_molecules_are_independent_of_an_outlier(direction: Any) -> None:
    """More than half of the molecules break a limit."""
    problem = OptimizationProblem(
        objectives=(Objective(name="y", spec=None, direction=direction),),
        constraints=(Constraint(name="b", spec=None, high=5.0),),
    )
    sign = 1 if direction == "maximize" else -1
    infeasible, good = [(i, 9.0 + i) for i in range(11)], [(float(i), 1.0) for i in range(1, 9)]
    scores = []
    for outlier in (-1e2, -1e3, -1e6, -1e99):
        values = np.array([*infeasible, *good, (outlier, 1.0)]) * (sign, 1)
        y = problem.y(values)
        assert y[:11].max() < y[11:].min()
        assert len(np.unique(y[:11])) == 11
        scores.append(standardized(torch.from_numpy(y)))
        torch.testing.assert_close(scores[-1], scores[0], atol=1e-6, rtol=0)
    assert float(scores[0][18] - scores[0][11]) > 1


def test_feasible_first_order_is_independent_of_an_outlier() -> None:
    outside = np.array([0.0, 0.3, 0.1, 0.2, 0.0, 0.0])
    for outlier in (-1e2, -1e99):
        merit = np.array([2.0, 9.0, 9.0, 9.0, outlier, 3.0])
        order = _feasible_first(merit, outside).argsort(descending=True)
        assert order.tolist() == [5, 0, 4, 2, 3, 1]


def test_multi_objective_ucb_scale_is_independent_of_penalties() -> None:
    problem = OptimizationProblem(
        objectives=(
            Objective(name="a", spec=None, direction="maximize", is_cheap=True),
            Objective(name="b", spec=None, direction="maximize", is_cheap=True),
        )
    )
    found = []
    for penalty in (-1e2, -1e6, -1e99):
        a = [penalty] * 11 + [float(i) for i in range(9)]
        values = np.array([a, [*range(20)]], dtype=float).T
        observations = Observations(
            smiles=("C",) * 20,
            z=torch.zeros(20, 1),
            y=torch.from_numpy(problem.y(values)),
            pending_z=torch.zeros(0, 1),
            known=frozenset(),
            bounds=torch.tensor([[-1.0], [1.0]]),
            problem=problem,
            values=torch.from_numpy(values),
        )
        rng = np.random.default_rng(0)
        ucb = MultiObjectiveUCB(
            observations, problem, lambda _: np.empty((0, 2)), np.array([1.0]), rng
        )
        found.append((ucb.low.tolist(), ucb.span.tolist()))
    assert found[0] == found[1] == found[2]


def test_log_ei_does_not_compile_the_fused_kernel_of_botorch() -> None:
    from molvae.bo.strategies.log_ei import logei

    logei._try_load_fused_kernel()
    assert logei._C is None


def test_log_ei_of_several_goals_gives_less_for_what_is_chosen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = list[tuple[float, float]]()

    def spy(space: Any, z: Any, value: Any, observations: Any, n: int, **settings: Any) -> Any:
        encodings = space.encode(space.molecules[2:30:3])
        first = value(encodings, [])
        at = int(first.argmax())
        chosen = Candidate(smiles=space.molecules[2 + 3 * at], z=encodings[at])
        gains.append((float(first[at]), float(value(encodings, [chosen])[at])))
        return propose_decoded(space, z, value, observations, n, **settings)

    monkeypatch.setattr("molvae.bo.strategies.log_ei.propose_decoded", spy)
    with create_campaign(path, strategy="log-ei") as campaign:
        campaign.run(len(campaign))
        for n in (1, 3):
            campaign.strategy.propose(campaign.observations(), campaign.space, n, seed=0)
    for before, after in gains:
        assert after < before - 0.5
