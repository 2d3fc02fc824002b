"""`train` from prepared molecules to a model folder, end to end in seconds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import warnings
from itertools import compress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import molvae
from molvae.analysis.model_metrics import evaluate
from molvae.chem.datasets import sample_molecules
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.precedents import Precedents
from molvae.chem.prepare import load_split, prepare
from molvae.chem.properties import score
from molvae.chem.representations import RobustSmiles
from molvae.chem.vocabulary import EOS, Vocabulary
from molvae.config import PrepareConfig, build, read_toml
from molvae.errors import CheckpointError, ConfigError, DataError, MolvaeWarning, UnknownNameError
from molvae.latent.acceptance import FILE_NAME as ACCEPTANCE
from molvae.latent.labels import fingerprints, label, label_names, precedents
from molvae.latent.loading import WEIGHTS, list_models
from molvae.latent.space import LatentSpace
from molvae.latent.tokenized import randomized_rows, tokenize, write_rows
from molvae.latent.train import train
from molvae.model.checkpoint import load_run
from molvae.model.config import LossConfig, ModelConfig, PriorConfig, TrainConfig
from molvae.model.fingerprint_losses import distance_similarity_correlation

pytestmark = pytest.mark.usefixtures("few_samplings")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "some.smi").write_text("\n".join(sample_molecules("zinc250k", 300, seed=0)))
    prepare(str(folder / "some.smi"), folder / "some", config=PrepareConfig(), workers=1)
    return folder / "some"


def recipe(data: Path, out: Path) -> TrainConfig:
    model = ModelConfig(
        latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=32, position_dim=4
    )
    return TrainConfig(
        data=str(data),
        out=str(out),
        n_molecules=300,
        validate_every=150,
        # So short a training would be told that it has collapsed.
        loss=LossConfig(beta=0.0),
        device="cpu",
        model=model,
        prior=PriorConfig(epochs=1, calibrate=False),
    )


@pytest.fixture
def config(data: Path, tmp_path: Path) -> TrainConfig:
    return recipe(data, tmp_path / "run")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the recipe."""
    return train(recipe(data, tmp_path_factory.mktemp("trained") / "run"), workers=1)


