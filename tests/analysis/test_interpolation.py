"""`interpolate`: paths between molecules, their segments and their curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from molvae.analysis.interpolation import along_density, interpolate, linear, slerp
from molvae.analysis.vectors import similarities
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.properties import score
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    MolvaeWarning,
    UnknownNameError,
    UnknownTokenError,
)
from molvae.latent.protocol import BOX_WIDTH_IN_STDS
from molvae.latent.space import LatentSpace
from tests.toys import DenseToySpace, ForgetfulToySpace

GRID = DenseToySpace()


def test_interpolate_linear_has_every_molecule_on_the_line_once() -> None:
    path = interpolate(GRID, GRID.at(2, 4, "O"), GRID.at(6, 4, "O"), steps=40)
    assert path.molecules == [GRID.at(a, 4, "O") for a in (2, 3, 4, 5, 6)]
    assert [stop.smiles for stop in path.segments] == path.molecules
    assert path.length == pytest.approx(4)
    assert (path.t[0], path.t[-1], len(path.t)) == (0.0, 1.0, 41)
    # A molecule lasts until half way to the next one.
    assert [stop.t_start for stop in path.segments] == pytest.approx(
        [0, 0.125, 0.375, 0.625, 0.875], abs=0.03
    )
    for before, after in zip(path.segments[:-1], path.segments[1:], strict=True):
        assert after.first == before.last + 1


def test_interpolate_segments_have_similarity_properties_and_percentile() -> None:
    first, last = GRID.at(2, 4, "O"), GRID.at(6, 4, "O")
    path = interpolate(GRID, first, last, steps=8, properties=("MW", "logP"))
    bits = morgan_bits([stop.smiles or "" for stop in path.segments])
    expected = tanimoto(bits, morgan_bits([first, last]))
    np.testing.assert_allclose([stop.similarity for stop in path.segments], expected)
    assert path.segments[0].similarity[0] == path.segments[-1].similarity[1] == 1
    weights = score([stop.smiles or "" for stop in path.segments], ["MW"])[:, 0]
    assert [stop.properties["MW"] for stop in path.segments] == weights.tolist()
    assert path.segments[0].percentile == float(GRID.density_percentile(GRID.encode([first])))
    table = path.table()
    assert list(table.columns) == [
        "t_start", "t_end", "smiles", "similarity_start", "similarity_end", "MW", "logP",
        "percentile",
    ]  # fmt: skip
    assert len(table) == len(path.segments)


def test_interpolate_passes_through_several_molecules() -> None:
    corners = [GRID.at(2, 2, "N"), GRID.at(4, 2, "N"), GRID.at(4, 5, "N")]
    path = interpolate(GRID, *corners, steps=10)
    assert path.molecules == [
        GRID.at(a, b, "N") for a, b in ((2, 2), (3, 2), (4, 2), (4, 3), (4, 4), (4, 5))
    ]
    assert path.t[10] == 1.0
    assert path.decoded[10] == corners[1]
    assert (path.t[-1], path.start, path.end) == (2.0, corners[0], corners[2])


def test_interpolate_there_and_back_repeats_the_segment() -> None:
    a, b = GRID.at(2, 2, "N"), GRID.at(3, 2, "N")
    path = interpolate(GRID, a, b, a, steps=4)
    assert [stop.smiles for stop in path.segments] == [a, b, a]
    assert path.molecules == [a, b]


def test_decode_path_without_molecule_gives_a_segment_with_none() -> None:
    corner, far = GRID.at(1, 1, "O"), torch.tensor([[-4.0, -4, -3], [-7, -4, -3]]).double()
    from molvae.analysis.interpolation import decode_path

    path = decode_path(GRID, far, [0.0, 3.0], name="out", start=corner)
    assert [stop.smiles for stop in path.segments] == [corner, None]
    assert math.isnan(path.segments[1].similarity[0])
    assert math.isnan(path.segments[1].properties["logP"])
    assert path.molecules == [corner]
    assert list(path.table()["similarity"].isna()) == [False, True]


def test_interpolate_ends_without_a_vector_warn_and_are_recorded() -> None:
    space = ForgetfulToySpace()
    with pytest.warns(MolvaeWarning, match="and 1 more"):
        path = interpolate(space, space.at(2, 2, "O"), space.at(4, 2, "O"))
    assert path.missed == (space.at(2, 2, "O"), space.at(4, 2, "O"))
    assert path.molecules == [space.at(a, 2, "O") for a in (3, 4, 5)]


def test_slerp_interpolates_norm_and_angle() -> None:
    a, b = torch.tensor([2.0, 0, 0]).double(), torch.tensor([0.0, 4, 0]).double()
    shares = torch.linspace(0, 1, 5).double()
    points = slerp(a, b, shares)
    assert points.norm(dim=1).tolist() == pytest.approx([2, 2.5, 3, 3.5, 4])
    angles = torch.atan2(points[:, 1], points[:, 0]) / math.pi * 180
    assert angles.tolist() == pytest.approx([0, 22.5, 45, 67.5, 90])


@pytest.mark.parametrize("b", [[4.0, 0.0], [-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
def test_slerp_without_a_great_circle_is_linear(b: list[float]) -> None:
    a, end = torch.tensor([2.0, 0.0]).double(), torch.tensor(b).double()
    shares = torch.linspace(0, 1, 5).double()
    assert torch.equal(slerp(a, end, shares), linear(a, end, shares))


class Bell:
    """N(0, I) in two dimensions."""

    bounds = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).double() * BOX_WIDTH_IN_STDS / 2

    def log_density(self, z: torch.Tensor) -> torch.Tensor:
        return -0.5 * z.square().sum(dim=1)


@pytest.mark.parametrize("weight", [2.0, 10.0, 40.0])
def test_along_density_equals_the_exact_curve(weight: float) -> None:
    """The smallest integral of z'^2 + weight z^2 / 2 has z'' = weight / 2 z: a cosh in x."""
    a, b = torch.tensor([3.0, -2.0]).double(), torch.tensor([3.0, 2.0]).double()
    (middle,) = along_density(Bell(), a, b, torch.tensor([0.5]).double(), weight=weight)  # type: ignore[arg-type]
    assert middle[0].item() == pytest.approx(3 / math.cosh(math.sqrt(weight / 2) / 2), rel=0.03)
    assert middle[1].item() == pytest.approx(0, abs=1e-4)


