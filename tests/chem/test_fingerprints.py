"""Fingerprints and Tanimoto similarities, compared with RDKit's and with slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.chem.fingerprints import morgan_bits, morgan_counts, tanimoto, tanimoto_pairs
from molvae.errors import ConfigError, InvalidMoleculeError
from tests.chem.molecules import zinc

SOME = list(zinc()[:12])
tables = st.integers(1, 6).flatmap(
    lambda size: st.tuples(
        *(
            arrays(
                np.uint16, st.tuples(st.integers(0, 5), st.just(size)), elements=st.integers(0, 9)
            )
            for _ in range(2)
        )
    )
)


def slow(a, b, common, either):
    return [
        [
            sum(map(common, x, y)) / sum(map(either, x, y)) if any(x) or any(y) else 1.0
            for y in b.tolist()
        ]
        for x in a.tolist()
    ]


@given(tables)
@settings(deadline=None)
def test_tanimoto_equals_a_slow_reference(pair):
    a, b = pair
    both, either = (lambda x, y: bool(x and y)), (lambda x, y: bool(x or y))
    expected = np.reshape(slow(a, b, both, either), (len(a), len(b)))
    assert tanimoto(a, b) == pytest.approx(expected)
    n = min(len(a), len(b))
    assert tanimoto_pairs(a[:n], b[:n]) == pytest.approx(np.diagonal(expected))


def test_morgan_counts_equal_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=3, fpSize=2048)
    counts = morgan_counts(SOME)
    assert counts.dtype == np.uint16
    assert counts.shape == (len(SOME), 2048)
    for smiles, row in zip(SOME, counts, strict=True):
        expected = generator.GetCountFingerprint(Chem.MolFromSmiles(smiles)).GetNonzeroElements()
        assert {int(i): int(row[i]) for i in np.flatnonzero(row)} == expected


def test_tanimoto_of_morgan_counts_equals_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    mols = [Chem.MolFromSmiles(smiles) for smiles in SOME]
    bits = [generator.GetFingerprint(mol) for mol in mols]
    ours = morgan_counts(SOME, radius=2)
    for row, bit in enumerate(bits):
        assert tanimoto(ours, ours)[row] == pytest.approx(
            DataStructs.BulkTanimotoSimilarity(bit, bits)
        )
    assert np.array_equal(morgan_bits(SOME), ours > 0)


def test_tanimoto_is_symmetric_and_between_0_and_1():
    counts = morgan_counts(SOME)
    matrix = tanimoto(counts, counts)
    assert matrix.dtype == np.float64
    assert np.allclose(matrix, matrix.T)
    assert np.array_equal(np.diagonal(matrix), np.ones(len(SOME)))
    assert ((matrix >= 0) & (matrix <= 1)).all()


def test_morgan_counts_of_two_spellings_are_equal():
    assert np.array_equal(morgan_counts(["OCC"]), morgan_counts(["CCO"]))


def test_fingerprints_and_tanimoto_refuse_invalid_arguments():
    with pytest.raises(InvalidMoleculeError, match="unclosed ring"):
        morgan_counts(["CCO", "C1CC"])
    with pytest.raises(ConfigError, match="size from 1"):
        morgan_counts(["CCO"], size=0)
    with pytest.raises(ConfigError, match=r"use \[smiles\]"):
        morgan_bits("CCO")
    with pytest.raises(ConfigError, match=r"\(1, 8\) and \(1, 16\)"):
        tanimoto(np.zeros((1, 8)), np.zeros((1, 16)))
    with pytest.raises(ConfigError, match="as many rows"):
        tanimoto_pairs(np.zeros((1, 8)), np.zeros((2, 8)))
    assert morgan_counts([]).shape == (0, 2048)
