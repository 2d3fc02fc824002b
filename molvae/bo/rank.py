"""Decode, then rank: moves make molecules, a Gaussian process ranks the molecules themselves.

Latent strategies that optimise an acquisition over z and decode the optimum are misled wherever a
vector is not the encoding of what it decodes to. Here vectors are only a way of making molecules;
what is ranked is what would be scored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.evidence import Candidate, Evidence, Space
from molvae.bo.moves import by_rank, encoded, graph_moves, latent_moves
from molvae.bo.proposals import PATIENCE, decode_new, derived
from molvae.bo.surrogate import KERNELS, NOISE, molecule_gp, one_thread, quiet
from molvae.chem.descriptors import DESCRIPTORS, descriptors
from molvae.chem.filters import known_catalogues, passes
from molvae.chem.fingerprints import morgan_counts
from molvae.config import require
from molvae.errors import CampaignError

FEATURES = 2048
"""Columns of Morgan counts."""
GROWTH = 1.5
"""Of the shortest latent step, after a generation in which most found nothing new."""
FINALISTS = 50
"""Molecules of each ranking among which a batch is chosen jointly."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Upper confidence bounds over molecules made by latent and graph moves, over generations.

    In each generation parents are drawn by rank from all molecules at hand, told ones and
    candidates, children are made from them, and the surrogate ranks everything anew. Each molecule
    of the batch has its own weight of the uncertainty, drawn evenly on a logarithmic scale, so that
    a batch holds safe and daring ones; it is chosen after those before it were taken into account
    as if they had been measured.

    References:
        Tripp et al. (2021), A fresh look at de novo molecular design benchmarks (a genetic
        algorithm that maximises the acquisition of a Tanimoto GP).
    """

    name: ClassVar[str] = "rank"
    surrogate: str = "structure+descriptors"
    """Kernels, see `molecule_gp`: structure, descriptors, latent, linear, sums and products of
    these, or auto for the one that explains the values best."""
    generations: int = 4
    """Of children, for each batch."""
    children: int = 400
    """Moves in each generation."""
    latent: float = 0.5
    """Share of latent moves among them; the others are graph moves."""
    shortest: float = 0.3
    """Radius of the smallest latent step, see `latent_moves`; much smaller ones end where they
    began."""
    longest: float = 1.0
    """Radius of the largest, at most 1."""
    safest: float = 0.01
    """Least weight of the standard deviation."""
    boldest: float = 1.0
    """Largest weight."""
    radius: int = 2
    """Bonds around an atom in its Morgan neighbourhoods."""
    most: int = 3000
    """Told molecules that the surrogate learns from, which is exact; of more, half are the best
    ones and half are drawn at random from the others."""
    filters: tuple[str, ...] = ()
    """Catalogues of structural alerts, e.g. PAINS and BRENK (see `molvae.chem.filters.passes`);
    what has one is never ranked."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        for name in ("generations", "children", "most", "patience"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {self}")
        names = re.split(r"[+*]", self.surrogate)
        require(
            self.surrogate == "auto" or all(name in KERNELS for name in names),
            f"surrogate must be auto or of {', '.join(KERNELS)}, with + or * between; "
            f"got {self.surrogate!r}",
        )
        if self.filters:
            known_catalogues(self.filters)
        require(0 <= self.latent <= 1, f"latent must lie in [0, 1], got {self.latent}")
        require(
            0 < self.shortest <= self.longest <= 1,
            f"radii must be 0 < shortest <= longest <= 1, got {self.shortest}, {self.longest}",
        )
        require(
            0 < self.safest <= self.boldest,
            f"weights must be 0 < safest <= boldest, got {self.safest} and {self.boldest}",
        )

    def propose(
        self, evidence: Evidence, space: Space, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        evidence.need_two_values(self.name)
        rng = np.random.default_rng(seed)
        low, high = np.log(self.safest), np.log(self.boldest)
        weights = np.exp(low + (high - low) * rng.random(n))
        n_latent = round(self.latent * self.children)
        shortest = self.shortest
        with one_thread(), quiet(), torch.no_grad():
            pool = _Pool(self, evidence, space, seed=derived(seed, 3))
            for generation in range(self.generations):
                seeds = [derived(seed, generation, part) for part in range(2)]
                parents = pool.parents(weights, self.children, rng)
                graph = graph_moves([pool.smiles[i] for i in parents[n_latent:]], seed=seeds[1])
                if len(z := pool.vectors(parents[:n_latent])):
                    radii = (shortest, self.longest)
                    latent = latent_moves(space, z, radii=radii, seed=seeds[0])
                    new = pool.add([c.smiles for c in latent], [c.z for c in latent])
                    if new < len(z) / 2:  # steps end where a molecule is known: they are too short
                        shortest = min(GROWTH * shortest, self.longest)
                pool.add(graph, [None] * len(graph))
            chosen = pool.batch(weights)
        return chosen + self._drawn(n - len(chosen), chosen, evidence, space, seed=seed)

    def _drawn(
        self, n: int, chosen: Sequence[Candidate], evidence: Evidence, space: Space, *, seed: int
    ) -> list[Candidate]:
        """What the pool lacks, from the prior."""
        taken, found = evidence.known | {c.smiles for c in chosen}, list[Candidate]()
        for draw in range(self.patience):
            if len(found) == n:
                break
            drawn = decode_new(
                space,
                space.sample(n - len(found), seed=derived(seed, 1, draw)),
                taken,
                bounds=evidence.bounds,
                seed=derived(seed, 2, draw),
                patience=self.patience,
            )
            taken |= {c.smiles for c in drawn}
            kept = self.unfiltered([c.smiles for c in drawn])
            found += [c for c in drawn if c.smiles in kept]
        if len(found) < n:
            raise CampaignError(
                f"no new molecule passes the filters {', '.join(self.filters)} after "
                f"{self.patience} draws from the prior; filter by fewer catalogues"
            )
        return found

    def unfiltered(self, smiles: Sequence[str]) -> set[str]:
        """Molecules without an alert of `filters`."""
        if not self.filters:
            return set(smiles)
        good = passes(smiles, self.filters, workers=1)
        return {molecule for molecule, ok in zip(smiles, good, strict=True) if ok}


class _Pool:
    """Told molecules, then candidates, with what the surrogate says of each."""

    def __init__(self, strategy: Rank, evidence: Evidence, space: Space, *, seed: int) -> None:
        self.strategy, self.space, self.known = strategy, space, set(evidence.known)
        self.sees_z = bool(re.search("latent|linear|auto", strategy.surrogate))
        y = evidence.y[:, 0]
        self.mean = scaled(y)
        """Minus infinity for what the space cannot read."""
        self.sd = torch.zeros_like(y)
        self.told = len(y)
        learned = best_and_random(y, strategy.most, seed=seed)
        self.smiles = list(evidence.smiles)
        self.z: list[Tensor | None] = list(evidence.z)
        """None where it is not computed yet: what graph moves made is encoded only when needed."""
        seen = _seen([evidence.smiles[i] for i in learned], strategy.radius)
        x, values = torch.cat([evidence.z[learned], seen], dim=1), self.mean[learned]
        self.model = self._fit(x, values)
        if evidence.pending_smiles:
            # What is being measured counts as measured, with the value that is expected.
            seen = _seen(evidence.pending_smiles, strategy.radius)
            pending = torch.cat([evidence.pending_z, seen], dim=1)
            expected = self.model.posterior(pending).mean[:, 0]
            self.model = self._fit(torch.cat([x, pending]), torch.cat([values, expected]))

    def _fit(self, x: Tensor, y: Tensor) -> SingleTaskGP:
        return molecule_gp(
            x,
            y[:, None],
            self.space.bounds,
            kind=self.strategy.surrogate,
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
        passed = self.strategy.unfiltered(list(new))
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
        seen = _seen([self.smiles[i] for i in places], self.strategy.radius)
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
        left = torch.ones(len(places), dtype=torch.bool)
        chosen = []
        for weight in weights[: len(places)]:
            sd = covariance.diagonal().clamp_min(0).sqrt()
            top = int((mean + float(weight) * sd).masked_fill(~left, -torch.inf).argmax())
            left[top] = False
            vector = self.z[places[top]]
            assert vector is not None
            chosen.append(Candidate(self.smiles[places[top]], vector))
            column = covariance[:, top].clone()
            covariance -= torch.outer(column, column) / (column[top] + NOISE)
        return chosen


def scaled(y: Tensor) -> Tensor:
    """Values on a scale whose 1 is the best and whose 0 is the worst.

    What lies ten interquartile ranges below the median counts as no worse than that: a failed
    docking of -1,000 says that a molecule is bad, and must not make all others look alike.
    """
    low, middle, high = y.quantile(y.new_tensor([0.25, 0.5, 0.75]))
    floor = torch.maximum(y.min(), middle - 10 * (high - low))
    if floor == y.max():
        floor = y.min()
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


def _seen(smiles: Sequence[str], radius: int) -> Tensor:
    """Descriptors and counts of molecules, as the surrogate sees them."""
    rows = [_seen_of(text, radius) for text in smiles]
    return torch.from_numpy(np.stack(rows).astype(np.float64))


@lru_cache(maxsize=30_000)
def _seen_of(smiles: str, radius: int) -> NDArray[np.float32]:
    counts = morgan_counts([smiles], radius=radius, size=FEATURES)
    row: NDArray[np.float32] = np.concatenate([descriptors([smiles]), counts], axis=1)[0].astype(
        "f4"
    )
    return row


__all__ = ["Rank"]
