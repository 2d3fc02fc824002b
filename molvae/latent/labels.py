"""Properties, fingerprints and precedents of the molecules of prepared data; cached beside them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae.chem._parallel import parallel_map
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.precedents import ENVIRONMENT_RADIUS, SIZE_QUANTILES, Precedents
from molvae.chem.prepare import kept_columns, load_split
from molvae.chem.properties import named, score
from molvae.errors import DataError, UnknownNameError
from molvae.latent.data_cache import describe, read_cache, write_cache
from molvae.model.fingerprint_losses import SparseBits

FINGERPRINT_RADIUS, FINGERPRINT_BITS = 2, 2048  # of Morgan fingerprints


def fingerprints(data: str | Path, *, workers: int | None = None) -> SparseBits:
    """Morgan fingerprints of the training molecules, radius 2, 2,048 bits; cached beside the data.

    Raises:
        DataError: The data folder is missing.
    """
    folder = Path(data)
    cache, key = _cache(folder, "fingerprints")
    key |= {"radius": FINGERPRINT_RADIUS, "size": FINGERPRINT_BITS}
    if (found := read_cache(cache, key)) is None:
        made = parallel_map(_set_bits, load_split(folder, "train"), workers=workers)
        ends = np.cumsum([len(row) for row in made])
        columns = np.concatenate([np.zeros(0, np.uint16), *made])
        # As int16, which torch handles; the bytes are the same.
        tensors = {
            "columns": torch.from_numpy(columns.view(np.int16)),
            "ends": torch.from_numpy(ends.astype(np.int64)),
        }
        write_cache(cache, key, tensors, {})
    else:
        tensors = found[0]
    columns = tensors["columns"].numpy().view(np.uint16)
    return SparseBits(columns=columns, ends=tensors["ends"].numpy(), size=FINGERPRINT_BITS)


def precedents(folders: Sequence[str | Path], *, workers: int | None = None) -> Precedents:
    """Precedents of the training molecules of data sets, together; cached beside the first.

    Raises:
        DataError: A data folder is missing.
    """
    first, *others = map(Path, folders)
    cache, key = _cache(first, "precedents")
    key |= {"more_data": [describe(folder) for folder in others]}
    key |= {"radius": ENVIRONMENT_RADIUS, "quantiles": SIZE_QUANTILES}
    if (found := read_cache(cache, key)) is None:
        molecules = [
            smiles for folder in (first, *others) for smiles in load_split(folder, "train")
        ]
        made = Precedents.of(molecules, workers=workers)
        # As signed integers, which torch handles; the bytes are the same.
        tensors = {
            "rings": torch.from_numpy(made.rings.view(np.int64)),
            "environments": torch.from_numpy(made.environments.view(np.int32)),
            "heavy_atoms": torch.tensor(made.heavy_atoms),
        }
        write_cache(cache, key, tensors, {})
        return made
    kept = {name: tensor.numpy() for name, tensor in found[0].items()}
    smallest, largest = kept["heavy_atoms"].tolist()
    return Precedents(
        rings=kept["rings"].view(np.uint64),
        environments=kept["environments"].view(np.uint32),
        heavy_atoms=(smallest, largest),
    )


def _cache(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The file of what is computed of the training molecules, and the key of its content."""
    key = {"split": "train", "data": describe(folder), "versions": {"rdkit": version("rdkit")}}
    return folder / f"{name}.safetensors", key


def _set_bits(smiles: str) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """The columns of a molecule that are set."""
    bits = morgan_bits([smiles], radius=FINGERPRINT_RADIUS, size=FINGERPRINT_BITS)
    return np.flatnonzero(bits).astype(np.uint16)


def label(data: str | Path, names: Sequence[str], *, workers: int | None = None) -> Tensor:
    """Kept columns and properties of the training molecules, `n x len(names)`, float64.

    NaN for values that are not known or cannot be computed. Computed ones are cached beside the
    data. Names are as for `label_names`.

    Raises:
        DataError: The data folder is missing, or damaged.
        UnknownNameError: See `label_names`.
    """
    folder = Path(data)
    molecules, kept = load_split(folder, "train"), kept_columns(folder, "train")
    names = label_names(folder, names)
    lacking = [name for name in names if name not in kept]
    found = computed(folder, lacking, workers=workers)
    columns = [
        torch.tensor(kept[name], dtype=torch.float64) if name in kept else found[name]
        for name in names
    ]
    if any(len(column) != len(molecules) for column in columns):
        raise DataError(f"{folder}: train.csv and train.smi differ; prepare the data again")
    return torch.stack(columns, dim=1) if columns else torch.zeros(len(molecules), 0).double()


def label_names(data: str | Path, names: Sequence[str]) -> list[str]:
    """Names as they are spelled: of columns that `prepare` kept, and of `molvae.properties`.

    A column goes before a property of the same name; names of properties may be in any case.

    Raises:
        UnknownNameError: Neither a column nor a property.
    """
    kept = kept_columns(data, "train")
    try:
        return [name if name in kept else named([name])[0] for name in names]
    except UnknownNameError as error:
        raise UnknownNameError(
            "property or kept column", error.name, [*error.known, *kept]
        ) from error


def computed(
    data: str | Path, names: Sequence[str], *, workers: int | None = None
) -> dict[str, Tensor]:
    """Properties of the training molecules by name, `n` each, float64; cached beside the data.

    NaN for values that cannot be computed. Properties from before may be there, too.

    Raises:
        DataError: The data folder is missing.
    """
    if not names:
        return {}
    folder = Path(data)
    cache, key = _cache(folder, "properties")
    found = read_cache(cache, key)
    known = found[0] if found is not None else {}
    if missing := [name for name in names if name not in known]:
        values = torch.from_numpy(score(load_split(folder, "train"), missing, workers=workers))
        known |= {name: values[:, i].contiguous() for i, name in enumerate(missing)}
        write_cache(cache, key, known, {})
    return known
