"""`Vocabulary`: tokens and their ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molvae.chem.vocabulary import BOS, EOS, PAD, SPECIALS, Vocabulary
from molvae.errors import UnknownTokenError

symbols = st.lists(st.sampled_from(["[C]", "[=C]", "[N]", "Cl", "."]), max_size=30)


def test_vocabulary_orders_tokens_by_frequency_then_alphabet():
    vocabulary = Vocabulary.from_sequences([["N", "C", "C"], ["B", "C", "A"]])
    assert vocabulary.tokens == ("C", "A", "B", "N")
    assert len(vocabulary) == 4 + len(SPECIALS)
    assert vocabulary.encode(["C", "N"]) == [3, 6]


def test_vocabulary_is_independent_of_the_order_of_sequences():
    sequences = [["N", "C"], ["B"], ["C", "A", "B"]]
    assert (
        Vocabulary.from_sequences(sequences).tokens
        == Vocabulary.from_sequences(reversed(sequences)).tokens
    )


@given(symbols)
def test_vocabulary_decode_inverts_encode(sequence):
    vocabulary = Vocabulary(["[C]", "[=C]", "[N]", "Cl", "."])
    ids = vocabulary.encode(sequence)
    assert not {PAD, BOS, EOS} & set(ids)
    assert vocabulary.decode([BOS, *ids, EOS, PAD, PAD]) == sequence


@given(symbols, symbols)
def test_vocabulary_decode_ends_at_the_stop_token(before, after):
    vocabulary = Vocabulary(["[C]", "[=C]", "[N]", "Cl", "."])
    ids = [*vocabulary.encode(before), EOS, *vocabulary.encode(after)]
    assert vocabulary.decode(ids) == before


def test_vocabulary_encode_unknown_token_raises_with_position_and_molecule():
    with pytest.raises(UnknownTokenError, match=r"'\[Se\]' at position 1 of 'C\[Se\]C'") as caught:
        Vocabulary(["[C]"]).encode(["[C]", "[Se]", "[Te]"], "C[Se]C")
    assert (caught.value.token, caught.value.position) == ("[Se]", 1)
    assert caught.value.molecule == "C[Se]C"


def test_vocabulary_with_a_repeated_token_raises():
    with pytest.raises(ValueError, match="distinct"):
        Vocabulary(["C", "C"])
