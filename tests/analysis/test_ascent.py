"""`gradient_ascent` and `ascend`: paths reach the optimum, keep to bounds, have true values."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch

from molvae.analysis.ascent import (
    AscentTarget,
    ascend,
    campaign_target,
    direction_target,
    gradient_ascent,
    head_target,
)
from molvae.analysis.directions import head_direction, property_direction
from molvae.campaign.campaign import Campaign
from molvae.chem.properties import score
from molvae.errors import CampaignError, ConfigError, UnknownNameError
from molvae.latent.space import LatentSpace
from tests.toys import DenseToySpace, ToyObjective, begin

GRID = DenseToySpace()
TOP = GRID.at(7, 2, "S")  # at z = (2, -3, 1)


def test_gradient_ascent_of_minus_distance_ends_at_the_optimum() -> None:
    starts = [GRID.at(2, 8, "O"), GRID.at(9, 9, "S"), TOP]
    ways = gradient_ascent(GRID, starts, "-distance")
    for way, start in zip(ways, starts, strict=True):
        assert way.path.decoded[-1] == TOP
        assert way.ended == "converged"
        assert way.path.start == start
        assert not way.started_outside
        # It is the straight way: nothing else is climbed.
        assert way.path.t[-1] == pytest.approx(way.predicted[0], abs=0.1)
        assert all(a >= b for a, b in zip(way.predicted[:-1], way.predicted[1:], strict=True))
    assert len(ways[2].path.z) == 1
    assert (ways[0].target, ways[0].sign) == ("-distance", -1)


def test_ascend_of_a_slope_goes_to_the_bounds_and_along_them() -> None:
    def up(z: torch.Tensor) -> torch.Tensor:
        return z @ torch.tensor([1.0, 0.2, 0.0], dtype=z.dtype)

    z = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]).double()
    ways, ended = ascend(GRID, z, up, step=0.5, steps=500)
    high = GRID.bounds[1]
    torch.testing.assert_close(ways[0][-1], torch.stack([high[0], high[1], torch.tensor(0.0)]))
    # The box of one that begins outside is wider, for this one only.
    torch.testing.assert_close(ways[1][-1], torch.tensor([9.0, float(high[1]), 0.0]).double())
    assert ended == ["converged", "converged"]
    assert [tuple(way[0].tolist()) for way in ways] == [tuple(row.tolist()) for row in z]


def test_gradient_ascent_steps_have_one_length_and_a_maximum_number() -> None:
    (way,) = gradient_ascent(GRID, [GRID.at(1, 5, "O")], "a", step=0.5, steps=6)
    assert way.ended == "max_steps"
    assert way.path.t == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3])
    assert way.predicted == pytest.approx([1, 1.5, 2, 2.5, 3, 3.5, 4])
    assert way.path.molecules == [GRID.at(a, 5, "O") for a in (1, 2, 3, 4)]


def test_ascend_of_a_ridge_does_not_zigzag() -> None:
    """Steep in y, gentle in x: steps across the ridge are halved, not taken."""

    def up(z: torch.Tensor) -> torch.Tensor:
        return z[:, 0] - 5 * z[:, 1].square()

    z = torch.tensor([[-4.0, 1.0, 0.0]]).double()
    (way,), _ = ascend(GRID, z, up, step=0.5, steps=60)
    assert up(way).diff().min() > 0
    assert way[-1, 0] > 3
    assert way[10:, 1].abs().max() < 0.25


def test_gradient_ascent_min_percentile_bounds_the_path() -> None:
    start = GRID.at(6, 6, "N")
    (free,) = gradient_ascent(GRID, [start], "a")
    (kept,) = gradient_ascent(GRID, [start], "a", min_percentile=40)
    assert min(free.path.percentile) < 40 <= min(kept.path.percentile)
    assert kept.ended == "bounded"
    assert kept.path.t[-1] < free.path.t[-1]
    (rare,) = gradient_ascent(GRID, [GRID.at(9, 9, "C(=O)")], "a", min_percentile=40)
    assert rare.ended == "bounded"
    assert min(rare.path.percentile) == rare.path.percentile[0] < 40


def test_gradient_ascent_ood_distance_is_where_density_falls_below_1_percent() -> None:
    (way,) = gradient_ascent(GRID, [GRID.at(6, 9, "N")], "a", steps=100)
    assert way.ood_distance is not None
    here = way.path.t.index(way.ood_distance)
    assert way.path.percentile[here] < 1 <= way.path.percentile[here - 1]
    (stays,) = gradient_ascent(GRID, [GRID.at(6, 6, "N")], "-distance")
    assert stays.ood_distance is None


def test_gradient_ascent_true_values_equal_scores_of_its_molecules(
    qm9: LatentSpace,
) -> None:
    ways = gradient_ascent(qm9, ["OCc1cc[nH]c1", "CC1CC1C#N"], "-SAS", steps=12, step=0.5)
    for way in ways:
        molecules = [stop.smiles or "" for stop in way.path.segments]
        assert list(way.true) == score(molecules, ["SAS"])[:, 0].tolist()
        assert way.gain == way.true[0] - way.true[-1]
        column = list(qm9.properties).index("SAS")
        read = qm9.property_head(way.path.z).detach()[:, column]
        assert way.predicted == pytest.approx(read.tolist())
        assert way.predicted[-1] < way.predicted[0]
        table = way.table()
        assert list(table.columns[:5]) == ["t_start", "t_end", "smiles", "predicted", "true"]
    again = gradient_ascent(qm9, ["CC1CC1C#N"], "-SAS", steps=12, step=0.5)[0]
    # What others there are changes nothing but the last bits of their sums.
    torch.testing.assert_close(again.path.z, ways[1].path.z, atol=1e-4, rtol=0)


def test_gradient_ascent_started_outside_the_bounds_is_flagged() -> None:
    class Narrow(DenseToySpace):
        def __init__(self) -> None:
            super().__init__()
            self.bounds = self.bounds / 4

    space = Narrow()
    inside, outside = gradient_ascent(space, [space.at(5, 5, "N"), space.at(8, 5, "N")], "a")
    assert (inside.started_outside, outside.started_outside) == (False, True)
    assert inside.path.z[-1, 0] == pytest.approx(float(space.bounds[1, 0]))
    assert outside.path.z[-1, 0] == outside.path.z[0, 0] == 3.0


def test_gradient_ascent_of_a_direction_and_its_negative_both_gain() -> None:
    z = GRID.encode(GRID.molecules)
    learned = property_direction(z, score(GRID.molecules, ["logP"])[:, 0], "logP")
    up, down = (
        gradient_ascent(GRID, [GRID.at(5, 5, "N")], d, steps=8)[0] for d in (learned, -learned)
    )
    assert (up.target, down.target) == ("logP", "-logP")
    assert up.gain > 0
    assert down.gain > 0
    assert up.true[-1] > up.true[0] == down.true[0] > down.true[-1]
    assert up.predicted[-1] - up.predicted[0] == pytest.approx(2 * learned.slope)
    assert down.predicted[-1] - down.predicted[0] == pytest.approx(-2 * learned.slope)
    nameless = direction_target(head_direction(GRID, "a"))
    (way,) = gradient_ascent(GRID, [GRID.at(5, 5, "N")], nameless, steps=4)
    assert all(map(math.isnan, way.true))
    assert math.isnan(way.gain)


def test_campaign_target_ascent_follows_values_of_the_campaign(tmp_path: Path) -> None:
    objective = ToyObjective()
    spread = GRID.molecules[::7]
    with begin(tmp_path / "c.db", start=spread) as campaign:  # type: ignore[attr-defined]
        campaign.run(len(spread))
        hill = campaign_target(campaign)
        told = {trial.smiles: trial.values["hill"] for trial in campaign.trials}
    assert hill.name == "hill"
    ways = gradient_ascent(GRID, [GRID.at(2, 8, "O"), spread[3]], hill, steps=60)
    for way in ways:
        near = GRID.encode([way.path.molecules[-1]])
        assert (near - objective.top).norm() < 2.1  # it has seen every seventh molecule only
        known = [told.get(stop.smiles or "", math.nan) for stop in way.path.segments]
        assert [*map(str, way.true)] == [*map(str, known)]
    assert ways[1].true[0] == told[spread[3]]


def test_campaign_target_of_minimization_descends(tmp_path: Path) -> None:
    start = GRID.molecules[::9]
    with Campaign.create(
        tmp_path / "c.db", GRID, objective="logp", direction="minimize", start=start
    ) as campaign:
        campaign.run(len(start))
        hill = campaign_target(campaign)
    (way,) = gradient_ascent(GRID, [GRID.at(8, 8, "N")], hill, steps=12)
    assert way.sign == -1
    assert way.predicted[-1] < way.predicted[0]
    # RDKit computes it, so it is known of every molecule.
    molecules = [stop.smiles or "" for stop in way.path.segments]
    assert list(way.true) == pytest.approx(score(molecules, ["logP"])[:, 0].tolist())
    assert way.gain > 0


def test_campaign_target_without_values_raises(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign, pytest.raises(CampaignError, match="evaluated"):  # type: ignore[attr-defined]
        campaign_target(campaign)


@pytest.mark.parametrize(
    "numbers", [{"step": 0.0}, {"steps": 0}, {"min_percentile": -1.0}, {"min_percentile": 101.0}]
)
def test_gradient_ascent_with_numbers_out_of_range_raises(numbers: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        gradient_ascent(GRID, [TOP], "a", **numbers)  # type: ignore[arg-type]


def test_gradient_ascent_of_unknown_head_or_no_start_raises() -> None:
    with pytest.raises(UnknownNameError, match="distance"):
        gradient_ascent(GRID, [TOP], "-height")
    with pytest.raises(ConfigError, match="at least one"):
        gradient_ascent(GRID, [], "a")
    assert head_target(GRID, "-a").sign == -1
    flat = AscentTarget(name="flat", up=lambda z: 0 * z.sum(dim=1))
    (way,) = gradient_ascent(GRID, [TOP], flat)
    assert (way.ended, len(way.path.z)) == ("converged", 1)


def test_ascend_of_very_small_values_goes_as_far() -> None:
    def up(z: torch.Tensor, unit: float) -> torch.Tensor:
        return (2.0 + z @ torch.tensor([1.0, 0.2, 0.0], dtype=z.dtype)) * unit

    ways = []
    for unit in (1.0, 1e-15):
        ((way,), _) = ascend(
            GRID, torch.zeros(1, 3).double(), partial(up, unit=unit), step=0.5, steps=20
        )
        ways.append(way[-1])
    torch.testing.assert_close(*ways)
