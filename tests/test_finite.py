"""What is too large to be a value is refused or has failed, wherever it comes from."""

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
def test_finite_refuses_what_is_too_large_with_advice(number: float) -> None:
    with pytest.raises(ValueError, match=r"(infinite|beyond 1e\+100).*NaN"):
        finite(number)


def test_finite_lets_values_and_nan_pass() -> None:
    assert [finite(number) for number in FINE] == FINE
    assert math.isnan(finite(math.nan))


@pytest.mark.parametrize("value", [*LARGE, 10**400, [1.0, 1e155], {"hill": 1e155}])
def test_tell_refuses_a_value_that_is_too_large(path: Path, value: Any) -> None:
    with begin(path, objective="manual:hill") as campaign:
        with pytest.raises(ConfigError, match="NaN") as caught:
            campaign.tell(1, value)
        assert str(caught.value).count("magnitude") <= 1
        assert campaign.trials[0].status == "pending"
        assert campaign.tell(1, 1e100).values == {"hill": 1e100}


@pytest.mark.parametrize("error", [math.inf, 1e155])
def test_tell_refuses_a_standard_error_that_is_too_large(path: Path, error: float) -> None:
    with (
        begin(path, objective="manual:hill") as campaign,
        pytest.raises(ConfigError),
    ):
        campaign.tell(1, 1.0, error=error)


def test_evaluate_fails_what_is_too_large_with_advice() -> None:
    class Penalty:
        name, direction = "hill", "maximize"

        def __call__(self, smiles: Sequence[str]) -> list[float]:
            return LARGE

    for one in evaluate([EvaluationTask(objective=Penalty(), names=("hill",))], ["C"] * len(LARGE)):
        assert one.values == {}
        assert "NaN" in one.message
        assert not one.broke  # another try would say the same


@pytest.mark.parametrize("text", ["1e155", "-1.8e308", "1e999", "inf"])
def test_a_starting_file_with_a_value_that_is_too_large_is_refused(
    path: Path, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "start.csv"
    file.write_text(f"smiles,hill\nCOCO,1\nCCOCO,{text}\n")
    with pytest.raises(DataError, match="line 3"):
        begin(path, start=file)
    assert not path.exists()


@pytest.mark.parametrize("number", LARGE)
def test_goals_and_limits_refuse_numbers_that_are_too_large(number: float) -> None:
    with pytest.raises(ConfigError):
        Constraint(name="a", spec=None, high=number)
    with pytest.raises(ConfigError):
        Objective(name="a", spec=None, direction="maximize", worst=number)
    with pytest.raises(ConfigError):
        Objective(name="a", spec=None, direction="maximize", weight=abs(number))


@pytest.mark.parametrize("largest", [1e100, sys.float_info.max])
@pytest.mark.parametrize("goals", [["manual:a"], ["manual:a", "minimize manual:b"]])
def test_campaigns_with_the_largest_values_go_on(
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
