"""`save_run` and `load_run`: model folders are read back bit for bit, and damaged ones raise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from molvae.errors import CheckpointError
from molvae.model.checkpoint import (
    CARD,
    PRIOR,
    WEIGHTS,
    ModelCard,
    fingerprint,
    load_run,
    round_to_half,
    save_run,
)
from molvae.model.config import ModelConfig
from molvae.model.priors import make_prior
from molvae.model.vae import SequenceVAE

SMALL = ModelConfig(latent_dim=2, embedding_dim=3, encoder_dim=4, decoder_dim=5, position_dim=2)


def card() -> ModelCard:
    return ModelCard(
        model=SMALL,
        representation={"name": "selfies", "settings": {}},
        vocabulary=("[C]", "[O]"),
        max_length=7,
        bounds=((-1.0, -2.0), (1.0, 2.5)),
        about={"recipe": {"seed": 0}},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_run(tmp_path / "run", SequenceVAE(SMALL, 5, 7), card())
    return tmp_path / "run"


@pytest.mark.parametrize("half", [False, True])
def test_load_run_of_saved_model_is_bit_equal(tmp_path: Path, half: bool) -> None:
    torch.manual_seed(0)
    model = SequenceVAE(SMALL, 5, 7)
    if half:
        round_to_half(model)
    save_run(tmp_path, model, card())
    loaded, _, read = load_run(tmp_path)
    assert read == card()
    assert not loaded.training
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) and theirs[k].dtype == ours[k].dtype for k in ours)
    ids = torch.tensor([[3, 4, 2], [4, 2, 0]])
    with torch.no_grad():
        assert torch.equal(model.posterior(ids)[0], loaded.posterior(ids)[0])
    stored = load_file(tmp_path / WEIGHTS)
    assert stored["decoder.cells.weight_hh_l0"].dtype == (torch.float16 if half else torch.float32)


def test_fingerprint_differs_between_models(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_run(tmp_path / "other", SequenceVAE(SMALL, 5, 7), card())
    assert fingerprint(folder) == fingerprint(folder)
    assert fingerprint(folder) != fingerprint(tmp_path / "other")


def change(folder: Path, **values: object) -> None:
    content = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(content | values))


def test_load_run_with_truncated_weights_raises(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    for length in (0, 5, len(content) // 2, len(content) - 1):
        (folder / WEIGHTS).write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            load_run(folder)


def test_load_run_with_truncated_card_raises(folder: Path) -> None:
    content = (folder / CARD).read_text()
    for length in (0, 1, len(content) // 2):
        (folder / CARD).write_text(content[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            load_run(folder)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_load_run_with_missing_file_raises_with_its_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"cannot read .*{name}"):
        load_run(folder)


def test_load_run_of_newer_format_raises(folder: Path) -> None:
    change(folder, format=5)
    with pytest.raises(CheckpointError, match="format 5; this molvae reads 1 to 4"):
        load_run(folder)


def test_load_run_with_foreign_card_raises(folder: Path) -> None:
    (folder / CARD).write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="not describe"):
        load_run(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"model": {"latent_dim": -1}},
        {"model": {"latent_dmi": 2}},
        {"model": 3},
        {"bounds": [[0.0], [1.0]]},
        {"vocabulary": None},
        {"max_length": "x"},
    ],
)
def test_load_run_with_impossible_card_values_raises(
    folder: Path, values: dict[str, object]
) -> None:
    change(folder, **values)
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        load_run(folder)


def test_load_run_with_files_of_different_trainings_raises(folder: Path) -> None:
    change(folder, vocabulary=["[C]", "[O]", "[N]"])
    with pytest.raises(CheckpointError, match="different trainings"):
        load_run(folder)


def test_load_run_with_huge_sizes_raises_before_allocating(
    folder: Path,
) -> None:
    sizes = {**json.loads((folder / CARD).read_text())["model"], "decoder_dim": 10_000_000}
    change(folder, model=sizes)
    with pytest.raises(CheckpointError, match="different trainings"):
        load_run(folder)


def test_load_run_with_extra_or_missing_tensor_raises_with_its_name(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {"extra": torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="'extra'"):
        load_run(folder)
    del tensors["decoder.token_head.bias"]
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"'decoder\.token_head\.bias'"):
        load_run(folder)


@pytest.mark.parametrize("kind", ["mixture", "flow"])
def test_load_run_reads_the_prior_as_part_of_the_fingerprint(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    model = SequenceVAE(SMALL, 5, 7)
    save_run(tmp_path, model, card())
    without = fingerprint(tmp_path)
    settings = {"kind": kind, "dim": SMALL.latent_dim}
    prior = make_prior(settings | ({"components": 2} if kind == "mixture" else {"layers": 2}))
    save_run(tmp_path, model, card(), prior)
    _, read, _ = load_run(tmp_path)
    z = torch.randn(5, SMALL.latent_dim)
    assert read.kind == kind
    torch.testing.assert_close(read.log_prob(z), prior.log_prob(z))
    assert fingerprint(tmp_path) != without
    (tmp_path / PRIOR).unlink()
    with pytest.raises(CheckpointError, match=PRIOR):
        load_run(tmp_path)


def test_load_run_with_unknown_prior_raises(folder: Path) -> None:
    change(folder, prior={"kind": "sphere", "dim": SMALL.latent_dim})
    with pytest.raises(CheckpointError, match="sphere"):
        load_run(folder)


def test_load_run_without_prior_gives_the_standard_normal(folder: Path) -> None:
    assert load_run(folder)[1].kind == "normal"
