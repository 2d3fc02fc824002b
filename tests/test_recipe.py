"""From molecules to a run folder, end to end in seconds."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

import molvae
from molvae.chem.properties import score
from molvae.chem.vocabulary import STOP
from molvae.config import (
    ModelConfig,
    ObjectiveConfig,
    PrepareConfig,
    TrainConfig,
    build,
    read_toml,
)
from molvae.datasets import load_split, prepare, sample_molecules
from molvae.errors import CheckpointError, DataError, UnknownNameError
from molvae.latent import WEIGHTS, list_runs
from molvae.recipe import train
from molvae.tokens import tokenise

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "some.smi").write_text("\n".join(sample_molecules("zinc250k", 300, seed=0)))
    prepare(str(folder / "some.smi"), folder / "some", config=PrepareConfig(), workers=1)
    return folder / "some"


@pytest.fixture
def config(data: Path, tmp_path: Path) -> TrainConfig:
    model = ModelConfig(
        latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=32, position_dim=4
    )
    return TrainConfig(
        data=str(data),
        out=str(tmp_path / "run"),
        molecules=600,
        validate_every=300,
        # So short a training would be told that it has collapsed.
        objective=ObjectiveConfig(beta=0.0),
        device="cpu",
        model=model,
    )


def test_a_trained_run_can_be_loaded_and_says_how_it_was_made(config: TrainConfig) -> None:
    folder = train(config, workers=1)
    names = {p.name for p in folder.iterdir()} - {"prior.safetensors"}
    assert names == {"metrics.jsonl", "model.json", "model.safetensors"}
    space = molvae.load(folder)
    assert space.dim == 8
    assert space.encode(["CCO"]).shape == (1, 8)
    assert bool((space.bounds[0] < space.bounds[1]).all())
    about = json.loads((folder / "model.json").read_text())["about"]
    assert build(TrainConfig, about["recipe"]) == config
    assert about["versions"]["torch"]
    assert about["training_molecules"] > 200
    noise, temperature = space.card.drawing
    assert noise > 0
    assert space.generate(5) == space.generate(5, noise=noise, temperature=temperature)
    log_density = about["validation"]["log_density_of_z"]
    assert space.prior.kind == max(log_density, key=lambda kind: log_density[kind])
    assert (folder / "prior.safetensors").exists() == (space.prior.kind != "normal")


def test_heads_are_trained_along_and_speak_in_the_properties_units(config: TrainConfig) -> None:
    names = ("SAS", "logP")
    config = dataclasses.replace(
        config, properties=("sas", "logP"), property_weight=5.0, molecules=12_000, batch_size=16
    )
    space = molvae.load(train(config, workers=1))
    assert space.properties == names
    molecules = load_split(config.data, "train")
    true = torch.from_numpy(score(molecules, names))
    read = space.predict(space.encode(molecules)).detach()
    left = (read - true).square().mean(dim=0) / true.var(dim=0)
    assert bool((left < 0.5).all())
    z = space.encode(["CCO"]).requires_grad_()
    space.predict(z)[:, 0].sum().backward()
    assert z.grad is not None
    assert bool(z.grad.any())


def test_what_heads_cannot_learn_is_said_before_the_training(config: TrainConfig) -> None:
    with pytest.raises(UnknownNameError, match="logD"):
        train(dataclasses.replace(config, properties=("logD",)), workers=1)
    folder = Path(config.data).with_name("alike")
    shutil.copytree(config.data, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "train.smi").write_text("CCO\nCCO\n")
    (folder / "valid.smi").write_text("CCO\n")
    with pytest.raises(DataError, match="fewer than two values"):
        train(dataclasses.replace(config, data=str(folder), properties=("logP",)), workers=1)


@pytest.mark.parametrize("name", ["train", "valid"])
def test_a_split_without_a_readable_molecule_is_an_error(data: Path, name: str) -> None:
    folder = data.with_name(f"unreadable-{name}")
    shutil.copytree(data, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / f"{name}.smi").write_text("[Na+].[Cl-]\n" if name == "train" else "")
    with pytest.raises(DataError, match="molecule"):
        tokenise(folder, "robust-smiles", workers=1)


def test_the_same_recipe_gives_the_same_weights(config: TrainConfig, tmp_path: Path) -> None:
    first = train(config, workers=1)
    second = train(dataclasses.replace(config, out=str(tmp_path / "again")), workers=1)
    weights = "model.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


def test_a_run_is_not_overwritten_unless_asked(config: TrainConfig) -> None:
    train(config, workers=1)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train(config, workers=1)
    train(config, workers=1, overwrite=True)


def test_tokens_come_from_the_cache_until_the_data_change(data: Path) -> None:
    first = tokenise(data, "selfies", workers=1)
    again = tokenise(data, "selfies", workers=1)
    assert torch.equal(first.train, again.train)
    assert first.vocabulary.symbols == again.vocabulary.symbols
    (data / "selfies-0.safetensors").write_bytes(b"damaged")
    assert torch.equal(tokenise(data, "selfies", workers=1).train, first.train)
    smiles = tokenise(data, "smiles", workers=1)
    assert smiles.vocabulary.symbols != first.vocabulary.symbols


def test_tokens_spell_the_training_molecules(data: Path) -> None:
    from molvae.chem.representation import get_representation

    for name in ("selfies", "smiles", "robust-smiles"):
        for merges in (0, 40):
            tokens = tokenise(data, name, merges, workers=1)
            writer = get_representation(name)
            rows = tokens.train.tolist()
            molecules = [writer.join(tokens.vocabulary.spell(row)) for row in rows]
            assert molecules == load_split(data, "train")
            for molecule, row in zip(molecules, rows, strict=True):
                ids = tokens.vocabulary.ids(writer.split(molecule))
                assert [*ids, STOP] == row[: len(ids) + 1]


def test_merges_shorten_and_are_the_same_for_held_out_molecules(data: Path) -> None:
    plain, merged = (tokenise(data, "smiles", n, workers=1) for n in (0, 40))
    assert len(plain.vocabulary) < len(merged.vocabulary) <= len(plain.vocabulary) + 40
    assert plain.train.shape[1] > merged.train.shape[1]
    spelled = [merged.vocabulary.spell(row) for row in merged.valid.tolist()]
    assert spelled == [plain.vocabulary.spell(row) for row in plain.valid.tolist()]


def test_a_folder_that_was_not_prepared(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="molvae prepare"):
        train(dataclasses.replace(config, data=str(tmp_path)), workers=1)


@pytest.mark.parametrize("name", list_runs())
def test_bundled_runs_are_small_and_come_from_the_committed_recipes(name: str) -> None:
    recipe = build(TrainConfig, read_toml(ROOT / "pipelines" / f"{name}.toml"))
    assert sum(file.stat().st_size for file in (WEIGHTS / name).iterdir()) < 10_000_000
    about = dict(molvae.load(name).about["recipe"])
    tables: dict[str, dict[str, object]] = {"objective": {}, "prior": {}}
    for old, new in TrainConfig.MOVED.items():  # the cards are older than the tables
        table, _, key = new.partition(".")
        tables[table][key] = about.pop(old)
    trained = build(TrainConfig, about | tables)
    assert dataclasses.replace(trained, threads=recipe.threads) == recipe
