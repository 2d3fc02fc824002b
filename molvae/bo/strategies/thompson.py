"""Thompson sampling over a Gaussian process on z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from molvae.bo.base import Candidate, Observations, _at_least_one
from molvae.bo.candidates import PATIENCE, expand_bounds, first_novel, local_and_global_samples
from molvae.bo.surrogate import fit_gp, predict_gp, reproducible
from molvae.errors import require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@dataclass(frozen=True, kw_only=True)
class Thompson:
    """Thompson sampling: each molecule is the best one under its own draw of the surrogate.

    The draws are joint over a finite set of vectors, around the best told ones and across the box.
    Each draw's vectors are decoded from its best downwards until one is a new molecule.

    References:
        Kandasamy et al. (2018), Parallelised Bayesian optimisation via Thompson sampling, AISTATS;
        Eriksson et al. (2019), arXiv:1910.01739 (the set of vectors).
    """

    name: ClassVar[str] = "thompson"
    vectors: int = 1024
    """Latent vectors that a draw ranks."""
    around: float = 0.5
    """Share of them around the best told ones; the others are spread over the box."""
    best: int = 10
    """Told molecules that count as best."""
    sigma: float = 0.1
    """Size of a step around them, as a share of the box's width."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        _at_least_one(self, "vectors", "best", "patience")
        require(0 <= self.around <= 1, f"around must lie in [0, 1], got {self.around}")
        require(self.sigma > 0, f"sigma must be positive, got {self.sigma}")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name)
        box = expand_bounds(observations)
        top = observations.scores[:, 0].argsort(descending=True, stable=True)[: self.best]
        z = local_and_global_samples(
            observations.z[top],
            box,
            self.vectors,
            share=self.around,
            sigma=self.sigma,
            seed=seed,
        )
        with reproducible(seed):
            model = fit_gp(observations.z, observations.scores, box, observations.score_noise)
            with torch.no_grad():
                draws = model.posterior(z).rsample(torch.Size([n])).squeeze(-1)
        order = draws.argsort(dim=1, descending=True, stable=True)
        found = first_novel(
            space,
            z,
            order.tolist(),
            observations.known,
            bounds=box,
            seed=seed,
            patience=self.patience,
        )
        return predict_gp(found, model, observations)


__all__ = ["Thompson"]
