"""Values that are too large: refused as arguments, failed as results of a scoring function."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from molvae.analysis.report import write_report
from molvae.campaign.campaign import Campaign
from molvae.campaign.evaluation import EvaluationTask, evaluate
from molvae.chem.values import finite
from molvae.errors import ConfigError, DataError
from molvae.objectives.problem import Constraint, Objective
from tests.toys import ToySpace, begin

LARGE = [math.inf, -math.inf, sys.float_info.max, -sys.float_info.max, 1e155, -1.1e100]
FINE = [0.0, 1e100, -1e100, 5e-324]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


@pytest.mark.parametrize("number", LARGE)
def test_finite_of_too_large_numbers_raises_with_advice(number: float) -> None:
    with pytest.raises(ValueError, match=r"(infinite|beyond 1e\+100).*NaN"):
        finite(number)


def test_finite_returns_values_and_nan() -> None:
    assert [finite(number) for number in FINE] == FINE
    assert math.isnan(finite(math.nan))


@pytest.mark.parametrize("value", [*LARGE, 10**400, [1.0, 1e155], {"hill": 1e155}])
def test_tell_of_a_too_large_value_raises(path: Path, value: Any) -> None:
    with begin(path, objective="manual:hill") as campaign:
        with pytest.raises(ConfigError, match="NaN") as caught:
            campaign.tell(1, value)
        assert str(caught.value).count("magnitude") <= 1
        assert campaign.trials[0].status == "pending"
        assert campaign.tell(1, 1e100).values == {"hill": 1e100}


@pytest.mark.parametrize("error", [math.inf, 1e155])
def test_tell_of_a_too_large_standard_error_raises(path: Path, error: float) -> None:
    with (
        begin(path, objective="manual:hill") as campaign,
        pytest.raises(ConfigError),
    ):
        campaign.tell(1, 1.0, error=error)


def test_evaluate_of_too_large_values_fails_with_advice() -> None:
    class Penalty:
        name, direction = "hill", "maximize"

        def __call__(self, smiles: Sequence[str]) -> list[float]:
            return LARGE

    for one in evaluate([EvaluationTask(objective=Penalty(), names=("hill",))], ["C"] * len(LARGE)):
        assert one.values == {}
        assert "NaN" in one.message
        assert not one.broke  # another try would say the same


@pytest.mark.parametrize("text", ["1e155", "-1.8e308", "1e999", "inf"])
def test_create_from_a_file_with_a_too_large_value_raises(
    path: Path, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "start.csv"
    file.write_text(f"smiles,hill\nCOCO,1\nCCOCO,{text}\n")
    with pytest.raises(DataError, match="line 3"):
        begin(path, start=file)
    assert not path.exists()


@pytest.mark.parametrize("number", LARGE)
def test_objectives_and_constraints_with_too_large_numbers_raise(number: float) -> None:
    with pytest.raises(ConfigError):
        Constraint(name="a", spec=None, high=number)
    with pytest.raises(ConfigError):
        Objective(name="a", spec=None, direction="maximize", worst=number)
    with pytest.raises(ConfigError):
        Objective(name="a", spec=None, direction="maximize", weight=abs(number))


@pytest.mark.parametrize("largest", [1e100, sys.float_info.max])
@pytest.mark.parametrize("goals", [["manual:a"], ["manual:a", "minimize manual:b"]])
def test_campaign_with_the_largest_values_asks_and_reports(
    path: Path, monkeypatch: pytest.MonkeyPatch, largest: float, goals: list[str]
) -> None:
    """Records from before there was a largest value hold larger ones."""
    with monkeypatch.context() as patch:
        patch.setattr("molvae.chem.values.MAX_VALUE", math.inf)
        start = ToySpace().molecules[1:80:10]
        with Campaign.create(path, ToySpace(), objective=goals, start=start) as campaign:
            for trial, value in zip(
                campaign.trials, [largest, -largest, 1, 2, 3, 4, 5, 6], strict=True
            ):
                values = {"a": value, "b": float(trial.id)}
                campaign.tell(trial.id, {name: values[name] for name in campaign.problem.measured})
    with Campaign.open(path, ToySpace()) as campaign:
        assert len(campaign.ask(2)) == 2
        assert len(campaign.best(3)) == 3
        write_report(campaign, path.with_suffix(".html"))
