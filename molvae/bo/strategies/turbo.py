"""TuRBO: Thompson sampling in a trust region that grows with success and shrinks with failure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from molvae.bo.base import Candidate, Observations, check_at_least, check_order, documented
from molvae.bo.candidates import (
    MAX_DECODE_ATTEMPTS,
    decode_novel,
    expand_bounds,
    propose_sampled,
    trust_region_samples,
)
from molvae.bo.surrogate import fit_gp, predict_gp, reproducible
from molvae.errors import require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated, spawn_seed


@documented
@dataclass(frozen=True, kw_only=True)
class Turbo:
    """TuRBO-1: one trust region in z around the best molecule, with restarts.

    The length of the region follows from the observations alone: the molecules that this strategy
    proposed are taken in their order, in batches of the current size. A batch with a better value
    is a success. After three successes in a row the length doubles; after as many failures as it
    takes to ask for `d` molecules it halves. Below the minimum the search restarts with samples
    from the prior, without the earlier observations. The molecules that the best vectors of the
    region decode to, and their branches, are chosen by samples at their own encodings.

    References:
        Eriksson et al. (2019), arXiv:1910.01739 (TuRBO-1, its constants).
    """

    name: ClassVar[str] = "turbo"
    length_init: float = 0.8
    """Side of the region at the start, as a share of the box."""
    length_max: float = 1.6
    """Largest side."""
    length_min: float = 0.5**7
    """Smallest side; below it, the search restarts."""
    success_tolerance: int = 3
    """Successes in a row that double the side."""
    n_init: int = 20
    """Samples from the prior after each restart."""
    n_candidates: int = 1024
    """Latent vectors that a sample of the posterior ranks."""
    max_decode_attempts: int = MAX_DECODE_ATTEMPTS
    """Latent vectors to decode per molecule before giving up."""

    def __post_init__(self) -> None:
        check_at_least(
            self, 1, "success_tolerance", "n_init", "n_candidates", "max_decode_attempts"
        )
        check_order(self, "length_init", "length_max")
        require(
            0 < self.length_min < self.length_init,
            f"length_min must lie between 0 and length_init = {self.length_init}, "
            f"got {self.length_min}",
        )

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name)
        box = expand_bounds(observations)
        own = [origin.split(" ")[0] == self.name for origin in observations.origins]
        length, since = self.region(
            observations.scores[:, 0],
            n,
            observations.bounds.shape[1],
            torch.tensor(own, dtype=torch.bool),
        )
        recent = observations.since(since)
        if since and (len(recent.y) < self.n_init or recent.y.min() == recent.y.max()):
            return decode_novel(
                space,
                space.sample_prior(n, seed=seed),
                observations.known,
                bounds=box,
                seed=spawn_seed(seed, 1),
                rounds=0,
                max_attempts=self.max_decode_attempts,
                accepts=observations.accepts,
            )
        with reproducible(seed):
            model = fit_gp(recent.z, recent.scores, recent.score_noise)
            best = recent.z[int(recent.scores[:, 0].argmax())]
            half = 0.5 * length * (box[1] - box[0])
            region = torch.stack([best - half, best + half]).clamp(box[0], box[1])
            z = trust_region_samples(best, region, self.n_candidates, seed=seed)
            found = propose_sampled(
                space, model, z, observations, n, seed=seed, max_attempts=self.max_decode_attempts
            )
        return predict_gp(found, model, recent)

    def region(self, y: Tensor, batch: int, d: int, own: Tensor | None = None) -> tuple[float, int]:
        """Side of the trust region, and the first observation that counts for it.

        Args:
            y: Values in the order asked, `n`, larger is better.
            batch: Values that succeed or fail together; fewer at the end are not judged yet.
            d: Dimensions.
            own: Which molecules this strategy proposed; by default all.
        """
        places = list(range(len(y))) if own is None else own.nonzero()[:, 0].tolist()
        length, since, skipped, successes, failures = self.length_init, 0, 0, 0, 0
        failure_tolerance = math.ceil(max(4.0, d) / batch)
        for start in range(0, len(places) - batch + 1, batch):
            if start < skipped:  # samples from the prior after a restart
                continue
            before = y[since : places[start]]
            better = _better(y[places[start : start + batch]].max(), before)
            successes, failures = (successes + 1, 0) if better else (0, failures + 1)
            if successes == self.success_tolerance:
                length, successes = min(2 * length, self.length_max), 0
            elif failures == failure_tolerance:
                length, failures = length / 2, 0
            if length < self.length_min:
                length, successes, failures = self.length_init, 0, 0
                since, skipped = places[start + batch - 1] + 1, start + batch + self.n_init
        return length, since


def _better(top: Tensor, before: Tensor) -> bool:
    """Better by at least a thousandth of the distance from the median to the best so far."""
    if not len(before):
        return True
    best = before.max()
    return bool(top > best + 1e-3 * (best - before.median()))
