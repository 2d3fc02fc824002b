"""Campaigns with a strategy of the user: what it proposes is checked before it is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem

from molvae.bo.base import Candidate
from molvae.campaign.campaign import Campaign
from molvae.chem.molecules import parse
from molvae.errors import CampaignError, ConfigError
from tests.toys import ToyObjective, ToySpace

SPACE = ToySpace()
START, NEW = SPACE.molecules[:3], SPACE.molecules[50]
Z = SPACE.encode([NEW])[0]


class Own:
    """A strategy that proposes what it is given."""

    name = "own"

    def __init__(self, proposed: Any) -> None:
        self.proposed = proposed

    def propose(self, *_: object, **__: object) -> Any:
        return self.proposed


def run(path: Path, proposed: Any) -> Sequence[str]:
    """The molecules of a campaign of four, of which the last one is proposed."""
    with Campaign.create(
        path, SPACE, objective=ToyObjective(), start=START, strategy=Own(proposed), batch_size=1
    ) as campaign:
        campaign.run(4)
        return [trial.smiles for trial in campaign.trials]


def test_run_makes_proposals_canonical_and_takes_arrays(tmp_path: Path) -> None:
    other = Chem.MolToSmiles(parse(NEW), rootedAtAtom=1)
    assert other != NEW
    candidate = Candidate(other, np.asarray(Z))  # type: ignore[arg-type]
    assert run(tmp_path / "c.db", [candidate])[-1] == NEW


@pytest.mark.parametrize(
    ("proposed", "reason"),
    [
        (5, "expected a list of"),
        ([NEW], "expected a list of"),
        (None, "expected a list of"),
        ([Candidate(NEW, torch.zeros(2))], r"shape \(2,\)"),
        ([Candidate(NEW, torch.zeros(1, 3))], r"shape \(1, 3\)"),
        ([Candidate("no molecule", Z)], "not a valid molecule"),
        ([Candidate(START[0], Z)], "distinct new molecules"),
    ],
)
def test_run_of_wrong_proposals_raises_and_records_nothing(
    tmp_path: Path, proposed: Any, reason: str
) -> None:
    with pytest.raises(CampaignError, match=reason):
        run(tmp_path / "c.db", proposed)
    with Campaign.open(tmp_path / "c.db") as campaign:
        assert [trial.smiles for trial in campaign.trials] == START


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (type("NoName", (), {"propose": print})(), "is no strategy"),
        (type("NoMethod", (), {"name": "own"}), "is no strategy"),
        (5, "5 is no strategy"),
        (Own, "failed: TypeError"),
    ],
)
def test_create_with_an_object_that_is_no_strategy_raises(
    tmp_path: Path, strategy: Any, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        Campaign.create(
            tmp_path / "c.db", SPACE, objective=ToyObjective(), start=START, strategy=strategy
        )
    assert not (tmp_path / "c.db").exists()
