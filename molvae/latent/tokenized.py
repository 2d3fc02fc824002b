"""Molecules of a prepared data set as rows of token ids; cached beside the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import parse
from molvae.chem.prepare import load_split
from molvae.chem.representations import Representation, Smiles, get_representation
from molvae.chem.vocabulary import EOS, PAD, Ids, Vocabulary, apply_bpe, train_bpe
from molvae.errors import DataError, InvalidMoleculeError, UnknownTokenError
from molvae.latent.data_cache import describe, read_cache, write_cache

MIN_MOLECULES = 2
"""Training molecules at least: a single one gives neither a box nor a scale of z."""


CHUNK_SIZE = 100_000
"""Molecules that are tokenized together, for the memory that their tokens take."""


N_RANDOMIZED = 4
"""Randomized SMILES of each molecule."""


@dataclass(frozen=True, kw_only=True)
class TokenizedDataset:
    """A data set as integers: all that the network's training needs."""

    train: Tensor
    """`n x max_length`, uint8 or int16, ended by stop, padded."""
    valid: Tensor
    """Likewise; molecules with symbols that no training molecule has, and longer ones, are left out
    and counted. May be empty."""
    vocabulary: Vocabulary
    """Of the training molecules, with the merges learned from them."""
    representation: dict[str, Any]
    """Name and settings."""
    places: Tensor
    """Which line of the training molecules each training row was written from, int32, `n`."""
    left_out: dict[str, int]
    """Molecules that could not be written, by split and reason."""


def tokenize(
    data: str | Path, representation: str, bpe_merges: int = 0, *, workers: int | None = None
) -> TokenizedDataset:
    """The splits of a prepared data set as integers; kept beside the data for the next time.

    Args:
        data: Folder made by `molvae prepare`.
        representation: Name of one.
        bpe_merges: How many times the most frequent pair of neighbours becomes one.
        workers: Processes that write molecules as symbols; None for one per core.

    Raises:
        DataError: The data folder is missing, was changed after it was prepared, or has fewer than
            two training molecules that can be written.
    """
    folder = Path(data)
    writer = get_representation(representation)
    described = {"name": writer.name, "settings": writer.settings()}
    key = {
        "representation": described,
        "merges": bpe_merges,
        "data": describe(folder),
        "versions": {name: version(name) for name in ("rdkit", "selfies")},
        "tensors": ["train", "valid", "places"],
    }
    cache = folder / f"{representation}-{bpe_merges}.safetensors"
    if (found := read_cache(cache, key)) is not None:
        tensors, about = found
        return TokenizedDataset(
            **tensors,
            vocabulary=Vocabulary(about["vocabulary"], about["merges"]),
            representation=described,
            left_out=about["left_out"],
        )
    left_out: dict[str, int] = {}
    split: dict[str, list[list[str]]] = {}
    for name in ("train", "valid"):
        rows = parallel_map(_Split(representation), load_split(folder, name), workers=workers)
        split[name] = [row for row in rows if row is not None]
        left_out[f"{name}: not writable as {representation}"] = len(rows) - len(split[name])
        if name == "train":
            places = [place for place, row in enumerate(rows) if row is not None]
    lost = left_out[f"train: not writable as {representation}"]
    _check_enough(folder, representation, len(places), lost)
    vocabulary = Vocabulary.from_sequences(split["train"])
    flat, _ = _as_ids(split["train"], vocabulary)
    vocabulary, flat = train_bpe(flat, vocabulary.tokens, bpe_merges)
    train_ids = _as_rows(flat)
    flat, unknown = _as_ids(split["valid"], vocabulary)
    valid_ids = _as_rows(apply_bpe(flat, vocabulary))
    short = (valid_ids != PAD).sum(dim=1) <= train_ids.shape[1]
    valid_ids = valid_ids[short, : train_ids.shape[1]]
    valid_ids = pad_columns(valid_ids, (0, train_ids.shape[1] - valid_ids.shape[1]), value=PAD)
    left_out["valid: unknown symbol or too long"] = unknown + int((~short).sum())
    small = torch.uint8 if len(vocabulary) <= 256 else torch.int16
    tokens = TokenizedDataset(
        train=train_ids.to(small),
        valid=valid_ids.to(small),
        places=torch.tensor(places, dtype=torch.int32),
        vocabulary=vocabulary,
        representation=described,
        left_out=left_out,
    )
    about = {
        "vocabulary": list(vocabulary.tokens),
        "merges": vocabulary.pairs,
        "left_out": left_out,
    }
    tensors = {"train": tokens.train, "valid": tokens.valid, "places": tokens.places}
    write_cache(cache, key, tensors, about)
    return tokens


