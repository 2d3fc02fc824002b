"""Run folders and records of every format ever released stay readable."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

from molvae.campaign import Campaign
from molvae.latent import load

GOLDEN = Path(__file__).parent / "golden"


def test_run_format_1() -> None:
    space = load(GOLDEN / "run-1")
    assert space.dim == 3
    assert space.vocabulary.symbols == ("[C]", "[O]", "[N]", "[=C]")
    expected = torch.tensor([[0.298091, -0.052992, -0.491848]], dtype=torch.float64)
    torch.testing.assert_close(space.encode(["CCO"]), expected, atol=1e-5, rtol=0)


def test_record_format_1(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "record-1.db", tmp_path / "record.db")
    with Campaign.open(tmp_path / "record.db", GOLDEN / "run-1") as c:
        assert (c.name, c.direction, c.seed) == ("qed", "maximise", 0)
        statuses = [trial.status for trial in c.trials]
        assert statuses == ["told", "told", "told", "failed", "asked"]
        assert c.trials[0].smiles == "CCO"
        assert c.trials[0].values["qed"] == pytest.approx(0.4068, abs=1e-4)
        assert c.trials[3].message == "did not dissolve"
        assert math.isnan(c.table()["qed"][3])
        c.tell(c.trials[4].id, 0.5)  # and it can be gone on with
        assert c.trials[4].status == "told"
