"""Molecules as rows `[descriptors | counts]`, which surrogates look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.fingerprints import DESCRIPTORS, descriptors, morgan_counts

N_COUNTS = 2048  # columns of Morgan counts


def features(smiles: Sequence[str], radius: int) -> Tensor:
    """`[descriptors | counts]` of molecules, `n x f`, float64."""
    rows = [_features_of(text, radius) for text in smiles]
    found = np.empty((len(rows), len(DESCRIPTORS) + N_COUNTS))
    for row, (described, counts) in zip(found, rows, strict=True):
        row[: len(DESCRIPTORS)], row[len(DESCRIPTORS) :] = described, counts
    return torch.from_numpy(found)


@lru_cache(maxsize=30_000)
def _features_of(smiles: str, radius: int) -> tuple[NDArray[np.float64], NDArray[np.uint16]]:
    return descriptors([smiles])[0], morgan_counts([smiles], radius=radius, size=N_COUNTS)[0]
