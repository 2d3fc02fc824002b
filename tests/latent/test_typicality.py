"""`density_percentiles` of the molecules of a campaign."""

from __future__ import annotations

import warnings

import pytest
import torch

from molvae.latent.density import density_percentiles
from tests.toys import DenseToySpace, ToySpace


def test_density_percentiles_of_a_space_without_density_are_none() -> None:
    space = ToySpace()
    assert density_percentiles(space, space.molecules[:2]) == [None, None]
    assert density_percentiles(space, []) == []


def test_density_percentiles_equal_percentiles_of_encodings() -> None:
    space = DenseToySpace()
    middle, corner = space.decode(torch.tensor([[0.0, 0.0, 1.0], [4.0, 4.0, 3.0]]).double())
    assert middle is not None
    assert corner is not None
    found = density_percentiles(space, [middle, corner])
    assert found == [pytest.approx(100 * (1 - 2 / 324)), 0.0]  # two are in the middle
    assert density_percentiles(space, [middle, corner], space.encode([middle, corner])) == found


def test_density_percentiles_of_unencodable_molecules_are_none_without_warning() -> None:
    space = DenseToySpace()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = density_percentiles(space, [space.molecules[0], "c1ccccc1"])
    assert first is not None
    assert second is None
