"""Molecules of a prepared data set as rows of token ids; cached beside the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import parse, random_smiles
from molvae.chem.prepare import load_split
from molvae.chem.representations import Representation, Smiles, get_representation
from molvae.chem.vocabulary import EOS, PAD, Ids, Vocabulary, apply_bpe, train_bpe
from molvae.errors import DataError, InvalidMoleculeError
from molvae.latent.data_cache import describe, read_cache, write_cache

MIN_MOLECULES = 2  # training molecules at least: a single one gives neither a box nor a scale of z
CHUNK_SIZE = 100_000  # molecules that are tokenized together, for the memory that their tokens take
N_RANDOMIZED = 4  # randomized SMILES of each molecule


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Molecules of a split as integers."""

    ids: Tensor  # `n x max_length`, uint8 or int16, ended by stop, padded
    places: Tensor  # which line of the split each row was written from, int32, `n`


@dataclass(frozen=True, kw_only=True)
class TokenizedDataset:
    """A data set as integers: all that the network's training needs."""

    train: Tensor  # as `Rows.ids`
    # As `Rows.ids`; molecules with tokens that no training molecule has, and longer ones, are left
    # out and counted. May be empty.
    valid: Tensor
    vocabulary: Vocabulary  # of the training molecules, with the merges learned from them
    representation: dict[str, Any]  # name and settings
    places: Tensor  # as `Rows.places`, of the training rows
    left_out: dict[str, int]  # molecules that could not be written, by split and reason


def tokenize(
    data: str | Path, representation: str, bpe_merges: int = 0, *, workers: int | None = None
) -> TokenizedDataset:
    """The splits of a prepared data set as integers; cached beside the data.

    Args:
        data: Folder made by `molvae prepare`.
        representation: Name of a representation.
        bpe_merges: How many times the most frequent pair of adjacent tokens becomes one.
        workers: Processes that tokenize molecules; None for one per core.

    Raises:
        DataError: The data folder is missing, was changed after it was prepared, or has fewer than
            two training molecules that can be written.
    """
    folder = Path(data)
    tensor_names = ["train", "valid", "places"]
    key = _key(folder, representation, merges=bpe_merges, tensors=tensor_names)
    cache = folder / f"{representation}-{bpe_merges}.safetensors"
    if (found := read_cache(cache, key)) is not None:
        tensors, about = found
        return TokenizedDataset(
            **tensors,
            vocabulary=Vocabulary(about["vocabulary"], about["merges"]),
            representation=key["representation"],
            left_out=about["left_out"],
        )
    tokenizer = partial(_tokens, get_representation(representation))
    train, valid = (
        parallel_map(tokenizer, load_split(folder, name), workers=workers)
        for name in ("train", "valid")
    )
    places = [place for place, row in enumerate(train) if row is not None]
    lost = {"train": train.count(None), "valid": valid.count(None)}
    _check_enough(folder, representation, len(places), lost["train"])
    sequences = [row for row in train if row is not None]
    vocabulary = Vocabulary.from_sequences(sequences)
    flat = _as_ids(sequences, vocabulary)
    vocabulary, flat = train_bpe(flat, vocabulary.tokens, bpe_merges)
    train_ids = _as_rows(flat)
    there, valid_ids = _written(valid, vocabulary, train_ids.shape[1])
    left_out = {f"{name}: not writable as {representation}": n for name, n in lost.items()}
    left_out["valid: unknown symbol or too long"] = len(valid) - lost["valid"] - len(there)
    tokens = TokenizedDataset(
        train=train_ids.to(_dtype(vocabulary)),
        valid=valid_ids.to(_dtype(vocabulary)),
        places=torch.tensor(places, dtype=torch.int32),
        vocabulary=vocabulary,
        representation=key["representation"],
        left_out=left_out,
    )
    about = {
        "vocabulary": list(vocabulary.tokens),
        "merges": vocabulary.pairs,
        "left_out": left_out,
    }
    write_cache(cache, key, {name: getattr(tokens, name) for name in tensor_names}, about)
    return tokens


