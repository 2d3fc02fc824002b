"""The graph genetic algorithm of mol-ga, behind the interface of a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random as Generator
from typing import ClassVar

from rdkit import rdBase

from molvae.bo.base import Candidate, Observations
from molvae.bo.candidates import spawn_seed
from molvae.bo.operators import encoded, graph_ga_offspring
from molvae.errors import CampaignError, require
from molvae.latent.density import proposable
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@dataclass(frozen=True, kw_only=True)
class Genetic:
    """Crossover and mutation of the best told molecules; no surrogate.

    Parents are drawn as mol-ga draws them, evenly from logarithmically spaced shares of the best.
    Unlike there, children that the latent space cannot read are left out, for each molecule of a
    campaign has a place in it, and a batch is always full.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernández-Lobato (2023), arXiv:2310.09267.
    """

    name: ClassVar[str] = "ga"
    population: int = 10_000
    """Best told molecules that can be parents."""
    patience: int = 100
    """Generations of children without enough new ones before the search is given up."""

    def __post_init__(self) -> None:
        for name in ("population", "patience"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {self}")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        with rdBase.BlockLogs():  # see `graph_ga_offspring`
            from mol_ga.sample_population import uniform_quantile_sampling

        observations.require_observations(self.name, 1)
        ranked = sorted(
            zip(observations.scores[:, 0].tolist(), observations.smiles, strict=True),
            key=lambda told: -told[0],
        )
        chosen: dict[str, Candidate] = {}
        for generation in range(self.patience):
            rng = Generator(spawn_seed(seed, generation))
            parents = uniform_quantile_sampling(ranked[: self.population], 2 * n, rng)
            children = graph_ga_offspring(parents, seed=spawn_seed(seed, generation, 0))
            unknown = [c for c in children if c not in observations.known and c not in chosen]
            new = [c for c in unknown if proposable(space, c)]
            for candidate in encoded(space, new[: n - len(chosen)]):
                chosen[candidate.smiles] = candidate
            if len(chosen) == n:
                return list(chosen.values())
        raise CampaignError(
            f"only {len(chosen)} of {n} new molecules after {self.patience} generations from "
            f"{len(ranked)} told ones; ask for fewer, or start with more molecules"
        )


__all__ = ["Genetic"]
