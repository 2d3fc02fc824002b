"""`neighbors`: molecules around a molecule, by distance."""

from __future__ import annotations

import math

import pytest
import torch

from molvae.analysis.neighborhood import neighbors
from molvae.analysis.vectors import unit_vectors
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.errors import ConfigError, MolvaeWarning
from molvae.latent.space import LatentSpace
from tests.toys import DenseToySpace, ForgetfulToySpace

GRID = DenseToySpace()
MIDDLE = GRID.at(5, 5, "N")
CORNER = GRID.at(1, 1, "O")


def test_unit_vectors_are_uniform_over_the_sphere() -> None:
    u = unit_vectors(4000, 3, seed=0)
    torch.testing.assert_close(u.norm(dim=1), torch.ones(4000).double())
    assert u.mean(dim=0).abs().max() < 0.05
    # Of a sphere in three dimensions each coordinate is even on [-1, 1].
    assert u.abs().mean(dim=0).tolist() == pytest.approx([0.5] * 3, abs=0.02)
    assert torch.equal(u, unit_vectors(4000, 3, seed=0))
    assert not torch.equal(u, unit_vectors(4000, 3, seed=1))


def test_neighbors_at_a_small_radius_are_the_molecule_itself() -> None:
    found = neighbors(GRID, MIDDLE, radii=[0.49], n=50)
    assert (found.same, found.nothing, found.found) == ((50,), (0,), ())
    assert found.table().empty
    assert math.isnan(found.summary()["similarity"][0])


def test_neighbors_are_listed_at_the_first_radius_of_their_cell() -> None:
    found = neighbors(GRID, MIDDLE, radii=[1.4, 0.4, 0.9], n=400)
    assert found.radii == (0.4, 0.9, 1.4)
    by_radius = {
        radius: {one.smiles for one in found.found if one.radius == radius}
        for radius in found.radii
    }
    # A quarter of a carbon chain away in a or b: these four; X changes two away.
    assert by_radius[0.4] == set()
    assert by_radius[0.9] == {GRID.at(a, b, "N") for a, b in ((4, 5), (6, 5), (5, 4), (5, 6))} | {
        GRID.at(a, b, "N") for a in (4, 6) for b in (4, 6)
    }
    assert {GRID.at(5, 5, x) for x in "OS"} <= by_radius[1.4]
    assert [one.radius for one in found.found] == sorted(one.radius for one in found.found)
    for one, after in zip(found.found[:-1], found.found[1:], strict=True):
        if one.radius == after.radius:
            assert (one.count, one.similarity) >= (after.count, after.similarity)


def test_neighbors_count_every_vector_once() -> None:
    found = neighbors(GRID, CORNER, radii=[0.3, 1.0, 3.0, 5.0], n=200)
    for place in range(4):
        others = sum(one.counts[place] for one in found.found)
        assert found.same[place] + found.nothing[place] + others == 200
    assert found.nothing[0] == 0
    assert found.nothing[3] > 100  # at a corner most of a sphere is outside of the grid
    summary = found.summary()
    assert summary["no_molecule"].tolist() == list(found.nothing)
    assert summary["decoded"].tolist() == [200] * 4
    assert summary["new"].sum() == len(found.found)


def test_neighbors_table_has_similarity_and_properties() -> None:
    found = neighbors(GRID, MIDDLE, radii=[1.0, 2.0], n=60, properties=["logP"])
    table = found.table()
    assert list(table.columns) == ["smiles", "radius", "count", "similarity", "logP", "percentile"]
    expected = tanimoto(morgan_bits(list(table["smiles"])), morgan_bits([MIDDLE]))[:, 0]
    assert table["similarity"].tolist() == expected.tolist()
    assert table["percentile"].between(0, 100).all()
    second = found.summary()["similarity"][1]
    weights = [one.counts[1] for one in found.found]
    mean = sum(w * one.similarity[0] for w, one in zip(weights, found.found, strict=True))
    assert second == pytest.approx(mean / sum(weights))


def test_neighbors_are_reproducible_by_seed() -> None:
    found = [neighbors(GRID, MIDDLE, radii=[2.0], n=20, seed=seed).found for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_neighbors_at_radius_zero_are_drawn_once() -> None:
    found = neighbors(GRID, MIDDLE, radii=[0, 0.1], n=30)
    assert found.same == (1, 30)
    assert found.at == MIDDLE


def test_neighbors_of_a_molecule_without_vector_warn() -> None:
    space = ForgetfulToySpace()
    with pytest.warns(MolvaeWarning, match="no vector that decodes to"):
        found = neighbors(space, MIDDLE, radii=[0.1], n=5)
    assert found.missed == (MIDDLE,)
    assert (found.at, found.same) == (space.at(6, 5, "N"), (0,))
    assert [one.smiles for one in found.found] == [space.at(6, 5, "N")]


@pytest.mark.parametrize(("radii", "n"), [([], 5), ([-1.0], 5), ([1.0], 0), ([math.nan], 5)])
def test_neighbors_with_invalid_arguments_raise(radii: list[float], n: int) -> None:
    with pytest.raises(ConfigError):
        neighbors(GRID, MIDDLE, radii=radii, n=n)


def test_neighbors_in_qm9_differ_more_at_larger_radii(qm9: LatentSpace) -> None:
    found = neighbors(qm9, "OCc1cc[nH]c1", radii=[0.5, 3.0, 6.0], n=40)
    assert found.missed == ()
    assert found.same[0] == 40
    assert found.same[0] > found.same[1] > found.same[2]
    assert all(one.smiles != "OCc1cc[nH]c1" for one in found.found)
