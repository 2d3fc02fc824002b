"""Fine-tuning of the decoder on a measured series of initial molecules."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import molvae
from molvae.campaign.campaign import Campaign
from molvae.campaign.metadata import read_metadata
from molvae.campaign.proposing import MIN_SERIES, proposing_space
from molvae.latent.space import LatentSpace

ANALOGUES = pd.read_csv(Path(__file__).parents[1] / "data" / "analogues.csv")


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    return molvae.load("zinc250k")


def create_campaign(
    folder: Path, space: LatentSpace, table: pd.DataFrame, **settings: object
) -> Campaign:
    table.to_csv(folder / "start.csv", index=False)
    return Campaign.create(
        folder / "c.db",
        space,
        objective="manual:pIC50",
        direction="maximize",
        start=folder / "start.csv",
        **settings,  # type: ignore[arg-type]
    )


@pytest.mark.slow
def test_create_with_a_measured_series_tunes_the_decoder(
    space: LatentSpace, tmp_path: Path
) -> None:
    with create_campaign(tmp_path, space, ANALOGUES[:MIN_SERIES]) as campaign:
        assert campaign.config.tune is True
        tuned = proposing_space(campaign.config, space, campaign.trials)
        assert tuned.fingerprint != space.fingerprint
        assert proposing_space(campaign.config, space, campaign.trials) is tuned
        assert tuned.encode(["CCO"]).equal(space.encode(["CCO"]))
        assert len(campaign.ask(2)) == 2


@pytest.mark.parametrize(
    ("table", "settings"),
    [
        (ANALOGUES[: MIN_SERIES - 1], {}),
        (ANALOGUES[:MIN_SERIES], {"tune": False}),
        (ANALOGUES[:MIN_SERIES][["SMILES"]], {}),  # not measured
        (pd.DataFrame({"SMILES": ["CCO", "c1ccccc1", "CC#N", "CCCl", "C1CC1", "NCCN", "CS",
                                  "O=C1CCCN1", "CC(C)=O", "FCF"], "pIC50": range(10)}), {}),
    ],
)  # fmt: skip
def test_create_without_a_measured_series_does_not_tune(
    space: LatentSpace, tmp_path: Path, table: pd.DataFrame, settings: dict[str, object]
) -> None:
    with create_campaign(tmp_path, space, table, **settings) as campaign:
        assert campaign.config.tune is False
        assert proposing_space(campaign.config, space, campaign.trials) is space


def test_read_metadata_of_earlier_versions_has_tune_false(
    space: LatentSpace, tmp_path: Path
) -> None:
    with create_campaign(tmp_path, space, ANALOGUES[:MIN_SERIES]) as campaign:
        facts = dict(campaign.metadata)
    facts["config"] = {k: v for k, v in facts["config"].items() if k not in ("tune", "keep")}
    config, _ = read_metadata(facts, tmp_path / "c.db")
    assert config.tune is False
    assert config.keep is None
