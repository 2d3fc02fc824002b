"""`decode_novel`, `decoded_pool` and `propose_decoded`: new molecules for vectors."""

from __future__ import annotations

import pytest
import torch

from molvae.bo.base import Observations
from molvae.bo.candidates import (
    decode_novel,
    decoded_pool,
    local_and_global_samples,
    propose_decoded,
)
from molvae.errors import CampaignError
from molvae.model.isolation import spawn_seed
from tests.toys import ToySpace


def test_decode_novel_of_unknown_molecules_gives_them_at_their_z() -> None:
    space = ToySpace()
    z = space.encode(space.molecules[:5])
    candidates = decode_novel(space, z, set(), bounds=space.bounds, seed=0)
    assert [c.smiles for c in candidates] == space.molecules[:5]
    assert torch.equal(torch.stack([c.z for c in candidates]), z)


def test_decode_novel_of_a_known_molecule_gives_a_neighbor() -> None:
    space = ToySpace()
    z = space.encode([space.molecules[200]])
    (candidate,) = decode_novel(space, z, {space.molecules[200]}, bounds=space.bounds, seed=0)
    assert candidate.smiles != space.molecules[200]
    assert float((space.encode([candidate.smiles]) - z).norm()) < 4  # of a grid 8 x 8 x 6
    assert space.decode(candidate.z[None]) == [candidate.smiles]


def test_decode_novel_of_repeated_vectors_gives_distinct_molecules() -> None:
    space = ToySpace()
    z = space.encode([space.molecules[100]] * 4)
    smiles = [c.smiles for c in decode_novel(space, z, set(), bounds=space.bounds, seed=0)]
    assert smiles[0] == space.molecules[100]
    assert len(set(smiles)) == 4


def test_decode_novel_of_a_vector_without_molecule_searches_around() -> None:
    space = ToySpace()
    corner = space.bounds[1:].clone()
    assert space.decode(corner) == [None]
    (candidate,) = decode_novel(space, corner, set(), bounds=space.bounds, seed=0)
    assert candidate.smiles in space.molecules


def test_decode_novel_finds_the_last_molecule_by_the_prior() -> None:
    space = ToySpace()
    taken = set(space.molecules) - {space.molecules[7]}
    far = space.encode([space.molecules[-1]])
    (candidate,) = decode_novel(
        space, far, taken, bounds=space.bounds, seed=0, rounds=0, max_attempts=100_000
    )
    assert candidate.smiles == space.molecules[7]


def test_decode_novel_without_new_molecules_raises() -> None:
    space = ToySpace()
    with pytest.raises(CampaignError, match="324 molecules are in the campaign already"):
        decode_novel(
            space, space.encode(space.molecules[:2]), space.molecules, bounds=space.bounds, seed=0
        )


def test_decode_novel_of_no_vectors_is_empty() -> None:
    space = ToySpace()
    assert decode_novel(space, space.encode([]), set(), bounds=space.bounds, seed=0) == []


def _observed(space: ToySpace, known: list[str]) -> Observations:
    z = space.encode(known)
    return Observations(
        smiles=tuple(known),
        z=z,
        y=z[:, :1],
        pending_z=z[:0],
        known=frozenset(known),
        bounds=space.bounds,
    )


def test_decoded_pool_holds_new_molecules_with_their_own_encodings() -> None:
    space = ToySpace()
    known = space.molecules[:3]
    away = space.encode(space.molecules[:6]) + 0.2
    pool = decoded_pool(space, away, _observed(space, known), seed=0)
    assert [one.smiles for one in pool] == space.molecules[3:6]
    assert torch.equal(torch.stack([one.z for one in pool]), space.encode(space.molecules[3:6]))


def test_propose_decoded_takes_the_best_at_their_encodings_and_fills_the_batch() -> None:
    space = ToySpace()
    asked: list[int] = []

    def value(z: torch.Tensor, chosen: object) -> torch.Tensor:
        asked.append(len(chosen))  # type: ignore[arg-type]
        return -z.sum(dim=1)

    z = space.encode(space.molecules[10:14])
    found = propose_decoded(
        space,
        z,
        value,
        _observed(space, space.molecules[:3]),
        6,
        seed=0,
        max_attempts=512,
    )
    smiles = [one.smiles for one in found]
    low_first = sorted(range(10, 14), key=lambda i: float(space.encode([space.molecules[i]]).sum()))
    assert smiles[:4] == [space.molecules[i] for i in low_first]
    assert asked == [0, 1, 2, 3, 4]
    assert len({*smiles} - {*space.molecules[:3]}) == len(smiles)


def test_local_and_global_samples_stay_within_bounds() -> None:
    space = ToySpace()
    best = space.encode(space.molecules[:3])
    z = local_and_global_samples(best, space.bounds, 64, share=0.5, sigma=0.01, seed=0)
    assert z.shape == (64, 3)
    assert z.dtype == torch.float64
    assert bool(((z >= space.bounds[0]) & (z <= space.bounds[1])).all())
    near = torch.cdist(z, best).min(dim=1).values
    assert float(near[:32].max()) < 1.0
    assert float(near[:32].min()) > 0.0
    assert float(near[32:].median()) > 3.0
    again = local_and_global_samples(best, space.bounds, 64, share=0.5, sigma=0.01, seed=0)
    assert torch.equal(z, again)
    assert (
        len(local_and_global_samples(best, space.bounds, 64, share=1.0, sigma=0.01, seed=0)) == 64
    )


def test_local_samples_in_many_dimensions_change_few_of_them() -> None:
    bounds = torch.tensor([[-1.0], [1.0]]).double().expand(2, 100)
    z = local_and_global_samples(
        torch.zeros(1, 100).double(), bounds, 200, share=1.0, sigma=0.1, seed=0
    )
    moved = (z != 0).sum(dim=1)
    assert int(moved.min()) >= 1
    assert 15 < float(moved.double().mean()) < 25


def test_spawn_seed_values_are_distinct_and_stable() -> None:
    seeds = {spawn_seed(seed, n) for seed in range(20) for n in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
    # Proposals of existing records hang on these numbers.
    assert spawn_seed(0, 100) == 752779187