def test_precedents_are_kept_beside_the_data(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        shutil.copytree(data, tmp_path / name)
    (tmp_path / "a" / "precedents.safetensors").unlink(missing_ok=True)
    expected = Precedents.of(load_split(data, "train"), workers=1)
    first = precedents([tmp_path / "a"], workers=1)
    monkeypatch.setattr(Precedents, "of", lambda *_, **__: pytest.fail("computed again"))
    for found in (first, precedents([tmp_path / "a"], workers=1)):
        assert (found.rings == expected.rings).all()
        assert (found.environments == expected.environments).all()
        assert found.heavy_atoms == expected.heavy_atoms
        assert found.rings.dtype == expected.rings.dtype
    with pytest.raises(BaseException, match="computed again"):  # of other data
        precedents([tmp_path / "a", tmp_path / "b"], workers=1)


def test_train_writes_a_loadable_model_folder_with_its_recipe(config: TrainConfig) -> None:
    config = dataclasses.replace(config, prior=PriorConfig(epochs=1))
    folder = train(config, workers=1)
    names = {p.name for p in folder.iterdir()} - {"prior.safetensors"}
    assert names == {"metrics.jsonl", "model.json", "model.safetensors", "precedents.safetensors"}
    space = molvae.load(folder)
    assert space.dim == 8
    assert space.encode(["CCO"]).shape == (1, 8)
    assert bool((space.bounds[0] < space.bounds[1]).all())
    about = json.loads((folder / "model.json").read_text())["about"]
    assert build(TrainConfig, about["recipe"]) == config
    assert about["versions"]["torch"]
    assert about["training_molecules"] > 200
    noise, temperature = space.card.sampling_defaults
    assert noise > 0
    assert space.generate(5) == space.generate(5, noise=noise, temperature=temperature)
    log_density = about["validation"]["log_density_of_z"]
    assert space.prior.kind == max(log_density, key=lambda kind: log_density[kind])
    assert (folder / "prior.safetensors").exists() == (space.prior.kind != "normal")


def test_train_property_heads_predict_in_units_of_the_property(config: TrainConfig) -> None:
    names = ("SAS", "logP")
    config = dataclasses.replace(
        config,
        properties=("sas", "logP"),
        property_weight=5.0,
        bpe_merges=80,  # shorter rows, which are learned sooner
        n_molecules=6_000,
        batch_size=64,
        learning_rate=7e-3,
        validate_every=6_000,
        model=dataclasses.replace(config.model, residual_conditioning=False),
    )
    space = molvae.load(train(config, workers=1))
    assert space.properties == names
    molecules = load_split(config.data, "train")
    true = torch.from_numpy(score(molecules, names))
    table = space.predict(molecules)
    assert tuple(table.columns) == names
    pd.testing.assert_frame_equal(table, space.predict(space.encode(molecules)))
    read = torch.tensor(table.to_numpy())
    left = (read - true).square().mean(dim=0) / true.var(dim=0)
    assert bool((left < 0.5).all())
    z = space.encode(["CCO"]).requires_grad_()
    space.property_head(z)[:, 0].sum().backward()
    assert z.grad is not None
    assert bool(z.grad.any())


SIZES = ModelConfig(latent_dim=6, embedding_dim=8, encoder_dim=24, decoder_dim=32, position_dim=4)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with a column: the number of heavy atoms, not known for a third of the molecules."""
    folder = tmp_path_factory.mktemp("table")
    molecules = sample_molecules("zinc250k", 300, seed=0)
    sizes = score(molecules, ["heavy_atoms"])[:, 0]
    cells = ["" if i % 3 == 0 else f"{size:g}" for i, size in enumerate(sizes)]
    rows = [f"{m},{cell}" for m, cell in zip(molecules, cells, strict=True)]
    (folder / "some.csv").write_text("\n".join(["smiles,size", *rows]))
    keep = PrepareConfig(keep_columns=("size",))
    prepare(str(folder / "some.csv"), folder / "some", config=keep, workers=1)
    return folder / "some"


def test_label_reads_columns_and_properties_with_nan_for_missing(table: Path) -> None:
    both = label(table, ["size", "LOGP"], workers=1)
    molecules = load_split(table, "train")
    assert both.shape == (len(molecules), 2)
    known = ~both[:, 0].isnan()
    assert 0.5 < known.double().mean() < 0.8
    true = torch.from_numpy(score(molecules, ["heavy_atoms", "logP"]))
    torch.testing.assert_close(both[known], true[known])
    torch.testing.assert_close(both[:, 1], true[:, 1])
    assert torch.equal(label(table, ["logP"], workers=1)[:, 0], both[:, 1])
    assert label_names(table, ["size", "LOGP"]) == ["size", "logP"]
    with pytest.raises(UnknownNameError, match="did you mean 'size'"):
        label(table, ["sise"])


@pytest.fixture(scope="module")
def conditional(table: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentSpace:
    """A run with a condition and a head for a column, shown half of their labels."""
    config = TrainConfig(
        data=str(table),
        out=str(tmp_path_factory.mktemp("run") / "run"),
        bpe_merges=80,  # shorter rows, which are learned sooner
        n_molecules=4_500,
        batch_size=32,
        learning_rate=7e-3,
        validate_every=4_500,
        conditions=("logp",),
        condition_weight=3.0,
        properties=("size",),
        property_weight=3.0,
        labeled_fraction=0.5,
        noised_fraction=0.0,
        device="cpu",
        model=SIZES,
        loss=LossConfig(beta=0.02),
        prior=PriorConfig(epochs=30, calibrate=False),
    )
    return molvae.load(train(config, workers=1))


def test_train_with_conditions_records_their_units(conditional: LatentSpace, table: Path) -> None:
    assert conditional.conditions == ("logP",)
    assert conditional.properties == ("size",)
    assert conditional.dim == 7
    assert conditional.bounds.shape == (2, 7)
    labels = label(table, ["logP"])[:, 0]
    shown = conditional.about["labelled_molecules"]
    assert shown == -(-len(labels) // 2)
    (unit,) = conditional.card.conditions
    # Of the half that was shown, not of all.
    assert unit.mean == pytest.approx(float(labels.mean()), abs=0.3)
    assert unit.mean != pytest.approx(float(labels.mean()), abs=1e-6)
    assert conditional.prior.kind == "conditional"
    z = conditional.encode(load_split(table, "train"))
    guess = z[:, 6] * unit.std + unit.mean
    assert float((guess - labels).square().mean() / labels.var()) < 0.7
    size = conditional.property_head(z).detach()[:, 0]
    true = torch.from_numpy(score(load_split(table, "train"), ["heavy_atoms"]))[:, 0]
    assert float((size - true).square().mean() / true.var()) < 0.7


def test_generate_with_conditions_moves_the_property(conditional: LatentSpace) -> None:
    (unit,) = conditional.card.conditions
    z = conditional.sample_prior(5, conditions={"LogP": 1.5})
    expected = torch.full((5,), (1.5 - unit.mean) / unit.std).double()
    torch.testing.assert_close(z[:, 6], expected, atol=1e-6, rtol=1e-6)
    means = []
    for wanted in (-0.5, 5.0):
        drawn = conditional.generate(150, conditions={"logP": wanted}, redraw=False)
        assert drawn == conditional.generate(150, conditions={"logP": wanted}, redraw=False)
        means.append(score([m for m in drawn if m], ["logP"])[:, 0].mean())
    assert means[1] > means[0] + 0.5
    with pytest.raises(ConfigError, match="tolerance"):
        conditional.generate(3, conditions={"logP": 1.5}, condition_tolerance=-1)
    with pytest.raises(ConfigError, match=r"condition_tolerance=0\.1 is for conditions"):
        conditional.generate(3, condition_tolerance=0.1)
    with pytest.raises(UnknownNameError, match="no condition is called 'QED'"):
        conditional.generate(3, conditions={"QED": 0.5})
    with pytest.raises(ConfigError, match="finite"):
        conditional.sample_prior(3, conditions={"logP": math.inf})


def test_generate_redraws_molecules_encoded_to_other_conditions(conditional: LatentSpace) -> None:
    (unit,) = conditional.card.conditions

    def off(**settings: Any) -> float:
        drawn = conditional.generate(100, conditions={"logP": 1.5}, **settings)
        made = [m for m in drawn if m is not None]
        readable = compress(made, conditional.can_encode(made))
        guess = conditional.encode(list(readable))[:, 6]
        return float((guess - (1.5 - unit.mean) / unit.std).abs().mean())

    once = off(redraw=False)
    with pytest.warns(MolvaeWarning, match="of 100 molecules are expected to miss"):
        assert off(condition_tolerance=0.0) < off(condition_tolerance=1.0) < once


def test_generate_redraws_molecules_with_uncertain_conditions(
    conditional: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unit,) = conditional.card.conditions
    doubted = set(conditional.generate(20, conditions={"logP": 1.5}, redraw=False)) - {None}

    def estimates(space: LatentSpace, molecules: list[str], *_: object) -> torch.Tensor:
        doubt = torch.tensor([2.0 * (molecule in doubted) for molecule in molecules])[:, None]
        same = torch.full_like(doubt, (1.5 - unit.mean) / unit.std)
        return torch.cat([same, doubt], dim=1)

    monkeypatch.setattr("molvae.latent.generation.map_molecules", estimates)
    drawn = conditional.generate(20, conditions={"logP": 1.5})
    assert None not in drawn
    assert not doubted & set(drawn)


def test_translate_moves_the_property_to_the_condition(
    conditional: LatentSpace, table: Path
) -> None:
    molecules = load_split(table, "train")[:100]
    found = {to: conditional.translate(molecules, {"logP": to}) for to in (-0.5, 5.0)}
    assert all(len(drawn) == 100 for drawn in found.values())
    low, high = (score([m for m in found[to] if m], ["logP"])[:, 0].mean() for to in found)
    assert high > low + 0.5
    # To what they have: the same as decoding their vectors.
    (unit,) = conditional.card.conditions
    own = conditional.encode(molecules[:1])
    kept = conditional.translate(molecules[:1], {"logP": float(own[0, 6]) * unit.std + unit.mean})
    assert kept == conditional.decode(own)


def test_conditional_space_samples_scores_and_tunes_like_any_space(
    conditional: LatentSpace, table: Path
) -> None:
    molecules = load_split(table, "train")[:20]
    mean, std = conditional.posterior(molecules)
    torch.testing.assert_close(mean, conditional.encode(molecules))
    draws = conditional.sample_posterior(molecules, 400, seed=1)
    assert draws.shape == (20, 400, 7)
    torch.testing.assert_close(draws[..., 6].mean(1), mean[:, 6], atol=0.2, rtol=0.1)
    torch.testing.assert_close(draws[..., 6].std(1), std[:, 6], atol=0.05, rtol=0.2)
    assert torch.equal(draws, conditional.sample_posterior(molecules, 400, seed=1))
    assert conditional.invert(molecules[:3]).shape == (3, 7)
    assert len(conditional.decode(conditional.sample_prior(4))) == 4
    bound = conditional.log_prob(molecules, k=8)
    assert bool(torch.isfinite(bound).all())
    assert conditional.tuned(molecules[:2]).conditions == ("logP",)


def test_generate_with_conditions_of_unconditional_model_raises(space: LatentSpace) -> None:
    for ask in (
        lambda: space.generate(3, conditions={"logP": 2.0}),
        lambda: space.translate(["CCO"], {"logP": 2.0}),
    ):
        with pytest.raises(ConfigError, match="trained without conditions"):
            ask()


def small(config: TrainConfig, **settings: Any) -> LatentSpace:
    return molvae.load(train(dataclasses.replace(config, **settings), workers=1))


def test_train_language_model_generates_and_has_no_z(config: TrainConfig, tmp_path: Path) -> None:
    sizes = dataclasses.replace(
        config.model, latent_dim=0, residual_conditioning=False, noise_conditioning=False
    )
    space = small(config, model=sizes, noised_fraction=0.0)
    assert space.dim == 0
    drawn = space.generate(150, seed=1)  # most of a model so small are radicals
    assert len(set(drawn)) > 10
    assert drawn == space.generate(150, seed=1)
    exact = space.log_prob(["CCO", "c1ccccc1"])
    torch.testing.assert_close(exact, space.log_prob(["CCO", "c1ccccc1"], k=1, seed=5))
    for ask in (
        lambda: space.encode(["CCO"]),
        lambda: space.posterior(["CCO"]),
        lambda: space.decode(torch.zeros(1, 0)),
        lambda: molvae.Campaign.create(tmp_path / "c.db", space, objective="qed", start=["CCO"]),
    ):
        with pytest.raises(ConfigError, match="language model"):
            ask()
    found = evaluate(
        space, load_split(config.data, "test"), n_samples=10, n_posteriors=3, fcd=False
    )
    assert found["elbo"] == pytest.approx(found["iwae"])
    assert "reconstruction" not in found


def test_train_autoencoder_has_z_and_no_log_prob(config: TrainConfig) -> None:
    sizes = dataclasses.replace(config.model, posterior="point")
    space = small(config, model=sizes, noised_fraction=0.0)
    molecules = load_split(config.data, "test")
    mean, std = space.posterior(molecules)
    assert bool((std == 0).all())
    assert torch.equal(
        space.sample_posterior(molecules, 2)[:, 0], space.sample_posterior(molecules, 2)[:, 1]
    )
    assert torch.equal(mean, space.encode(molecules))
    with pytest.raises(ConfigError, match="autoencoder"):
        space.log_prob(["CCO"])
    found = evaluate(space, molecules, n_samples=10, n_posteriors=3, fcd=False)
    assert math.isnan(found["iwae"])
    assert math.isnan(found["kl"])
    assert 0 <= found["reconstruction"] <= 1
    assert len(space.generate(5)) == 5


@pytest.mark.parametrize(
    ("kind", "model"), [("vamp", {}), ("autoregressive", {"posterior": "flow"})]
)
def test_train_fits_the_prior_of_the_recipe(
    config: TrainConfig, kind: str, model: dict[str, Any]
) -> None:
    prior = PriorConfig(kind=kind, epochs=3)  # type: ignore[arg-type]
    with warnings.catch_warnings():  # so young a model may be as well off with N(0, I)
        warnings.simplefilter("ignore", MolvaeWarning)
        space = small(
            config,
            prior=prior,
            noised_fraction=0.0,
            model=dataclasses.replace(config.model, **model),
        )
    assert space.prior.kind == kind
    assert set(space.about["validation"]["log_density_of_z"]) == {"normal", kind}
    assert space.about["validation"]["total_correlation_nats"] >= 0
    molecules = load_split(config.data, "test")
    mean, std = space.posterior(molecules)
    assert mean.shape == std.shape == (len(molecules), 8)
    assert bool((std > 0).all())
    assert len(space.decode(space.sample_prior(6))) == 6


def replace_split(folder: Path, name: str, text: str) -> None:
    """Let a prepared data set hold other molecules, as if it had been prepared so."""
    (folder / f"{name}.smi").write_text(text)
    about = json.loads((folder / "prepare.json").read_text())
    about["splits"][name] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    (folder / "prepare.json").write_text(json.dumps(about))


def test_train_with_unlearnable_properties_raises_before_training(config: TrainConfig) -> None:
    with pytest.raises(UnknownNameError, match="logD"):
        train(dataclasses.replace(config, properties=("logD",)), workers=1)
    folder = Path(config.data).with_name("alike")
    shutil.copytree(config.data, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    replace_split(folder, "train", "CCO\nCCO\n")
    replace_split(folder, "valid", "CCO\n")
    with pytest.raises(DataError, match="fewer than two values"):
        train(dataclasses.replace(config, data=str(folder), properties=("logP",)), workers=1)


def test_tokenize_without_encodable_training_molecules_raises(data: Path) -> None:
    folder = data.with_name("unreadable")
    shutil.copytree(data, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    replace_split(folder, "train", "[Na+].[Cl-]\n")
    with pytest.raises(DataError, match="at least 2"):
        tokenize(folder, "robust-smiles", workers=1)


def test_train_with_the_same_recipe_gives_the_same_weights(
    config: TrainConfig, tmp_path: Path
) -> None:
    loss = LossConfig(beta=0.0, fingerprint_weight=0.5)  # components are drawn at random
    config = dataclasses.replace(config, loss=loss)
    first = train(config, workers=1)
    second = train(dataclasses.replace(config, out=str(tmp_path / "again")), workers=1)
    weights = "model.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


def test_train_average_with_averages_weights_with_earlier_stages(
    config: TrainConfig, tmp_path: Path, trained: Path
) -> None:
    on = dataclasses.replace(config, start_from=str(trained), out=str(tmp_path / "on"), seed=1)
    end = train(on, workers=1)
    mean = dataclasses.replace(
        on, out=str(tmp_path / "mean"), average_with=(str(trained),), average_fraction=0.25
    )
    made = load_run(train(mean, workers=1))[0].state_dict()
    start, last = (load_run(folder)[0].state_dict() for folder in (trained, end))
    for name, weight in made.items():
        expected = 0.25 * start[name] + 0.75 * last[name]
        torch.testing.assert_close(weight, expected, atol=1e-3, rtol=1e-2)
    assert any(not torch.equal(start[name], last[name]) for name in made)
    other = dataclasses.replace(
        mean, out=str(tmp_path / "other"), start_from=None, model=ModelConfig(latent_dim=3)
    )
    with pytest.raises(ConfigError, match="other sizes"):
        train(other, workers=1)


def test_train_into_an_existing_folder_raises_without_overwrite(
    config: TrainConfig, trained: Path
) -> None:
    shutil.copytree(trained, config.out)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train(config, workers=1)
    train(config, workers=1, overwrite=True)


def test_tokenize_reads_the_cache_and_replaces_a_damaged_cache(data: Path) -> None:
    first = tokenize(data, "selfies", workers=1)
    again = tokenize(data, "selfies", workers=1)
    assert torch.equal(first.train, again.train)
    assert first.vocabulary.tokens == again.vocabulary.tokens
    (data / "selfies-0.safetensors").write_bytes(b"damaged")
    assert torch.equal(tokenize(data, "selfies", workers=1).train, first.train)
    smiles = tokenize(data, "smiles", workers=1)
    assert smiles.vocabulary.tokens != first.vocabulary.tokens


def test_tokenize_rows_detokenize_to_the_training_molecules(data: Path) -> None:
    from molvae.chem.representations import get_representation

    for name in ("selfies", "smiles", "robust-smiles"):
        for merges in (0, 40):
            tokens = tokenize(data, name, merges, workers=1)
            writer = get_representation(name)
            rows = tokens.train.tolist()
            molecules = [writer.detokenize(tokens.vocabulary.decode(row)) for row in rows]
            assert molecules == load_split(data, "train")
            for molecule, row in zip(molecules, rows, strict=True):
                ids = tokens.vocabulary.encode(writer.tokenize(molecule))
                assert [*ids, EOS] == row[: len(ids) + 1]


def test_tokenize_with_merges_shortens_rows_of_all_splits(data: Path) -> None:
    plain, merged = (tokenize(data, "smiles", n, workers=1) for n in (0, 40))
    assert len(plain.vocabulary) < len(merged.vocabulary) <= len(plain.vocabulary) + 40
    assert plain.train.shape[1] > merged.train.shape[1]
    spelled = [merged.vocabulary.decode(row) for row in merged.valid.tolist()]
    assert spelled == [plain.vocabulary.decode(row) for row in plain.valid.tolist()]


def test_train_on_unprepared_folder_raises_with_advice(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="molvae prepare"):
        train(dataclasses.replace(config, data=str(tmp_path)), workers=1)


@pytest.mark.parametrize("name", list_models())
def test_bundled_models_record_the_recipes_of_the_pipelines_folder(name: str) -> None:
    recipe = build(TrainConfig, read_toml(ROOT / "pipelines" / f"{name}.toml"))
    assert sum(file.stat().st_size for file in (WEIGHTS / name).iterdir()) < 10_000_000
    trained = build(TrainConfig, molvae.load(name).about["recipe"])
    # An acceptance that was fitted later left the card, and so the fingerprint, as it was.
    prior = dataclasses.replace(trained.prior, acceptance=(WEIGHTS / name / ACCEPTANCE).is_file())
    assert dataclasses.replace(trained, threads=recipe.threads, prior=prior) == recipe


@pytest.mark.slow
def test_train_with_structure_terms_brings_similar_molecules_near(config: TrainConfig) -> None:
    objective = LossConfig(beta=0.0, similarity_weight=20.0, fingerprint_weight=0.5)
    longer = dataclasses.replace(
        config,
        bpe_merges=80,  # shorter rows, which are learned sooner
        model=dataclasses.replace(config.model, residual_conditioning=False),
        n_molecules=3000,
        validate_every=3000,
        batch_size=32,
        learning_rate=1e-2,
        noised_fraction=0.0,
        prior=PriorConfig(kind="normal"),
    )
    told = dataclasses.replace(longer, loss=objective, neighbors=True)
    found = []
    for i, one in enumerate((longer, told)):
        space = molvae.load(train(dataclasses.replace(one, out=f"{config.out}{i}"), workers=1))
        molecules = load_split(config.data, "train")[:200]
        bits = torch.from_numpy(morgan_bits(molecules).astype("float32"))
        found.append(float(distance_similarity_correlation(space.encode(molecules), bits)))
    assert found[1] < min(-0.5, found[0] - 0.2)


def test_train_start_from_continues_where_the_first_stage_ended(
    config: TrainConfig, tmp_path: Path
) -> None:
    """Two stages at a constant rate end with other weights than one, but none of them jumps."""
    objective = LossConfig(beta=0.0, similarity_weight=5.0, fingerprint_weight=0.5)
    one = dataclasses.replace(
        config,
        loss=objective,
        lr_decay_fraction=0.0,
        keep_state=True,
        properties=("logP",),
        noised_fraction=0.0,
    )
    first = train(one, workers=1)
    assert (first / "state.safetensors").exists()
    two = dataclasses.replace(
        one,
        out=str(tmp_path / "two"),
        start_from=str(first),
        lr_warmup_fraction=0.0,
        keep_state=False,
    )
    two = dataclasses.replace(two, model=ModelConfig(), n_molecules=1, learning_rate=1e-12)
    second = molvae.load(train(two, workers=1))
    assert not (tmp_path / "two" / "state.safetensors").exists()
    before = molvae.load(first)
    assert second.card.vocabulary == before.card.vocabulary
    molecules = load_split(config.data, "test")
    torch.testing.assert_close(
        second.encode(molecules), before.encode(molecules), atol=5e-3, rtol=0
    )
    z = before.encode(molecules)
    torch.testing.assert_close(second.property_head(z), before.property_head(z), atol=5e-3, rtol=0)
    # Without the kept state it is the rounded weights that a training starts from.
    (first / "state.safetensors").unlink()
    third = molvae.load(train(dataclasses.replace(two, out=str(tmp_path / "three")), workers=1))
    torch.testing.assert_close(third.encode(molecules), z, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    "change",
    [{"representation": "selfies"}, {"bpe_merges": 7}, {"model": ModelConfig(latent_dim=9)}],
)
def test_train_start_from_a_model_of_other_sizes_raises(
    config: TrainConfig, tmp_path: Path, trained: Path, change: dict[str, Any]
) -> None:
    two = dataclasses.replace(config, out=str(tmp_path / "two"), start_from=str(trained), **change)
    with pytest.raises(ConfigError, match=next(iter(change))):
        train(two, workers=1)
    assert not (tmp_path / "two").exists()


def test_train_into_the_folder_that_it_starts_from_raises(
    config: TrainConfig, trained: Path
) -> None:
    weights = (trained / "model.safetensors").read_bytes()
    for own in ({"start_from": str(trained)}, {"average_with": (str(trained),)}):
        again = dataclasses.replace(config, out=str(trained), **own)
        with pytest.raises(CheckpointError, match="also given"):
            train(again, workers=1, overwrite=True)
    assert (trained / "model.safetensors").read_bytes() == weights


def test_train_warns_of_molecules_that_are_left_out(
    config: TrainConfig, tmp_path: Path, trained: Path
) -> None:
    source = tmp_path / "odd.smi"
    odd = ["C" * n + "[Se]C" for n in range(1, 9)]
    source.write_text("\n".join([*odd, *sample_molecules("zinc250k", 300, seed=0)]))
    prepare(source, tmp_path / "odd", workers=1)
    two = dataclasses.replace(
        config, data=str(tmp_path / "odd"), out=str(tmp_path / "two"), start_from=str(trained)
    )
    with pytest.warns(MolvaeWarning, match=r"left out: \d+ \(train: not writable"):
        train(two, workers=1)


def test_train_with_more_data_records_both_data_sets(
    config: TrainConfig, table: Path, tmp_path: Path
) -> None:
    both = dataclasses.replace(
        config,
        more_data=(str(table),),
        more_data_fraction=0.5,
        properties=("logP",),
        neighbors=True,
        randomized_smiles_fraction=0.5,
        corruption=0.1,
        noised_fraction=0.0,
    )
    folder = train(both, workers=1)
    about = json.loads((folder / "model.json").read_text())["about"]
    assert 0 < about["more_data"][0]["training_molecules"] <= len(load_split(table, "train"))
    assert build(TrainConfig, about["recipe"]) == both


def test_write_rows_leaves_out_molecules_the_vocabulary_lacks(data: Path, tmp_path: Path) -> None:
    tokens = tokenize(data, "robust-smiles", 5, workers=1)
    length = tokens.train.shape[1]
    rows = write_rows(data, "train", "robust-smiles", tokens.vocabulary, length, workers=1)
    assert torch.equal(rows.ids, tokens.train)
    assert torch.equal(rows.places, tokens.places)
    again = write_rows(data, "train", "robust-smiles", tokens.vocabulary, length, workers=1)
    assert torch.equal(again.ids, rows.ids)
    short = write_rows(data, "train", "robust-smiles", tokens.vocabulary, 20, workers=1)
    assert 0 < len(short.ids) < len(rows.ids)
    assert torch.equal(short.ids[:, -1] != 0, (short.ids != 0).sum(dim=1) == 20)
    few = Vocabulary([symbol for symbol in tokens.vocabulary.tokens if symbol != "N"])
    lacking = write_rows(data, "train", "robust-smiles", few, 200, workers=1)
    molecules = load_split(data, "train")
    assert 0 < len(lacking.ids) < len(rows.ids)
    assert not any("N" in molecules[i].replace("[N", "") for i in lacking.places.tolist())


def test_fingerprints_of_a_prepared_folder_equal_morgan_bits(data: Path) -> None:
    molecules = load_split(data, "train")
    for _ in range(2):  # computed, and read again
        found = fingerprints(data, workers=1)
        dense = found.dense(torch.arange(len(molecules)).numpy())
        assert torch.equal(dense.bool(), torch.from_numpy(morgan_bits(molecules)))


def test_randomized_rows_spell_the_same_molecules_otherwise(data: Path) -> None:
    tokens = tokenize(data, "robust-smiles", 20, workers=1)
    length = tokens.train.shape[1]
    rows = write_rows(data, "train", "robust-smiles", tokens.vocabulary, length, workers=1)
    args = (data, "train", "robust-smiles", tokens.vocabulary, rows)
    first, again = (randomized_rows(*args, n=3, workers=1) for _ in range(2))
    assert first.shape == (len(rows.ids), 3, length)
    assert torch.equal(first, again)
    other = (first != rows.ids[:, None]).any(dim=2)
    assert other.float().mean() > 0.7
    molecules, writer = load_split(data, "train"), RobustSmiles()
    for place, few in zip(rows.places[:50].tolist(), first[:50].tolist(), strict=True):
        for ids in few:
            symbols = tokens.vocabulary.decode(i for i in ids if i > EOS)
            assert writer.detokenize(symbols) == molecules[place]


@pytest.mark.parametrize("heads", [(), ("logP",), ("logP", "QED")])
def test_train_from_a_model_with_more_units_and_other_heads(
    config: TrainConfig, tmp_path: Path, heads: tuple[str, ...]
) -> None:
    first = train(
        dataclasses.replace(config, properties=("MW",) if heads else ("logP",)), workers=1
    )
    wider = dataclasses.replace(config.model, latent_dim=10)
    on = dataclasses.replace(
        config, out=str(tmp_path / "on"), start_from=str(first), model=wider, properties=heads
    )
    space = molvae.load(train(on, workers=1))
    assert (space.dim, tuple(space.card.properties)) == (10, heads)
