"""Objectives of several kinds: measured by people, called, and computed for every candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from molvae.campaign.campaign import Campaign
from molvae.campaign.storage import Storage
from molvae.errors import CampaignError, ConfigError, ObjectiveError
from molvae.objectives.parsing import format_part, parse_constraint, parse_objective
from molvae.objectives.problem import Constraint, Objective
from molvae.objectives.registry import objective
from tests.toys import ToySpace

START = ToySpace().molecules[:120:10]
HERG = """
calls = []

def risk(smiles):
    calls.append(smiles)
    if "N" in smiles:
        raise ValueError("no amines")
    return len(smiles) / 20

def carbons(smiles):
    if smiles.count("C") > 16:
        raise ValueError("too large")
    return float(smiles.count("C"))
"""


@pytest.fixture
def herg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    (tmp_path / "herg_model.py").write_text(HERG)
    monkeypatch.delitem(__import__("sys").modules, "herg_model", raising=False)
    import herg_model  # type: ignore[import-not-found]

    return herg_model


def create(**settings: Any) -> Campaign:
    base: dict[str, Any] = {
        "objective": ["maximize manual:pIC50", "minimize risk: herg_model:risk"],
        "start": START,
        "strategy": "rank:n_offspring=20,screen_fraction=0",
        "plausibility": "none",
    }
    return Campaign.create("c.db", ToySpace(), **base | settings)


def test_tell_of_measured_values_calls_the_other_functions(herg: Any) -> None:
    with create(constraints=["logp in -3..6"]) as campaign:
        assert campaign.problem.measured == ("pIC50", "risk")
        assert campaign.problem.computed == ("logp",)
        assert herg.calls == []
        first = campaign.tell(1, 6.5)
        assert first.status == "complete"
        assert first.values["risk"] == len(first.smiles) / 20
        assert {"pIC50", "risk", "logp"} == {*first.values}
        assert herg.calls == [first.smiles]
        campaign.tell(2, None, "impure")  # nothing is called for it
        assert herg.calls == [first.smiles]
        amine = next(t for t in campaign.trials if "N" in t.smiles)
        failed = campaign.tell(amine.id, 5.0)
        assert failed.status == "failed"
        assert "no amines" in failed.message
        assert failed.values["pIC50"] == 5.0
        corrected = campaign.correct(1, [6.0, 7.0], "two wells")
        assert corrected.values["risk"] == first.values["risk"]
        campaign.tell_all({t.id: 5.0 + t.id / 10 for t in campaign.trials if t.status == "pending"})
        for trial in campaign.ask(3):
            assert {*trial.predictions} == {"pIC50", "risk"}
            assert trial.status == "pending"
        with pytest.raises(CampaignError, match="ask and tell"):
            campaign.run(30)


def test_cheap_functions_of_a_user_constrain_every_candidate(herg: Any) -> None:
    goals = {
        "objective": "maximize manual:pIC50",
        "constraints": ["c: herg_model:carbons <= 9, cheap"],
    }
    with create(**goals) as campaign:
        assert campaign.problem.computed == ("c",)
        campaign.tell_all({t.id: 5.0 + len(t.smiles) / 10 for t in campaign.trials})
        large = [t for t in campaign.trials if t.smiles.count("C") > 16]
        assert [t.status for t in large] == ["failed"] * len(large)
        assert ["too large" in t.message for t in large] == [True] * len(large)
        assert [t.values for t in large] == [{"pIC50": 5.0 + len(t.smiles) / 10} for t in large]
        asked = campaign.ask(6)
        assert all(t.smiles.count("C") <= 9 for t in asked)
        assert campaign.predict(["CCO", "CCCO"])["c_mean"].tolist() == [2.0, 3.0]
        trial = campaign.tell(asked[0].id, 6.0)
        assert trial.values["c"] == asked[0].smiles.count("C")
    with Campaign.open("c.db", ToySpace()) as campaign:  # by another process
        assert campaign.problem.computed == ("c",)
        assert all(t.smiles.count("C") <= 9 for t in campaign.ask(2))


def test_cheap_is_read_from_text_and_python() -> None:
    assert parse_constraint("mine:f <= 3, cheap") == {"spec": "mine:f", "high": 3.0, "cheap": True}
    assert parse_objective("minimize mine:f, weight 2, cheap")["cheap"]
    own = Constraint("f", spec="mine:f", high=3.0, cheap=True)
    assert parse_constraint(own)["cheap"]
    assert parse_constraint(format_part(own)) == parse_constraint(own) | {"name": "f"}
    assert parse_objective(Objective("f", spec="mine:f", cheap=True))["cheap"]
    assert objective("test_mixed_goals_cheap", cheap=True)(lambda mol: 1.0).is_cheap
    with pytest.raises(ConfigError):
        parse_constraint("mine:f <= 3, cheaply")


def test_create_with_a_cheap_measured_value_raises(herg: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be cheap"):
        create(objective=["manual:pIC50", "manual:tox, cheap"])
    with pytest.raises(ConfigError, match="cannot be cheap"):
        create(constraints=["x: command:dock.sh >= 1, cheap"])


def test_open_of_an_untrusted_file_runs_no_cheap_function(
    herg: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goals = {
        "objective": "maximize manual:pIC50",
        "constraints": ["c: herg_model:carbons <= 9, cheap"],
    }
    with create(**goals) as campaign:
        metadata = campaign.metadata
        trials = campaign.trials
    Storage.create(tmp_path / "other.db", metadata | {"created": "2026-01-01T00:00:00Z"}).close()
    assert trials
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("molvae.campaign.trust._known", set())
    with Campaign.open("other.db", ToySpace()) as campaign:
        with pytest.raises(CampaignError, match="--trust"):
            campaign.add([START[0]], [5.0])
        assert len(campaign) == 0


def test_create_with_a_function_failing_on_every_molecule_raises(herg: Any) -> None:
    """It is no failure of the molecules, which would never be measured or proposed again."""
    herg.risk = lambda smiles: len(smiles.GetAtoms())
    start = Path("m.csv")
    start.write_text("smiles,pIC50\n" + "".join(f"{one},5.5\n" for one in START))
    with pytest.raises(ObjectiveError, match=f"none of the {len(START)} .*GetAtoms"):
        create(start=start)
    assert not Path("c.db").exists()
    herg.risk = lambda smiles: 1.0 if smiles == START[0] else None
    with create(start=start) as campaign:
        assert [trial.status for trial in campaign.trials] == ["complete"] + ["failed"] * 11
