"""Campaigns that keep a core: every proposal holds it, whatever the strategy."""

from __future__ import annotations

from pathlib import Path

import pytest

import molvae
from molvae.campaign.campaign import Campaign
from molvae.campaign.proposal_check import full_check
from molvae.campaign.proposing import keeping_space
from molvae.campaign.same_settings import check_same_settings
from molvae.chem.cores import core_of
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.errors import CampaignError, ConfigError, MolvaeWarning, UnknownTokenError
from molvae.latent.space import LatentSpace
from tests.toys import ToyObjective, ToySpace

FEW = "rank:n_offspring=40,n_generations=1"
CORE = "c1ccc2c(c1)ncnc2N[*:1]"
CORES = (
    CORE,  # fused
    "C[NH+]1CCC([*:1])CC1",  # charged
    "C[C@@H](C(=O)N[*:1])c1ccccc1",  # chiral
    "c1ccc([*:1])c([*:2])c1",  # symmetrical
    "O=C1CCCN1",  # without attachment points
    "c1ccncc1[*].NS(=O)(=O)c1ccc([*])cc1",  # two fragments
)


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    return molvae.load("zinc250k")


def run_campaign(path: Path, space: LatentSpace, keep: str, **settings: object) -> Campaign:
    given = {"objective": "qed", "strategy": FEW, "start": 6, "batch_size": 4, "seed": 1}
    campaign = Campaign.create(path, space, keep=keep, **{**given, **settings})  # type: ignore[arg-type]
    campaign.run(len(campaign) + 8)
    return campaign


@pytest.mark.parametrize("keep", CORES)
def test_run_with_keep_proposes_molecules_with_the_core(
    space: LatentSpace, keep: str, tmp_path: Path
) -> None:
    with run_campaign(tmp_path / "c.db", space, keep) as campaign:
        trials = campaign.trials
        assert len(trials) == 14
        for trial in trials:
            assert core_of(keep).holds(trial.smiles), trial.smiles


def test_create_with_keep_generates_molecules_without_findings(tmp_path: Path) -> None:
    keep = "c1c([*:1])c([*:2])cc2c(N[*:3])ncnc12"
    with Campaign.create(tmp_path / "c.db", "druglike", objective="qed", keep=keep, start=10) as c:
        check = full_check(c.config, [])
        assert check is not None
        assert len(c) == 10
        assert all(check.accepts(trial.smiles) for trial in c.trials)


def test_create_with_keep_near_a_molecule_starts_with_analogues_that_hold_the_core(
    space: LatentSpace, tmp_path: Path
) -> None:
    lead, core = "O=C(Cc1cccc2ncccc12)N1CCOCC1", "c1ccc2ncccc2c1"
    given = {"objective": "qed", "keep": core, "start": 6, "seed": 1}
    with Campaign.create(tmp_path / "c.db", space, similar_to=lead, **given) as campaign:  # type: ignore[arg-type]
        smiles = [trial.smiles for trial in campaign.trials]
    assert smiles[0] == canonical(lead)
    assert len(smiles) == 6
    assert all(core_of(core).holds(one) for one in smiles)
    assert tanimoto(morgan_bits(smiles), morgan_bits([lead])).min() >= 0.4
    with pytest.raises(ConfigError, match="does not hold the core"):
        Campaign.create(tmp_path / "d.db", space, similar_to="CCOc1ccccc1", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "strategy", [pytest.param("thompson", marks=pytest.mark.slow), "random", "ga"]
)
def test_other_strategies_with_keep_propose_the_core(
    space: LatentSpace, strategy: str, tmp_path: Path
) -> None:
    with run_campaign(tmp_path / "c.db", space, CORE, strategy=strategy) as campaign:
        assert all(core_of(CORE).holds(trial.smiles) for trial in campaign.trials)


def test_run_with_keep_resumes_the_same(space: LatentSpace, tmp_path: Path) -> None:
    with run_campaign(tmp_path / "a.db", space, CORE) as campaign:
        whole = [trial.smiles for trial in campaign.trials]
    with run_campaign(tmp_path / "b.db", space, CORE, start=6) as campaign:
        pass
    with Campaign.open(tmp_path / "b.db") as campaign:
        assert campaign.config.keep == CORE
        assert [trial.smiles for trial in campaign.trials] == whole
        with pytest.raises(CampaignError, match="keep"):
            check_same_settings(campaign, {"keep": "c1ccccc1"})


