"""Loss terms on Morgan fingerprints: distances in z follow similarity, a linear head predicts bits.

Both are added to the bound on the likelihood.

References:
    Rogers and Hahn (2010), doi:10.1021/ci100050t (fingerprints); Broder (1997),
    doi:10.1109/SEQUEN.1997.666900 (min-wise hashing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MAX_FITTED = 20_000  # molecules that principal components are fitted to, at most
N_HASHES = 6
"""Min-wise hashes in which neighbors agree; with more, neighbors are more alike and fewer."""


@dataclass(frozen=True, kw_only=True)
class SparseBits:
    """Bits of many rows, of which few are set: the columns of these, row after row."""

    columns: NDArray[np.uint16]  # columns of the bits that are set; within a row in ascending order
    ends: NDArray[np.int64]  # where each row ends in `columns`, `n`
    size: int  # columns of a row, up to 65,536

    @classmethod
    def of(cls, bits: NDArray[np.bool_]) -> SparseBits:
        """Bits of a dense array, `n x size`."""
        rows, columns = np.nonzero(bits)
        ends = np.cumsum(np.bincount(rows, minlength=len(bits)))
        return cls(columns=columns.astype(np.uint16), ends=ends, size=bits.shape[1])

    @classmethod
    def joined(cls, parts: list[SparseBits]) -> SparseBits:
        """The rows of several, one after the other; all of one size."""
        before = np.cumsum([0] + [len(part.columns) for part in parts])
        return cls(
            columns=np.concatenate([part.columns for part in parts]),
            ends=np.concatenate([part.ends + n for part, n in zip(parts, before, strict=False)]),
            size=parts[0].size,
        )

    def __len__(self) -> int:
        return len(self.ends)

    def rows(self, which: NDArray[np.int64]) -> SparseBits:
        """Some of the rows, in any order."""
        starts = np.where(which > 0, self.ends[which - 1], 0)
        counts = self.ends[which] - starts
        ends = np.cumsum(counts)
        flat = np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)
        return SparseBits(columns=self.columns[flat], ends=ends, size=self.size)

    def dense(self, which: NDArray[np.int64]) -> Tensor:
        """Some of the rows as zeros and ones, `n x size`, float32."""
        some = self.rows(which)
        counts = np.diff(some.ends, prepend=0)
        bits = np.zeros((len(which), self.size), dtype=np.float32)
        bits[np.repeat(np.arange(len(which)), counts), some.columns] = 1
        return torch.from_numpy(bits)


def similarities(bits: Tensor) -> Tensor:
    """Tanimoto similarities of all pairs of rows, `n x size` to `n x n`; 1 where both are empty."""
    common, count = bits @ bits.T, bits.sum(dim=1)
    either = count[:, None] + count[None] - common
    return torch.where(either > 0, common / either.clamp(min=1), 1.0)


def distance_similarity_correlation(z: Tensor, bits: Tensor) -> Tensor:
    """Pearson's correlation of distances in z, `n x d`, with similarities of bits, `n x size`.

    Over all pairs of rows, in [-1, 1]; -1: the nearer, the more alike. 0 for fewer than three rows,
    or where all distances or all similarities are equal. Gradients reach z.
    """
    if len(z) < 3:
        return z.new_zeros(())
    above = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
    z = z.float()
    square = z.square().sum(dim=1)
    distance = square[:, None] + square[None] - 2 * z @ z.T
    # The root has no slope at 0, where equal rows are.
    x = (distance[above[0], above[1]].clamp(min=0) + 1e-6).sqrt()
    y = similarities(bits)[above[0], above[1]]
    x, y = x - x.mean(), y - y.mean()
    r: Tensor = (x * y).sum() / (x.norm() * y.norm()).clamp(min=1e-6)
    return r


class FingerprintHead(nn.Module):
    """A linear head from z to principal components of fingerprints, each of unit variance.

    Used in training only, so that z encodes fingerprints linearly.
    """

    center: Tensor
    basis: Tensor

    def __init__(self, latent_dim: int, size: int, components: int) -> None:
        super().__init__()
        self.head = nn.Linear(latent_dim, components)
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, components))

    @torch.no_grad()
    def fit(self, bits: Tensor) -> None:
        """Compute the components of fingerprints, `n x size`; zeros where nothing varies.

        Uses torch's global generator.
        """
        self.center.copy_(bits.mean(dim=0))
        k = min(self.basis.shape[1], *bits.shape)
        # To a good approximation; the exact ones of thousands of bits take a hundred times as long.
        q = min(k + 16, *bits.shape)
        _, length, vectors = torch.pca_lowrank(bits, q=q, niter=4)
        variance, vectors = length[:k].square() / max(1, len(bits) - 1), vectors[:, :k]
        scale = torch.where(variance > 1e-6, variance.clamp(min=1e-6).rsqrt(), 0.0)
        self.basis[:, :k] = vectors * scale

    def forward(self, z: Tensor, bits: Tensor) -> Tensor:
        """Half of the squared error, summed over the components, mean over the rows."""
        error = self.head(z).float() - (bits - self.center) @ self.basis
        loss: Tensor = 0.5 * error.square().sum(dim=1).mean()
        return loss


def neighbor_order(bits: SparseBits, rng: np.random.Generator) -> NDArray[np.int64]:
    """All rows in an order in which the rows 2i and 2i + 1 are often alike.

    Rows that agree in a few min-wise hashes of their bits lie next to each other: of two rows of
    similarity s, each hash agrees with probability s. Other hashes, other neighbors; the pairs
    themselves are in random order.
    """
    n = len(bits)
    starts = np.concatenate([[0], bits.ends[:-1]]) if n else bits.ends
    keys: list[NDArray[Any]] = [rng.permutation(n)]  # what agrees in all hashes is mixed
    for _ in range(N_HASHES if len(bits.columns) else 0):
        ranks = rng.permutation(bits.size).astype(np.uint16)[bits.columns]
        lowest = np.minimum.reduceat(ranks, np.minimum(starts, len(ranks) - 1))
        keys.append(np.where(starts < bits.ends, lowest, np.uint16(bits.size - 1)))
    order = np.lexsort(keys)
    pairs = rng.permutation(n // 2)
    mixed = np.stack([order[2 * pairs], order[2 * pairs + 1]], axis=1).ravel()
    return np.concatenate([mixed, order[n - n % 2 :]])
