"""Kernel weights: what they are learned from, and when they are learned again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from molvae.bo import kernel_weights
from molvae.bo.kernel_weights import Weights, learn_weights, learned_from, weights_of
from molvae.model.isolation import threads

N = 120


def matrices(x: Tensor) -> Tensor:
    """Two kernels, each of one of the columns, `n x 2` to `2 x n x n`."""
    distances = x.T[:, :, None] - x.T[:, None, :]
    return torch.exp(-(distances**2))


def sample_values(weights: tuple[float, float], std: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(N, 2, generator=generator, dtype=torch.float64)
    white = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    a, b = matrices(x)
    whole = weights[0] * a + weights[1] * b + 1e-6 * torch.eye(N)
    return x, torch.linalg.cholesky(whole) @ white[:, 0] + std * white[:, 1]


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_learn_weights_is_large_for_the_kernel_of_the_values(
    weights: tuple[float, float],
) -> None:
    x, y = sample_values(weights, 0.1)
    learned = learn_weights(matrices(x), y - y.mean())
    assert sum(learned.kernels) == pytest.approx(1)
    assert learned.kernels[int(weights[1])] > 0.9
    assert learned.noise < 0.1


def test_learn_weights_with_known_noise_learns_little_noise() -> None:
    x, y = sample_values((1.0, 1.0), 0.7)
    rough = learn_weights(matrices(x), y - y.mean())
    known = learn_weights(matrices(x), y - y.mean(), torch.full((N,), 0.49, dtype=torch.float64))
    assert 0.1 < rough.noise < 0.6
    assert known.noise < rough.noise / 2


def test_learn_weights_of_equal_values_are_equal() -> None:
    x, _ = sample_values((1.0, 1.0), 0.0)
    assert learn_weights(matrices(x), torch.zeros(N).double()) == Weights((0.5, 0.5), 0.0)


def test_weights_of_stay_until_molecules_grow_by_a_quarter() -> None:
    x, y = sample_values((1.0, 1.0), 0.1)
    n = learned_from(N)
    assert n < N
    expected = weights_of(matrices, "a+b", x[:n], y[:n], None)
    assert weights_of(matrices, "a+b", x, y, None) == expected
    assert weights_of(matrices, "a+b", x[:n], y[:n].exp() * 1e9, None) == expected  # same order
    again = weights_of(matrices, "a+b", x[: n - 1], y[: n - 1], None)
    assert again != expected


def test_learned_from_is_at_most_a_quarter_behind() -> None:
    sizes = [learned_from(n) for n in range(1, 5000)]
    assert sizes == sorted(sizes)
    assert all(m <= n < 1.25 * m + 1 for n, m in enumerate(sizes, 1))
    assert len(set(sizes)) < 60


@pytest.mark.parametrize("n_threads", [1, 3])
def test_weights_of_are_independent_of_threads_and_cache(
    n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = sample_values((1.0, 0.3), 0.1)
    expected = weights_of(matrices, "a+b", x, y, None)
    monkeypatch.setattr(kernel_weights, "_cached", {})
    with threads(n_threads):
        assert weights_of(matrices, "a+b", x, y, None) == expected
