"""Byte-pair encoding: merging a whole data set equals merging each molecule by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.chem.vocabulary import EOS, Ids, Vocabulary, apply_bpe, train_bpe

SYMBOLS = ("a", "b", "c")
rows = st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=20)


def flat(texts: list[str], vocabulary: Vocabulary) -> Ids:
    ids = [i for text in texts for i in [*vocabulary.encode(text), EOS]]
    return np.array(ids, dtype=np.int32)


def test_train_bpe_merges_the_most_frequent_pair_first() -> None:
    plain = Vocabulary(SYMBOLS)
    vocabulary, merged = train_bpe(flat(["abab", "abc"], plain), SYMBOLS, 2)
    ab = len(plain)
    assert vocabulary.bpe_merges[0] == (3, 4, ab)
    assert merged.tolist() == [ab, ab, EOS, ab, 5, EOS]  # no pair is left that occurs twice
    assert vocabulary.decode(merged.tolist()) == list("abab")


def test_encode_with_merges_merges_runs_from_the_left() -> None:
    vocabulary = Vocabulary(SYMBOLS, [(3, 3)])
    assert vocabulary.encode("aaaaa") == [6, 6, 3]
    assert apply_bpe(flat(["aaaaa"], Vocabulary(SYMBOLS)), vocabulary).tolist() == [6, 6, 3, 2]


def test_vocabulary_merges_of_equal_spelling_share_an_id() -> None:
    vocabulary = Vocabulary(SYMBOLS, [(3, 4), (6, 5), (4, 5), (3, 8)])  # ab, ab+c, bc, a+bc
    assert len(vocabulary) == 3 + 3 + 3
    assert vocabulary.bpe_merges[3] == (3, 8, 7)


@given(rows, rows, st.integers(0, 12))
@settings(deadline=None)
def test_apply_bpe_to_all_rows_equals_encoding_each_row(
    learned: list[str], others: list[str], n: int
) -> None:
    plain = Vocabulary(SYMBOLS)
    vocabulary, merged = train_bpe(flat(learned, plain), SYMBOLS, n)
    assert merged.tolist() == flat(learned, vocabulary).tolist()
    together = apply_bpe(flat(others, plain), vocabulary).tolist()
    assert together == flat(others, vocabulary).tolist()
    for text in others:
        assert vocabulary.decode(vocabulary.encode(text)) == list(text)


def test_train_bpe_merges_no_pair_across_molecules_or_of_one_occurrence() -> None:
    vocabulary, merged = train_bpe(flat(["ab", "c"], Vocabulary(SYMBOLS)), SYMBOLS, 5)
    assert vocabulary.bpe_merges == []
    assert merged.tolist() == [3, 4, EOS, 5, EOS]
