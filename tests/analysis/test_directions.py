"""`LatentDirection`, `traverse` and `analogy`, on a toy space with exact answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from molvae.analysis.directions import (
    LatentDirection,
    analogy,
    group_direction,
    head_direction,
    orthogonalize,
    property_direction,
    same_transformation,
    traverse,
)
from molvae.errors import ConfigError, DataError, UnknownNameError
from molvae.latent.space import LatentSpace
from tests.toys import DenseToySpace

GRID = DenseToySpace()
Z = GRID.encode(GRID.molecules)


def unit(*numbers: float) -> torch.Tensor:
    found = torch.tensor(numbers, dtype=torch.float64)
    return found / found.norm()


def direction(name: str, *numbers: float) -> LatentDirection:
    return LatentDirection(name=name, unit=unit(*numbers), slope=1.0, r2=1.0)


def test_property_direction_finds_unit_vector_and_slope() -> None:
    found = property_direction(Z, (2 * Z[:, 0] - Z[:, 1] + 7).numpy(), "mixed")
    torch.testing.assert_close(found.unit, unit(2, -1, 0), atol=1e-4, rtol=0)
    assert found.slope == pytest.approx(math.sqrt(5), rel=1e-3)
    assert found.r2 == pytest.approx(1, abs=1e-5)
    assert found.name == "mixed"


def test_property_direction_r2_is_held_out_and_near_zero_for_noise() -> None:
    noise = np.random.default_rng(0).normal(size=len(Z))
    assert property_direction(Z, noise, "noise").r2 < 0.05
    half = property_direction(Z, Z[:, 0].numpy() + noise * float(Z[:, 0].std()), "half")
    assert half.r2 == pytest.approx(0.5, abs=0.08)
    assert (half.unit @ unit(1, 0, 0)).item() > 0.98
    assert half.r2 == property_direction(Z, Z[:, 0].numpy() + noise * float(Z[:, 0].std()), "").r2


def test_property_direction_leaves_out_nan_values_and_vectors() -> None:
    values, z = Z[:, 2].numpy().copy(), Z.clone()
    values[::3], z[1::3] = math.nan, math.nan
    torch.testing.assert_close(
        property_direction(z, values, "x").unit, unit(0, 0, 1), atol=1e-3, rtol=0
    )


def test_group_direction_is_the_difference_of_means() -> None:
    first, second = Z[Z[:, 2] == -3], Z[Z[:, 2] == 3]
    found = group_direction(first, second, "carbonyl")
    torch.testing.assert_close(found.unit, unit(0, 0, 1))
    assert found.slope == pytest.approx(1 / 6)
    assert found.r2 == pytest.approx(1, abs=0.01)
    mixed = group_direction(Z[::2], Z[1::2], "nothing")
    assert mixed.r2 < 0.1
    nan = torch.full((4, 3), math.nan).double()
    assert torch.equal(group_direction(torch.cat([first, nan]), second, "").unit, found.unit)


def test_head_direction_is_the_row_of_the_property_head() -> None:
    found = head_direction(GRID, "b")
    assert torch.equal(found.unit, unit(0, 1, 0))
    assert found.slope == 1
    assert math.isnan(found.r2)
    with pytest.raises(UnknownNameError, match="distance"):
        head_direction(GRID, "c")


def test_orthogonalize_removes_the_part_along_held_directions() -> None:
    mixed = direction("mixed", 1, 1, 0)
    held = orthogonalize(mixed, [direction("b", 0, 1, 0)])
    torch.testing.assert_close(held.unit, unit(1, 0, 0))
    assert held.left == pytest.approx(math.sqrt(0.5))
    assert held.slope == pytest.approx(math.sqrt(0.5))
    assert str(held) == "mixed with b held"
    assert orthogonalize(mixed, []) is mixed
    # Those that are held need not be at right angles, and stay held when others are added.
    both = orthogonalize(
        direction("all", 1, 1, 1), [direction("b", 0, 1, 0), direction("bc", 0, 1, 1)]
    )
    torch.testing.assert_close(both.unit, unit(1, 0, 0))
    again = orthogonalize(
        orthogonalize(direction("all", 1, 2, 3), [direction("x", 1, 1, 0)]), [mixed, held]
    )
    torch.testing.assert_close(again.unit, unit(0, 0, 1))


def test_orthogonalize_with_nothing_left_raises() -> None:
    with pytest.raises(ConfigError, match=r"nothing of a is left when b, c must not change"):
        orthogonalize(direction("a", 1, 1, 0), [direction("b", 1, 0, 0), direction("c", 0, 1, 0)])


def test_traverse_changes_only_the_property_of_its_direction() -> None:
    path = traverse(GRID, GRID.at(5, 4, "S"), direction("a", 1, 0, 0), length=3, steps=30)
    assert path.molecules == [GRID.at(a, 4, "S") for a in (2, 3, 4, 5, 6, 7, 8)]
    assert (path.t[0], path.t[30], path.t[-1]) == (-3.0, 0.0, 3.0)
    assert path.decoded[30] == path.start == GRID.at(5, 4, "S")
    assert path.end is None
    assert list(path.table().columns[:4]) == ["t_start", "t_end", "smiles", "similarity"]
    assert path.table()["similarity"].max() == 1
    one_side = traverse(GRID, GRID.at(5, 4, "S"), -direction("a", 1, 0, 0), length=3, both=False)
    assert one_side.molecules == [GRID.at(a, 4, "S") for a in (5, 4, 3, 2)]
    assert (-direction("a", 1, 0, 0)).slope == -1


def test_traverse_with_a_held_direction_keeps_the_held_property() -> None:
    values = {"a": Z[:, 0] + Z[:, 1], "b": Z[:, 1]}
    found = {name: property_direction(Z, v.numpy(), name) for name, v in values.items()}
    path = traverse(
        GRID, GRID.at(4, 4, "N"), orthogonalize(found["a"], [found["b"]]), length=2, steps=20
    )
    assert path.molecules == [GRID.at(a, 4, "N") for a in (2, 3, 4, 5, 6)]


@pytest.mark.parametrize("numbers", [{"length": 0.0}, {"length": -1.0}, {"steps": 0}])
def test_traverse_with_invalid_length_or_steps_raises(numbers: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        traverse(GRID, GRID.at(5, 4, "S"), direction("a", 1, 0, 0), **numbers)  # type: ignore[arg-type]


def test_analogy_makes_the_same_change() -> None:
    a, b, c = GRID.at(4, 4, "O"), GRID.at(4, 4, "N"), GRID.at(6, 5, "O")
    found = analogy(GRID, a, b, c, n=50)
    answer = found.found[0]
    assert answer.smiles == found.at == GRID.at(6, 5, "N")
    assert answer.radius == 0
    assert found.given == (a, b, c)
    assert not {a, b, c} & {one.smiles for one in found.found}
    columns = ["smiles", "radius", "count", "similarity_1", "similarity_2", "similarity_3"]
    assert list(found.table().columns[:6]) == columns
    changes = same_transformation(a, b, c, [one.smiles for one in found.found])
    assert changes[0] > 0.9
    assert changes[0] >= max(changes) - 0.1


def test_same_transformation_without_a_change_is_zero() -> None:
    assert same_transformation("CCO", "CCO", "CCN", ["CCC"]) == [0.0]
    assert same_transformation("CCO", "CCN", "CCCO", ["CCCO"]) == [0.0]
    (same,) = same_transformation("CCO", "CCN", "CCO", ["CCN"])
    (back,) = same_transformation("CCO", "CCN", "CCN", ["CCO"])
    assert (same, back) == (pytest.approx(1), pytest.approx(-1))


def test_directions_from_too_few_or_equal_values_raise() -> None:
    with pytest.raises(DataError, match="at least 10"):
        property_direction(Z[:9], Z[:9, 0].numpy(), "a")
    with pytest.raises(DataError, match="different values"):
        property_direction(Z, np.ones(len(Z)), "one")
    with pytest.raises(ConfigError, match="as many values"):
        property_direction(Z, [1.0], "one")
    with pytest.raises(DataError, match="each group"):
        group_direction(Z[:20], Z[:5], "few")
    with pytest.raises(DataError, match="no direction"):
        group_direction(Z[:20], Z[:20], "same")


def test_traverse_in_qm9_moves_one_prediction_and_keeps_held_ones(
    qm9: LatentSpace,
) -> None:
    heads = {name: head_direction(qm9, name) for name in qm9.properties}
    direction = orthogonalize(heads["logP"], [heads["SAS"], heads["QED"]])
    path = traverse(qm9, "OCc1cc[nH]c1", direction, length=2, steps=10)
    read = qm9.property_head(path.z[[0, -1]]).detach()
    change = (read[1] - read[0]).tolist()
    by_name = dict(zip(qm9.properties, change, strict=True))
    assert by_name["logP"] == pytest.approx(4 * direction.slope, rel=1e-3)
    assert by_name["SAS"] == pytest.approx(0, abs=1e-4)
    assert by_name["QED"] == pytest.approx(0, abs=1e-4)
