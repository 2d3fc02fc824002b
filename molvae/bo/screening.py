"""Molecules of a data set as candidates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from molvae.chem.datasets import DATASETS, read
from molvae.chem.molecules import canonical_or_none
from molvae.errors import DataError, MissingPackageError
from molvae.latent.protocol import LatentSpaceProtocol


def training_dataset(space: LatentSpaceProtocol) -> str | None:
    """Name of the data set that a model was trained on; None if it is unknown or not installed."""
    about: Mapping[str, Any] = getattr(space, "about", {})
    name = about.get("data", {}).get("source")
    if name not in DATASETS:
        return None
    try:
        _texts(name)
    except (DataError, MissingPackageError):
        return None
    return str(name)


def sample_dataset(dataset: str, n: int, *, seed: int) -> list[str]:
    """At most `n` random molecules of a data set as canonical SMILES; the texts are cached.

    Raises:
        UnknownNameError, MissingPackageError, DataError: As for `molvae.chem.datasets.read`.
    """
    texts = _texts(dataset)
    rows = np.random.default_rng(seed).choice(len(texts), min(n, len(texts)), replace=False)
    found = dict.fromkeys(canonical_or_none(texts[row]) for row in rows)
    return [molecule for molecule in found if molecule is not None]


@lru_cache(maxsize=1)
def _texts(dataset: str) -> tuple[str, ...]:
    return tuple(text for _, text in read(dataset))
