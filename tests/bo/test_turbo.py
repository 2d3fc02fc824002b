from __future__ import annotations

import pytest
import torch

from molvae.bo import Turbo
from molvae.errors import ConfigError

TURBO = Turbo()


def region(*batches: float) -> tuple[float, int]:
    """After batches of 8 in 16 dimensions, so that 2 failures in a row halve the side."""
    y = torch.tensor(batches, dtype=torch.float64).repeat_interleave(8)
    return TURBO.region(y, 8, 16)


def test_the_side_doubles_with_success_and_halves_with_failure() -> None:
    assert region(1.0) == (0.8, 0)
    assert region(1.0, 2.0, 3.0) == (1.6, 0)
    assert region(*(float(i) for i in range(1, 12))) == (1.6, 0)
    assert region(1.0, 0.0) == (0.8, 0)
    assert region(1.0, 0.0, 0.0) == (0.4, 0)
    assert region(1.0, 0.0, 2.0, 0.0) == (0.8, 0)
    assert region(1.0, 1.0005, 1.0005) == (0.4, 0)


def test_a_side_too_short_is_a_new_beginning_that_forgets() -> None:
    lost = [1.0, *[0.0] * 14]  # 7 halvings of 0.8
    assert region(*lost) == (0.8, 8 * 15)
    # Draws from the prior come first (20 of them), and count as neither success nor failure.
    assert region(*lost, 0.5, 0.4, 0.3) == (0.8, 8 * 15)
    assert region(*lost, 0.5, 0.4, 0.3, 0.4, 0.4) == (0.4, 8 * 15)
    assert region(*lost, 0.5, 0.4, 0.3, 0.6, 0.7, 0.8) == (1.6, 8 * 15)


def test_sides_are_checked() -> None:
    with pytest.raises(ConfigError, match="shortest < first"):
        Turbo(first=0.001)
