"""Settings of a campaign in the forms that Python users give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from molvae.bo.strategies.random import Random
from molvae.campaign.campaign import Campaign
from molvae.campaign.same_settings import check_same_settings
from molvae.errors import CampaignError, ConfigError
from molvae.objectives.problem import Constraint
from tests.toys import ToySpace


@pytest.mark.parametrize(
    "constraint",
    [
        "mw <= 200",
        {"objective": "mw", "high": 200.0},
        Constraint(name="mw", spec="mw", high=200.0),
    ],
)
def test_create_accepts_a_single_constraint_without_a_list(constraint: Any, tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db",
        ToySpace(),
        objective="qed",
        constraints=constraint,
        start=ToySpace().molecules[:2],
    ) as campaign:
        assert [(one.name, one.high) for one in campaign.problem.constraints] == [("mw", 200.0)]


def test_create_accepts_a_strategy_class(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db",
        ToySpace(),
        objective="qed",
        strategy=Random,
        start=ToySpace().molecules[:2],
        batch_size=2,
    ) as campaign:
        campaign.run(4)
        assert [trial.origin for trial in campaign.trials] == ["start"] * 2 + ["random"] * 2


def test_check_same_settings_with_other_reading_of_the_start_raises(tmp_path: Path) -> None:
    (tmp_path / "start.csv").write_text(f"Structure,IC50\n{ToySpace().molecules[0]},5\n")
    reading: dict[str, Any] = {"smiles_column": "Structure", "value_column": "IC50"}
    with Campaign.create(
        tmp_path / "c.db",
        ToySpace(),
        objective="manual:y",
        start=tmp_path / "start.csv",
        **reading,
    ) as campaign:
        check_same_settings(campaign, reading)
        for name, other in {**dict.fromkeys(reading, "other"), "standardize": False}.items():
            with pytest.raises(CampaignError, match=f"{name} .*, not {other}"):
                check_same_settings(campaign, {name: other})
        campaign.metadata["config"].pop("standardize")  # as in older files
        check_same_settings(campaign, {"standardize": False})


def test_create_takes_an_iterator_of_molecules_and_refuses_a_set(tmp_path: Path) -> None:
    molecules = ToySpace().molecules[:3]
    with pytest.raises(ConfigError, match="start is a set"):
        Campaign.create(tmp_path / "c.db", ToySpace(), objective="qed", start=set(molecules))  # type: ignore[arg-type]
    several: Any = iter(molecules)
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective="qed", start=several) as campaign:
        assert [trial.smiles for trial in campaign.trials] == molecules


@pytest.mark.parametrize(
    "constraints",
    [
        ["MW <= 500", "logP in 1..3"],
        ["logp in 1..3", "mw<=500.0"],
        ["logP >= 1", "mw <= 500", "logp <= 3"],
    ],
)
def test_check_same_settings_reads_other_spellings_and_orders_of_constraints(
    constraints: list[str], tmp_path: Path
) -> None:
    with Campaign.create(
        tmp_path / "c.db", "qm9", objective="qed", constraints=["mw <= 500", "logp in 1..3"],
        start=["CCO", "CCN"],
    ) as campaign:  # fmt: skip
        check_same_settings(campaign, {"constraints": constraints, "objective": "QED"})
        with pytest.raises(CampaignError):
            check_same_settings(campaign, {"constraints": constraints[1:]})