def write_rows(
    data: str | Path,
    split: str,
    representation: str,
    vocabulary: Vocabulary,
    max_length: int,
    *,
    workers: int | None = None,
) -> Rows:
    """A split of a prepared data set as integers of a known vocabulary; cached beside the data.

    Molecules that cannot be written, that have tokens which the vocabulary lacks, or that are
    longer than `max_length`, stop included, are left out: `places` tells. The other arguments are
    as for `tokenize`.

    Raises:
        DataError: The data folder is missing, or of the training molecules hardly one is left.
    """
    folder = Path(data)
    key = _vocabulary_key(folder, split, representation, vocabulary, max_length)
    cache = folder / f"{split}-{_digest(key)}.safetensors"
    if (found := read_cache(cache, key)) is not None:
        return Rows(**found[0])
    molecules, dtype = load_split(folder, split), _dtype(vocabulary)
    ids, places = [torch.zeros(0, max_length, dtype=dtype)], [torch.zeros(0, dtype=torch.int32)]
    tokenizer = partial(_tokens, get_representation(representation))
    for start in range(0, len(molecules), CHUNK_SIZE):
        part = molecules[start : start + CHUNK_SIZE]
        tokens = parallel_map(tokenizer, part, workers=workers)
        there, rows = _written(tokens, vocabulary, max_length)
        ids.append(rows.to(dtype))
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
    """Randomized SMILES of the molecules of `rows`; cached beside the data.

    The arguments are as for `write_rows`, for a representation that writes SMILES.

    Returns:
        `len(rows.ids) x n x max_length`, of the type of the ids. Where a randomized SMILES is too
        long or has unknown tokens, the row itself.
    """
    folder, length = Path(data), rows.ids.shape[1]
    key = _vocabulary_key(folder, split, representation, vocabulary, length)
    key |= {"n": n, "seed": seed}
    cache = folder / f"randomized-{_digest(key)}.safetensors"
    if (found := read_cache(cache, key)) is not None:
        return found[0]["ids"]
    molecules = load_split(folder, split)
    chosen = [(molecules[i], seed + n * i) for i in rows.places.tolist()]
    made = rows.ids[:, None].repeat(1, n, 1)
    spell = partial(_randomized, n, representation == "robust-smiles")
    for start in range(0, len(chosen), CHUNK_SIZE):
        texts = parallel_map(spell, chosen[start : start + CHUNK_SIZE], workers=workers)
        there, ids = _written([row for few in texts for row in few], vocabulary, length)
        made.view(-1, length)[torch.tensor(there) + start * n] = ids.to(made.dtype)
    write_cache(cache, key, {"ids": made}, {})
    return made


def _check_enough(folder: Path, representation: str, n: int, lost: int) -> None:
    if n < MIN_MOLECULES:
        raise DataError(
            f"{folder}: a training needs at least {MIN_MOLECULES} training molecules that can be "
            f"written as {representation}; train.smi has {n + lost}, of which {n} can. 90 % of the "
            "molecules that are prepared go there, by their hash: prepare more"
        )


def _key(folder: Path, representation: str, **more: Any) -> dict[str, Any]:
    """Key of cached rows: all that they are made from."""
    writer = get_representation(representation)
    return more | {
        "representation": {"name": writer.name, "settings": writer.settings()},
        "data": describe(folder),
        "versions": {name: version(name) for name in ("rdkit", "selfies")},
    }


def _vocabulary_key(
    folder: Path, split: str, representation: str, vocabulary: Vocabulary, max_length: int
) -> dict[str, Any]:
    return _key(
        folder,
        representation,
        vocabulary=list(vocabulary.tokens),
        merges=vocabulary.pairs,
        max_length=max_length,
        split=split,
    )


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]


def _dtype(vocabulary: Vocabulary) -> torch.dtype:
    """The smallest integer type that holds the ids."""
    return torch.uint8 if len(vocabulary) <= 256 else torch.int16


def _written(
    tokens: Sequence[list[str] | None], vocabulary: Vocabulary, max_length: int
) -> tuple[list[int], Tensor]:
    """Places and rows of molecules of known tokens that are not too long."""
    known = set(vocabulary.tokens)
    there = [i for i, row in enumerate(tokens) if row is not None and known.issuperset(row)]
    flat = _as_ids([tokens[i] or [] for i in there], vocabulary)
    rows = _as_rows(apply_bpe(flat, vocabulary))
    fits = (rows != PAD).sum(dim=1) <= max_length
    rows = rows[fits, :max_length]
    rows = pad_columns(rows, (0, max_length - rows.shape[1]), value=PAD)
    return list(compress(there, fits.tolist())), rows


def _tokens(writer: Representation, smiles: str) -> list[str] | None:
    """Tokens of a molecule; None where it cannot be written."""
    try:
        return writer.tokenize(smiles)
    except InvalidMoleculeError:
        return None


def _randomized(n: int, kekule: bool, one: tuple[str, int]) -> list[list[str]]:
    """Tokens of n randomized SMILES of a molecule, given with a seed."""
    smiles, seed = one
    mol = parse(smiles)
    if kekule:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    texts = random_smiles(mol, n, seed + 1, kekule=kekule)
    return [Smiles().tokenize(text) for text in texts]


def _as_ids(sequences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Ids:
    """Molecules one after the other, each ended by stop.

    Without merges: those are made on the whole array, which takes a fraction of the time.
    """
    single = Vocabulary(vocabulary.tokens)
    ids = [i for tokens in sequences for i in (*single.encode(tokens), EOS)]
    return np.array(ids, dtype=np.int32)


def _as_rows(flat: Ids) -> Tensor:
    """One padded row for each molecule."""
    if not len(flat):
        return torch.zeros(0, 0, dtype=torch.int32)
    ends = np.flatnonzero(flat == EOS)
    rows = torch.split(torch.from_numpy(flat), np.diff(ends, prepend=-1).tolist())
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=PAD)
