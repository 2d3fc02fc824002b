"""Predictions are kept with their trials and compared with measured values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import t as student

from molvae.analysis.calibration import MAX_ROWS, coverage_of
from molvae.analysis.report import render
from molvae.bo.prediction import Prediction
from molvae.bo.surrogate import predictions
from molvae.bo.transforms import ScoreTransform
from molvae.campaign.campaign import Campaign
from molvae.campaign.storage import Storage
from molvae.campaign.trial import NewTrial, Trial
from tests.toys import ToyObjective, ToySpace, begin

RANK = "rank:n_offspring=40,n_generations=1"


class Down(ToyObjective):
    direction = "minimize"

    def __call__(self, smiles: Any) -> list[float]:
        return [-value for value in super().__call__(smiles)]


def trial(id_: int, value: float | None, **predictions: Prediction) -> Trial:
    return Trial(
        id=id_,
        smiles="C" * id_,
        origin="rank",
        status="pending" if value is None else "complete",
        values={} if value is None else {"y": value},
        predictions=predictions,
        asked_at="",
        z_bytes=b"",
    )


SAID = Prediction(-2.0, -1.0, 0.0, 1.0, 2.0)


def test_prediction_holds_values_within_its_intervals() -> None:
    assert [SAID.holds(value, 0.5) for value in (-1.5, -1, 0, 1, 1.5)] == [
        False,
        *[True] * 3,
        False,
    ]
    assert [SAID.holds(value, 0.9) for value in (-2.5, -2, 1.5, 2.5)] == [False, True, True, False]
    assert Prediction(1.0, 2.0, 3.0, 4.0, 5.0).negated() == (-5.0, -4.0, -3.0, -2.0, -1.0)


def test_coverage_of_counts_trials_with_prediction_and_value() -> None:
    values = [0.5, -0.5, 1.5, -9.0, None, 0.1]
    trials = [trial(k, value, y=SAID) for k, value in enumerate(values, 1)]
    trials += [trial(7, 1.0), trial(8, 1.0, other=SAID)]
    (everything, first, second) = coverage_of(trials, "y", batch=3)
    assert (everything.measured, everything.held_50, everything.held_90) == (5, 3, 4)
    assert everything.above == 3
    assert [(g.first, g.last, g.measured) for g in (first, second)] == [(1, 3, 3), (4, 6, 2)]
    assert [(g.held_50, g.held_90) for g in (first, second)] == [(2, 3), (1, 1)]
    assert coverage_of(trials[6:], "y", batch=3) == []
    assert len(coverage_of(trials[:2], "y", batch=3)) == 1


def test_coverage_of_many_batches_joins_them_to_groups() -> None:
    trials = [trial(k, 0.0, y=SAID) for k in range(1, 1001)]
    found = coverage_of(trials, "y", batch=1)
    assert len(found) == MAX_ROWS + 1
    assert sum(group.measured for group in found[1:]) == found[0].measured == 1000


def test_storage_keeps_predictions(tmp_path: Path) -> None:
    said = {"y": SAID, "other": Prediction(*map(float, range(5)))}
    new = [
        NewTrial(smiles="CC", z=[0.0], origin="rank", predictions=said),
        NewTrial(smiles="CO", z=[0.0], origin="rank"),
    ]
    with Storage.create(tmp_path / "r.db", {}, new) as store:
        first, second = store.trials()
        assert first.predictions == said
        assert isinstance(first.predictions["y"], Prediction)
        assert second.predictions == {}


@pytest.mark.parametrize("objective", [ToyObjective(), Down()], ids=["maximize", "minimize"])
def test_rank_predictions_have_the_sign_of_the_values(
    tmp_path: Path, objective: ToyObjective
) -> None:
    with begin(tmp_path / "c.db", objective=objective, strategy=RANK, n=20) as c:  # type: ignore[attr-defined]
        c.run(28)
        starting, new = c.trials[:20], c.trials[20:]
        assert all(not t.predictions for t in starting)
        for one in new:
            said = one.predictions["hill"]
            assert list(said) == sorted(said)
            assert said.q05 < said.q95
        errors = [abs(t.values["hill"] - t.predictions["hill"].q50) for t in new]
        assert sum(errors) / len(errors) < 25  # of values from 0 to some 150
        assert sum(t.predictions["hill"].holds(t.values["hill"], 0.9) for t in new) >= 4
        html = render(c)
    assert 'id="predictions"' in html
    assert "21 to 24" in html


def test_rank_predicts_each_measured_value_of_several_objectives(tmp_path: Path) -> None:
    space = ToySpace()
    goals = ["manual:a", "minimize manual:b", "minimize mw"]
    with Campaign.create(
        tmp_path / "c.db",
        space,
        objective=goals,
        constraints=["manual:c <= 3"],
        strategy=RANK,
        start=space.molecules[1:80:10],
    ) as c:
        for k, one in enumerate(c.trials):
            c.tell(one.id, {"a": 10.0 + k, "b": 1e3 * k, "c": float(k % 5)})
        for one in c.ask(3):
            assert set(one.predictions) == {"a", "b", "c"}
            assert 0 < one.predictions["a"].q50 < 30
        assert 'id="predictions"' not in render(c)  # nothing is measured yet


def test_rank_predicts_values_of_a_range_objective(tmp_path: Path) -> None:
    space = ToySpace()
    with Campaign.create(
        tmp_path / "c.db",
        space,
        objective=["manual:pH in 6..8"],
        strategy=RANK,
        start=space.molecules[1:160:10],
    ) as c:
        for one in c.trials:
            c.tell(one.id, float(one.smiles.count("C")))
        said = [one.predictions["pH"] for one in c.ask(4)]
    assert all(s.q95 > 6 and s.q05 < 8 and 3 < s.q50 < 11 for s in said)


@pytest.mark.parametrize(
    "strategy", ["log-ei:max_iterations=5,num_restarts=1", "thompson", "turbo"]
)
def test_strategies_with_a_surrogate_give_predictions(tmp_path: Path, strategy: str) -> None:
    with begin(tmp_path / "c.db", objective=Down(), strategy=strategy, n=20) as c:  # type: ignore[attr-defined]
        c.run(24)
        for one in c.trials[20:]:
            said = one.predictions["hill"]
            assert list(said) == sorted(said)
            assert -50 < said.q50 < 200


def test_strategy_random_gives_no_predictions(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", strategy="random") as c:  # type: ignore[attr-defined]
        c.run(12)
        assert all(not t.predictions for t in c.trials)
        assert 'id="predictions"' not in render(c)


def test_prediction_intervals_follow_heavy_tailed_errors() -> None:
    """Half of the errors in the middle, nine of ten within far wider ends, and the median."""
    values = torch.linspace(0, 10, 101, dtype=torch.float64)
    transform = ScoreTransform(values, "high")
    (said,) = predictions(torch.zeros(1).double(), torch.ones(1).double(), transform)
    ends = transform(torch.tensor(said, dtype=torch.float64))
    assert float(ends[2]) == pytest.approx(0.0, abs=1e-6)
    assert float(ends[3]) == pytest.approx(0.82 * student(4).ppf(0.75), abs=1e-6)
    assert float(ends[4] / ends[3]) == pytest.approx(2.88, abs=0.01)
