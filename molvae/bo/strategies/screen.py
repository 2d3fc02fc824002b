"""Screening: molecules of a data set or of a library, ranked by the surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from molvae.bo.base import Candidate, Observations, check_at_least, check_order, documented
from molvae.bo.pool import CandidatePool
from molvae.bo.screening import (
    best_of_stream,
    neighbors_of_best,
    open_library,
    sample_dataset,
    screened_dataset,
)
from molvae.bo.strategies.rank import Rank
from molvae.bo.surrogate import reproducible
from molvae.errors import CampaignError, LibraryExhaustedError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated, spawn_seed


@documented
@dataclass(frozen=True, kw_only=True)
class Screen:
    """Upper confidence bounds of molecules of a data set or of a library: nothing is generated.

    Of a data set, random molecules are ranked; this shows how much of a result is due to molecules
    that are known already. Of a library (`molvae library build`), the neighbors of the best
    molecules in z and by fingerprints are ranked, and the best ones of random partitions under a
    surrogate of the stored vectors. Surrogate, kappas and batches are those of `Rank`.

    References:
        Graff et al. (2021), doi:10.1039/D0SC06805E (screening a library by Bayesian optimization).
    """

    name: ClassVar[str] = "screen"
    dataset: str = ""
    """Data set or file to screen; by default the data set that the model was trained on."""
    n_screened: int = 1000
    """Random molecules of a data set that are ranked for each batch."""
    library: str = ""
    """Folder of a library to screen instead."""
    fingerprint: str = ""
    """Fingerprint of the library's content; another content is refused. Empty: any."""
    n_best: int = 10
    """Best molecules whose neighbors in the library are candidates."""
    n_neighbors: int = 50
    """Neighbors of each of them, in z and by fingerprints."""
    n_streamed: int = 200_000
    """Molecules of the library that the surrogate of vectors passes for each batch."""
    n_top: int = 300
    """Best ones of these that are candidates."""
    kappa_min: float = Rank.kappa_min
    """Smallest weight of the standard deviation."""
    kappa_max: float = Rank.kappa_max
    """Largest weight of the standard deviation, see `Rank`."""

    def __post_init__(self) -> None:
        counts = ("n_screened", "n_best", "n_neighbors", "n_streamed", "n_top")
        check_at_least(self, 1, *counts)
        check_order(self, "kappa_min", "kappa_max")
        require(not (self.dataset and self.library), "give screen a dataset or a library, not both")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name, 1, several=True)
        where = self.library or self.dataset or screened_dataset(space)
        if where is None:
            raise CampaignError(
                f"the training data of {space.name!r} is not at hand; name a data set or a file: "
                "screen:dataset=NAME"
            )
        rank = Rank(kappa_min=self.kappa_min, kappa_max=self.kappa_max)
        with reproducible(seed), torch.no_grad():
            pool = rank.pool(observations, space, n, np.random.default_rng(seed), seed=seed)
            if self.library:
                self._add_library(pool, observations, space, n, seed=spawn_seed(seed, 0))
            else:
                found = sample_dataset(where, self.n_screened, seed=spawn_seed(seed, 0))
                pool.add(found, None, "")
            chosen = pool.batch()
        if self.library and not chosen:
            raise LibraryExhaustedError(
                f"no molecule of {where} is left that is new, encodable and free of findings "
                "(--plausibility none proposes those, too)"
            )
        if not self.library and len(chosen) < n:
            advice = "ask for fewer" if chosen else "end the campaign"
            raise CampaignError(
                f"{len(chosen)} of {self.n_screened} molecules of {where} are new, plausible and "
                f"encodable; {n} were asked for; raise n_screened or {advice}"
            )
        return chosen

    def _add_library(
        self,
        pool: CandidatePool,
        observations: Observations,
        space: LatentSpaceProtocol,
        n: int,
        *,
        seed: int,
    ) -> None:
        """Add neighbors, the stream, and random molecules if these are too few."""
        library = open_library(self.library, self.fingerprint)
        library.check_space(space)
        pool.floor = 0.0  # few molecules of a library are analogues of the initial ones
        near = neighbors_of_best(library, observations, self.n_best, self.n_neighbors)
        for operator, parents in near.items():
            pool.add(list(parents), None, operator, parents)
        found = best_of_stream(library, observations, self.n_streamed, self.n_top, seed=seed)
        pool.add(found, None, "stream")
        size = 100 * n
        while not pool.has_feasible(n) and size < 100 * library.n_vectors:
            pool.add(library.sample(min(size, library.n_vectors), seed), None, "random")
            size *= 10