def test_create_with_keep_warns_of_molecules_without_the_core(
    space: LatentSpace, tmp_path: Path
) -> None:
    start = ["CCNc1ncnc2ccccc12", "Cc1ccccc1", "CN(C)c1ncnc2ccccc12"]
    with pytest.warns(MolvaeWarning, match="2 of 3 initial molecules"):
        campaign = run_campaign(tmp_path / "c.db", space, CORE, start=start)
    with campaign:
        assert [t.smiles for t in campaign.trials[:3]] == [canonical(one) for one in start]
        assert all(core_of(CORE).holds(trial.smiles) for trial in campaign.trials[3:])


def test_ask_with_keep_holds_the_core_if_no_initial_molecule_does(
    space: LatentSpace, tmp_path: Path
) -> None:
    with pytest.warns(MolvaeWarning):
        campaign = run_campaign(tmp_path / "c.db", space, CORE, start=["Cc1ccccc1", "CCO"])
    with campaign:
        assert all(core_of(CORE).holds(trial.smiles) for trial in campaign.trials[2:])


def test_keep_of_smarts_needs_initial_molecules_with_the_core(
    space: LatentSpace, tmp_path: Path
) -> None:
    keep = "c1ccc2[n,c]c[n,c]c([*:1])c2c1"
    start = ["CCc1ncnc2ccccc12", "CNc1ncnc2ccccc12"]
    with run_campaign(tmp_path / "c.db", space, keep, start=start) as campaign:
        assert all(core_of(keep).holds(trial.smiles) for trial in campaign.trials)
    with pytest.raises(ConfigError, match="SMARTS"):
        run_campaign(tmp_path / "d.db", space, keep)
    assert not (tmp_path / "d.db").exists()


def test_create_with_keep_the_model_cannot_encode_raises(
    space: LatentSpace, tmp_path: Path
) -> None:
    with pytest.raises(UnknownTokenError):
        run_campaign(tmp_path / "c.db", space, "C[Si](C)(C)[*:1]")
    with pytest.raises(ConfigError, match="SMILES"):
        Campaign.create(tmp_path / "c.db", ToySpace(), objective=ToyObjective(), keep="CC[*:1]")
    with pytest.raises(ConfigError):
        run_campaign(tmp_path / "c.db", space, "FC(F)(F)F")


@pytest.mark.parametrize(
    "keep",
    [
        "C[N+](C)(C)[*:1]",  # unusual only where it is substituted
        "O=C(Nc1ccc(C(=O)Nc2ccc(C(=O)Nc3ccc(C(=O)N[*:1])cc3)cc2)cc1)c1ccc2ncccc2c1",  # large
    ],
)
def test_run_with_keep_of_implausible_core_spends_the_budget(
    space: LatentSpace, keep: str, tmp_path: Path
) -> None:
    with run_campaign(tmp_path / "c.db", space, keep) as campaign:
        assert len(campaign) == 14
        assert all(core_of(keep).holds(trial.smiles) for trial in campaign.trials)


def test_ask_with_a_strategy_ignoring_the_core_raises(space: LatentSpace, tmp_path: Path) -> None:
    class Stubborn:
        name = "stubborn"

        def propose(self, observations, space, n, *, seed):  # type: ignore[no-untyped-def]
            from molvae.bo.base import Candidate

            return [Candidate("CCO", space.encode(["CCO"])[0])]

    with Campaign.create(
        tmp_path / "c.db", space, objective="qed", keep=CORE, strategy=Stubborn(), start=2
    ) as campaign:
        campaign.run(2)
        with pytest.raises(CampaignError, match="without the core"):
            campaign.ask(1)


def test_keeping_space_branches_hold_the_core(space: LatentSpace) -> None:
    keeping = keeping_space(space, CORE, ())
    parents = ["O=C(c1cccc(F)c1)N1CCC(Nc2ncnc3ccccc23)CC1"] * 20
    made = [one.smiles for one in keeping.branch(parents, seed=2) if one.smiles is not None]
    assert len({*made} - {*parents}) >= 5
    assert made == [one.smiles for one in keeping.branch(parents, seed=2) if one.smiles is not None]
    assert all(core_of(CORE).holds(smiles) for smiles in made)
    z = space.encode(parents[:1]) + 0.2
    assert keeping.decode(z) == keeping.decode(z)


def test_keeping_space_with_a_full_cache_gives_the_same_molecules(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = keeping_space(space, CORE, ())
    z = space.sample_prior(8, seed=1)
    expected = keeping.decode(z)
    monkeypatch.setattr("molvae.latent.keeping.MAX_CACHED", 0)
    assert keeping.decode(z) == keeping.decode(z) == expected
    assert expected.count(None) < 8
