"""`plausibility`: which proposals a campaign takes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from molvae.campaign.campaign import Campaign
from molvae.campaign.proposal_check import inactive_parts, plausibility_of
from molvae.campaign.same_settings import check_same_settings
from molvae.chem.precedents import of_model
from molvae.config import CampaignConfig, plausibility_parts
from molvae.errors import CampaignError, ConfigError, UnknownNameError
from tests.toys import ToyObjective, ToySpace

LEADS = ["OCCCCCCSC", "OCCCCCSCC"]


def test_plausibility_parts_reads_names_with_commas() -> None:
    assert plausibility_parts("alerts, SIZE") == ("alerts", "size")
    assert plausibility_parts("none") == ()
    with pytest.raises(UnknownNameError, match="did you mean 'alerts'"):
        plausibility_parts("alert")
    with pytest.raises(ConfigError, match="none stands alone"):
        CampaignConfig(plausibility="none,size")


def test_inactive_parts_names_parts_without_data() -> None:
    assert inactive_parts(CampaignConfig()) == ""
    assert inactive_parts(CampaignConfig(space="qm9", plausibility="alerts")) == ""
    assert "sizes" in inactive_parts(CampaignConfig(space="qm9"))
    assert "sizes" not in inactive_parts(CampaignConfig(space="qm9", plausibility="precedents"))


def test_plausibility_of_config_has_the_named_parts_only() -> None:
    whole = plausibility_of(CampaignConfig(), [])
    assert whole is not None
    assert whole.catalogs
    learned = of_model(CampaignConfig.space)
    assert learned is not None
    assert whole.precedents is learned
    assert whole.heavy_atoms == learned.heavy_atoms
    size = plausibility_of(CampaignConfig(plausibility="size"), [])
    assert size is not None
    assert not size.catalogs
    assert size.precedents is None
    assert plausibility_of(CampaignConfig(plausibility="none"), []) is None
    assert plausibility_of(CampaignConfig(space="qm9", plausibility="precedents,size"), []) is None


def test_ask_with_plausibility_checks_proposals_and_keeps_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with Campaign.create(
        path, ToySpace(), objective=ToyObjective(), start=LEADS, plausibility="size", batch_size=4
    ) as campaign:
        campaign.run(2)
        check = campaign.observations().plausibility
        assert check is not None
        assert check.heavy_atoms == (6, 11)
        assert all(check.accepts(trial.smiles) for trial in campaign.ask())
        with pytest.raises(CampaignError, match="plausibility size"):
            check_same_settings(campaign, {"plausibility": "none"})
    with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
        assert campaign.config.plausibility == "size"


@pytest.mark.parametrize("name", ["record-1.db", "record-4.db"])
def test_open_of_an_earlier_version_has_no_plausibility(name: str, tmp_path: Path) -> None:
    # A copy, since opening a file of an earlier format upgrades it.
    shutil.copy(Path(__file__).parents[1] / "golden" / name, tmp_path)
    with Campaign.open(tmp_path / name) as campaign:
        assert campaign.config.plausibility == "none"


def test_plausibility_of_allows_findings_of_given_molecules_only(
    tmp_path: Path,
) -> None:
    space = ToySpace()
    with Campaign.create(tmp_path / "c.db", space, objective=ToyObjective(), start=LEADS) as c:
        trials, config = [replace(trial, smiles="CCCOOCCC") for trial in c.trials], c.config
    given = plausibility_of(config, trials)
    drawn = plausibility_of(replace(config, start=len(LEADS)), trials)
    assert given is not None
    assert drawn is not None
    assert "peroxide" in drawn.findings("CCOOCCCC")
    assert given.accepts("CCOOCCCC")
    assert not drawn.accepts("CCOOCCCC")
