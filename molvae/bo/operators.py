"""Molecules near molecules: moves in the latent space, and moves of the graph.

Each makes candidates from parents and knows nothing of values; which parents, and which of the
children are asked for, is the strategy's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random as Generator
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem.rdChemReactions import ReactionFromSmarts
from torch import Tensor

from molvae.bo.base import Candidate
from molvae.chem.molecules import canonical_or_none
from molvae.errors import without_warnings
from molvae.latent.protocol import LatentSpaceProtocol

MUTATED, MUTATED_AFTER = 0.1, 0.01
"""Share of graph moves that only mutate one parent, and of the crossed children mutated after;
mol-ga's own numbers."""


def perturb_latent(
    space: LatentSpaceProtocol, parents: Tensor, *, radii: tuple[float, float], seed: int
) -> list[Candidate]:
    """One child for each parent that decodes to a molecule.

    Half of the parents take a step, a quarter goes part of the way to another parent, and a quarter
    takes some coordinates from another one; the latter two take the smallest step beside. A step of
    radius `r` keeps `sqrt(1 - r^2)` of a parent and adds `r` of a draw from the prior, both seen
    from the middle of the box: so children lie where molecules do, however large the steps, and
    those of radius 1 are draws from the prior.

    Args:
        space: Decodes and samples.
        parents: `n x d`; repeats are meant to be.
        radii: Shortest and longest step, in (0, 1]; drawn evenly on a logarithmic scale.
        seed: Of everything.

    Returns:
        At most `n`; molecules may occur repeatedly, and may be the parents'.

    References:
        Cotter et al. (2013), doi:10.1214/13-STS421 (preconditioned Crank-Nicolson steps).
    """
    n, d = parents.shape
    if n == 0:
        return []
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=parents.dtype)

    low, high = (float(np.log(r)) for r in radii)
    radius = torch.exp(low + (high - low) * uniform(n, 1))
    partner = parents[torch.randint(n, (n,), generator=generator)]
    kind, share = uniform(n, 1), uniform(n, 1)
    between = parents + share * (partner - parents)
    crossed = torch.where(uniform(n, d) < 0.5 * share, partner, parents)
    origin = torch.where(kind < 0.5, parents, torch.where(kind < 0.75, between, crossed))
    radius = torch.where(kind < 0.5, radius, radii[0])
    middle = space.bounds.mean(dim=0)
    kept = (1 - radius.square()).clamp_min(0).sqrt() * (origin - middle)
    z = middle + kept + radius * (space.sample_prior(n, seed=seed) - middle)
    z = z.clamp(
        torch.minimum(space.bounds[0], parents.amin(dim=0)),
        torch.maximum(space.bounds[1], parents.amax(dim=0)),
    )
    return [
        Candidate(smiles, vector)
        for smiles, vector in zip(space.decode(z), z, strict=True)
        if smiles is not None
    ]


def graph_ga_offspring(parents: Sequence[str], *, seed: int) -> list[str]:
    """Children of random pairs of parents by graph crossover and mutation.

    Args:
        parents: Canonical SMILES; repeats are meant to be.
        seed: Of everything.

    Returns:
        Canonical SMILES, none twice; fewer than parents, since not every move succeeds.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernandez-Lobato (2023), arXiv:2310.09267.
    """
    rng = Generator(seed)
    children: dict[str, None] = {}
    # mol-ga turns RDKit's logs off for the whole process; leaving this block turns them on again.
    with rdBase.BlockLogs():
        from mol_ga.graph_ga.gen_candidates import mutate, reproduce

        _compile_once()
        for parent in parents:
            try:
                if rng.random() < MUTATED:
                    child = mutate(parent, rng)
                else:
                    child = reproduce(parent, rng.choice(parents), MUTATED_AFTER, rng)
            except RuntimeError:  # of RDKit, on what a rule has made
                child = None
            if child:
                children[child] = None
    found = dict.fromkeys(canonical_or_none(child) for child in children)
    return [molecule for molecule in found if molecule is not None]


@cache
def _compile_once() -> None:
    """Keep what mol-ga compiles anew for every child: the same few patterns and reactions.

    An eighth of the time of its moves; the children are the same.
    """
    from mol_ga.graph_ga import crossover, mutate

    reactions = SimpleNamespace(ReactionFromSmarts=cache(ReactionFromSmarts))
    crossover.AllChem = mutate.AllChem = reactions
    crossover.Chem = SimpleNamespace(**vars(Chem) | {"MolFromSmarts": cache(Chem.MolFromSmarts)})


def encoded(space: LatentSpaceProtocol, smiles: Sequence[str]) -> list[Candidate]:
    """Molecules with their encodings; those that the space cannot read are left out."""
    with without_warnings():
        z = space.encode(smiles, skip_unknown=True)
    return [
        Candidate(molecule, vector)
        for molecule, vector in zip(smiles, z, strict=True)
        if bool(torch.isfinite(vector).all())
    ]


def sample_by_rank(n_ranked: int, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Places in a ranking, best first, drawn evenly on a logarithmic scale: the best often."""
    u = generator.random(n)
    places = np.floor(np.exp(u * np.log(n_ranked + 1))).astype(np.int64) - 1
    drawn: NDArray[np.int64] = places.clip(max=n_ranked - 1)
    return drawn


__all__ = ["encoded", "graph_ga_offspring", "perturb_latent", "sample_by_rank"]
