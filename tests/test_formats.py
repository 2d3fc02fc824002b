"""Model folders and campaign files of every released format stay readable."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import pytest
import torch

from molvae.campaign.campaign import Campaign
from molvae.latent.loading import load

GOLDEN = Path(__file__).parent / "golden"


def test_load_reads_model_folder_of_format_1() -> None:
    space = load(GOLDEN / "run-1")
    assert space.dim == 3
    assert space.vocabulary.tokens == ("[C]", "[O]", "[N]", "[=C]")
    expected = torch.tensor([[0.298091, -0.052992, -0.491848]], dtype=torch.float64)
    torch.testing.assert_close(space.encode(["CCO"]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_open_upgrades_old_campaign_files_or_reads_them_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = tmp_path / "record.db"
    shutil.copy(GOLDEN / f"record-{version}.db", path)
    content = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        with Campaign.open(path, GOLDEN / "run-1") as c:
            before = c.trials
            assert version >= 3 or {trial.percentile for trial in before} == {None}
    assert path.read_bytes() == content
    with Campaign.open(path, GOLDEN / "run-1") as c:
        assert c.trials == before
        waiting = c.trials[-1].id
        c.tell(waiting, 0.5, error=0.1, notes={"well": "B7"})
    with Campaign.open(path, GOLDEN / "run-1") as c:  # a second time: there is nothing to do
        assert c.trials[:-1] == before[:-1]
        assert c.trials[-1].errors == {c.name: 0.1}
        assert c.trials[-1].notes == {"well": "B7"}
        assert version >= 3 or c.table()["percentile"].isna().all()
        if failed := [trial for trial in before if trial.status == "failed"]:
            (again,) = c.retry()
            assert (again.id, again.status, again.notes) == (failed[0].id, "pending", {})
            assert [one.message for one in again.earlier_failures] == [failed[0].message]
        # What is asked from now on has one, where the space can read it.
        for new in c.ask(8):
            known = c.space.can_encode([new.smiles]) == [True]  # type: ignore[attr-defined]
            assert new.percentile is None or known


def test_open_reads_campaign_file_of_format_2(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "record-2.db", tmp_path / "record.db")
    with Campaign.open(tmp_path / "record.db", GOLDEN / "run-1") as c:
        first, second, third, *waiting = c.trials
        assert (first.values, first.replicates) == ({"pIC50": 6.25}, {"pIC50": [6.1, 6.4]})
        assert first.errors["pIC50"] == pytest.approx(0.15)
        assert first.notes == {"well": "B7"}
        assert (second.values, second.errors) == ({"pIC50": 5.5}, {"pIC50": 0.2})
        assert (third.status, third.message) == ("failed", "did not dissolve")
        assert [trial.status for trial in waiting] == ["pending", "pending"]


def test_open_reads_campaign_file_of_format_3(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "record-3.db", tmp_path / "record.db")
    with Campaign.open(tmp_path / "record.db", GOLDEN / "run-1") as c:
        first, second, *waiting = c.trials
        assert (first.status, first.message) == ("failed", "did not dissolve")
        assert first.notes == {"well": "B8"}
        assert (second.values, second.replicates) == ({"pIC50": 6.25}, {"pIC50": [6.1, 6.4]})
        assert second.notes == {"well": "B7"}
        assert [trial.status for trial in waiting] == ["pending"] * 3
        assert {trial.earlier_failures for trial in c.trials} == {()}


def test_open_reads_campaign_file_of_format_5(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "record-5.db", tmp_path / "record.db")
    with Campaign.open(tmp_path / "record.db", GOLDEN / "run-1") as c:
        mended, replicated, below, added_to, above, told, brought, waiting = c.trials
        assert (mended.values["pIC50"], mended.message) == (5.4, "dissolved at last")
        assert [one.message for one in mended.earlier_failures] == ["did not dissolve"]
        assert replicated.replicates == {"pIC50": [6.1, 6.4]}
        assert (below.values["pIC50"], below.operators) == (5.0, {"pIC50": "<"})
        assert added_to.replicates == {"pIC50": [5.9, 6.1]}
        assert (above.values["pIC50"], above.operators) == (7.5, {"pIC50": ">"})
        assert (told.values["pIC50"], told.origin) == (5.7, "rank graph")
        assert (brought.values["pIC50"], brought.origin) == (6.6, "added")
        assert above.reason is not None
        assert above.reason.parents == ("CCO", "CO")
        assert (above.reason.nearest, above.reason.findings[1]) == ("CCO", "acyclic acetal")
        assert above.predictions["pIC50"].q50 == pytest.approx(5.549682)
        assert waiting.status == "pending"
        assert c.changes()["trial"].tolist() == [1, 4]


def test_open_reads_campaign_file_of_format_6(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "record-6.db", tmp_path / "record.db")
    with Campaign.open(tmp_path / "record.db", GOLDEN / "run-1") as c:
        (lower,) = c.problem.fidelities
        assert (lower.name, lower.direction, lower.cost) == ("vina", "minimize", 1.0)
        docked, measured, waiting = c.trials[:6], c.trials[6:11], c.trials[11:]
        assert [one.values for one in docked] == [{"vina": -i / 10} for i in range(1, 7)]
        assert {one.fidelity for one in docked} == {"vina"}
        assert [one.smiles for one in measured] == [one.smiles for one in docked[:5]]
        assert [one.values["pIC50"] for one in measured] == [5.7, 5.8, 5.9, 6.0, 6.1]
        assert [(one.status, one.fidelity) for one in waiting] == [("pending", "vina")] * 2
        c.tell(waiting[0].id, -0.7)  # and it can be gone on with
        assert c.trials[11].values == {"vina": -0.7}


def test_open_reads_campaign_file_of_format_1(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "record-1.db", tmp_path / "record.db")
    with Campaign.open(tmp_path / "record.db", GOLDEN / "run-1") as c:
        assert (c.name, c.direction, c.seed) == ("qed", "maximize", 0)
        statuses = [trial.status for trial in c.trials]
        assert statuses == ["complete", "complete", "complete", "failed", "pending"]
        assert c.trials[0].smiles == "CCO"
        assert c.trials[0].values["qed"] == pytest.approx(0.4068, abs=1e-4)
        assert c.trials[3].message == "did not dissolve"
        assert math.isnan(c.table()["qed"][3])
        c.tell(c.trials[4].id, 0.5)  # and it can be gone on with
        assert c.trials[4].status == "complete"
