"""Representations: tokenizing and detokenizing is an identity; unsupported molecules raise."""

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


def test_tokenize_and_detokenize_zinc250k_molecules_is_identity(representation):
    for smiles in zinc(600):
        expected = canonical(smiles)
        assert representation.detokenize(representation.tokenize(expected)) == expected
        assert representation.detokenize(representation.tokenize(smiles)) == expected


@given(molecules)
@settings(deadline=None, max_examples=200)
def test_tokenize_and_detokenize_generated_molecules_is_identity(text):
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
def test_tokenize_and_detokenize_hard_cases_is_identity(representation, smiles):
    assert representation.detokenize(representation.tokenize(smiles)) == canonical(smiles)


def test_tokenize_and_detokenize_cage_with_many_open_rings_is_identity(representation):
    cage = "C12C3C4C1C5C2C3C45"
    assert representation.detokenize(representation.tokenize(canonical(cage))) == canonical(cage)


@given(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=60))
@settings(deadline=None, max_examples=500)
def test_selfies_detokenize_of_any_tokens_with_an_atom_is_a_molecule(symbols):
    representation = Selfies()
    if not selfies.decoder("".join(symbols)):
        with pytest.raises(InvalidMoleculeError, match="hold no atom"):
            representation.detokenize(symbols)
        return
    smiles = representation.detokenize(symbols)
    assert canonical(smiles) == smiles


@pytest.mark.parametrize("symbols", [[], ["[nop]"], ["."], ["[Branch1]", "[Ring1]"]])
def test_selfies_detokenize_without_an_atom_raises(symbols):
    with pytest.raises(InvalidMoleculeError, match="hold no atom"):
        Selfies().detokenize(symbols)


def test_selfies_detokenize_of_unknown_token_raises_with_its_name():
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
def test_selfies_tokenize_of_unsupported_molecule_raises_one_line(smiles, reason):
    with pytest.raises(InvalidMoleculeError, match=reason) as caught:
        Selfies().tokenize(smiles)
    assert "\n" not in str(caught.value)
    assert repr(smiles) in str(caught.value)


def test_smiles_tokenize_gives_atoms_bonds_brackets_and_ring_labels():
    symbols = Smiles().tokenize("C[C@@H](Br)c1cc(Cl)ccc1%12.[Na+]")
    assert symbols == [
        *("C", "[C@@H]", "(", "Br", ")", "c", "1", "c", "c", "(", "Cl", ")", "c", "c", "c", "1"),
        *("%12", ".", "[Na+]"),
    ]  # fmt: skip


def test_smiles_tokenize_of_unknown_character_raises_with_its_position():
    with pytest.raises(InvalidMoleculeError, match="'x' at position 2"):
        Smiles().tokenize("CCxC")
    with pytest.raises(InvalidMoleculeError, match="unclosed ring"):
        Smiles().detokenize(["C", "1"])


def test_get_representation_from_settings_equals_the_original(representation):
    settings = json.loads(json.dumps(representation.settings()))
    assert get_representation(representation.name, settings) == representation


def test_selfies_constraints_hold_for_one_object_only():
    before = selfies.get_semantic_constraints()
    strict = Selfies(constraints={**before, "S": 2})
    symbols = ["[C]", "[=S]", "[=C]", "[C]"]
    assert Selfies().detokenize(symbols) == "C=S=CC"
    assert strict.detokenize(symbols) == "C=S"
    with pytest.raises(InvalidMoleculeError, match="S with 6 bond"):
        strict.tokenize("CS(C)(=O)=O")
    assert selfies.get_semantic_constraints() == before
    assert strict.settings() != Selfies().settings()


def test_selfies_constraints_ignore_changes_of_the_selfies_library():
    made = Selfies()
    selfies.set_semantic_constraints("octet_rule")
    try:
        assert made.detokenize(["[C]", "[=S]", "[=C]", "[C]"]) == "C=S=CC"
        assert Selfies() == made
        assert selfies.get_semantic_constraints() == selfies.get_preset_constraints("octet_rule")
    finally:
        selfies.set_semantic_constraints("default")


def test_selfies_constraints_are_copied_from_the_argument():
    constraints = selfies.get_preset_constraints("default")
    made = Selfies(constraints=constraints)
    constraints["C"] = 1
    assert made.detokenize(["[C]", "[C]", "[C]"]) == "CCC"


def test_get_representation_with_unknown_name_or_settings_raises():
    with pytest.raises(UnknownNameError, match="did you mean 'selfies'"):
        get_representation("selfie")
    with pytest.raises(ConfigError, match="no such settings"):
        get_representation("smiles", {"constraints": {}})
    with pytest.raises(ConfigError, match="missing '\\?'"):
        Selfies(constraints={"C": 4})


def test_is_valid_as_written_is_false_for_tokens_that_need_repair():
    assert RobustSmiles().is_valid_as_written(list("C1CC1"))
    assert not RobustSmiles().is_valid_as_written(list("C1CC"))
    assert not RobustSmiles().is_valid_as_written([])
    for representation in (Selfies(), Smiles()):
        assert representation.is_valid_as_written(list("C1CC"))
