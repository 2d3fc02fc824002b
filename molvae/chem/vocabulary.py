"""Tokens, their ids, and byte-pair encoding (BPE) of neighboring tokens. Depends on NumPy alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from molvae.errors import UnknownTokenError

PAD, BOS, EOS = 0, 1, 2
SPECIALS = ("<pad>", "<start>", "<stop>")


class Vocabulary:
    """The tokens of a model, and the pairs of neighbors that BPE writes as one id.

    Ids: the specials, the distinct tokens in their order, and then one for each new sequence of
    tokens that a merge makes. Two merges that make the same sequence share an id. Merges are pairs
    of ids that become one id, applied in their order.
    """

    def __init__(self, tokens: Sequence[str], merges: Iterable[Sequence[int]] = ()) -> None:
        self.tokens = tuple(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens, start=len(SPECIALS))}
        if len(self._ids) != len(self.tokens):
            raise ValueError("a vocabulary's tokens must be distinct")
        self.spellings: list[tuple[int, ...]] = [(i,) for i in range(len(SPECIALS) + len(tokens))]
        """The ids of single tokens that each id stands for."""
        self.bpe_merges: list[tuple[int, int, int]] = []
        """Left id, right id, and the id of both together."""
        self._known = {spelling: i for i, spelling in enumerate(self.spellings)}
        self._replacements: list[tuple[str, str]] = []
        for left, right in merges:
            self._merge(left, right)

    @classmethod
    def from_sequences(cls, sequences: Iterable[Sequence[str]]) -> Vocabulary:
        """All tokens of the sequences, the most frequent first, ties in alphabetical order."""
        counts = Counter(token for sequence in sequences for token in sequence)
        return cls(sorted(counts, key=lambda token: (-counts[token], token)))

    def __len__(self) -> int:
        """Number of ids, specials included."""
        return len(self.spellings)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The argument `merges`."""
        return tuple((left, right) for left, right, _ in self.bpe_merges)

    def merged(self, left: int, right: int) -> Vocabulary:
        """A vocabulary with one more merge."""
        return Vocabulary(self.tokens, [*self.pairs, (left, right)])

    def encode(self, tokens: Sequence[str], molecule: str = "") -> list[int]:
        """The ids of the tokens of a molecule, merged, without start and stop.

        Raises:
            UnknownTokenError: Names the first unknown token and its position, counted from 0.
        """
        try:
            ids = [self._ids[token] for token in tokens]
        except KeyError:
            place, token = next((i, t) for i, t in enumerate(tokens) if t not in self._ids)
            raise UnknownTokenError(token, place, molecule, len(self.tokens)) from None
        # As a text of one character for each id, so that a merge is one replacement.
        text = "".join(map(chr, ids))
        for pair, both in self._replacements:
            text = text.replace(pair, both)
        return list(map(ord, text))

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids up to the first stop; padding and start are skipped."""
        kept = (i for i in takewhile(lambda i: i != EOS, ids) if i not in (PAD, BOS))
        return [self.tokens[j - len(SPECIALS)] for i in kept for j in self.spellings[i]]

    def _merge(self, left: int, right: int) -> None:
        if not all(len(SPECIALS) <= i < len(self) for i in (left, right)):
            raise ValueError(f"a merge of {left} and {right}, but there are {len(self)} ids so far")
        spelling = self.spellings[left] + self.spellings[right]
        if spelling not in self._known:
            self._known[spelling] = len(self)
            self.spellings.append(spelling)
        both = self._known[spelling]
        self.bpe_merges.append((left, right, both))
        self._replacements.append((chr(left) + chr(right), chr(both)))


Ids = np.ndarray[Any, np.dtype[np.int32]]


def train_bpe(flat: Ids, tokens: Sequence[str], n: int) -> tuple[Vocabulary, Ids]:
    """Merge the most frequent pair of neighboring ids, `n` times.

    `flat` holds the ids of all molecules, concatenated, each ended by stop; it is returned encoded
    with the vocabulary. Fewer merges are made if no pair occurs twice; ties are broken by the ids.

    Sennrich et al. (2016), arXiv:1508.07909.
    """
    vocabulary = Vocabulary(tokens)
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
        flat = _replace(flat, *vocabulary.bpe_merges[-1])
    return vocabulary, flat


def apply_bpe(flat: Ids, vocabulary: Vocabulary) -> Ids:
    """Ids of single tokens, concatenated, encoded with the vocabulary's merges."""
    for merge in vocabulary.bpe_merges:
        flat = _replace(flat, *merge)
    return flat


def _replace(flat: Ids, left: int, right: int, both: int) -> Ids:
    """`both` for every `left, right`, from the left: of `a a a` the first two are merged."""
    at = np.flatnonzero((flat[:-1] == left) & (flat[1:] == right))
    if left == right and len(at):
        first = np.diff(at, prepend=at[0] - 2) != 1  # of each run of overlapping pairs
        run = np.maximum.accumulate(np.where(first, np.arange(len(at)), 0))
        at = at[(np.arange(len(at)) - run) % 2 == 0]
    flat = flat.copy()
    flat[at] = both
    return np.delete(flat, at + 1)
