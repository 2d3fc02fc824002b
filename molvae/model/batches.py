"""Which rows a training sees together, pass by pass; pure functions of seed and pass.

So a training that is resumed finds its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.vocabulary import PAD
from molvae.model.fingerprint_losses import SparseBits, neighbor_order

N_SORTED_BATCHES = 50
"""Batches sorted by length together: enough for little padding, few enough for random batches."""


def epoch_rows(
    n: int, main: int, share: float, seed: int, epoch: int, neighbors: SparseBits | None = None
) -> NDArray[np.int64]:
    """The rows of one pass out of n, in random order: the first `main` ones, and others.

    Args:
        n: Rows in all.
        main: How many of them, the first, are main ones.
        share: Share of others among the rows of a pass, sampled anew for each; 0: all of them.
        epoch: Number of the pass.
        neighbors: Fingerprints of all rows, if the rows 2i and 2i + 1 are to be alike; see
            `neighbor_order`.
    """
    rng = np.random.default_rng((seed, epoch))
    rows = np.arange(n)
    if share > 0 and n > main:
        wanted = round(main * share / (1 - share))
        rows = np.concatenate([rows[:main], np.resize(main + rng.permutation(n - main), wanted)])
    if neighbors is None:
        return rng.permutation(rows)
    return rows[neighbor_order(neighbors.rows(rows), rng)]


def epoch_batches(
    lengths: np.ndarray[Any, Any],
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    bucketed: bool = True,
    rows: NDArray[np.int64] | None = None,
    paired: bool = False,
) -> list[np.ndarray[Any, Any]]:
    """One pass over the data: batches of rows of similar length, in random order; none is left out.

    Args:
        lengths: Lengths of the rows.
        batch_size: Rows of a batch.
        epoch: Number of the pass.
        bucketed: False for batches of any lengths.
        rows: Rows of the pass, in random order; None for all.
        paired: The rows 2i and 2i + 1 of `rows` stay together; needs an even batch size.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths)) if rows is None else rows
    batches: list[np.ndarray[Any, Any]] = []
    for start in range(0, len(order), batch_size * N_SORTED_BATCHES):
        chunk = order[start : start + batch_size * N_SORTED_BATCHES]
        if bucketed:
            by = lengths[chunk]
            if paired:  # by the longer of two; one that is left over comes last
                pairs = by[: len(by) // 2 * 2].reshape(-1, 2).max(axis=1)
                by = np.append(np.repeat(pairs, 2), [np.iinfo(by.dtype).max] * (len(by) % 2))
            chunk = chunk[np.argsort(by, kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def trim_padding(rows: Tensor) -> Tensor:
    """Rows as int64 without the columns in which every row is padding."""
    longest = int((rows != PAD).sum(dim=1).max())
    return rows[:, :longest].long()
