"""Thompson sampling over a Gaussian process on z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from molvae.bo.base import (
    Candidate,
    Observations,
    check_at_least,
    check_positive,
    check_share,
    documented,
)
from molvae.bo.candidates import (
    MAX_DECODE_ATTEMPTS,
    expand_bounds,
    local_and_global_samples,
    propose_sampled,
)
from molvae.bo.surrogate import fit_gp, predict_gp, reproducible
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@documented
@dataclass(frozen=True, kw_only=True)
class Thompson:
    """Thompson sampling: each molecule is the best under its own sample of the GP's posterior.

    The samples are joint over a finite set of vectors, near the best molecules and across the box.
    The molecules that the best of them decode to, and their branches, are then chosen by samples at
    their own encodings.

    References:
        Kandasamy et al. (2018), Parallelised Bayesian optimisation via Thompson sampling, AISTATS;
        Eriksson et al. (2019), arXiv:1910.01739 (the set of vectors).
    """

    name: ClassVar[str] = "thompson"
    n_candidates: int = 1024
    """Latent vectors that a sample of the posterior ranks."""
    local_fraction: float = 0.5
    """Share of these vectors near the best molecules; the others are spread over the box."""
    n_best: int = 10
    """Number of molecules that count as best."""
    sigma: float = 0.1
    """Standard deviation of a step from a good molecule, as a share of the box's width."""
    max_decode_attempts: int = MAX_DECODE_ATTEMPTS
    """Latent vectors to decode per molecule before giving up."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "n_candidates", "n_best", "max_decode_attempts")
        check_share(self, "local_fraction")
        check_positive(self, "sigma")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name)
        box = expand_bounds(observations)
        top = observations.scores[:, 0].argsort(descending=True, stable=True)[: self.n_best]
        z = local_and_global_samples(
            observations.z[top],
            box,
            self.n_candidates,
            share=self.local_fraction,
            sigma=self.sigma,
            seed=seed,
        )
        with reproducible(seed):
            model = fit_gp(observations.z, observations.scores, observations.score_noise)
            found = propose_sampled(
                space, model, z, observations, n, seed=seed, max_attempts=self.max_decode_attempts
            )
        return predict_gp(found, model, observations)
