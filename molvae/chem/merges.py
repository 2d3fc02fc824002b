"""Which neighbouring symbols to read and write as one: byte-pair encoding of molecules.

Shorter sequences train in proportion less time, and what always stands together, such as a benzene
ring, cannot come apart. Works on one flat array of ids in which stop ends each molecule.

References:
    Sennrich et al. (2016), arXiv:1508.07909; Li and Fourches (2021), doi:10.1021/acs.jcim.0c01127.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from molvae.chem.vocabulary import SPECIALS, Vocabulary

Ids = np.ndarray[Any, np.dtype[np.int32]]


def learn_merges(flat: Ids, symbols: Sequence[str], n: int) -> tuple[Vocabulary, Ids]:
    """Merge the most frequent pair of neighbours, again and again.

    Args:
        flat: Ids of the molecules, one after the other, each ended by stop.
        symbols: What the ids stand for, without the specials.
        n: How often; fewer where no pair occurs twice.

    Returns:
        The vocabulary with the merges, and the array as that vocabulary writes it. Equally frequent
        pairs are taken in the order of their ids.
    """
    vocabulary = Vocabulary(symbols)
    most = len(vocabulary) + n
    for _ in range(n):
        inside = (flat[:-1] >= len(SPECIALS)) & (flat[1:] >= len(SPECIALS))
        pairs = flat[:-1][inside].astype(np.int64) * most + flat[1:][inside]
        counts = np.bincount(pairs, minlength=1)
        best = int(counts.argmax())
        if counts[best] < 2:
            break
        left, right = divmod(best, most)
        vocabulary = vocabulary.merged(left, right)
        flat = _replace(flat, left, right, vocabulary.merges[-1][2])
    return vocabulary, flat


def apply_merges(flat: Ids, vocabulary: Vocabulary) -> Ids:
    """Ids of single symbols as the vocabulary with its merges writes them."""
    for left, right, both in vocabulary.merges:
        flat = _replace(flat, left, right, both)
    return flat


def _replace(flat: Ids, left: int, right: int, both: int) -> Ids:
    """Every `left, right` becomes `both`, from the left: the middle of `a a a` belongs to one."""
    at = np.flatnonzero((flat[:-1] == left) & (flat[1:] == right))
    if left == right and len(at):
        first = np.diff(at, prepend=at[0] - 2) != 1  # of each run of overlapping pairs
        run = np.maximum.accumulate(np.where(first, np.arange(len(at)), 0))
        at = at[(np.arange(len(at)) - run) % 2 == 0]
    flat = flat.copy()
    flat[at] = both
    return np.delete(flat, at + 1)


__all__ = ["Ids", "apply_merges", "learn_merges"]
