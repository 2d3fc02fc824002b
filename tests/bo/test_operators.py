"""`perturb_latent` and `sample_by_rank`: candidates from parents."""

from __future__ import annotations

import numpy as np
import torch

from molvae.bo.operators import perturb_latent, sample_by_rank
from molvae.latent.space import LatentSpace
from tests.toys import ToySpace


def test_perturb_latent_small_radii_keep_and_large_radii_change_molecules() -> None:
    space = ToySpace()
    parents = space.encode(space.molecules[100:101]).repeat(200, 1)
    near = perturb_latent(space, parents, radii=(1e-3, 2e-3), seed=0)
    assert {c.smiles for c in near} == {space.molecules[100]}
    far = perturb_latent(space, parents, radii=(0.5, 1.0), seed=0)
    assert len({c.smiles for c in far}) > 10
    for candidate in far:
        assert space.decode(candidate.z[None]) == [candidate.smiles]


def test_perturb_latent_children_lie_between_their_parents() -> None:
    space = ToySpace()
    low, high = space.encode([space.molecules[0], space.molecules[80]])
    parents = torch.stack([low, high]).repeat(100, 1)
    children = perturb_latent(space, parents, radii=(1e-3, 1e-3), seed=1)
    z = torch.stack([c.z for c in children])
    assert bool((z >= torch.minimum(low, high) - 0.05).all())
    assert bool((z <= torch.maximum(low, high) + 0.05).all())
    assert len({c.smiles for c in children}) > 2


def test_perturb_latent_is_reproducible_by_seed() -> None:
    space = ToySpace()
    parents = space.encode(space.molecules[:50])
    draws = [perturb_latent(space, parents, radii=(0.1, 1.0), seed=s) for s in (0, 0, 1)]
    a, b, c = ([m.smiles for m in draw] for draw in draws)
    assert a == b != c


def test_perturb_latent_of_no_parents_is_empty(space: LatentSpace) -> None:
    assert perturb_latent(space, space.encode([]), radii=(0.1, 1.0), seed=0) == []


def test_sample_by_rank_draws_better_ranks_more_often() -> None:
    drawn = sample_by_rank(100, 10_000, np.random.default_rng(0))
    assert drawn.min() == 0
    assert drawn.max() == 99
    often = np.bincount(drawn, minlength=100)
    # Evenly on a logarithmic scale: P(rank < k) = log(k + 1) / log(101).
    for k in (1, 10, 50):
        assert abs(often[:k].sum() / 10_000 - np.log(k + 1) / np.log(101)) < 0.02
    assert sample_by_rank(1, 5, np.random.default_rng(0)).tolist() == [0] * 5
