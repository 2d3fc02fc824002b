"""TuRBO: Thompson sampling in a box that grows with success and shrinks with failure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from molvae.bo.base import Candidate, Observations
from molvae.bo.candidates import (
    PATIENCE,
    decode_novel,
    expand_bounds,
    first_novel,
    spawn_seed,
    trust_region_samples,
)
from molvae.bo.surrogate import fit_gp, predict_gp, reproducible
from molvae.errors import require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@dataclass(frozen=True, kw_only=True)
class Turbo:
    """One trust region in z around the best molecule, with restarts.

    Where the region stands follows from the told values alone: those of the molecules that it chose
    are gone through in the order asked, in batches of the size now wanted; the initial design
    counts as neither success nor failure. A batch with a better value is a success. After three
    successes in a row the region's side doubles, after as many failures as it takes to ask `d`
    molecules it halves; below the shortest side the search starts again with draws from the prior,
    and forgets what it knew. A Gaussian process with one length scale for each dimension gives the
    region its shape.

    References:
        Eriksson et al. (2019), arXiv:1910.01739 (TuRBO-1, its constants).
    """

    name: ClassVar[str] = "turbo"
    first: float = 0.8
    """Side at the start, as a share of the box."""
    longest: float = 1.6
    """Largest side."""
    shortest: float = 0.5**7
    """Below it, the search starts again."""
    successes: int = 3
    """In a row, until the side doubles."""
    fresh: int = 20
    """Draws from the prior at each restart."""
    vectors: int = 1024
    """Latent vectors that a draw of the surrogate ranks."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        for name in ("successes", "fresh", "vectors", "patience"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {self}")
        require(
            0 < self.shortest < self.first <= self.longest,
            f"sides must be 0 < shortest < first <= longest, got {self}",
        )

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name)
        box = expand_bounds(observations)
        own = [origin.split(" ")[0] == self.name for origin in observations.origins]
        side, since = self.region(
            observations.scores[:, 0],
            n,
            observations.bounds.shape[1],
            torch.tensor(own, dtype=torch.bool),
        )
        recent = observations.since(since)
        if since and (len(recent.y) < self.fresh or recent.y.min() == recent.y.max()):
            return decode_novel(
                space,
                space.sample_prior(n, seed=seed),
                observations.known,
                bounds=box,
                seed=spawn_seed(seed, 1),
                rounds=0,
                patience=self.patience,
            )
        with reproducible(seed):
            model = fit_gp(recent.z, recent.scores, box, recent.score_noise)
            best = recent.z[int(recent.scores[:, 0].argmax())]
            scales = model.covar_module.lengthscale.detach()[0]
            half = 0.5 * side * (box[1] - box[0]) * scales / scales.log().mean().exp()
            region = torch.stack([best - half, best + half]).clamp(box[0], box[1])
            vectors = trust_region_samples(best, region, self.vectors, seed=seed)
            with torch.no_grad():
                draws = model.posterior(vectors).rsample(torch.Size([n])).squeeze(-1)
        order = draws.argsort(dim=1, descending=True, stable=True).tolist()
        found = first_novel(
            space, vectors, order, observations.known, bounds=box, seed=seed, patience=self.patience
        )
        return predict_gp(found, model, recent)

    def region(self, y: Tensor, batch: int, d: int, own: Tensor | None = None) -> tuple[float, int]:
        """Side of the trust region, and from which value on it counts, after all told values.

        Args:
            y: Values in the order asked, `n`, larger is better.
            batch: Values that succeed or fail together; fewer at the end are not judged yet.
            d: Dimensions.
            own: Which values are of molecules that this strategy chose; by default all.
        """
        places = list(range(len(y))) if own is None else own.nonzero()[:, 0].tolist()
        side, since, skipped, won, lost = self.first, 0, 0, 0, 0
        most_lost = math.ceil(max(4.0, d) / batch)
        for start in range(0, len(places) - batch + 1, batch):
            if start < skipped:  # draws from the prior after a restart
                continue
            before = y[since : places[start]]
            better = _better(y[places[start : start + batch]].max(), before)
            won, lost = (won + 1, 0) if better else (0, lost + 1)
            if won == self.successes:
                side, won = min(2 * side, self.longest), 0
            elif lost == most_lost:
                side, lost = side / 2, 0
            if side < self.shortest:
                side, won, lost = self.first, 0, 0
                since, skipped = places[start + batch - 1] + 1, start + batch + self.fresh
        return side, since


def _better(top: Tensor, before: Tensor) -> bool:
    """By at least a thousandth of the way from the median to the best so far."""
    if not len(before):
        return True
    best = before.max()
    return bool(top > best + 1e-3 * (best - before.median()))


__all__ = ["Turbo"]
