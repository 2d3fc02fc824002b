"""Strategy `turbo`: side length and restarts of the trust region."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from molvae.bo.strategies.turbo import Turbo
from molvae.errors import ConfigError
from tests.contracts import toy_observations
from tests.toys import ToySpace

TURBO = Turbo()


def region(*batches: float) -> tuple[float, int]:
    """After batches of 8 in 16 dimensions, so that 2 failures in a row halve the side."""
    y = torch.tensor(batches, dtype=torch.float64).repeat_interleave(8)
    return TURBO.region(y, 8, 16)


def test_turbo_side_doubles_with_success_and_halves_with_failure() -> None:
    assert region(1.0) == (0.8, 0)
    assert region(1.0, 2.0, 3.0) == (1.6, 0)
    assert region(*(float(i) for i in range(1, 12))) == (1.6, 0)
    assert region(1.0, 0.0) == (0.8, 0)
    assert region(1.0, 0.0, 0.0) == (0.4, 0)
    assert region(1.0, 0.0, 2.0, 0.0) == (0.8, 0)
    # A gain below a thousandth of the way from the median to the best is none.
    assert region(0.0, 0.0, 1.0, 1.0005, 1.0005) == (0.4, 0)


def test_turbo_restarts_after_the_side_is_too_short() -> None:
    lost = [1.0, *[0.0] * 14]  # 7 halvings of 0.8
    assert region(*lost) == (0.8, 8 * 15)
    # Draws from the prior come first (20 of them), and count as neither success nor failure.
    assert region(*lost, 0.5, 0.4, 0.3) == (0.8, 8 * 15)
    assert region(*lost, 0.5, 0.4, 0.3, 0.4, 0.4) == (0.4, 8 * 15)
    assert region(*lost, 0.5, 0.4, 0.3, 0.6, 0.7, 0.8) == (1.6, 8 * 15)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, -50.0), (1e-9, 0.0), (1e9, 1e3)])
def test_turbo_region_in_another_unit_is_the_same(scale: float, shift: float) -> None:
    for seed in range(20):
        y = torch.randn(120, generator=torch.Generator().manual_seed(seed)).double()
        y += torch.linspace(0, 1, 120)  # some successes
        assert TURBO.region(scale * y + shift, 8, 16) == TURBO.region(y, 8, 16)


@pytest.mark.parametrize("d", [8, 32])
def test_turbo_initial_molecules_count_as_no_batch(d: int) -> None:
    y = torch.rand(100, generator=torch.Generator().manual_seed(0)).double()
    start = torch.zeros(100, dtype=torch.bool)
    assert TURBO.region(y, 10, d, start) == (0.8, 0)
    own = torch.cat([start, torch.ones(40, dtype=torch.bool)])
    better = torch.cat([y, 1 + torch.linspace(0.1, 1, 40).double()])
    assert TURBO.region(better, 10, d, own) == (1.6, 0)
    worse = torch.cat([y, torch.zeros(40).double()])
    assert TURBO.region(worse, 10, d, own)[0] < 0.8


def test_turbo_incomplete_batch_changes_no_side() -> None:
    y = torch.tensor([1.0] * 8 + [0.0] * 15, dtype=torch.float64)
    assert TURBO.region(y, 8, 16) == (0.8, 0)
    assert TURBO.region(torch.cat([y, y.new_zeros(1)]), 8, 16) == (0.4, 0)


def test_turbo_propose_finds_initial_molecules_by_their_origin() -> None:
    """With 8 dimensions and batches of 10, 100 random values would be a restart that forgets."""
    observations = replace(toy_observations(60), origins=("start",) * 60)
    counted = replace(observations, origins=("turbo",) * 60)

    class Seen(Turbo):
        def region(self, y, batch, d, own=None):  # type: ignore[no-untyped-def]
            seen.append(int(own.sum()))
            return super().region(y, batch, d, own)

    seen: list[int] = []
    for one in (observations, counted):
        Seen(n_candidates=32).propose(one, ToySpace(), 2, seed=0)
    assert seen == [0, 60]


def test_turbo_invalid_sides_raise() -> None:
    with pytest.raises(ConfigError, match="length_min must lie"):
        Turbo(length_init=0.001)
