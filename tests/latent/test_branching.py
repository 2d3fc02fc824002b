"""Branches: molecules that begin as another one and end as the decoder would."""

from __future__ import annotations

import pytest
import torch

import molvae
from molvae.bo.candidates import branches_near, decode_novel
from molvae.bo.operators import branch_offspring
from molvae.chem.datasets import sample_molecules
from molvae.chem.molecules import canonical_or_none
from molvae.errors import ConfigError, UnknownTokenError
from molvae.latent.space import LatentSpace


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    return molvae.load("zinc250k")


@pytest.fixture(scope="module")
def molecules() -> list[str]:
    return sample_molecules("zinc250k", 40, seed=3)


def test_branch_gives_other_canonical_molecules_reproducibly(
    space: LatentSpace, molecules: list[str]
) -> None:
    found = space.branch(molecules, seed=1)
    assert len(found) == len(molecules)
    made = [one.smiles for one in found if one.smiles is not None]
    assert len(made) > 20
    assert len(set(made) - set(molecules)) > 20
    assert all(canonical_or_none(one) == one for one in made)
    assert all(one.log_prob <= 0 for one in found)
    assert space.branch(molecules, seed=1) == found
    assert space.branch(molecules, seed=2) != found


def test_branch_gives_none_for_tokens_that_need_repair(
    space: LatentSpace, molecules: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = space.branch(molecules * 3, seed=1)
    monkeypatch.setattr(
        type(space.representation), "is_valid_as_written", lambda self, tokens: True
    )
    repaired = space.branch(molecules * 3, seed=1)
    lost = [b.smiles for a, b in zip(found, repaired, strict=True) if a.smiles is None]
    assert any(one is not None for one in lost)
    assert all(a in (b, b._replace(smiles=None)) for a, b in zip(found, repaired, strict=True))


def test_branch_at_other_vectors_gives_other_molecules(
    space: LatentSpace, molecules: list[str]
) -> None:
    z = space.encode(molecules).roll(1, dims=0)
    assert space.branch(molecules, z, seed=1) != space.branch(molecules, seed=1)
    with pytest.raises(ConfigError, match="39 vectors"):
        space.branch(molecules, z[1:])
    with pytest.raises(UnknownTokenError):
        space.branch(["[Xe]"])
    assert space.branch([]) == []


def test_branch_offspring_is_distinct_and_reproducible(
    space: LatentSpace, molecules: list[str]
) -> None:
    found = branch_offspring(space, molecules, space.encode(molecules), seed=0)
    assert len(found) == len(set(found)) > 20
    assert found == branch_offspring(space, molecules, space.encode(molecules), seed=0)
    assert branch_offspring(space, [], torch.empty(0, space.dim).double(), seed=0) == {}


def test_decode_novel_replaces_known_molecules_by_their_nearest_branch(
    space: LatentSpace, molecules: list[str]
) -> None:
    z = space.encode(molecules[:3])
    at = [smiles for smiles in space.decode(z) if smiles is not None]
    found = decode_novel(space, z, at, bounds=space.bounds, seed=0)
    assert len({candidate.smiles for candidate in found} - set(at)) == 3
    nearest = [several[0].smiles for several in branches_near(space, z, seed=0)]
    assert len({c.smiles for c in found} & set(nearest)) >= 1
    refused = nearest[0]
    again = decode_novel(
        space, z, at, bounds=space.bounds, seed=0, accepts=lambda smiles, _: smiles != refused
    )
    assert refused not in {candidate.smiles for candidate in again}
