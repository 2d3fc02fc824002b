"""Fingerprints in training: similarities, correlation, read-out, neighbors, and their batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from molvae.chem.fingerprints import tanimoto
from molvae.model.batches import epoch_batches, epoch_rows
from molvae.model.fingerprint_losses import (
    FingerprintHead,
    SparseBits,
    distance_similarity_correlation,
    neighbor_order,
    similarities,
)

DENSE = np.random.default_rng(0).random((101, 64)) < np.linspace(0.02, 0.6, 64)
DENSE[7] = False
DENSE[100] = False
BITS = SparseBits.of(DENSE)


def test_sparse_bits_of_rows_in_any_order_equal_dense_bits() -> None:
    which = np.array([100, 5, 0, 7, 7, 99])
    assert np.array_equal(BITS.dense(which).numpy(), DENSE[which])
    assert np.array_equal(BITS.rows(which).dense(np.arange(6)).numpy(), DENSE[which])
    both = SparseBits.joined([BITS.rows(which), BITS])
    assert len(both) == 107
    assert np.array_equal(both.dense(np.array([1, 11])).numpy(), DENSE[[5, 5]])
    assert BITS.dense(np.zeros(0, dtype=np.int64)).shape == (0, 64)


def test_similarities_equal_tanimoto() -> None:
    found = similarities(BITS.dense(np.arange(101))).numpy()
    np.testing.assert_allclose(found, tanimoto(DENSE, DENSE), atol=1e-6)


def test_distance_similarity_correlation_is_pearson_with_finite_gradient() -> None:
    z = torch.randn(101, 5, generator=torch.Generator().manual_seed(0))
    z[3] = z[4]
    z.requires_grad_()
    found = distance_similarity_correlation(z, BITS.dense(np.arange(101)))
    pairs = np.triu_indices(101, 1)
    distances = torch.cdist(z, z).detach().numpy()[pairs]
    assert found.item() == pytest.approx(
        pearsonr(distances, tanimoto(DENSE, DENSE)[pairs])[0], abs=1e-4
    )
    found.backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())
    assert bool(z.grad.any())


@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_distance_similarity_correlation_of_constant_rows_is_zero(n: int) -> None:
    z = torch.zeros(n, 3, requires_grad=True)
    found = distance_similarity_correlation(z, torch.ones(n, 8))
    assert found.item() == pytest.approx(0.0)


def test_fingerprint_head_fit_gives_components_of_unit_variance() -> None:
    torch.manual_seed(0)
    bits = BITS.dense(np.arange(101))
    head = FingerprintHead(64, 64, 10)
    head.fit(bits)
    target = (bits - head.center) @ head.basis
    torch.testing.assert_close(target.var(dim=0), torch.ones(10), atol=0.05, rtol=0)
    assert head(bits, bits).item() > 4
    with torch.no_grad():
        head.head.weight.copy_(head.basis.T)
        head.head.bias.copy_(-head.center @ head.basis)
    assert head(bits, bits).item() == pytest.approx(0, abs=1e-5)
    few = FingerprintHead(4, 64, 100)  # more components than bits, and bits that never vary
    few.fit(torch.ones(5, 64))
    assert few(torch.zeros(5, 4), torch.ones(5, 64)).isfinite()


def test_neighbor_order_holds_every_row_once_in_similar_pairs() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((300, 256)) < 0.15
    dense = np.repeat(base, 2, axis=0)
    dense ^= rng.random(dense.shape) < 0.005
    shuffle = rng.permutation(600)
    bits = SparseBits.of(dense[shuffle])
    order = neighbor_order(bits, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(600))
    pairs = shuffle[order].reshape(-1, 2) // 2
    assert (pairs[:, 0] == pairs[:, 1]).mean() > 0.4
    assert not np.array_equal(order, neighbor_order(bits, np.random.default_rng(2)))
    for n in (0, 1, 2, 101):  # an odd number, and rows without any bit, the last one too
        some = neighbor_order(BITS.rows(np.arange(101 - n, 101)), np.random.default_rng(0))
        assert sorted(some.tolist()) == list(range(n))
    none = SparseBits.of(np.zeros((5, 64), dtype=bool))
    assert sorted(neighbor_order(none, np.random.default_rng(0)).tolist()) == list(range(5))


def test_epoch_rows_hold_all_main_rows_and_the_share_of_other_data() -> None:
    rows = epoch_rows(1000, 100, 0.75, 0, 0)
    assert len(rows) == 400
    assert sorted(rows[rows < 100].tolist()) == list(range(100))
    others = rows[rows >= 100]
    assert len(set(others.tolist())) == 300
    again = epoch_rows(1000, 100, 0.75, 0, 1)
    assert set(again[again >= 100].tolist()) != set(others.tolist())
    assert np.array_equal(rows, epoch_rows(1000, 100, 0.75, 0, 0))
    assert sorted(epoch_rows(1000, 100, 0.0, 0, 0).tolist()) == list(range(1000))
    few = epoch_rows(110, 100, 0.5, 0, 0)  # fewer others than asked for: they come again
    assert len(few) == 200


def test_epoch_batches_paired_keep_pairs_and_hold_every_row_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 1003)
    rows = np.random.default_rng(1).permutation(1003)
    batches = epoch_batches(lengths, 32, 0, 0, rows=rows, paired=True)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    partner = {int(a): int(b) for a, b in rows[:1002].reshape(-1, 2)}
    for batch in batches:
        inside = set(batch.tolist())
        assert all(partner[row] in inside for row in inside if row in partner)
