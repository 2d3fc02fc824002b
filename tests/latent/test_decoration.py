"""`decorate`, `link` and `morph`: molecules that keep a scaffold, fragments, or most of a lead."""

from __future__ import annotations

import re

import pytest
from rdkit import Chem

import molvae
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.errors import ConfigError, InvalidMoleculeError, TooLongError, UnknownTokenError
from molvae.latent.space import LatentSpace

SCAFFOLDS = (
    "c1ccc2c(c1)ncnc2N[*:1]",
    "O=C(N[*:1])c1ccc([*:2])cc1",
    "c1ccc2[nH]ccc2c1",
    "CCOc1ccc(S(=O)(=O)[*:1])cc1",
    "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@]34C)[C@@H]1CC[C@@H]2[*]",
)


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    return molvae.load("zinc250k")


def core_of(scaffold: str) -> Chem.Mol:
    return Chem.DeleteSubstructs(Chem.MolFromSmiles(scaffold), Chem.MolFromSmarts("[#0]"))


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_decorate_keeps_the_scaffold_and_its_stereocenters(
    space: LatentSpace, scaffold: str
) -> None:
    found = space.decorate(scaffold, 12, seed=2)
    assert len(set(found)) == 12
    assert found == space.decorate(scaffold, 12, seed=2)
    assert [canonical(smiles) for smiles in found] == found
    core = core_of(scaffold)
    for smiles in found:
        mol = Chem.MolFromSmiles(smiles)
        assert mol.HasSubstructMatch(core, useChirality=True)
        assert mol.GetNumAtoms() > core.GetNumAtoms()


def test_decorate_puts_groups_only_at_attachment_points(space: LatentSpace) -> None:
    fixed = Chem.MolFromSmarts("[nH0;D2]1[cH][nH0;D2]c(N)[cH]c1Cl")
    for smiles in space.decorate("n1cnc(N[*:1])cc1Cl", 12, seed=1):
        assert Chem.MolFromSmiles(smiles).HasSubstructMatch(fixed), smiles


def test_decorate_both_ends_of_a_double_bond_keeps_its_marks(space: LatentSpace) -> None:
    core = Chem.MolFromSmarts("[#6,#7,#8,#16]/[CH]=[CH]/[#6,#7,#8,#16]")
    for smiles in space.decorate("[*:1]/C=C/[*:2]", 6, seed=1):
        assert Chem.MolFromSmiles(smiles).HasSubstructMatch(core, useChirality=True), smiles


def test_link_keeps_both_fragments(space: LatentSpace) -> None:
    first, second = "c1ccncc1[*]", "NS(=O)(=O)c1ccc([*])cc1"
    found = space.link(first, second, 8, seed=1)
    assert len(set(found)) == 8
    for smiles in found:
        mol = Chem.MolFromSmiles(smiles)
        assert mol.HasSubstructMatch(core_of(first))
        assert mol.HasSubstructMatch(core_of(second))
        linker = mol.GetNumAtoms() - sum(core_of(x).GetNumAtoms() for x in (first, second))
        assert 1 <= linker <= 12


def test_morph_gives_distinct_analogues_the_most_similar_first(space: LatentSpace) -> None:
    lead = "CC(=O)Nc1ccc(OCC(=O)N2CCOCC2)cc1"
    found = space.morph(lead, 10, seed=1)
    assert len(set(found)) == 10
    assert canonical(lead) not in found
    alike = tanimoto(morgan_bits(found), morgan_bits([canonical(lead)]))[:, 0].tolist()
    assert alike == sorted(alike, reverse=True)
    assert alike[0] > 0.5


@pytest.mark.parametrize(
    ("scaffold", "error"),
    [
        ("c1ccccc1C(", InvalidMoleculeError),
        ("C[*]C", ConfigError),
        ("FC(F)(F)F", ConfigError),
        ("[*][*]", ConfigError),
        ("CC.CC[*]", ConfigError),
        ("C[Si](C)(C)[*:1]", UnknownTokenError),
    ],
)
def test_decorate_with_invalid_scaffold_raises(
    space: LatentSpace, scaffold: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        space.decorate(scaffold, 3)


def test_decorate_core_that_the_model_cannot_encode_raises_with_the_core(
    space: LatentSpace,
) -> None:
    for core, error in (("[13CH3]c1ccccc1[*:1]", UnknownTokenError), ("C" * 300, TooLongError)):
        with pytest.raises(error, match=re.escape(core[:20])) as caught:
            space.decorate(core, 3)
        assert "cannot be kept" in str(caught.value)
        assert "give another core or model" in str(caught.value)


def test_decorate_and_link_with_invalid_settings_raise_as_generate_does(space: LatentSpace) -> None:
    for settings in ({"noise": 5.0}, {"noise": -0.1}, {"temperature": -1.0}):
        for call in (space.generate, space.decorate, space.link):
            given = {"generate": (2,), "decorate": ("CC[*]", 2), "link": ("CC[*]", "CN[*]", 2)}
            with pytest.raises(ConfigError, match=next(iter(settings))):
                call(*given[call.__name__], **settings)  # type: ignore[operator]


def test_link_fragment_with_two_attachment_points_raises(space: LatentSpace) -> None:
    with pytest.raises(ConfigError, match="attachment points"):
        space.link("[*]c1ccc([*])cc1", "C[*]", 3)
