"""Operators that make offspring from parents in the latent space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.base import Candidate
from molvae.errors import without_warnings
from molvae.latent.protocol import LatentSpaceProtocol

CROSSOVER_SHARE, UNLIKELY_SHARE = 1 / 3, 0.1
"""Share of branches from two parents, and share of branches that are dropped as unlikely."""
Offspring = dict[str, tuple[str, ...]]
"""Parents of each distinct offspring, all as canonical SMILES."""


def perturb_latent(
    space: LatentSpaceProtocol,
    parents: Tensor,
    *,
    radii: tuple[float, float],
    seed: int,
    smiles: Sequence[str] = (),
) -> list[Candidate]:
    """Offspring of vectors by steps towards samples of the prior, one for each parent at most.

    Half are steps from a parent; a quarter start between two parents, and a quarter with some
    coordinates of another parent, both with the smallest radius. A step of radius `r` keeps
    `sqrt(1 - r^2)` of the start and adds `r` of a sample from the prior, both relative to the
    center of the box; so offspring stay in the training distribution, and radius 1 samples it.

    Args:
        parents: `n x d`, with repeats.
        radii: Shortest and longest step, in (0, 1]; log-uniform.
        smiles: Canonical SMILES of the parents, which candidates then name.

    Returns:
        At most `n`; molecules may repeat, and may be those of the parents.

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
    radius = torch.exp(low + (high - low) * uniform(n, 1))  # n x 1
    others = torch.randint(n, (n,), generator=generator)
    partner = parents[others]
    kind, share = uniform(n, 1), uniform(n, 1)
    between = parents + share * (partner - parents)
    crossed = torch.where(uniform(n, d) < 0.5 * share, partner, parents)
    origin = torch.where(kind < 0.5, parents, torch.where(kind < 0.75, between, crossed))
    radius = torch.where(kind < 0.5, radius, radii[0])
    middle = space.bounds.mean(dim=0)
    kept = (1 - radius.square()).clamp_min(0).sqrt() * (origin - middle)
    z = middle + kept + radius * (space.sample_prior(n, seed=seed, source="density") - middle)
    z = z.clamp(
        torch.minimum(space.bounds[0], parents.amin(dim=0)),
        torch.maximum(space.bounds[1], parents.amax(dim=0)),
    )
    single = (kind[:, 0] < 0.5).tolist()
    pairs = [(i,) if alone else (i, int(others[i])) for i, alone in enumerate(single)]
    return [
        Candidate(made, vector, parents=distinct(smiles[i] for i in pair) if smiles else ())
        for made, vector, pair in zip(space.decode(z), z, pairs, strict=True)
        if made is not None
    ]


def branch_offspring(
    space: LatentSpaceProtocol, parents: Sequence[str], z: Tensor, *, seed: int
) -> Offspring:
    """Offspring that begin as a parent and end as the decoder would, see `LatentSpace.branch`.

    A third are crossovers: decoded at the vector of another parent. The least likely tenth, by the
    decoder's mean log-probability per token, is dropped.

    Args:
        parents: Canonical SMILES that the space can encode, with repeats.
        z: Their vectors, `n x d`.

    Returns:
        Fewer than parents, since some texts are no molecules.
    """
    if not parents:
        return {}
    generator = torch.Generator().manual_seed(seed)
    crossed = torch.rand(len(z), 1, generator=generator) < CROSSOVER_SHARE
    others = torch.randperm(len(z), generator=generator)
    z = torch.where(crossed, z[others], z)
    made = space.branch(parents, z, seed=seed)
    floor = np.quantile([one.log_prob for one in made], UNLIKELY_SHARE)
    found = Offspring()
    for i, one in enumerate(made):
        if one.smiles is not None and one.log_prob >= floor:
            pair = (parents[i], parents[int(others[i])]) if crossed[i] else (parents[i],)
            found.setdefault(one.smiles, distinct(pair))
    return found


def distinct(smiles: Iterable[str]) -> tuple[str, ...]:
    """Molecules without repeats, in the same order."""
    return tuple(dict.fromkeys(smiles))


def encoded(space: LatentSpaceProtocol, smiles: Sequence[str]) -> list[Candidate]:
    """Molecules with their encodings, without those that the space cannot encode."""
    with without_warnings():
        z = space.encode(smiles, skip_unknown=True)
    return [
        Candidate(molecule, vector)
        for molecule, vector in zip(smiles, z, strict=True)
        if bool(torch.isfinite(vector).all())
    ]


def sample_by_rank(n_ranked: int, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Ranks, 0 for the best, sampled evenly on a logarithmic scale, `n`."""
    u = generator.random(n)
    places = np.floor(np.exp(u * np.log(n_ranked + 1))).astype(np.int64) - 1
    ranks: NDArray[np.int64] = places.clip(max=n_ranked - 1)
    return ranks
