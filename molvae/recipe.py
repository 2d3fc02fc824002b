"""From a prepared data set and a recipe to a run folder.

The order of work; the chemistry is in `chem`, the loop in `model.training`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from molvae.chem.merges import Ids, apply_merges, learn_merges
from molvae.chem.parallel import each
from molvae.chem.representation import Representation, get_representation
from molvae.chem.vocabulary import PAD, STOP, Vocabulary
from molvae.config import TrainConfig, as_settings, versions
from molvae.datasets import load_split
from molvae.errors import CheckpointError, DataError, InvalidMoleculeError, UnknownSymbolError
from molvae.model.checkpoint import CARD, Card, round_to_half, save_run, write_atomically
from molvae.model.priors import choose_prior
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
    vocabulary: Vocabulary
    """Of the training molecules, with the merges learned from them."""
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
    tokens = tokenise(config.data, config.representation, config.merges, workers=workers)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    model = SequenceVAE(config.model, len(tokens.vocabulary), tokens.train.shape[1])
    model = fit(
        model, tokens.train, tokens.valid, config, folder, resume=resume, on_progress=on_progress
    ).cpu()
    round_to_half(model)
    rec, kl, active = validate(model, tokens.valid)
    codes = _posteriors(model, tokens.train, 100_000)
    prior, log_density = choose_prior(
        codes,
        _posteriors(model, tokens.valid, 20_000),
        passes=config.prior_passes,
        seed=config.seed,
    )
    round_to_half(prior)
    card = Card(
        model=config.model,
        representation=tokens.representation,
        vocabulary=tokens.vocabulary.symbols,
        merges=tokens.vocabulary.pairs,
        max_length=tokens.train.shape[1],
        bounds=_box(codes[0]),
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
                "log_density_of_z": log_density,
            },
            "versions": versions(),
        },
    )
    save_run(folder, model, card, prior)
    (folder / RESUME).unlink(missing_ok=True)
    return folder


def tokenise(
    data: str | Path, representation: str, merges: int = 0, *, workers: int | None = None
) -> Tokens:
    """The splits of a prepared data set as integers; kept beside the data for the next time.

    Args:
        data: Folder made by `molvae prepare`.
        representation: Name of one.
        merges: How many times the most frequent pair of neighbours becomes one.
        workers: Processes that write molecules as symbols; None for one per core.

    Raises:
        DataError: The data folder is missing, or no training molecule can be written.
    """
    folder = Path(data)
    writer = get_representation(representation)
    described = {"name": writer.name, "settings": writer.settings()}
    key = {
        "representation": described,
        "merges": merges,
        "data": _describe(folder),
        "versions": {name: version(name) for name in ("rdkit", "selfies")},
    }
    cache = folder / f"{representation}-{merges}.safetensors"
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
    flat, _ = _as_ids(split["train"], vocabulary)
    vocabulary, flat = learn_merges(flat, vocabulary.symbols, merges)
    train_ids = _as_rows(flat)
    flat, unknown = _as_ids(split["valid"], vocabulary)
    valid_ids = _as_rows(apply_merges(flat, vocabulary))
    short = (valid_ids != PAD).sum(dim=1) <= train_ids.shape[1]
    valid_ids = valid_ids[short, : train_ids.shape[1]]
    valid_ids = pad_columns(valid_ids, (0, train_ids.shape[1] - valid_ids.shape[1]), value=PAD)
    left_out["valid: unknown symbol or too long"] = unknown + int((~short).sum())
    small = torch.uint8 if len(vocabulary) <= 256 else torch.int16
    tokens = Tokens(
        train=train_ids.to(small),
        valid=valid_ids.to(small),
        vocabulary=vocabulary,
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


def _as_ids(sequences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> tuple[Ids, int]:
    """Molecules one after the other, each ended by stop, and how many hold an unknown symbol.

    Without merges: those are made on the whole array, which takes a fraction of the time.
    """
    single = Vocabulary(vocabulary.symbols)
    ids: list[int] = []
    unknown = 0
    for symbols in sequences:
        try:
            ids += [*single.ids(symbols), STOP]
        except UnknownSymbolError:
            unknown += 1
    return np.array(ids, dtype=np.int32), unknown


def _as_rows(flat: Ids) -> Tensor:
    """One padded row for each molecule."""
    ends = np.flatnonzero(flat == STOP)
    rows = torch.split(torch.from_numpy(flat), np.diff(ends, prepend=-1).tolist())
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=PAD)


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
                vocabulary=Vocabulary(about["vocabulary"], about["merges"]),
                representation=key["representation"],
                left_out=about["left_out"],
            )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s); writing it again", path, error)
        return None


def _write_cache(path: Path, key: dict[str, Any], tokens: Tokens) -> None:
    about = {
        "key": key,
        "vocabulary": list(tokens.vocabulary.symbols),
        "merges": tokens.vocabulary.pairs,
        "left_out": tokens.left_out,
    }
    tensors = {"train": tokens.train, "valid": tokens.valid}
    write_atomically(path, save_tensors(tensors, {"about": json.dumps(about)}))


@torch.inference_mode()
def _posteriors(model: SequenceVAE, rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations for up to so many molecules, evenly chosen."""
    rows = rows[:: max(1, math.ceil(len(rows) / most))]
    # Sorted by length, so that batches hold little padding.
    order = (rows != PAD).sum(dim=1).argsort(stable=True)
    parts = [model.posterior(trim(rows[part])) for part in torch.split(order, 512)]
    means, logvars = (torch.cat(list(tensors)) for tensors in zip(*parts, strict=True))
    back = order.argsort()
    return means[back], (0.5 * logvars[back]).exp()


def _box(means: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, unit by unit, of the posterior means of training molecules."""
    low, high = torch.quantile(
        means.double(), torch.tensor([BOX_QUANTILE, 1 - BOX_QUANTILE]).double(), dim=0
    )
    return tuple(low.tolist()), tuple(high.tolist())
