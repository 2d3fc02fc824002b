"""The graph genetic algorithm of mol-ga as a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random as Generator
from typing import ClassVar

from rdkit import rdBase

from molvae.bo.base import Candidate, Observations, check_at_least, documented
from molvae.bo.graph_operators import graph_ga_offspring
from molvae.bo.operators import encoded
from molvae.errors import CampaignError
from molvae.latent.density import proposable
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated, spawn_seed


@documented
@dataclass(frozen=True, kw_only=True)
class Genetic:
    """Graph crossover and mutation of the best molecules, without a surrogate.

    Parents are sampled as in mol-ga, evenly from logarithmically spaced shares of the best. Unlike
    in mol-ga, offspring that the latent space cannot encode are dropped, and batches are full.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernández-Lobato (2023), arXiv:2310.09267.
    """

    name: ClassVar[str] = "ga"
    population_size: int = 10_000
    """Number of best molecules that can be parents."""
    max_generations: int = 100
    """Generations without enough new molecules before giving up."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "population_size", "max_generations")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        with rdBase.BlockLogs():  # whose end turns logs on again, which mol-ga turns off
            from mol_ga.sample_population import uniform_quantile_sampling

        observations.require_observations(self.name, 1)
        ranked = sorted(
            zip(observations.scores[:, 0].tolist(), observations.smiles, strict=True),
            key=lambda pair: -pair[0],
        )
        chosen: dict[str, Candidate] = {}
        for generation in range(self.max_generations):
            rng = Generator(spawn_seed(seed, generation))
            parents = uniform_quantile_sampling(ranked[: self.population_size], 2 * n, rng)
            children = graph_ga_offspring(
                parents, seed=spawn_seed(seed, generation, 0), core=observations.core
            )
            unknown = [c for c in children if c not in observations.known and c not in chosen]
            new = list[str]()
            for child in (c for c in unknown if proposable(space, c)):
                if len(new) < n - len(chosen) and observations.accepts(child, [*chosen, *new]):
                    new.append(child)
            for candidate in encoded(space, new):
                parents_of = children[candidate.smiles]
                chosen[candidate.smiles] = replace(candidate, parents=parents_of)
            if len(chosen) == n:
                return list(chosen.values())
        raise CampaignError(
            f"only {len(chosen)} of {n} new molecules after {self.max_generations} generations "
            f"from {len(ranked)} observed molecules; ask for fewer, or start with more molecules"
        )
