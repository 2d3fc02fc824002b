"""Trainings that start from another model: its sizes, vocabulary and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from molvae.chem.prepare import load_split
from molvae.chem.vocabulary import Vocabulary
from molvae.config import current_names
from molvae.errors import require
from molvae.latent.loading import find_model
from molvae.latent.tokenized import TokenizedDataset, tokenize, write_rows
from molvae.model.checkpoint import ModelCard, load_run
from molvae.model.config import ModelConfig, TrainConfig
from molvae.model.vae import SequenceVAE
from molvae.model.widening import widened


@dataclass(frozen=True)
class StartingModel:
    """The model that a training starts from."""

    folder: Path
    model: SequenceVAE
    card: ModelCard


def started(config: TrainConfig) -> tuple[TrainConfig, StartingModel | None]:
    """The settings, completed by those of the starting model, and that model if there is one."""
    if config.start_from is None:
        return config, None
    folder = find_model(config.start_from)
    model, _, card = load_run(folder)
    writer, bpe_merges = card.representation["name"], len(card.bpe_merges)
    recipe = current_names(TrainConfig, card.about.get("recipe", {}))
    recipe_merges = recipe.get("bpe_merges", bpe_merges)
    model_asked, own_model = config.model, card.model
    if model_asked.latent_dim > own_model.latent_dim:  # more units, which is all that may differ
        own_model = replace(own_model, latent_dim=model_asked.latent_dim)
    choices: list[tuple[str, Any, Any, tuple[Any, ...]]] = [
        ("representation", config.representation, writer, ("robust-smiles",)),
        ("bpe_merges", config.bpe_merges, bpe_merges, (0, recipe_merges)),
    ]
    if model_asked != ModelConfig():
        for field in fields(ModelConfig):
            asked, own = (getattr(one, field.name) for one in (model_asked, own_model))
            choices.append((f"model.{field.name}", asked, own, ()))
    for name, value, own, others in choices:
        require(
            value in (own, *others),
            f"{name} is that of {config.start_from}, which the training starts from: {own}, got "
            f"{value}; leave it out" + ", or give all sizes" * name.startswith("model."),
        )
    sizes = own_model if model_asked == own_model else card.model
    config = replace(config, representation=writer, bpe_merges=bpe_merges, model=sizes)
    return config, StartingModel(folder, model, card)


def tokens_of(
    config: TrainConfig, before: StartingModel | None, workers: int | None
) -> TokenizedDataset:
    """The data set as integers, with the vocabulary of the model that the training starts from."""
    if before is None:
        return tokenize(config.data, config.representation, config.bpe_merges, workers=workers)
    card = before.card
    vocabulary = Vocabulary(card.vocabulary, card.bpe_merges)
    train, valid = (
        write_rows(
            config.data, split, config.representation, vocabulary, card.max_length, workers=workers
        )
        for split in ("train", "valid")
    )
    lines = {name: len(load_split(config.data, name)) for name in ("train", "valid")}
    return TokenizedDataset(
        train=train.ids,
        valid=valid.ids,
        vocabulary=vocabulary,
        representation=card.representation,
        places=train.places,
        left_out={
            f"{name}: not writable with the vocabulary of {config.start_from}": lines[name]
            - len(part.ids)
            for name, part in (("train", train), ("valid", valid))
        },
    )


def take_weights(
    model: SequenceVAE, before: StartingModel, heads: Sequence[str], conditions: Sequence[str]
) -> None:
    """Start from the weights of a model; heads for other properties start anew."""
    own = tuple(condition.name for condition in before.card.conditions)
    require(
        own == tuple(conditions),
        f"conditions are those of the model that the training starts from: {own or 'none'}, got "
        f"{tuple(conditions) or 'none'}",
    )
    weights, fresh = dict(before.model.state_dict()), dict(model.state_dict())
    if before.card.properties != tuple(heads):
        weights, fresh = (
            {k: v for k, v in of.items() if not k.startswith("property_head.")}
            for of in (weights, fresh)
        )
    old, new = before.card.model, model.config
    if new.latent_dim > old.latent_dim:
        require(not own, "a model with conditions cannot be given more units; keep latent_dim")
        weights = widened(weights, old, new, fresh)
    model.load_state_dict(model.state_dict() | weights)


def models_to_average(config: TrainConfig, heads: Sequence[str]) -> list[StartingModel]:
    """The models of `average_with`, which must be of the same kind as the trained one."""
    found = []
    for name in config.average_with:
        folder = find_model(name)
        model, _, card = load_run(folder)
        require(
            card.model == config.model and card.properties == tuple(heads),
            f"{name} has other sizes or property heads than the trained model; average_with takes "
            "earlier stages of the same training",
        )
        found.append(StartingModel(folder, model, card))
    return found


def average_weights(
    model: SequenceVAE, vocabulary: Sequence[str], others: Sequence[StartingModel], fraction: float
) -> None:
    """Replace weights by a mean, in which the other models count `fraction` together."""
    for one in others:
        require(
            one.card.vocabulary == tuple(vocabulary),
            f"{one.folder} has another vocabulary than the trained model; average_with takes "
            "earlier stages of the same training",
        )
    weights = [one.model.state_dict() for one in others]
    share = fraction / max(1, len(weights))
    if weights:
        model.load_state_dict(
            {
                name: (1 - fraction) * own + share * sum(others[name] for others in weights)
                for name, own in model.state_dict().items()
            }
        )
