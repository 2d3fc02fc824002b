"""Both representations: what goes in comes out, and what cannot go in is said."""

from __future__ import annotations

import json

import pytest
import selfies
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.chem.molecules import canonical
from molvae.chem.representations import (
    RobustSmiles,
    Selfies,
    Smiles,
    get_representation,
)
from molvae.errors import ConfigError, InvalidMoleculeError, UnknownNameError
from tests.chem.molecules import molecules, zinc

ALPHABET = sorted(
    selfies.get_semantic_robust_alphabet()
    | {s for smiles in zinc()[:300] for s in selfies.split_selfies(selfies.encoder(smiles))}
    | {"[=S@@]", "[P@@H1]", "[CH1-1]", "[=OH1+1]", "[\\NH2+1]", "[-\\Ring1]", "[Na+1]", "[13CH3]"}
)


@pytest.fixture(params=["selfies", "smiles", "robust-smiles"])
def representation(request):
    return get_representation(request.param)


def test_data_set_molecules_come_back(representation):
    for smiles in zinc(600):
        expected = canonical(smiles)
        assert representation.detokenize(representation.tokenize(expected)) == expected
        assert representation.detokenize(representation.tokenize(smiles)) == expected


@given(molecules)
@settings(deadline=None, max_examples=200)
def test_any_molecule_comes_back(text):
    expected = canonical(text)
    for representation in (Selfies(), Smiles(), RobustSmiles()):
        assert representation.detokenize(representation.tokenize(expected)) == expected


@pytest.mark.parametrize(
    "smiles",
    [
        "CC(=O)[O-].[Na+]",
        "[13CH3][2H]",
        "F/C=C/F",
        "F/C=C\\F",
        "C[C@H](N)C(=O)O",
        "C[S@](=O)c1ccccc1",
        "C[N+](C)(C)C",
        "O=S(=O)(O)O",
        "F[P-](F)(F)(F)(F)F",
        "C1C2CC3CC1CC(C2)C3",
        "c1ccc2cc3cc4cc5ccccc5cc4cc3cc2c1",
        "[Se]1C=CC=C1",
        "C%10CCCCC%10",
    ],
)
def test_hard_cases_come_back(representation, smiles):
    assert representation.detokenize(representation.tokenize(smiles)) == canonical(smiles)


def test_many_rings_open_at_once_come_back(representation):
    cage = "C12C3C4C1C5C2C3C45"
    assert representation.detokenize(representation.tokenize(canonical(cage))) == canonical(cage)


@given(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=60))
@settings(deadline=None, max_examples=500)
def test_any_selfies_symbols_with_an_atom_are_a_molecule(symbols):
    representation = Selfies()
    if not selfies.decoder("".join(symbols)):
        with pytest.raises(InvalidMoleculeError, match="hold no atom"):
            representation.detokenize(symbols)
        return
    smiles = representation.detokenize(symbols)
    assert canonical(smiles) == smiles


@pytest.mark.parametrize("symbols", [[], ["[nop]"], ["."], ["[Branch1]", "[Ring1]"]])
def test_selfies_without_an_atom_are_refused(symbols):
    with pytest.raises(InvalidMoleculeError, match="hold no atom"):
        Selfies().detokenize(symbols)


def test_what_is_no_selfies_symbol_is_named():
    with pytest.raises(InvalidMoleculeError, match=r"invalid symbol '\[foo\]'"):
        Selfies().detokenize(["[C]", "[foo]"])


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C*", r"unrecognized symbol '\*'"),
        ("FCl(F)(F)F", "Cl with 4 bond"),
        ("c1cccc1", "kekulization failed"),
        ("", "empty SMILES"),
    ],
)
def test_what_selfies_cannot_write_is_refused_in_one_line(smiles, reason):
    with pytest.raises(InvalidMoleculeError, match=reason) as caught:
        Selfies().tokenize(smiles)
    assert "\n" not in str(caught.value)
    assert repr(smiles) in str(caught.value)


def test_smiles_symbols_are_atoms_bonds_and_brackets():
    symbols = Smiles().tokenize("C[C@@H](Br)c1cc(Cl)ccc1%12.[Na+]")
    assert symbols == [
        *("C", "[C@@H]", "(", "Br", ")", "c", "1", "c", "c", "(", "Cl", ")", "c", "c", "c", "1"),
        *("%12", ".", "[Na+]"),
    ]  # fmt: skip


def test_smiles_names_a_character_that_it_does_not_have():
    with pytest.raises(InvalidMoleculeError, match="'x' at position 2"):
        Smiles().tokenize("CCxC")
    with pytest.raises(InvalidMoleculeError, match="unclosed ring"):
        Smiles().detokenize(["C", "1"])


def test_settings_make_the_same_representation_again(representation):
    settings = json.loads(json.dumps(representation.settings()))
    assert get_representation(representation.name, settings) == representation


def test_constraints_hold_for_one_object_and_leave_the_library_alone():
    before = selfies.get_semantic_constraints()
    strict = Selfies(constraints={**before, "S": 2})
    symbols = ["[C]", "[=S]", "[=C]", "[C]"]
    assert Selfies().detokenize(symbols) == "C=S=CC"
    assert strict.detokenize(symbols) == "C=S"
    with pytest.raises(InvalidMoleculeError, match="S with 6 bond"):
        strict.tokenize("CS(C)(=O)=O")
    assert selfies.get_semantic_constraints() == before
    assert strict.settings() != Selfies().settings()


def test_a_global_change_of_the_library_does_not_change_a_representation():
    made = Selfies()
    selfies.set_semantic_constraints("octet_rule")
    try:
        assert made.detokenize(["[C]", "[=S]", "[=C]", "[C]"]) == "C=S=CC"
        assert Selfies() == made
        assert selfies.get_semantic_constraints() == selfies.get_preset_constraints("octet_rule")
    finally:
        selfies.set_semantic_constraints("default")


def test_constraints_are_copied():
    constraints = selfies.get_preset_constraints("default")
    made = Selfies(constraints=constraints)
    constraints["C"] = 1
    assert made.detokenize(["[C]", "[C]", "[C]"]) == "CCC"


def test_wrong_names_and_settings_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'selfies'"):
        get_representation("selfie")
    with pytest.raises(ConfigError, match="no such settings"):
        get_representation("smiles", {"constraints": {}})
    with pytest.raises(ConfigError, match="missing '\\?'"):
        Selfies(constraints={"C": 4})


def test_what_has_to_be_mended_is_not_fluent():
    assert RobustSmiles().is_valid_as_written(list("C1CC1"))
    assert not RobustSmiles().is_valid_as_written(list("C1CC"))
    assert not RobustSmiles().is_valid_as_written([])
    for representation in (Selfies(), Smiles()):
        assert representation.is_valid_as_written(list("C1CC"))
