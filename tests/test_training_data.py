"""Training on few molecules, resumed on other molecules, and without the device."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import load_split, prepare, split_of
from molvae.errors import CheckpointError, ConfigError, DataError, MolvaeWarning
from molvae.latent.loading import load
from molvae.latent.tokenized import tokenize
from molvae.latent.train import train
from molvae.model.checkpoint import RESUME
from molvae.model.config import LossConfig, ModelConfig, PriorConfig, TrainConfig
from molvae.model.devices import pick_device
from molvae.model.progress import Progress

pytestmark = pytest.mark.usefixtures("few_samplings")
MOLECULES = tuple(sample_molecules("zinc250k", 60, seed=5))
HEXANES = tuple("C" * n for n in range(2, 40))


def prepare_folder(folder: Path, molecules: Sequence[str]) -> Path:
    folder.mkdir()
    (folder / "some.smi").write_text("\n".join(molecules))
    prepare(folder / "some.smi", folder / "data", workers=1)
    return folder / "data"


def small_config(data: Path, out: Path) -> TrainConfig:
    return TrainConfig(
        data=str(data),
        out=str(out),
        n_molecules=40,
        batch_size=8,
        validate_every=20,
        # So short a training would be told that it has collapsed.
        loss=LossConfig(beta=0.0),
        device="cpu",
        prior=PriorConfig(epochs=1, calibrate=False),
        model=ModelConfig(
            latent_dim=4, embedding_dim=4, encoder_dim=8, decoder_dim=16, position_dim=2
        ),
    )


@pytest.mark.parametrize(
    ("n", "representation"),
    [(2, "robust-smiles"), (3, "smiles"), (5, "selfies"), (20, "robust-smiles")],
)
def test_train_on_few_molecules_validates_on_them_and_warns(
    tmp_path: Path, n: int, representation: str
) -> None:
    data = prepare_folder(tmp_path / "few", [m for m in MOLECULES if split_of(m) == "train"][:n])
    config = dataclasses.replace(
        small_config(data, tmp_path / "run"),
        representation=representation,
        prior=PriorConfig(epochs=1),
    )
    with pytest.warns(MolvaeWarning, match=f"{n} training molecules"):
        space = load(train(config, workers=1))
    assert bool((space.bounds[0] < space.bounds[1]).all())
    validation = space.about["validation"]
    assert validation["held_out"] is False
    assert validation["molecules"] == n
    assert bool(space.encode(load_split(data, "train")).isfinite().all())


def test_train_with_held_out_molecules_validates_on_them(tmp_path: Path) -> None:
    data = prepare_folder(tmp_path / "many", MOLECULES)
    space = load(train(small_config(data, tmp_path / "run"), workers=1))
    assert space.about["validation"]["held_out"] is True
    assert space.about["validation"]["molecules"] <= len(load_split(data, "valid"))


@pytest.mark.parametrize("kept", ["train", "valid"])
def test_train_on_too_few_molecules_raises(tmp_path: Path, kept: str) -> None:
    data = prepare_folder(tmp_path / "one", [m for m in MOLECULES if split_of(m) == kept][:1])
    with pytest.raises(DataError, match="at least 2 training molecules"):
        train(small_config(data, tmp_path / "run"), workers=1)
    assert not (tmp_path / "run").exists()


def test_prepare_of_few_molecules_warns_and_of_many_does_not(tmp_path: Path) -> None:
    with pytest.warns(MolvaeWarning, match="few molecules.*valid"):
        prepare_folder(tmp_path / "few", MOLECULES)
    (tmp_path / "many.smi").write_text("\n".join(sample_molecules("zinc250k", 300, seed=0)))
    prepare(tmp_path / "many.smi", tmp_path / "many", workers=1)


def train_interrupted(config: TrainConfig) -> None:
    """Train until the first state is saved."""

    def stop(progress: Progress) -> None:
        if (Path(config.out) / RESUME).exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, workers=1, on_progress=stop)
    assert (Path(config.out) / RESUME).exists()


def test_train_resumes_from_a_moved_data_folder(tmp_path: Path) -> None:
    data = prepare_folder(tmp_path / "a", MOLECULES)
    config = small_config(data, tmp_path / "run")
    train_interrupted(config)
    moved = data.rename(tmp_path / "elsewhere")
    config = dataclasses.replace(config, data=str(moved))
    resumed = load(train(config, resume=True, workers=1))
    whole = load(train(dataclasses.replace(config, out=str(tmp_path / "whole")), workers=1))
    for one, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "others",
    [MOLECULES[::-1], [m.replace("O", "S") for m in MOLECULES], HEXANES],
    ids=["order", "another symbol", "another vocabulary"],
)
def test_train_resumed_on_other_molecules_raises(tmp_path: Path, others: Sequence[str]) -> None:
    config = small_config(prepare_folder(tmp_path / "a", MOLECULES), tmp_path / "run")
    train_interrupted(config)
    other = dataclasses.replace(config, data=str(prepare_folder(tmp_path / "b", others)))
    with pytest.raises(CheckpointError, match="made from other molecules") as caught:
        train(other, resume=True, workers=1)
    assert "\n" not in str(caught.value)


def test_train_resumed_from_an_old_state_of_other_shapes_raises(
    tmp_path: Path,
) -> None:
    """States did not always say what they were made from."""
    config = small_config(prepare_folder(tmp_path / "a", MOLECULES), tmp_path / "run")
    train_interrupted(config)
    path = tmp_path / "run" / RESUME
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        metadata = {name: text for name, text in file.metadata().items() if name != "data"}
    save_file(tensors, path, metadata)
    other = dataclasses.replace(config, data=str(prepare_folder(tmp_path / "b", HEXANES)))
    with pytest.raises(CheckpointError, match="another network") as caught:
        train(other, resume=True, workers=1)
    assert "\n" not in str(caught.value)
    shutil.copy(path, tmp_path / "kept")
    train(config, resume=True, workers=1)


@pytest.mark.parametrize("name", ["train.smi", "valid.smi"])
def test_tokenize_of_changed_prepared_data_raises(tmp_path: Path, name: str) -> None:
    data = prepare_folder(tmp_path / "a", MOLECULES)
    tokenize(data, "smiles", workers=1)  # which is kept beside them
    with open(data / name, "a") as file:
        file.write("CCO\n")
    with pytest.raises(DataError, match=f"{name} was changed"):
        tokenize(data, "smiles", workers=1)


@pytest.mark.parametrize("name", ["mps", "gpu", "", "cuda:x", "cpu:0", "meta", "CUDA"])
def test_pick_device_of_unknown_name_raises(name: str) -> None:
    with pytest.raises(ConfigError, match="device must be"):
        pick_device(name)
    with pytest.raises(ConfigError, match="device must be"):
        load("qm9", device=name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_load_and_train_on_a_missing_device_raise_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="there is no device"):
        load("qm9", device=name)
    config = dataclasses.replace(
        small_config(tmp_path / "no data", tmp_path / "run"), device="cuda"
    )
    with pytest.raises(ConfigError, match="there is no device"):
        train(config, workers=1)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
