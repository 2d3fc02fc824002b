"""`similar_to`: campaigns that stay near a molecule."""

from __future__ import annotations

from pathlib import Path

import pytest

from molvae.campaign.campaign import Campaign
from molvae.campaign.same_settings import check_same_settings
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.errors import CampaignError, InvalidMoleculeError

LEAD = "COc1cc2ncnc(Nc3cccc(Br)c3)c2cc1OC"
SMALL = "rank:n_offspring=20,n_generations=2"


def test_run_with_similar_to_keeps_all_molecules_similar(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", "druglike", objective="qed", similar_to=LEAD, start=8, batch_size=4,
        strategy=SMALL, constraints="logp <= 6",
    ) as campaign:  # fmt: skip
        campaign.run(budget=12)
        smiles = [trial.smiles for trial in campaign.trials]
        assert (len(smiles), smiles[0]) == (12, canonical(LEAD))
        assert (tanimoto(morgan_bits(smiles), morgan_bits([LEAD])) >= 0.4).all()
    with Campaign.open(tmp_path / "c.db") as campaign:
        check_same_settings(campaign, {"similar_to": LEAD})
        with pytest.raises(CampaignError, match="similar_to"):
            check_same_settings(campaign, {"similar_to": "CCO"})


def test_create_with_similar_to_accepts_dissimilar_given_molecules(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", "druglike", objective="qed", similar_to=LEAD, start=["CCO", LEAD]
    ) as campaign:
        assert [trial.smiles for trial in campaign.trials] == ["CCO", canonical(LEAD)]
        assert [constraint.name for constraint in campaign.problem.constraints] == [
            f"similarity:{canonical(LEAD)}"
        ]


def test_create_with_an_invalid_similar_to_raises_and_writes_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidMoleculeError, match="not a valid molecule"):
        Campaign.create(tmp_path / "c.db", "druglike", objective="qed", similar_to="C1CC")
    assert not (tmp_path / "c.db").exists()
