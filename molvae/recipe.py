"""From a prepared data set and a recipe to a run folder.

The order of work; the chemistry is in `chem`, the loop in `model.training`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from molvae.chem.parallel import each
from molvae.chem.representation import Representation, get_representation
from molvae.chem.vocabulary import PAD, STOP, Vocabulary
from molvae.config import TrainConfig, as_settings, versions
from molvae.datasets import load_split
from molvae.errors import CheckpointError, DataError, InvalidMoleculeError, UnknownSymbolError
from molvae.model.checkpoint import CARD, Card, round_to_half, save_run, write_atomically
from molvae.model.training import RESUME, Progress, trim, validate
from molvae.model.training import train as fit
from molvae.model.vae import SequenceVAE

logger = logging.getLogger(__name__)

BOX_QUANTILE = 0.005
"""The box of a latent space leaves out this share of the training molecules at each end of each
unit."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A data set as integers: all that the network's training needs."""

    train: Tensor
    """`n x max_length`, uint8 or int16, ended by stop, padded."""
    valid: Tensor
    """Likewise; molecules with symbols that no training molecule has are left out and counted."""
    vocabulary: tuple[str, ...]
    """Of the training molecules."""
    representation: dict[str, Any]
    """Name and settings."""
    left_out: dict[str, int]
    """Molecules that could not be written, by split and reason."""


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a sequence VAE as the recipe says, and write its run folder.

    Args:
        config: The recipe.
        resume: Go on with a training that was interrupted.
        overwrite: Replace a run that is already there.
        workers: Processes that write molecules as symbols; None for one per core.
        on_progress: See `molvae.model.training.train`.

    Returns:
        The run folder.

    Raises:
        DataError: The data folder is missing or empty.
        CheckpointError: The run folder holds a run, or an unfinished training, and neither `resume`
            nor `overwrite` says what to do with it; or there is nothing to resume.
    """
    folder = Path(config.out)
    if not (resume or overwrite):
        for name, advice in (
            (CARD, "a run; choose another folder"),
            (RESUME, "an unfinished training; resume it, choose another folder"),
        ):
            if (folder / name).exists():
                raise CheckpointError(f"{folder} already holds {advice}, or overwrite it")
    tokens = tokenise(config.data, config.representation, workers=workers)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    vocabulary = Vocabulary(tokens.vocabulary)
    model = SequenceVAE(config.model, len(vocabulary), tokens.train.shape[1])
    model = fit(
        model, tokens.train, tokens.valid, config, folder, resume=resume, on_progress=on_progress
    ).cpu()
    round_to_half(model)
    rec, kl, active = validate(model, tokens.valid)
    card = Card(
        model=config.model,
        representation=tokens.representation,
        vocabulary=tokens.vocabulary,
        max_length=tokens.train.shape[1],
        bounds=_box(model, tokens.train),
        about={
            "recipe": as_settings(config),
            "data": _describe(Path(config.data)),
            "left_out": tokens.left_out,
            "training_molecules": len(tokens.train),
            "validation": {
                "molecules": len(tokens.valid),
                "reconstruction_nats": round(rec, 3),
                "kl_nats": round(kl, 3),
                "active_units": active,
            },
            "versions": versions(),
        },
    )
    save_run(folder, model, card)
    (folder / RESUME).unlink(missing_ok=True)
    return folder


def tokenise(data: str | Path, representation: str, *, workers: int | None = None) -> Tokens:
    """The splits of a prepared data set as integers; kept beside the data for the next time.

    Raises:
        DataError: The data folder is missing, or no training molecule can be written.
    """
    folder = Path(data)
    writer = get_representation(representation)
    described = {"name": writer.name, "settings": writer.settings()}
    key = {"representation": described, "data": _describe(folder), "selfies": version("selfies")}
    cache = folder / f"{representation}.safetensors"
    if (tokens := _read_cache(cache, key)) is not None:
        return tokens
    left_out: dict[str, int] = {}
    split: dict[str, list[list[str]]] = {}
    for name in ("train", "valid"):
        rows = each(_Split(representation), load_split(folder, name), workers=workers)
        split[name] = [row for row in rows if row is not None]
        left_out[f"{name}: not writable as {representation}"] = len(rows) - len(split[name])
    if not split["train"]:
        raise DataError(f"{folder}: no training molecule can be written as {representation}")
    vocabulary = Vocabulary.from_sequences(split["train"])
    length = 1 + max(map(len, split["train"]))
    train_ids, _ = _as_ids(split["train"], vocabulary, length)
    valid_ids, unknown = _as_ids(split["valid"], vocabulary, length)
    left_out["valid: unknown symbol or too long"] = unknown
    tokens = Tokens(
        train=train_ids,
        valid=valid_ids,
        vocabulary=vocabulary.symbols,
        representation=described,
        left_out=left_out,
    )
    _write_cache(cache, key, tokens)
    return tokens


class _Split:
    """`representation.split` as something that a process pool can send; None where it fails."""

    def __init__(self, name: str) -> None:
        self.representation: Representation = get_representation(name)

    def __call__(self, smiles: str) -> list[str] | None:
        try:
            return self.representation.split(smiles)
        except InvalidMoleculeError:
            return None


def _as_ids(
    sequences: Sequence[Sequence[str]], vocabulary: Vocabulary, length: int
) -> tuple[Tensor, int]:
    """Padded rows, and the number of sequences that do not fit vocabulary or length."""
    small = torch.uint8 if len(vocabulary) <= 256 else torch.int16
    rows = torch.full((len(sequences), length), PAD, dtype=small)
    n = 0
    for symbols in sequences:
        try:
            ids = vocabulary.ids(symbols)
        except UnknownSymbolError:
            continue
        if len(ids) < length:
            rows[n, : len(ids) + 1] = torch.tensor([*ids, STOP], dtype=small)
            n += 1
    return rows[:n], len(sequences) - n


def _describe(folder: Path) -> Any:
    """What `prepare` wrote about the data: source, counts, and the hash of every split."""
    try:
        return json.loads((folder / "prepare.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} is no prepared data set ({error}); make it with `molvae prepare`"
        ) from error


def _read_cache(path: Path, key: dict[str, Any]) -> Tokens | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["about"])
            if about["key"] != json.loads(json.dumps(key)):
                return None
            # Copies: the tensors themselves are windows on the file, which may be written anew.
            return Tokens(
                train=file.get_tensor("train").clone(),
                valid=file.get_tensor("valid").clone(),
                vocabulary=tuple(about["vocabulary"]),
                representation=key["representation"],
                left_out=about["left_out"],
            )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s); writing it again", path, error)
        return None


def _write_cache(path: Path, key: dict[str, Any], tokens: Tokens) -> None:
    about = {"key": key, "vocabulary": list(tokens.vocabulary), "left_out": tokens.left_out}
    tensors = {"train": tokens.train, "valid": tokens.valid}
    write_atomically(path, save_tensors(tensors, {"about": json.dumps(about)}))


@torch.inference_mode()
def _box(model: SequenceVAE, rows: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, unit by unit, of the posterior means of up to 20,000 training molecules."""
    step = max(1, len(rows) // 20_000)
    parts = torch.split(rows[::step], 512)
    means = torch.cat([model.posterior(trim(part))[0] for part in parts]).double()
    low, high = torch.quantile(
        means, torch.tensor([BOX_QUANTILE, 1 - BOX_QUANTILE], dtype=means.dtype), dim=0
    )
    return tuple(low.tolist()), tuple(high.tolist())