def test_along_density_with_zero_weight_is_linear() -> None:
    a, b = torch.tensor([3.0, -2.0]).double(), torch.tensor([3.0, 2.0]).double()
    shares = torch.linspace(0, 1, 7).double()
    bent = along_density(Bell(), a, b, shares, weight=0)  # type: ignore[arg-type]
    torch.testing.assert_close(bent, linear(a, b, shares))
    same = along_density(Bell(), a, a, shares, weight=0)  # type: ignore[arg-type]
    torch.testing.assert_close(same, a.repeat(7, 1))


def test_interpolate_kinds_share_ends_and_differ_between() -> None:
    ends = GRID.at(1, 5, "O"), GRID.at(9, 8, "S")
    ways = {kind: interpolate(GRID, *ends, kind=kind) for kind in ("linear", "slerp", "density")}  # type: ignore[arg-type]
    z = GRID.encode(list(ends))
    for kind, path in ways.items():
        assert torch.equal(path.z[[0, -1]], z), kind
        assert path.missed == ()
    density = {kind: float(np.mean(path.log_density)) for kind, path in ways.items()}
    assert density["density"] > density["linear"] > density["slerp"]
    assert ways["linear"].length < min(ways["slerp"].length, ways["density"].length)


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"steps": 0}, ConfigError, "steps"),
        ({"weight": -1.0}, ConfigError, "weight"),
        ({"kind": "curved"}, UnknownNameError, "linear"),
        ({"properties": ["beauty"]}, UnknownNameError, "beauty"),
    ],
)
def test_interpolate_with_invalid_arguments_raises(
    arguments: dict[str, object], error: type[Exception], part: str
) -> None:
    with pytest.raises(error, match=part):
        interpolate(GRID, GRID.at(2, 2, "O"), GRID.at(4, 2, "O"), **arguments)  # type: ignore[arg-type]


def test_interpolate_of_unreadable_molecules_raises() -> None:
    with pytest.raises(ConfigError, match="two molecules"):
        interpolate(GRID, "OCOC")
    with pytest.raises(InvalidMoleculeError):
        interpolate(GRID, "OCOC", "C(")
    with pytest.raises(UnknownTokenError):
        interpolate(GRID, "OCOC", "c1ccccc1")


def test_similarities_of_no_molecule_are_nan() -> None:
    found = similarities([None, "CCO", "CCO"], ["OCC", "CCN"])
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == found[2].tolist()
    assert found[1, 0] == 1
    assert similarities([], ["C"]).shape == (0, 1)


@pytest.mark.parametrize("kind", ["linear", "slerp", "density"])
def test_interpolate_in_qm9_begins_and_ends_at_its_molecules(
    qm9: LatentSpace, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.analysis.interpolation.N_STEPS", 10)
    path = interpolate(qm9, "CC1CC1C#N", "OCc1cc[nH]c1", steps=20, kind=kind)  # type: ignore[arg-type]
    assert path.missed == ()
    assert (path.decoded[0], path.decoded[-1]) == ("CC1CC1C#N", "OCc1cc[nH]c1")
    assert len(path.molecules) > 2
    assert 0 <= min(path.percentile) <= max(path.percentile) <= 100
