"""`repair`: correct SMILES stay the same molecule, any tokens with an atom become one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.chem.molecules import canonical, parse
from molvae.chem.repair import repair
from molvae.chem.representations import RobustSmiles, Smiles
from molvae.errors import InvalidMoleculeError
from tests.chem.molecules import zinc

CONSTRAINTS = RobustSmiles().constraints

ALPHABET = sorted({symbol for smiles in zinc()[:500] for symbol in RobustSmiles().tokenize(smiles)})


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("CC(C", "CCC"),
        ("CC)C", "CCC"),
        ("C(()N)O", "C(N)O"),
        ("C()O", "CO"),
        ("C1CC", "CCC"),
        ("C11C", "CC"),
        ("C1C1", "CC"),
        ("C1CC1C1", "C1CC1C"),
        ("C=", "C"),
        ("=C=#C", "C#C"),
        ("(CC)", "CC"),
        ("1CC", "CC"),
        ("C(1CC1", "C1CC1"),
        ("C(C1CC1)2CC2", "C2(C1CC1)CC2"),
        ("C.(N).", "C.N"),
        ("C(=)O", "CO"),
        ("C#C#C", "C#CC"),
        ("CFC", "C(F)C"),
        ("FFC", "FF"),
        ("O=C=1CCC=1", "O=C1CCC1"),
        ("C[NH3+]C", "C(C)[NH3+]"),
    ],
)
def test_repair_leaves_out_brackets_and_rings_without_partner(broken: str, mended: str) -> None:
    assert canonical(repair(Smiles().tokenize(broken), CONSTRAINTS)) == canonical(mended)


def test_repair_of_correct_smiles_is_the_same_molecule() -> None:
    for smiles in zinc(600):
        assert canonical(repair(RobustSmiles().tokenize(smiles), CONSTRAINTS)) == canonical(smiles)


def test_repair_of_many_open_rings_writes_two_digit_labels() -> None:
    opened = "".join(f"C%{n}" for n in range(10, 24))
    closed = "".join(f"C%{n}" for n in range(10, 24))
    mended = repair(Smiles().tokenize(opened + "CC" + closed), CONSTRAINTS)
    assert canonical(mended) == canonical(opened + "CC" + closed)


@given(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=60))
@settings(deadline=None, max_examples=500)
def test_detokenize_robust_smiles_of_any_tokens_with_an_atom_is_a_molecule(
    symbols: list[str],
) -> None:
    robust = RobustSmiles()
    if not any(symbol[0].isalpha() or symbol[0] == "[" for symbol in symbols):
        with pytest.raises(InvalidMoleculeError, match="hold no atom"):
            robust.detokenize(symbols)
        return
    smiles = robust.detokenize(symbols)
    assert canonical(smiles) == smiles


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_detokenize_robust_smiles_with_one_wrong_token_adds_no_atoms(data: st.DataObject) -> None:
    robust = RobustSmiles()
    symbols = robust.tokenize(data.draw(st.sampled_from(zinc())))
    place = data.draw(st.integers(0, len(symbols) - 1))
    symbols[place] = data.draw(st.sampled_from(ALPHABET))
    atoms = sum(symbol[0].isalpha() or symbol[0] == "[" for symbol in symbols)
    # Fewer only where a fragment has no bond left at all.
    assert 1 <= parse(robust.detokenize(symbols)).GetNumAtoms() <= atoms


def test_detokenize_aromatic_atoms_without_kekule_form_raises() -> None:
    with pytest.raises(InvalidMoleculeError, match="kekulize"):
        RobustSmiles().detokenize([*"c1cccc1"])
