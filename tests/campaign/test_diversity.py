"""`batch_distance` and `per_scaffold`: limits on alike molecules, under every strategy."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

import molvae
from molvae.bo.base import Candidate
from molvae.campaign.campaign import Campaign
from molvae.chem.diversity import Diversity, murcko_scaffold
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.config import STRATEGIES, CampaignConfig
from molvae.errors import CampaignError, ConfigError
from tests.toys import ToyObjective, ToySpace

START = ["OCCCCCSCC", "OCCCOCC", "OCNCC", "OCCCCCCCCC(=O)C", "OCCSCCCC"]


def distance(a: str, b: str) -> float:
    return 1 - float(tanimoto(morgan_bits([a]), morgan_bits([b]))[0, 0])


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "screen"])
def test_ask_with_every_strategy_keeps_the_batch_distance(strategy: str, tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db",
        ToySpace(),
        objective=ToyObjective(),
        strategy=strategy,
        start=START,
        batch_size=3,
        batch_distance=0.35,
        plausibility="none",
    ) as campaign:
        campaign.run(len(START))
        waiting = [trial.smiles for trial in [*campaign.ask(), *campaign.ask(2)]]
        assert len(waiting) == 5
        for a, b in combinations(waiting, 2):
            assert distance(a, b) >= 0.35 - 1e-9, (a, b)
        assert campaign.config.batch_distance == 0.35


def test_ask_without_enough_distant_molecules_raises(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db",
        ToySpace(),
        objective=ToyObjective(),
        strategy="random",
        start=START,
        batch_distance=0.9,
        plausibility="none",
    ) as campaign:
        campaign.run(len(START))
        with pytest.raises(CampaignError, match="no new molecule"):
            campaign.ask(12)


@pytest.mark.parametrize("strategy", ["random", "rank:n_offspring=40,n_generations=1"])
def test_run_keeps_the_per_scaffold_limit(strategy: str, tmp_path: Path) -> None:
    start = ["CCc1ccccc1", "Cc1ccccc1CO", "CC(=O)NC1CCCCC1", "CCOC(C)=O"]
    with Campaign.create(
        tmp_path / "c.db",
        molvae.load("zinc250k"),
        objective="qed",
        strategy=strategy,
        start=start,
        batch_size=4,
        per_scaffold=2,
        plausibility="none",
    ) as campaign:
        campaign.run(16)
        trials = [trial.smiles for trial in campaign.trials]
    found = Counter(murcko_scaffold(smiles)[0] for smiles in trials)
    assert found["c1ccccc1"] == 2
    del found[""]
    assert max(found.values()) <= 2


def test_diversity_counts_pending_chosen_and_tried_molecules() -> None:
    one = Diversity(batch_distance=0.5, pending=("CCCCO",))
    assert not one.allows("CCCCCO")
    assert one.allows("c1ccccc1")
    assert not one.allows("CCCCc1ccccc1", ["CCCCCc1ccccc1"])
    two = Diversity(per_scaffold=2, trials=("Cc1ccccc1",))
    assert two.allows("CCc1ccccc1")
    assert not two.allows("CCc1ccccc1", ["CCCc1ccccc1"])
    assert two.allows("CCC", ["CC", "CCCC"])


def test_ask_with_a_strategy_ignoring_the_batch_distance_raises(tmp_path: Path) -> None:
    class Repeating:
        name = "repeating"

        def propose(self, observations, space, n, *, seed):  # type: ignore[no-untyped-def]
            new = [m for m in space.molecules if m not in observations.known][:n]
            return [Candidate(m, z) for m, z in zip(new, space.encode(new), strict=True)]

    with Campaign.create(
        tmp_path / "c.db",
        ToySpace(),
        objective=ToyObjective(),
        strategy=Repeating(),
        start=START,
        batch_distance=0.5,
    ) as campaign:
        campaign.run(len(START))
        with pytest.raises(CampaignError, match="batch distance"):
            campaign.ask(4)


@pytest.mark.parametrize(
    "setting", [{"batch_distance": 1.0}, {"batch_distance": -0.1}, {"per_scaffold": -1}]
)
def test_campaign_config_with_invalid_diversity_raises(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        CampaignConfig(**setting)  # type: ignore[arg-type]
