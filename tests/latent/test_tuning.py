"""`LatentSpace.tuned` and `save`: what fine-tuned copies learn, record and write to disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from molvae.chem.precedents import of_model
from molvae.errors import CheckpointError, ConfigError
from molvae.latent import tuning
from molvae.latent.loading import load
from molvae.latent.space import LatentSpace
from molvae.latent.tuning import tune_and_measure
from tests.latent.test_space_kinds import space_of_kind

SERIES = ["CCO", "CC#N", "C=C", "OCCN", "C", "CCC", "CN", "CO", "OCO", "NCN", "CF", "FCF"]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> LatentSpace:
    monkeypatch.setattr(tuning, "N_REHEARSED", 5)
    return space_of_kind("recurrent")


def test_tuned_raises_log_prob_of_its_molecules_and_keeps_the_encoder(
    space: LatentSpace,
) -> None:
    new = space.tuned(["OCCN"], steps=40)
    assert float(new.log_prob(["OCCN"])) > float(space.log_prob(["OCCN"])) + 1
    assert torch.equal(new.encode(SERIES), space.encode(SERIES))


def test_tuned_weights_decide_which_molecule_is_learned(space: LatentSpace) -> None:
    z = space.encode(SERIES[:2])
    nats = [
        -space.tuned(SERIES[:2], weights=weights, steps=20).log_prob(SERIES[:2], k=16)
        for weights in ([1.0, 1e-6], [1e-6, 1.0])
    ]
    assert nats[0][0] < nats[1][0]
    assert nats[1][1] < nats[0][1]
    assert z.shape == (2, space.dim)
    for wrong in ([1.0], [1.0, 0.0], [1.0, float("inf")]):
        with pytest.raises(ConfigError, match="2 positive numbers"):
            space.tuned(SERIES[:2], weights=wrong)
    with pytest.raises(ConfigError, match="steps"):
        space.tuned(SERIES[:2], steps=0)


@pytest.mark.parametrize(("enough", "held_out"), [(1, 3), (4, 6), (100, 12)])
def test_tuned_and_measured_report_holds_out_enough_molecules(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch, enough: int, held_out: int
) -> None:
    monkeypatch.setattr(tuning, "MIN_STEPS", 2)
    monkeypatch.setattr(tuning, "N_PASSES", 0)
    monkeypatch.setattr(tuning, "MIN_HELD_OUT", enough)
    new, report = tune_and_measure(space, [*SERIES, "OCC"])
    assert report.n_held_out == held_out
    assert 0 <= report.before <= 1
    assert 0 <= report.after <= 1
    (recorded,) = new.about["tuned"]
    assert recorded["molecules"] == len(SERIES)
    assert recorded["reconstruction"]["n_held_out"] == held_out
    assert "tuned" not in space.about
    with pytest.raises(ConfigError, match="2 distinct"):
        tune_and_measure(space, ["CCO", "OCC"])


def test_save_of_tuned_space_writes_a_loadable_model_folder(
    space: LatentSpace, tmp_path: Path
) -> None:
    new = space.tuned(SERIES, steps=2).tuned(SERIES[:4], steps=3, seed=1)
    assert new.name == ""
    assert new.fingerprint != space.tuned(SERIES, steps=2).fingerprint != space.fingerprint
    folder = tmp_path / "made" / "series"
    assert new.save(folder) == folder
    loaded, z = load(folder), space.sample_prior(20)
    assert loaded.decode(z) == new.decode(z)
    assert torch.equal(loaded.encode(SERIES), space.encode(SERIES))
    assert loaded.fingerprint == new.fingerprint
    assert loaded.name == new.name == str(folder)
    first, second = json.loads((folder / "model.json").read_text())["about"]["tuned"]
    assert (first["steps"], second["steps"], second["molecules"]) == (2, 3, 4)
    assert first["sha256"] != second["sha256"]


def test_save_of_tuned_space_keeps_the_precedents(tmp_path: Path) -> None:
    new = load("zinc250k").tuned(["CCO"], steps=1).tuned(["CCN"], steps=1)
    new.save(tmp_path / "series")
    known, kept = of_model("zinc250k"), of_model(str(tmp_path / "series"))
    assert known is not None
    assert kept is not None
    assert kept.rings.tolist() == known.rings.tolist()
    assert kept.heavy_atoms == known.heavy_atoms


def test_save_overwrite_replaces_only_the_files_of_a_model(
    space: LatentSpace, tmp_path: Path
) -> None:
    folder = tmp_path / "series"
    space.save(folder)
    with pytest.raises(CheckpointError, match="overwrite"):
        space.save(folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "metrics.jsonl").write_text('{"molecules": 1}\n')
    space.save(folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "metrics.jsonl").exists()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepare.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not write it"):
        space.save(tmp_path / "data", overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="no folder"):
        space.save(tmp_path / "file", overwrite=True)
