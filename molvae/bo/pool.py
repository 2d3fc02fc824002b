"""Molecules at hand while a batch is chosen: told ones and candidates, and what a surrogate says.

What is ranked is what would be scored, a molecule, whichever vector it was decoded from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.evidence import Candidate, Evidence, Space
from molvae.bo.moves import by_rank, encoded
from molvae.bo.surrogate import molecule_gp
from molvae.chem.descriptors import DESCRIPTORS, descriptors
from molvae.chem.filters import passes
from molvae.chem.fingerprints import morgan_counts

FEATURES = 2048
"""Columns of Morgan counts."""
FINALISTS = 50
"""Molecules of each ranking among which a batch is chosen jointly."""


class Pool:
    """Told molecules, then candidates, with what the surrogate says of each.

    Args:
        evidence: What is known.
        space: Encodes.
        surrogate: Kernels, see `molecule_gp`.
        radius: Of the Morgan counts.
        most: Told molecules that the surrogate learns from, see `best_and_random`.
        filters: Catalogues of alerts; what has one is not taken in.
        seed: Of the choice of learned molecules.
    """

    def __init__(
        self,
        evidence: Evidence,
        space: Space,
        *,
        surrogate: str,
        radius: int,
        most: int,
        filters: tuple[str, ...],
        seed: int,
    ) -> None:
        self.space, self.known = space, set(evidence.known)
        self.surrogate, self.radius, self.filters = surrogate, radius, filters
        self.sees_z = bool(re.search("latent|linear|auto", surrogate))
        y = evidence.y[:, 0]
        self.mean = scaled(y)
        """Minus infinity for what the space cannot read."""
        self.sd = torch.zeros_like(y)
        self.told = len(y)
        learned = best_and_random(y, most, seed=seed)
        self.smiles = list(evidence.smiles)
        self.z: list[Tensor | None] = list(evidence.z)
        """None where it is not computed yet: what graph moves made is encoded only when needed."""
        seen = features([evidence.smiles[i] for i in learned], radius)
        x, values = torch.cat([evidence.z[learned], seen], dim=1), self.mean[learned]
        self.model = self._fit(x, values)
        if evidence.pending_smiles:
            # What is being measured counts as measured, with the value that is expected.
            seen = features(evidence.pending_smiles, radius)
            pending = torch.cat([evidence.pending_z, seen], dim=1)
            expected = self.model.posterior(pending).mean[:, 0]
            self.model = self._fit(torch.cat([x, pending]), torch.cat([values, expected]))

    def _fit(self, x: Tensor, y: Tensor) -> SingleTaskGP:
        return molecule_gp(
            x,
            y[:, None],
            self.space.bounds,
            kind=self.surrogate,
            descriptors=len(DESCRIPTORS),
        )

    def add(self, smiles: Sequence[str], z: Sequence[Tensor | None]) -> int:
        """Let the surrogate judge molecules that are not known yet; how many there were."""
        new: dict[str, Tensor | None] = {}
        for molecule, vector in zip(smiles, z, strict=True):
            if molecule not in self.known:
                new.setdefault(molecule, vector)
        made = len(new)
        self.known.update(new)
        passed = unfiltered(list(new), self.filters)
        new = {molecule: vector for molecule, vector in new.items() if molecule in passed}
        if not new:
            return made
        places = list(range(len(self.smiles), len(self.smiles) + len(new)))
        self.smiles += new
        self.z += new.values()
        self.mean = torch.cat([self.mean, self.mean.new_zeros(len(new))])
        self.sd = torch.cat([self.sd, self.sd.new_zeros(len(new))])
        if self.sees_z:
            self.vectors(places)
            places = [i for i in places if self.z[i] is not None]
        posterior = self.model.posterior(self._features(places))
        self.mean[places] = posterior.mean[:, 0]
        self.sd[places] = posterior.variance[:, 0].clamp_min(0).sqrt()
        return made

    def _features(self, places: Sequence[int]) -> Tensor:
        # Where the kernel looks at z it is asked only once z is there.
        nothing = torch.zeros(self.space.dim, dtype=torch.float64)
        z = torch.stack([nothing if (v := self.z[i]) is None else v for i in places])
        seen = features([self.smiles[i] for i in places], self.radius)
        return torch.cat([z, seen], dim=1)

    def vectors(self, places: Sequence[int]) -> Tensor:
        """Of those that the space can read; the others will not be looked at again."""
        lacking = [i for i in dict.fromkeys(places) if self.z[i] is None]
        if lacking:
            found = encoded(self.space, [self.smiles[i] for i in lacking])
            z = {candidate.smiles: candidate.z for candidate in found}
            for i in lacking:
                self.z[i] = z.get(self.smiles[i])
                if self.z[i] is None:
                    self.mean[i] = -torch.inf
        there = [vector for i in places if (vector := self.z[i]) is not None]
        return torch.stack(there) if there else self.mean.new_empty(0, self.space.dim)

    def parents(self, weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> list[int]:
        """Drawn by rank, each from the ranking under one of the weights."""
        which = rng.integers(len(weights), size=n)
        ranks = by_rank(int((self.mean > -torch.inf).sum()), n, rng)
        order = [
            (self.mean + float(w) * self.sd).argsort(descending=True, stable=True) for w in weights
        ]
        return [int(order[k][rank]) for k, rank in zip(which, ranks, strict=True)]

    def batch(self, weights: NDArray[np.float64]) -> list[Candidate]:
        """One candidate for each weight, as far as there are any.

        Each is chosen as if those before it had been measured and had come out as expected: the
        mean stays, the uncertainty shrinks.
        """
        finalists: dict[int, None] = {}
        for weight in weights:
            scores = self.mean[self.told :] + float(weight) * self.sd[self.told :]
            best = scores.topk(min(FINALISTS, len(scores))).indices + self.told
            finalists.update(dict.fromkeys(best.tolist()))
        self.vectors(list(finalists))
        places = [i for i in finalists if self.z[i] is not None]
        if not places:
            return []
        posterior = self.model.posterior(self._features(places))
        assert isinstance(posterior, GPyTorchPosterior)
        mean, covariance = posterior.mean[:, 0], posterior.distribution.covariance_matrix.clone()
        left, noise = torch.ones(len(places), dtype=torch.bool), self.model.likelihood.noise
        chosen: list[int] = []
        for weight in weights[: len(places)]:
            sd = covariance.diagonal().clamp_min(0).sqrt()
            top = int((mean + float(weight) * sd).masked_fill(~left, -torch.inf).argmax())
            left[top] = False
            chosen.append(places[top])
            column = covariance[:, top].clone()
            covariance -= torch.outer(column, column) / (column[top] + noise)
        # The record keeps vectors of the space itself, whichever decoder a molecule is from.
        smiles = [self.smiles[i] for i in chosen]
        z = torch.stack([vector for i in chosen if (vector := self.z[i]) is not None])
        astray = [i for i, m in enumerate(self.space.decode(z)) if m != smiles[i]]
        encodings = {c.smiles: c.z for c in encoded(self.space, [smiles[i] for i in astray])}
        for i in astray:
            z[i] = encodings.get(smiles[i], z[i])
        return [Candidate(molecule, vector) for molecule, vector in zip(smiles, z, strict=True)]


def scaled(y: Tensor) -> Tensor:
    """Values on a scale whose 1 is the best and whose 0 is the worst.

    What lies ten interquartile ranges below the median counts as no worse than that: a failed
    docking of -1,000 says that a molecule is bad, and must not make all others look alike.
    """
    low, middle, high = y.quantile(y.new_tensor([0.25, 0.5, 0.75]))
    floor = torch.maximum(y.min(), middle - 10 * (high - low))
    if floor == y.max():
        floor = y.min()
    if floor == y.max():  # all are the same: what is least known is ranked first
        return torch.zeros_like(y)
    return (y.clamp_min(floor) - floor) / (y.max() - floor)


def best_and_random(y: Tensor, most: int, *, seed: int) -> list[int]:
    """Places of at most `most` values, in order: the best, and as many drawn from the others."""
    if len(y) <= most:
        return list(range(len(y)))
    order = y.argsort(descending=True, stable=True)
    n_best = (most + 1) // 2
    best, others = order[:n_best], order[n_best:]
    generator = torch.Generator().manual_seed(seed)
    drawn = others[torch.randperm(len(others), generator=generator)[: most - n_best]]
    return sorted(torch.cat([best, drawn]).tolist())


def unfiltered(smiles: Sequence[str], filters: tuple[str, ...]) -> set[str]:
    """Molecules without an alert of some catalogues."""
    if not filters:
        return set(smiles)
    good = passes(smiles, filters, workers=1)
    return {molecule for molecule, ok in zip(smiles, good, strict=True) if ok}


def features(smiles: Sequence[str], radius: int) -> Tensor:
    """Descriptors and counts of molecules, as the surrogate sees them."""
    rows = [_features_of(text, radius) for text in smiles]
    return torch.from_numpy(np.stack(rows).astype(np.float64))


@lru_cache(maxsize=30_000)
def _features_of(smiles: str, radius: int) -> NDArray[np.float32]:
    counts = morgan_counts([smiles], radius=radius, size=FEATURES)
    row: NDArray[np.float32] = np.concatenate([descriptors([smiles]), counts], axis=1)[0].astype(
        "f4"
    )
    return row


__all__ = ["Pool", "best_and_random", "features", "scaled", "unfiltered"]
