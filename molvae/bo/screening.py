"""Molecules of a data set, or of a library, as candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from molvae.bo.base import Observations, Strategy
from molvae.bo.kernel_weights import subsample_best_and_random
from molvae.bo.surrogate import molecule_gp
from molvae.chem.datasets import DATASETS, read
from molvae.chem.molecules import canonical_or_none
from molvae.errors import CampaignError, ConfigError, DataError, MissingPackageError
from molvae.latent.library import Hit, Library
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.objectives.problem import best_first

MAX_LEARNED = 500
"""Molecules that the surrogate of the vectors learns from: the best ones, and random others."""
BATCH_SIZE = 5_000  # vectors that it predicts at a time
STREAM_KAPPAS = (0.0, 1.0)
"""Weights of the standard deviation by which molecules of the stream are chosen."""


def training_dataset(space: LatentSpaceProtocol) -> str | None:
    """Name of the data set that a model was trained on; None if that has no name."""
    about: Mapping[str, Any] = getattr(space, "about", {})
    name = about.get("data", {}).get("source")
    return str(name) if name in DATASETS else None


def screened_dataset(space: LatentSpaceProtocol) -> str | None:
    """Name of the data set that a model was trained on; None if it is unknown or not installed."""
    name = training_dataset(space)
    if name is None:
        return None
    try:
        _texts(name)
    except (DataError, MissingPackageError):
        return None
    return name


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


@lru_cache(maxsize=2)
def open_library(folder: str, fingerprint: str = "") -> Library:
    """A library, which must have a fingerprint if one is given.

    Raises:
        CampaignError: Its content is not the one of this fingerprint.
        DataError, MissingPackageError: As for `Library.open`.
    """
    try:
        library = Library.open(folder)
    except DataError as error:
        if fingerprint:
            error.args = (f"{error}; or say where the campaign's library is now (--library)",)
        raise
    if fingerprint not in ("", library.fingerprint):
        raise CampaignError(
            f"{folder} is not the library that the campaign was created with (fingerprint "
            f"{library.fingerprint[:12]}, not {fingerprint[:12]}); bring that one back"
        )
    return library


def with_library(strategy: Strategy | None, folder: str | Path) -> tuple[Strategy, Library]:
    """Strategy `screen` of a library, with its path and fingerprint, and the library.

    Args:
        strategy: Its other settings; by default they are not changed.

    Raises:
        ConfigError: The strategy is another one.
        DataError, MissingPackageError: As for `Library.open`.
    """
    from molvae.bo.strategies.screen import Screen

    screen = strategy or Screen()
    if not isinstance(screen, Screen):
        raise ConfigError(
            f"molecules of a library are chosen by strategy screen, not {screen.name}; leave the "
            "strategy out, or give screen with its settings"
        )
    library = open_library(str(folder))
    path = str(library.folder)
    return replace(screen, library=path, fingerprint=library.fingerprint), library


def neighbors_of_best(
    library: Library, observations: Observations, n_best: int, n: int
) -> dict[str, dict[str, tuple[str, ...]]]:
    """The `n` neighbors of each of the best molecules, by operator, with these as parents.

    Operators are `latent`, the nearest in z, and `fingerprint`, the most similar ones.
    """
    best = best_first(observations.y.numpy())[:n_best].tolist()
    parents = [observations.smiles[i] for i in best]
    hits = {
        "latent": library.nearest_vectors(observations.z[best].numpy(), n),
        "fingerprint": library.most_similar(parents, n),
    }
    return {
        operator: {
            str(molecule): (parent,)
            for parent, few in zip(parents, rows, strict=True)
            for molecule in library.rows(few, ["smiles"])["smiles"]
        }
        for operator, rows in hits.items()
    }


def best_of_stream(
    library: Library, observations: Observations, n_rows: int, n: int, *, seed: int
) -> list[str]:
    """The molecules of random partitions that a surrogate of their vectors expects most of.

    A Gaussian process (Matern-5/2 on z) reads stored vectors alone, so that it passes a hundred
    thousand molecules in seconds. Of several objectives it learns a random weighted sum.

    Args:
        n_rows: Vectors to predict, at least; whole partitions are read.
        n: Molecules to return, none of them known.
    """
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.dirichlet(np.ones(observations.y.shape[1])))
    scores = observations.scores @ weights
    train = subsample_best_and_random(scores, MAX_LEARNED, seed=seed)
    model = molecule_gp(
        observations.z[train], scores[train, None], observations.bounds, kernel="latent"
    )
    share = -(-n // len(STREAM_KAPPAS))
    most = share + len(observations.known)
    best: list[list[Hit]] = [[] for _ in STREAM_KAPPAS]
    passed = 0
    for number in rng.permutation(library.n_partitions).tolist():
        if passed >= n_rows:
            break
        z = torch.from_numpy(library.vectors(number)).double()
        for start in range(0, len(z), BATCH_SIZE):
            mean, std = model.moments(z[start : start + BATCH_SIZE])
            for few, kappa in zip(best, STREAM_KAPPAS, strict=True):
                top = (mean + kappa * std).topk(min(most, len(mean)))
                pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
                few += [Hit(number, start + i, value) for i, value in pairs]
                few.sort(key=lambda hit: -hit.value)
                del few[most:]
        passed += len(z)
    found = list[str]()
    for few in best:
        smiles = [str(one) for one in library.rows(few, ["smiles"])["smiles"]]
        found += [one for one in smiles if one not in observations.known][:share]
    return list(dict.fromkeys(found))
