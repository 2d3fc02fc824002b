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

from molvae.bo.acquisition import MultiObjectiveUCB, UpperConfidenceBound
from molvae.bo.base import Candidate, Observations
from molvae.bo.candidates import PATIENCE, decode_novel, spawn_seed
from molvae.bo.operators import graph_ga_offspring, perturb_latent
from molvae.bo.pool import CandidatePool, unfiltered
from molvae.bo.surrogate import KERNELS, reproducible
from molvae.chem.filters import known_catalogues
from molvae.errors import CampaignError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated
from molvae.objectives.problem import best_first

MOVES_EACH = 10
"""In each generation at least, for each molecule of a batch."""


MOST_GENERATIONS = 10
"""Times as many, as long as too few candidates keep the limits that can be computed."""


LATENT, GRAPH = "latent", "graph"
"""What the record says of molecules made by each."""


LEAST = 0.1
"""Share of the moves that serve worse: they may serve again."""


BELIEF = 10
"""Successes that the share set at first is worth."""


GROWTH = 1.5
"""Of the shortest latent step, after a generation in which most found nothing new."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Upper confidence bounds over molecules made by latent and graph moves, over generations.

    In each generation parents are drawn by rank from all molecules at hand, told ones and
    candidates, children are made from them, and the surrogate ranks everything anew. Each molecule
    of the batch has its own weight of the uncertainty, drawn evenly on a logarithmic scale, so that
    a batch holds safe and daring ones; it is chosen after those before it were taken into account
    as if they had been measured.

    A search soon finds molecules that the model has never seen, and steps around their encodings
    then decode to something else. So the decoder is tuned on the best molecules now and then, for
    the moves alone: the record keeps vectors of the space as it is.

    References:
        Tripp et al. (2020), arXiv:2006.09191 (a decoder that learns the best molecules);
        Tripp et al. (2021), A fresh look at de novo molecular design benchmarks (a genetic
        algorithm that maximizes the acquisition of a Tanimoto GP).
    """

    name: ClassVar[str] = "rank"
    surrogate: str = "structure+descriptors"
    """Kernels, see `molecule_gp`: structure, descriptors, latent, linear, sums and products of
    these, or auto for the one that explains the values best."""
    generations: int = 2
    """Of children, for each batch."""
    children: int = 150
    """Moves in each generation; ten for each molecule of the batch, if that is more."""
    latent: float = 0.5
    """Share of latent moves among them, at first; the others are graph moves."""
    window: int = 200
    """Latest molecules by whose success that share is adapted, see `share`; 0: it stays."""
    tune: int = 100
    """Told molecules after which the decoder is tuned on the best of them, again and again; 0 for
    never."""
    shortest: float = 0.3
    """Radius of the smallest latent step, see `perturb_latent`; much smaller ones end where they
    began."""
    longest: float = 1.0
    """Radius of the largest, at most 1."""
    safest: float = 0.05
    """Least weight of the standard deviation."""
    boldest: float = 4.0
    """Largest weight."""
    radius: int = 1
    """Bonds around an atom in its Morgan neighbourhoods. Large ones say which molecule it is, small
    ones what it is made of, and that is what foresees the values of molecules not seen yet."""
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
        for name in ("tune", "window"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {self}")
        require(0 <= self.latent <= 1, f"latent must lie in [0, 1], got {self.latent}")
        require(
            0 < self.shortest <= self.longest <= 1,
            f"radii must be 0 < shortest <= longest <= 1, got {self.shortest}, {self.longest}",
        )
        require(
            0 < self.safest <= self.boldest < np.inf,
            f"weights must be finite, 0 < safest <= boldest; got {self.safest} and {self.boldest}",
        )

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name, 1, several=True)
        rng = np.random.default_rng(seed)
        low, high = np.log(self.safest), np.log(self.boldest)
        weights = np.exp(low + (high - low) * rng.random(n))
        children = max(self.children, MOVES_EACH * n)
        n_latent = round(self.share(observations) * children)
        shortest = self.shortest
        with reproducible(seed), torch.no_grad():
            verdict: UpperConfidenceBound | MultiObjectiveUCB
            if observations.problem is not None and observations.compute is not None:
                verdict = MultiObjectiveUCB(
                    observations, observations.problem, observations.compute, weights, rng
                )
            else:
                verdict = UpperConfidenceBound(observations, weights)
            pool = CandidatePool(
                observations,
                space,
                verdict=verdict,
                surrogate=self.surrogate,
                radius=self.radius,
                most=self.most,
                filters=self.filters,
                seed=spawn_seed(seed, 102),
            )
            maker = self.maker(observations, space) if n_latent else space
            for generation in range(MOST_GENERATIONS * self.generations):
                if generation >= self.generations and pool.feasible() >= n:
                    break
                seeds = [spawn_seed(seed, generation, part) for part in range(2)]
                parents = pool.parents(children, rng)
                graph = graph_ga_offspring(
                    [pool.smiles[i] for i in parents[n_latent:]], seed=seeds[1]
                )
                latent: list[Candidate] = []
                if len(z := pool.vectors(parents[:n_latent])):
                    radii = (shortest, self.longest)
                    latent = perturb_latent(maker, z, radii=radii, seed=seeds[0])
                    new = {c.smiles for c in latent} - pool.known
                    if len(new) < len(z) / 2:  # steps end where they began: they are too short
                        shortest = min(GROWTH * shortest, self.longest)
                pool.add(
                    [*(c.smiles for c in latent), *graph],
                    [*(c.z for c in latent), *([None] * len(graph))],
                    [LATENT] * len(latent) + [GRAPH] * len(graph),
                )
            chosen = pool.batch()
        return chosen + self._drawn(n - len(chosen), chosen, observations, space, seed=seed)

    def share(self, observations: Observations) -> float:
        """Of latent moves among all: what they brought of the best tenth of what was told.

        Counted over the latest molecules; as the share grows, so does what they bring, until nearly
        all moves are of the kind that serves this objective.
        """
        if not self.window or not 0 < self.latent < 1 or not observations.origins:
            return self.latent
        best = best_first(observations.y.numpy())[: max(MOVES_EACH, len(observations.smiles) // 10)]
        good = set(best.tolist())
        own = [i for i, o in enumerate(observations.origins) if o.endswith((LATENT, GRAPH))]
        won = [observations.origins[i] for i in own[-self.window :] if i in good]
        latent = sum(origin.endswith(LATENT) for origin in won)
        share = (latent + BELIEF * self.latent) / (len(won) + BELIEF)
        return min(max(share, LEAST), 1 - LEAST)

    def maker(self, observations: Observations, space: LatentSpaceProtocol) -> LatentSpaceProtocol:
        """The space that latent moves are made in: tuned on what was told by the last round number.

        A function of the evidence, so that an interrupted campaign goes on as if it had not been.
        """
        told = len(observations.smiles) // self.tune * self.tune if self.tune else 0
        y = observations.y[:told]
        if len(y) < 2 or bool((y == y[0]).all()):  # nothing to learn, or none is better
            return space
        best = best_first(y.numpy()).tolist()
        return _tuned(space, tuple(observations.smiles[i] for i in best))  # type: ignore[arg-type]

    def _drawn(
        self,
        n: int,
        chosen: Sequence[Candidate],
        observations: Observations,
        space: LatentSpaceProtocol,
        *,
        seed: int,
    ) -> list[Candidate]:
        """What the pool lacks, from the prior."""
        taken, found = observations.known | {c.smiles for c in chosen}, list[Candidate]()
        for draw in range(self.patience):
            if len(found) == n:
                break
            drawn = decode_novel(
                space,
                space.sample_prior(n - len(found), seed=spawn_seed(seed, 100, draw)),
                taken,
                bounds=observations.bounds,
                seed=spawn_seed(seed, 101, draw),
                patience=self.patience,
            )
            taken |= {c.smiles for c in drawn}
            kept = unfiltered([c.smiles for c in drawn], self.filters)
            found += [c for c in drawn if c.smiles in kept]
        if len(found) < n:
            raise CampaignError(
                f"no new molecule passes the filters {', '.join(self.filters)} after "
                f"{self.patience} draws from the prior; filter by fewer catalogues"
            )
        return found


@lru_cache(maxsize=2)
def _tuned(space: LatentSpaceProtocol, smiles: tuple[str, ...]) -> LatentSpaceProtocol:
    return space.with_finetuned_decoder(smiles)


__all__ = ["Rank"]