def _check_enough(folder: Path, representation: str, n: int, lost: int) -> None:
    if n < MIN_MOLECULES:
        raise DataError(
            f"{folder}: a training needs at least {MIN_MOLECULES} training molecules that can be "
            f"written as {representation}; train.smi has {n + lost}, of which {n} can. 90 % of the "
            "molecules that are prepared go there, by their hash: prepare more"
        )


def _key(
    folder: Path, split: str, representation: str, vocabulary: Vocabulary, max_length: int
) -> dict[str, Any]:
    """All that rows of a known vocabulary are made from."""
    writer = get_representation(representation)
    return {
        "representation": {"name": writer.name, "settings": writer.settings()},
        "vocabulary": list(vocabulary.tokens),
        "merges": vocabulary.pairs,
        "max_length": max_length,
        "split": split,
        "data": describe(folder),
        "versions": {name: version(name) for name in ("rdkit", "selfies")},
    }


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]


def _written(
    symbols: Sequence[list[str] | None], vocabulary: Vocabulary, max_length: int
) -> tuple[list[int], Tensor]:
    """Those that can be written with the vocabulary and are not too long, and their rows."""
    known = set(vocabulary.tokens)
    there = [i for i, row in enumerate(symbols) if row is not None and known.issuperset(row)]
    flat, _ = _as_ids([symbols[i] or [] for i in there], vocabulary)
    rows = _as_rows(apply_bpe(flat, vocabulary))
    fits = (rows != PAD).sum(dim=1) <= max_length
    rows = rows[fits, :max_length]
    rows = pad_columns(rows, (0, max_length - rows.shape[1]), value=PAD)
    return [i for i, fit in zip(there, fits.tolist(), strict=True) if fit], rows


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Molecules of a split as integers, written with a vocabulary that is given."""

    ids: Tensor
    """`n x max_length`, uint8 or int16, ended by stop, padded."""
    places: Tensor
    """Which line of the split each row was written from, int32, `n`."""


def write_rows(
    data: str | Path,
    split: str,
    representation: str,
    vocabulary: Vocabulary,
    max_length: int,
    *,
    workers: int | None = None,
) -> Rows:
    """A split of a prepared data set as integers of a known vocabulary; kept beside the data.

    Molecules that cannot be written, that have symbols which the vocabulary lacks, or that are
    longer than `max_length` are left out: `places` tells.

    Args:
        data: Folder made by `molvae prepare`.
        split: `train`, `valid` or `test`.
        representation: Name of one.
        vocabulary: With its merges.
        max_length: Longest row, stop included.
        workers: Processes that write molecules as symbols; None for one per core.

    Raises:
        DataError: The data folder is missing, or of the training molecules hardly one is left.
    """
    folder = Path(data)
    key = _key(folder, split, representation, vocabulary, max_length)
    cache = folder / f"{split}-{_digest(key)}.safetensors"
    if (found := read_cache(cache, key)) is not None:
        return Rows(**found[0])
    molecules = load_split(folder, split)
    small = torch.uint8 if len(vocabulary) <= 256 else torch.int16
    ids, places = [torch.zeros(0, max_length, dtype=small)], [torch.zeros(0, dtype=torch.int32)]
    for start in range(0, len(molecules), CHUNK_SIZE):
        symbols = parallel_map(
            _Split(representation), molecules[start : start + CHUNK_SIZE], workers=workers
        )
        there, rows = _written(symbols, vocabulary, max_length)
        ids.append(rows.to(small))
        places.append(torch.tensor(there, dtype=torch.int32) + start)
    made = Rows(ids=torch.cat(ids), places=torch.cat(places))
    if split == "train":
        lost = len(molecules) - len(made.ids)
        _check_enough(folder, f"{representation} with this vocabulary", len(made.ids), lost)
    write_cache(cache, key, {"ids": made.ids, "places": made.places}, {})
    return made


def randomized_rows(
    data: str | Path,
    split: str,
    representation: str,
    vocabulary: Vocabulary,
    rows: Rows,
    *,
    n: int = N_RANDOMIZED,
    seed: int = 0,
    workers: int | None = None,
) -> Tensor:
    """Randomized SMILES of molecules, each from a random atom on; cached beside the data.

    Args:
        data: Folder made by `molvae prepare`.
        split: `train`, `valid` or `test`.
        representation: One that writes SMILES.
        vocabulary: With its merges.
        rows: Of the split, see `write_rows`.
        n: Of each molecule.
        seed: Of the atoms.
        workers: Processes; None for one per core.

    Returns:
        `len(rows.ids) x n x max_length`, of the type of the ids. Where a randomized SMILES is too
        long or has unknown tokens, the row itself.
    """
    folder, length = Path(data), rows.ids.shape[1]
    key = _key(folder, split, representation, vocabulary, length) | {"n": n, "seed": seed}
    cache = folder / f"randomized-{_digest(key)}.safetensors"
    if (found := read_cache(cache, key)) is not None:
        return found[0]["ids"]
    molecules = load_split(folder, split)
    chosen = [(molecules[i], seed + n * i) for i in rows.places.tolist()]
    made = rows.ids[:, None].repeat(1, n, 1)
    for start in range(0, len(chosen), CHUNK_SIZE):
        part = chosen[start : start + CHUNK_SIZE]
        symbols = [
            row
            for few in parallel_map(_Randomize(representation, n), part, workers=workers)
            for row in few
        ]
        there, ids = _written(symbols, vocabulary, length)
        at = torch.tensor(there) + start * n
        made.view(-1, length)[at] = ids.to(made.dtype)
    write_cache(cache, key, {"ids": made}, {})
    return made


class _Randomize:
    """Randomized SMILES of a molecule, as tokens."""

    def __init__(self, representation: str, n: int) -> None:
        self.n, self.kekule = n, representation == "robust-smiles"

    def __call__(self, one: tuple[str, int]) -> list[list[str]]:
        smiles, seed = one
        mol = parse(smiles)
        if self.kekule:
            Chem.Kekulize(mol, clearAromaticFlags=True)
        texts = Chem.MolToRandomSmilesVect(mol, self.n, seed + 1, kekuleSmiles=self.kekule)
        return [Smiles().tokenize(text) for text in texts]


class _Split:
    """`representation.split` as something that a process pool can send; None where it fails."""

    def __init__(self, name: str) -> None:
        self.representation: Representation = get_representation(name)

    def __call__(self, smiles: str) -> list[str] | None:
        try:
            return self.representation.tokenize(smiles)
        except InvalidMoleculeError:
            return None


def _as_ids(sequences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> tuple[Ids, int]:
    """Molecules one after the other, each ended by stop, and how many hold an unknown symbol.

    Without merges: those are made on the whole array, which takes a fraction of the time.
    """
    single = Vocabulary(vocabulary.tokens)
    ids: list[int] = []
    unknown = 0
    for symbols in sequences:
        try:
            ids += [*single.encode(symbols), EOS]
        except UnknownTokenError:
            unknown += 1
    return np.array(ids, dtype=np.int32), unknown


def _as_rows(flat: Ids) -> Tensor:
    """One padded row for each molecule."""
    if not len(flat):
        return torch.zeros(0, 0, dtype=torch.int32)
    ends = np.flatnonzero(flat == EOS)
    rows = torch.split(torch.from_numpy(flat), np.diff(ends, prepend=-1).tolist())
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=PAD)


__all__ = ["Rows", "TokenizedDataset", "randomized_rows", "tokenize", "write_rows"]
