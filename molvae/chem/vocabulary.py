"""Symbols and their integers. Pure Python: both the chemistry and the network may import it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from molvae.errors import UnknownSymbolError

PAD, START, STOP = 0, 1, 2
SPECIALS = ("<pad>", "<start>", "<stop>")


class Vocabulary:
    """The symbols that a model knows, in the order of their ids.

    Args:
        symbols: Distinct symbols without the specials; the first has id 3.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols, start=len(SPECIALS))}
        if len(self._ids) != len(self.symbols):
            raise ValueError("a vocabulary's symbols must be distinct")

    @classmethod
    def from_sequences(cls, sequences: Iterable[Sequence[str]]) -> Vocabulary:
        """All symbols of the sequences, the most frequent first, equals in alphabetical order."""
        counts = Counter(symbol for sequence in sequences for symbol in sequence)
        return cls(sorted(counts, key=lambda symbol: (-counts[symbol], symbol)))

    def __len__(self) -> int:
        """Number of ids, specials included."""
        return len(SPECIALS) + len(self.symbols)

    def ids(self, symbols: Sequence[str], molecule: str = "") -> list[int]:
        """The ids of symbols, one for one, without start and stop.

        Args:
            symbols: Of one molecule.
            molecule: Named in the error message.

        Raises:
            UnknownSymbolError: Names the first unknown symbol and its position, counted from 0.
        """
        try:
            return [self._ids[symbol] for symbol in symbols]
        except KeyError:
            place, symbol = next((i, s) for i, s in enumerate(symbols) if s not in self._ids)
            raise UnknownSymbolError(symbol, place, molecule, len(self.symbols)) from None

    def spell(self, ids: Iterable[int]) -> list[str]:
        """The symbols of ids up to the first stop; padding and start are passed over."""
        symbols = []
        for i in ids:
            if i == STOP:
                break
            if i not in (PAD, START):
                symbols.append(self.symbols[i - len(SPECIALS)])
        return symbols
