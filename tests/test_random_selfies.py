"""`random_selfies`: absurd molecules of given lengths, for benchmarks."""

from __future__ import annotations

import pytest
import selfies

from benchmarks.shared.molecules import random_selfies
from molvae.chem.molecules import canonical
from molvae.chem.representations import Selfies
from molvae.errors import ConfigError

SYMBOLS = ["[C]", "[C]", "[=O]", "[Ring1]", "[=Branch1]", "[N]"]


@pytest.mark.parametrize("symbols", [sorted(selfies.get_semantic_robust_alphabet()), SYMBOLS])
def test_random_selfies_have_the_given_lengths(symbols):
    lengths = [1, 2, 5, 12, 12, 30]
    before = selfies.get_semantic_constraints()
    molecules = random_selfies(lengths, 4, symbols=symbols)
    assert [len(Selfies().tokenize(molecule)) for molecule in molecules] == lengths
    assert all(canonical(molecule) == molecule for molecule in molecules)
    assert molecules == random_selfies(lengths, 4, symbols=symbols)
    assert molecules != random_selfies(lengths, 5, symbols=symbols)
    assert selfies.get_semantic_constraints() == before
    assert random_selfies([], 0, symbols=symbols) == []


def test_random_selfies_of_impossible_lengths_raise():
    with pytest.raises(ConfigError, match="at least 1 symbol, got length 0"):
        random_selfies([3, 0], 0, symbols=SYMBOLS)
    assert random_selfies([2], 0, symbols=["[F]"]) == ["FF"]
    with pytest.raises(ConfigError, match="the 1 symbols make no molecule of 3 symbols"):
        random_selfies([3], 0, symbols=["[F]"])
