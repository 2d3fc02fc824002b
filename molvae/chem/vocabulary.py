"""Symbols and their integers. Pure Python: both the chemistry and the network may import it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from molvae.errors import UnknownSymbolError

PAD, BOS, EOS = 0, 1, 2


SPECIALS = ("<pad>", "<start>", "<stop>")


class Vocabulary:
    """The symbols that a model knows, and which neighbours it reads and writes as one.

    Ids: the specials, the symbols in their order, and then one for each new thing that a merge
    makes. Two merges that spell the same share an id.

    Args:
        symbols: Distinct symbols without the specials; the first has id 3.
        merges: Pairs of ids that are written as one, applied in this order.
    """

    def __init__(self, symbols: Sequence[str], merges: Iterable[Sequence[int]] = ()) -> None:
        self.symbols = tuple(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols, start=len(SPECIALS))}
        if len(self._ids) != len(self.symbols):
            raise ValueError("a vocabulary's symbols must be distinct")
        self.spellings: list[tuple[int, ...]] = [(i,) for i in range(len(SPECIALS) + len(symbols))]
        """The symbols, as ids, that each id stands for."""
        self.merges: list[tuple[int, int, int]] = []
        """Left, right, and the id of both together."""
        self._known = {spelling: i for i, spelling in enumerate(self.spellings)}
        self._places: dict[tuple[int, int], list[int]] = {}  # of a pair among the merges
        for left, right in merges:
            self._merge(left, right)

    @classmethod
    def from_sequences(cls, sequences: Iterable[Sequence[str]]) -> Vocabulary:
        """All symbols of the sequences, the most frequent first, equals in alphabetical order."""
        counts = Counter(symbol for sequence in sequences for symbol in sequence)
        return cls(sorted(counts, key=lambda symbol: (-counts[symbol], symbol)))

    def __len__(self) -> int:
        """Number of ids, specials included."""
        return len(self.spellings)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The merges as they were given."""
        return tuple((left, right) for left, right, _ in self.merges)

    def merged(self, left: int, right: int) -> Vocabulary:
        """A vocabulary with one merge more."""
        return Vocabulary(self.symbols, [*self.pairs, (left, right)])

    def ids(self, symbols: Sequence[str], molecule: str = "") -> list[int]:
        """The ids of symbols, merged, without start and stop.

        Args:
            symbols: Of one molecule.
            molecule: Named in the error message.

        Raises:
            UnknownSymbolError: Names the first unknown symbol and its position, counted from 0.
        """
        try:
            ids = [self._ids[symbol] for symbol in symbols]
        except KeyError:
            place, symbol = next((i, s) for i, s in enumerate(symbols) if s not in self._ids)
            raise UnknownSymbolError(symbol, place, molecule, len(self.symbols)) from None
        last = -1
        while places := [
            place for pair in pairwise(ids) for place in self._places.get(pair, ()) if place > last
        ]:
            last = min(places)
            ids = self._replace(ids, *self.merges[last])
        return ids

    def spell(self, ids: Iterable[int]) -> list[str]:
        """The symbols of ids up to the first stop; padding and start are passed over."""
        symbols: list[str] = []
        for i in ids:
            if i == EOS:
                break
            if i not in (PAD, BOS):
                symbols += [self.symbols[j - len(SPECIALS)] for j in self.spellings[i]]
        return symbols

    def _merge(self, left: int, right: int) -> None:
        if not all(len(SPECIALS) <= i < len(self) for i in (left, right)):
            raise ValueError(f"a merge of {left} and {right}, but there are {len(self)} ids so far")
        spelling = self.spellings[left] + self.spellings[right]
        if spelling not in self._known:
            self._known[spelling] = len(self)
            self.spellings.append(spelling)
        # A pair can come twice: later merges can make it anew.
        self._places.setdefault((left, right), []).append(len(self.merges))
        self.merges.append((left, right, self._known[spelling]))

    @staticmethod
    def _replace(ids: list[int], left: int, right: int, both: int) -> list[int]:
        merged: list[int] = []
        for i in ids:
            if merged and merged[-1] == left and i == right:
                merged[-1] = both
            else:
                merged.append(i)
        return merged


Ids = np.ndarray[Any, np.dtype[np.int32]]


def train_bpe(flat: Ids, symbols: Sequence[str], n: int) -> tuple[Vocabulary, Ids]:
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


def apply_bpe(flat: Ids, vocabulary: Vocabulary) -> Ids:
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


__all__ = ["Ids", "apply_bpe", "train_bpe"]
