"""Campaigns over a library: proposals are library molecules; suggestions of molecules to buy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molvae.bo.screening import open_library, with_library
from molvae.bo.strategies.screen import Screen
from molvae.campaign.campaign import Campaign
from molvae.campaign.same_settings import check_same_settings
from molvae.chem.datasets import sample_molecules
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.cli import main
from molvae.errors import (
    CampaignError,
    ConfigError,
    DataError,
    LibraryExhaustedError,
    MolvaeWarning,
)
from molvae.latent.library import Library
from molvae.latent.library_build import build_library

pytest.importorskip("faiss")
pytest.importorskip("pyarrow")
N = 80
FEW_SETTINGS = {"n_best": 2, "n_neighbors": 4, "n_streamed": 20, "n_top": 6}
FEW = "screen:" + ",".join(f"{name}={value}" for name, value in FEW_SETTINGS.items())
SETTINGS = {"objective": "qed", "plausibility": "none", "batch_size": 5, "seed": 3}


def build_small_library(folder: Path, seed: int) -> Library:
    source = folder.with_suffix(".smi")
    texts = sample_molecules("zinc250k", N, seed)
    source.write_text("".join(f"{text} V-{i}\n" for i, text in enumerate(texts)))
    return build_library(source, folder, partition_size=24)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return build_small_library(tmp_path_factory.mktemp("vendor") / "lib", 5)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return build_small_library(tmp_path_factory.mktemp("other") / "lib", 6)


def molecules(library: Library) -> dict[str, str]:
    """Names by molecule."""
    rows = [
        row
        for number in range(library.n_partitions)
        for row in library.partition(number, ["smiles", "id"]).to_pylist()
    ]
    return {row["smiles"]: row["id"] for row in rows}


def test_run_over_a_library_proposes_each_molecule_once(library: Library, tmp_path: Path) -> None:
    start = ["O" + "C" * n + "c1ccccc1" for n in range(1, 11)]  # analogues, unlike the library
    with Campaign.create(
        tmp_path / "c.db",
        "druglike",
        library=library.folder,
        strategy=FEW,
        start=start,
        **SETTINGS,
    ) as campaign:
        campaign.run(N + 10)
        trials = campaign.trials[10:]
        assert sorted(trial.smiles for trial in trials) == sorted(molecules(library))
        assert {"screen latent", "screen fingerprint"} <= {trial.origin for trial in trials}
        with pytest.raises(LibraryExhaustedError):
            campaign.ask(1)


def test_create_over_a_library_draws_initial_molecules_from_the_library(
    library: Library, tmp_path: Path
) -> None:
    with Campaign.create(
        tmp_path / "c.db", "druglike", library=library.folder, start=30, **SETTINGS
    ) as campaign:
        smiles = [trial.smiles for trial in campaign.trials]
        assert len(set(smiles)) == 30
        assert set(smiles) <= set(molecules(library))
        assert not campaign.start_rows


def test_run_over_a_library_finds_the_best_molecules_early(
    library: Library, tmp_path: Path
) -> None:
    with Campaign.create(
        tmp_path / "c.db", "druglike", library=library.folder, start=10, **SETTINGS
    ) as campaign:
        campaign.run(40)
        assert all(trial.predictions for trial in campaign.trials[10:])
        values = [trial.values["qed"] for trial in campaign.trials[10:]]
    from molvae.chem.properties import score

    ranked = sorted(score([*molecules(library)], ["QED"])[:, 0], reverse=True)
    assert len({round(v, 9) for v in values} & {round(v, 9) for v in ranked[:8]}) >= 6


def test_open_over_a_library_compares_its_fingerprint(
    library: Library, other: Library, tmp_path: Path
) -> None:
    file = tmp_path / "c.db"
    Campaign.create(file, "druglike", library=library.folder, start=10, **SETTINGS).close()
    with Campaign.open(file) as campaign:
        assert isinstance(campaign.strategy, Screen)
        assert campaign.strategy.library == str(library.folder)
        assert campaign.strategy.fingerprint == library.fingerprint
        check_same_settings(campaign, {"library": str(library.folder), "strategy": "screen"})
        with pytest.raises(CampaignError):
            check_same_settings(campaign, {"library": str(other.folder)})
        with pytest.raises(CampaignError):
            check_same_settings(campaign, {"strategy": FEW})
    with pytest.raises(CampaignError, match="fingerprint"):
        open_library(str(other.folder), library.fingerprint)


def test_campaign_over_a_library_that_was_moved_goes_on_where_it_is_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, first, now = str(tmp_path / "c.db"), tmp_path / "shop", tmp_path / "moved"
    build_small_library(first, 5)
    command = ["optimize", file, "--objective", "qed", "--plausibility", "none", "--batch-size",
               "2", "--start", "10", "--strategy", FEW]  # fmt: skip
    assert main([*command, "--library", str(first), "--budget", "12"]) == 0
    first.rename(now)
    open_library.cache_clear()
    assert main([*command, "--library", str(first), "--budget", "14"]) != 0
    assert main(["ask", file]) != 0
    assert "where the campaign's library is now (--library)" in capsys.readouterr().err
    assert main([*command, "--library", str(now), "--budget", "14"]) == 0
    assert main(["ask", file, "--library", str(now), "-n", "3"]) == 0
    assert main(["ask", file, "--library", str(build_small_library(tmp_path / "d", 6).folder)]) != 0
    assert "shop" in capsys.readouterr().err
    with Campaign.open(file, strategy=with_library(Screen(**FEW_SETTINGS), now)[0]) as campaign:
        assert len(campaign.trials) == 17
        campaign.ask(1)


def test_create_over_a_library_with_other_strategy_or_model_raises(
    library: Library, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError):
        Campaign.create(
            tmp_path / "c.db", "druglike", library=library.folder, strategy="rank", **SETTINGS
        )
    with pytest.raises(DataError):
        Campaign.create(tmp_path / "c.db", "qm9", library=library.folder, **SETTINGS)
    with pytest.raises(ConfigError):
        Screen(dataset="zinc250k", library="lib")
    assert not (tmp_path / "c.db").exists()


def test_optimize_over_a_library_refuses_other_strategies(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["optimize", str(tmp_path / "c.db"), "--objective", "qed", "--budget", "4"]
    command += ["--start", "2", "--library", str(library.folder), "--strategy"]
    assert main([*command, "rank"]) == 1
    assert "screen, not rank" in capsys.readouterr().err
    assert main([*command, FEW, "--plausibility", "none"]) == 0


def test_ask_over_a_used_up_library_gives_what_is_left_then_raises(
    library: Library, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "library": library.folder, "strategy": FEW}
    with Campaign.create(tmp_path / "c.db", "druglike", start=N - 1, **settings) as campaign:
        campaign.run(N - 1)
        with pytest.warns(MolvaeWarning, match="only 1 of 3"):
            assert len(campaign.ask(3)) == 1
        with pytest.raises(LibraryExhaustedError, match=r"no molecule of .* is left"):
            campaign.ask(1)
    with pytest.raises(DataError, match=f"{N} molecules.*100"):
        Campaign.create(tmp_path / "d.db", "druglike", start=100, **settings)


def test_run_over_a_library_ends_where_it_is_used_up(library: Library, tmp_path: Path) -> None:
    settings = {**SETTINGS, "library": library.folder, "strategy": FEW}
    with Campaign.create(tmp_path / "c.db", "druglike", start=N - 8, **settings) as campaign:
        with pytest.warns(MolvaeWarning, match="the run ends before its budget"):
            campaign.run(N + 20)
        assert [trial.status for trial in campaign.trials] == ["complete"] * N


def test_create_over_a_library_near_a_molecule_starts_with_the_most_similar(
    library: Library, tmp_path: Path
) -> None:
    lead = next(iter(molecules(library)))
    settings = {**SETTINGS, "library": library.folder, "strategy": FEW, "similar_to": lead}
    with Campaign.create(tmp_path / "c.db", "druglike", start=5, **settings) as campaign:
        start = [trial.smiles for trial in campaign.trials]
    everything = list(molecules(library))
    near = tanimoto(morgan_bits(everything), morgan_bits([lead]))[:, 0]
    assert start[0] == lead
    assert len(start) == 5
    assert near[[everything.index(one) for one in start]].min() >= np.sort(near)[-5]


def test_suggest_from_notes_the_most_similar_library_molecules(
    library: Library, tmp_path: Path
) -> None:
    start = sample_molecules("zinc250k", 10, 9)
    known = molecules(library)
    with Campaign.create(
        tmp_path / "c.db", "druglike", start=start, suggest_from=library.folder, **SETTINGS
    ) as campaign:
        campaign.run(12)
        for trial in campaign.trials[10:]:
            similar = tanimoto(morgan_bits([trial.smiles]), morgan_bits([*known]))[0]
            best = sorted(similar, reverse=True)
            for k in (1, 2, 3):
                notes = {
                    n: trial.notes[f"purchasable_{k}_{n}"] for n in ("id", "smiles", "similarity")
                }
                assert known[notes["smiles"]] == notes["id"]
                assert notes["similarity"] == f"{best[k - 1]:.2f}"


@pytest.mark.slow
def test_ask_suggest_from_writes_columns_of_suggestions(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.csv"
    texts = sample_molecules("zinc250k", 10, 9)
    start.write_text("smiles,value\n" + "".join(f"{t},{i}\n" for i, t in enumerate(texts)))
    file, plate = str(tmp_path / "c.db"), tmp_path / "plate.csv"
    create = ["--create", "--objective", "manual:potency", "--direction", "maximize"]
    assert main(["ask", file, *create, "--start", str(start), "-n", "2"]) == 0
    command = ["ask", file, "-n", "2", "--suggest-from", str(library.folder), "--out", str(plate)]
    assert main(command) == 0
    header = plate.read_text().splitlines()[0].split(",")
    assert {f"purchasable_{k}_smiles" for k in (1, 2, 3)} < set(header)


def test_library_commands_build_and_search(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = library.folder.with_suffix(".smi")
    out = tmp_path / "again"
    assert main(["library", "build", str(source), str(out), "--partition-size", "24"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    query = next(iter(molecules(library)))
    for by, column in (("z", "distance"), ("tanimoto", "similarity")):
        assert main(["library", "search", str(out), query, "-n", "3", "--by", by]) == 0
        header, *rows = capsys.readouterr().out.splitlines()
        assert header.split("\t")[:3] == ["id", "smiles", column]
        assert len(rows) == 3
        assert rows[0].split("\t")[1] == query
    assert main(["library", "search", str(tmp_path), query]) == 1
