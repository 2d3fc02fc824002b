"""Which features carry the predictions: how much worse they are when one of them is shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from molvae.analysis.summary import evenly

Array = NDArray[np.float64]

MIN_VALUES = 20  # molecules from which on features are compared
MAX_VALUES = 300  # molecules that are used at most
N_FOLDS, N_SHUFFLES = 5, 5
DESCRIPTOR_SHARES, NOISE_VARIANCES = (0.0, 0.25, 0.5, 0.75, 1.0), (0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of the kernel over descriptors, and variances of noise, that are compared."""
LENGTH_SCALE = 5.0  # of descriptors, as in `rank`
FRAGMENTS = "fragments"  # all counts of atom environments, which are shuffled together


class Importance(NamedTuple):
    """What a surrogate explains of values that it has not seen, and by which features."""

    explained: float
    """Share of the variance of the ranks that it explains; 0 or less: nothing."""
    losses: tuple[tuple[str, float], ...]
    """Features, and how far that share falls if the feature is shuffled, perhaps below 0; the
    largest first."""


def permutation_importance(
    smiles: Sequence[str], values: Sequence[float], *, radius: int = 1
) -> Importance | None:
    """Permutation importance of descriptors and fragments, in cross-validation.

    The surrogate is a Gaussian process with the kernels of `rank`, over descriptors and counts of
    atom environments; it learns normal scores. None for too few or equal values.

    Args:
        smiles: Canonical SMILES of measured molecules.
        values: Their values.
        radius: Of the Morgan fingerprints.

    References:
        Breiman (2001), doi:10.1023/A:1010933404324; Fisher et al. (2019), arXiv:1801.01489.
    """
    from scipy.special import ndtri  # type: ignore[import-untyped]
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    from molvae.chem.fingerprints import DESCRIPTORS, descriptors, morgan_counts

    rows = evenly(range(len(values)), MAX_VALUES)
    if len(rows) < MIN_VALUES or len({values[i] for i in rows}) == 1:
        return None
    molecules = [smiles[i] for i in rows]
    y = ndtri((rankdata([values[i] for i in rows]) - 0.5) / len(rows))
    described, similar = descriptors(molecules), _min_max(morgan_counts(molecules, radius=radius))
    share, noise = _most_likely(similar, _matern(described, described), y)
    rng = np.random.default_rng(0)
    folds = np.array_split(rng.permutation(len(y)), N_FOLDS)
    orders = [rng.permutation(len(y)) for _ in range(N_SHUFFLES)]
    varied = {name: i for i, name in enumerate(DESCRIPTORS) if np.ptp(described[:, i]) > 0}
    squares = dict.fromkeys(["", FRAGMENTS, *varied], 0.0)
    for test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        near = _mixed(share, similar[np.ix_(train, train)], described[train], described[train])
        alpha = np.linalg.solve(near + noise * np.eye(len(train)), y[train])

        def error(rows: Any, moved: Array) -> float:
            kernel = _mixed(share, similar[np.ix_(rows, train)], moved, described[train])  # noqa: B023
            return float(np.square(kernel @ alpha - y[test]).sum())  # noqa: B023

        squares[""] += error(test, described[test])
        for order in orders:
            squares[FRAGMENTS] += error(order[test], described[test]) / N_SHUFFLES
            for name, i in varied.items():
                moved = described[test].copy()
                moved[:, i] = described[order[test], i]
                squares[name] += error(test, moved) / N_SHUFFLES
    total, base = float(np.square(y).sum()), squares.pop("")
    losses = {name: (square - base) / total for name, square in squares.items()}
    return Importance(1 - base / total, tuple(sorted(losses.items(), key=lambda pair: -pair[1])))


def _mixed(share: float, similar: Array, left: Array, right: Array) -> Array:
    return (1 - share) * similar + share * _matern(left, right)


def _most_likely(similar: Array, near: Array, y: Array) -> tuple[float, float]:
    """The share and the noise with the largest marginal likelihood, at its best amplitude."""

    def log_likelihood(share: float, noise: float) -> float:
        matrix = (1 - share) * similar + share * near + noise * np.eye(len(y))
        factor = np.linalg.cholesky(matrix)
        amplitude = np.square(np.linalg.solve(factor, y)).mean()
        return float(-len(y) / 2 * np.log(amplitude) - np.log(factor.diagonal()).sum())

    return max(product(DESCRIPTOR_SHARES, NOISE_VARIANCES), key=lambda pair: log_likelihood(*pair))


def _matern(left: Array, right: Array) -> Array:
    """Matern-5/2 of rows, `n x m`."""
    squares = np.square(left).sum(axis=1)[:, None] + np.square(right).sum(axis=1)
    distance = np.sqrt(5 * np.maximum(squares - 2 * left @ right.T, 0.0)) / LENGTH_SCALE
    kernel: Array = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return kernel


def _min_max(counts: NDArray[Any]) -> Array:
    """MinMax similarity of counts, `n x n`; counts above 20 are alike."""
    counts = np.minimum(counts, 20)
    common = np.zeros((len(counts), len(counts)))
    for level in range(1, int(counts.max(initial=0)) + 1):
        there = (counts[:, (counts >= level).any(axis=0)] >= level).astype(np.float64)
        common += there @ there.T
    sums = counts.sum(axis=1, dtype=np.float64)
    either = sums[:, None] + sums - common
    ratio: Array = np.divide(common, either, out=np.ones_like(common), where=either > 0)
    return ratio
