"""The run folder: everything that is needed to use a trained model, and nothing that can run code.

    run/
      model.safetensors   weights; half precision where that loses nothing, float32 otherwise
      model.json          {"format": 1, "kind": "sequence-vae", "model": {...},
                           "representation": {...}, "vocabulary": [...], "max_length": 73,
                           "bounds": [[...], [...]], "about": {...}}
      metrics.jsonl       one line of progress at a time (kept for reading; not needed for use)
      resume.safetensors  where an unfinished training stands (removed when it is finished)

The JSON is read first, a network is built from it, and the tensors are loaded into that; any
difference is an error that names the tensor. A folder whose `format` is newer than `FORMAT` is
refused. Files are written beside their place and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from molvae.chem.vocabulary import SPECIALS
from molvae.config import ModelConfig, as_settings, build
from molvae.errors import CheckpointError, MolvaeError
from molvae.model.vae import SequenceVAE

FORMAT = 1
KIND = "sequence-vae"
WEIGHTS, CARD = "model.safetensors", "model.json"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What `model.json` says about a run."""

    model: ModelConfig
    representation: dict[str, Any]
    """`name` and `settings` of the representation."""
    vocabulary: tuple[str, ...]
    """Symbols without the specials, in the order of their ids."""
    max_length: int
    """Longest row, stop included."""
    bounds: tuple[tuple[float, ...], tuple[float, ...]]
    """Lower and upper end, unit by unit, of the box that holds the training molecules."""
    about: dict[str, Any] = field(default_factory=dict)
    """Recipe, data with hashes, versions, measurements: for people, and to make the run again."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, flush to the disk, rename: the old file or the new one, never half."""
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _compact(tensor: Tensor) -> Tensor:
    """Half precision if no number changes by it."""
    tensor = tensor.detach().cpu().contiguous()
    half = tensor.half()
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor


def round_to_half(model: SequenceVAE) -> None:
    """Round the weights, in place, to numbers that half precision holds: half the size on disk.

    The rounding is part of the model, so that what is measured is what is shipped.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().to(parameter.dtype))


def save_run(folder: str | Path, model: SequenceVAE, card: Card) -> None:
    """Write weights and card; the weights first: a card never speaks of weights not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: _compact(tensor) for name, tensor in model.state_dict().items()}
    # One key only: safetensors writes several in no fixed order, and equal runs are equal files.
    metadata = {"molvae": str(FORMAT)}
    write_atomically(folder / WEIGHTS, save_tensors(tensors, metadata=metadata))
    content = {
        "format": FORMAT,
        "kind": KIND,
        "model": as_settings(card.model),
        "representation": card.representation,
        "max_length": card.max_length,
        "vocabulary": list(card.vocabulary),
        "bounds": [list(end) for end in card.bounds],
        "about": card.about,
    }
    write_atomically(folder / CARD, (json.dumps(content, indent=1) + "\n").encode())


def fingerprint(folder: str | Path) -> str:
    """SHA-256 over weights and card: tells whether two folders hold the same model."""
    digest = hashlib.sha256()
    for name in (CARD, WEIGHTS):
        digest.update(_read(Path(folder) / name))
    return digest.hexdigest()


def load_run(folder: str | Path) -> tuple[SequenceVAE, Card]:
    """The network, in evaluation mode on the CPU, and its card.

    Raises:
        CheckpointError: A file is missing, damaged, foreign, newer, or the two do not belong
            together.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    # Built without memory first: a damaged card must not make us allocate what it asks for.
    with torch.device("meta"):
        model = SequenceVAE(card.model, len(card.vocabulary) + len(SPECIALS), card.max_length)
    path = folder / WEIGHTS
    try:
        tensors = load_tensors(_read(path))
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file ({error}); copy the run folder again"
        ) from error
    load_into(model, tensors, path)
    return model.eval(), card


def load_into(model: SequenceVAE, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Make the tensors the network's weights, as float32; names and shapes must agree."""
    own = model.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        where, lacks = (CARD, path.name) if name in own else (path.name, CARD)
        raise CheckpointError(
            f"{path}: tensor {name!r} belongs to {where} but not to {lacks}; "
            "the two files are from different runs"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name!r} is {tuple(tensor.shape)}, {CARD} says "
                f"{tuple(own[name].shape)}; the two files are from different runs"
            )
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}; a run folder holds {WEIGHTS} and {CARD}"
        ) from error


def _read_card(path: Path) -> Card:
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}; copy the run folder again") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise CheckpointError(f"{path} does not describe a {KIND} made by molvae")
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {content.get('format')!r}; this molvae reads format {FORMAT}. "
            "Upgrade molvae, or train the run again"
        )
    try:
        card = Card(
            model=build(ModelConfig, content["model"], str(path)),
            representation=dict(content["representation"]),
            vocabulary=tuple(str(symbol) for symbol in content["vocabulary"]),
            max_length=int(content["max_length"]),
            bounds=(
                tuple(float(x) for x in content["bounds"][0]),
                tuple(float(x) for x in content["bounds"][1]),
            ),
            about=dict(content["about"]),
        )
        if any(len(end) != card.model.latent_dim for end in card.bounds):
            raise ValueError("bounds and latent_dim disagree")
        if card.max_length < 1:
            raise ValueError("max_length must be at least 1")
    except (KeyError, TypeError, ValueError, IndexError, MolvaeError) as error:
        raise CheckpointError(f"{path} is incomplete or damaged: {error!r}") from error
    return card
