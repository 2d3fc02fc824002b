"""Functions without a name of their own as objectives, from creation to resuming."""

from __future__ import annotations

from pathlib import Path

import pytest

from molvae.campaign.campaign import Campaign
from molvae.errors import CampaignError
from molvae.objectives.problem import Objective
from tests.toys import begin


def test_campaign_of_a_lambda_is_created_and_resumed_under_its_name(tmp_path: Path) -> None:
    length = Objective("length", spec=lambda smiles: float(len(smiles)))
    with begin(tmp_path / "c.db", objective=length) as campaign:
        assert campaign.name == "length"
    with Campaign.open(tmp_path / "c.db", objective=length) as campaign:
        assert campaign.objective(["CCO"]) == [3.0]
    other = Objective("other", spec=lambda smiles: float(len(smiles)))
    with (
        pytest.raises(CampaignError, match="length"),
        Campaign.open(tmp_path / "c.db", objective=other),
    ):
        pass
