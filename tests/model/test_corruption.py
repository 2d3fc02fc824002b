"""`corrupted`: rows of tokens that are damaged for training."""

from __future__ import annotations

import pytest
import torch

from molvae.chem.vocabulary import EOS, PAD
from molvae.model.corruption import corrupted
from tests.model.kinds import N_SYMBOLS, random_rows

ROWS = random_rows([12] * 300 + [1, 2, 5] * 100, 12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_corrupted_rows_end_with_stop_and_lose_half_of_the_share(share: float) -> None:
    torch.manual_seed(0)
    found = corrupted(ROWS, share, N_SYMBOLS)
    assert found.shape == ROWS.shape
    assert bool(((found == EOS).sum(dim=1) == 1).all())
    lengths = (found != PAD).sum(dim=1)
    last = found.gather(1, lengths[:, None] - 1)
    assert bool((last == EOS).all())
    before = (ROWS != PAD).sum() - len(ROWS)
    lost = 1 - float((lengths.sum() - len(ROWS)) / before)
    assert lost == pytest.approx(share / 2, abs=0.03)


def test_corrupted_rows_keep_the_order_of_the_remaining_tokens() -> None:
    torch.manual_seed(0)
    rows = torch.arange(3, 15).repeat(200, 1)
    rows[:, -1] = EOS
    found = corrupted(rows, 0.4, 100)
    same = torch.isin(found, rows[0, :-1]) & (found > EOS)
    # Left to right the true symbols rise, but for the few that were drawn at random.
    kept = [row[keep] for row, keep in zip(found, same, strict=True)]
    rising = torch.cat([row.diff() > 0 for row in kept]).float().mean()
    assert rising > 0.9
