"""Weights of kernels and the noise around their sum, learned by marginal likelihood."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.special import ndtri  # type: ignore[import-untyped]
from scipy.stats import rankdata  # type: ignore[import-untyped]
from torch import Tensor

from molvae.model.isolation import threads

N_STEPS, LEARNING_RATE = 60, 0.1  # steps of Adam and their size, on a logarithmic scale
INITIAL_NOISE = 0.05  # as a share of the variance of the values
MIN_NOISE = 1e-4  # as the initial noise; keeps matrices positive definite
MAX_LEARNED = 500  # molecules to learn from, at most
ALWAYS_REFIT_UP_TO, REFIT_FACTOR = 20, 1.25
"""Number of molecules up to which weights are learned with each of them, and its growth until they
are learned again."""
MAX_CACHED = 64


class Weights(NamedTuple):
    """Weights of kernels, which sum to 1, and of the noise."""

    kernels: tuple[float, ...]
    noise: float


_cached: dict[bytes, Weights] = {}


def weights_of(
    matrices: Callable[[Tensor], Tensor], names: str, x: Tensor, y: Tensor, noise: Tensor | None
) -> Weights:
    """Weights learned from the first molecules, the same until their number grew by a quarter.

    Args:
        matrices: The kernels' matrices of molecules, `n x f` to `k x n x n`.
        names: Names of the kernels.
        x: Molecules in the order in which they were observed, `n x f`.
        y: Scores of the molecules, `n`, of which only the order matters.
        noise: Known variances of the scores, `n`.
    """
    n = learned_from(len(y))
    rows = subsample_best_and_random(y[:n], MAX_LEARNED, seed=0)
    normal = torch.from_numpy(ndtri((rankdata(y[rows].numpy()) - 0.5) / len(rows)))
    known = None if noise is None else noise[rows]
    key = hashlib.blake2b(names.encode())
    for part in (x[rows], normal, known):
        key.update(b"" if part is None else part.contiguous().numpy().tobytes())
    digest = key.digest()
    found = _cached.get(digest)
    if found is None:
        while len(_cached) >= MAX_CACHED:
            _cached.pop(next(iter(_cached)), None)
        with threads(1):  # the order of summation depends on their number
            found = _cached[digest] = learn_weights(matrices(x[rows]), normal, known)
    return found


def learned_from(n: int) -> int:
    """Number of molecules, of `n`, from which weights are learned."""
    last = ALWAYS_REFIT_UP_TO
    while (following := int(REFIT_FACTOR * last)) <= n:
        last = following
    return min(last, n)


def subsample_best_and_random(y: Tensor, most: int, *, seed: int) -> list[int]:
    """Indices of at most `most` values, rising: the best half, and a sample of the others."""
    if len(y) <= most:
        return list(range(len(y)))
    order = y.argsort(descending=True, stable=True)
    n_best = (most + 1) // 2
    best, others = order[:n_best], order[n_best:]
    generator = torch.Generator().manual_seed(seed)
    sampled = others[torch.randperm(len(others), generator=generator)[: most - n_best]]
    return sorted(torch.cat([best, sampled]).tolist())


def learn_weights(matrices: Tensor, y: Tensor, noise: Tensor | None = None) -> Weights:
    """Weights that maximize the marginal likelihood of a sum of kernels, by Adam on logarithms.

    Args:
        matrices: `k x n x n`.
        y: Values with mean 0, `n`.
        noise: Known variances of the values, `n`.

    References:
        Gönen and Alpaydin (2011), JMLR 12, 2211-2268 (multiple kernel learning).
    """
    k, n = len(matrices), len(y)
    spread = float(y.square().mean())
    if spread == 0:  # all values are equal
        return Weights((1 / k,) * k, 0.0)
    flat = matrices.reshape(k, n * n)
    start = [math.log(spread / k)] * k + [math.log(INITIAL_NOISE * spread)]
    logs = torch.tensor(start, dtype=y.dtype)
    mean, square = torch.zeros_like(logs), torch.zeros_like(logs)
    for step in range(1, N_STEPS + 1):
        weights = logs.exp()
        covariance = (weights[:k] @ flat).reshape(n, n)
        covariance.diagonal().add_(weights[k] + MIN_NOISE * spread)
        if noise is not None:
            covariance.diagonal().add_(noise)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        alpha = inverse @ y
        slope = (inverse - torch.outer(alpha, alpha)) / 2  # of the negative log likelihood, n x n
        slopes = torch.cat([flat @ slope.reshape(n * n), slope.diagonal().sum()[None]])
        gradient = slopes * weights
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient.square()
        scale = (square / (1 - 0.999**step)).sqrt() + 1e-12
        logs = logs - LEARNING_RATE * mean / (1 - 0.9**step) / scale
    weights = logs.exp()
    total = weights[:k].sum()
    return Weights(tuple((weights[:k] / total).tolist()), float(weights[k] / total))
