"""`core_of`, `cuts` and `graft`: cores that molecules keep, molecules taken apart and joined."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molvae.chem.cores import core_of, cuts, graft, with_point
from molvae.chem.molecules import canonical, parse
from molvae.errors import ConfigError, InvalidMoleculeError

QUINAZOLINE = "c1ccc2c(c1)ncnc2N[*:1]"
HELD = {
    QUINAZOLINE: ["Nc1ncnc2ccccc12", "CCNc1ncnc2ccccc12", "CNc1ncnc2ccccc12.CNc1ncnc2ccccc12"],
    "C[C@H]([*:1])N[*:2]": ["C[C@H](F)NC", "C[C@H](F)N"],  # chiral
    "C[C@@H](N)C(=O)N1CCCC1[*:1]": ["C[C@@H](N)C(=O)N1CCCC1C"],
    "O=C([O-])c1ccc([*:1])cc1": ["O=C([O-])c1ccc(C)cc1"],  # charged
    "c1ccc([*:1])c([*:2])c1": ["c1ccc2c(c1)OCO2", "Cc1ccccc1", "Cc1ccccc1CN"],  # symmetrical
    "C1CCN([*:1])CC1": ["C1CCN(C2CC2)CC1", "C1CCNCC1", "C1CCN(CCN2CCCCC2)CC1"],  # twice
    "c1ccc2[nH]ccc2c1": ["Cn1ccc2ccccc21", "c1ccc2c(c1)[nH]c1ccccc12"],  # anywhere, fused
    "c1cc([*:1])c[n,c]c1": ["Cc1cccnc1", "CCc1ccccc1"],  # SMARTS
    "c1ccncc1[*].NS(=O)(=O)c1ccc([*])cc1": [
        "NS(=O)(=O)c1ccc(COc2cccnc2)cc1",
        "NS(=O)(=O)c1ccc(Oc2cccnc2)cc1",  # a linker of one atom
        "NS(=O)(=O)c1ccc(N(C)c2cccnc2)cc1",
    ],
    "[*:1][C@@](Br)(I)Cl.C[C@H](F)[*:1]": ["C[C@H](F)N[C@@](Br)(I)Cl", "C[C@H](F)NN[C@@](Br)(I)Cl"],
    "[*:1]/C=C/F.C[*:2]": ["F/C=C/NC", "F/C=C/NNC"],
}
LACKING = {
    QUINAZOLINE: ["CN(C)c1ncnc2ccccc12", "CNc1ncnc2cc(F)ccc12", "Oc1ncnc2ccccc12"],
    "C[C@H]([*:1])N[*:2]": ["C[C@@H](F)NC", "CCN", "CC(F)NC"],
    "C[C@@H](N)C(=O)N1CCCC1[*:1]": ["C[C@H](N)C(=O)N1CCCC1C"],
    "O=C([O-])c1ccc([*:1])cc1": ["O=C(O)c1ccc(C)cc1", "O=C([O-])c1cccc(C)c1"],
    "c1ccc([*:1])c([*:2])c1": ["Cc1cccc(C)c1", "Cc1ccc(C)c(C)c1"],
    "C1CCN([*:1])CC1": ["C[N+]1(C)CCCCC1", "CC1CCN(C)CC1"],
    "c1ccc2[nH]ccc2c1": ["c1ccc2occc2c1", "C1CCC2NCCC2C1"],
    "c1cc([*:1])c[n,c]c1": ["Cc1ccc(C)nc1", "Cc1ccoc1"],
    "c1ccncc1[*].NS(=O)(=O)c1ccc([*])cc1": [
        "Cc1cccnc1",
        "NS(=O)(=O)c1ccc(COc2cccc(C)n2)cc1",
        "NS(=O)(=O)c1ccc(-c2cccnc2)cc1",
        "NS(=O)(=O)c1ccc(Oc2ccc(C)nc2)cc1",
    ],
    "[*:1][C@@](Br)(I)Cl.C[C@H](F)[*:1]": ["C[C@@H](F)N[C@@](Br)(I)Cl", "C[C@H](F)N[C@](Br)(I)Cl"],
    "[*:1]/C=C/F.C[*:2]": ["F/C=C\\NC", "F/C=C\\NNC"],
}


@pytest.mark.parametrize("core", HELD)
def test_core_of_with_attachment_points_holds_molecules_substituted_there_only(core: str) -> None:
    found = core_of(core)
    for smiles in HELD[core]:
        assert found.holds(canonical(smiles)), smiles
        held = found.find(parse(smiles))
        assert held is not None
        assert len(held.atoms) == found.bare.GetNumAtoms()
        assert set(held.sites) <= held.atoms
    for smiles in LACKING[core]:
        assert not found.holds(smiles), smiles
        assert found.find(parse(smiles)) is None


def test_core_of_points_numbered_by_isotope_equals_map_numbers() -> None:
    assert core_of("[1*]c1ccncc1").text == "[*:1]c1ccncc1"
    assert core_of("[1*]c1ccncc1").holds("Cc1ccncc1")


def test_core_of_smarts_with_ring_wildcards_holds_any_matching_ring() -> None:
    core = core_of("[#6]1~*~[#6][#6]~[#6]~1")
    assert core.smiles is None
    assert not core.points
    assert core.holds("CC1CNCC1")
    assert core.holds("C1CCCC1")
    assert not core.holds("C1CNNC1")


@pytest.mark.parametrize("core", [one for one in HELD if core_of(one).points])
def test_core_scaffold_of_a_molecule_holds_the_core_with_its_points(core: str) -> None:
    for smiles in HELD[core]:
        if "." in smiles:
            continue
        scaffold = core_of(core).scaffold(smiles)
        assert scaffold is not None
        assert core_of(scaffold).holds(smiles)
        assert len(core_of(scaffold).points) == len(core_of(core).points)


def test_core_scaffold_of_a_core_inside_a_fused_ring_is_none() -> None:
    assert core_of("c1ccccc1").scaffold("c1ccc2ccccc2c1") is None
    assert core_of("c1ccccc1").scaffold("Cc1ccccc1O") == "c1ccccc1"


def test_core_labeled_keeps_given_numbers_of_points() -> None:
    def numbers(text: str) -> list[int]:
        return [a.GetAtomMapNum() for a in core_of(text).labeled().GetAtoms() if a.GetAtomMapNum()]

    assert numbers("c1c([*:2])cncc1[*:1]") == [2, 1]
    assert numbers("c1c([*:7])cncc1[*:7]") == [1, 2]
    assert numbers("c1c(*)cncc1[*:7]") == [1, 2]


def test_core_find_sites_are_atoms_where_a_hydrogen_may_be_replaced() -> None:
    mol = parse("Nc1ncnc2ccccc12")
    held = core_of(QUINAZOLINE).find(mol)
    assert held is not None
    assert [mol.GetAtomWithIdx(i).GetSymbol() for i in held.sites] == ["N"]
    free = core_of("c1ccccc1").find(parse("Cc1ccccc1"))
    assert free is not None
    assert len(free.sites) == 5


@pytest.mark.parametrize("text", ["c1ccccc1C(", "Zz", ""])
def test_core_of_unparsable_text_raises_invalid_molecule_error(text: str) -> None:
    with pytest.raises(InvalidMoleculeError):
        core_of(text)


@pytest.mark.parametrize("text", ["[*][*]", "C.N.O", "CC.[*:1]", "C=[*:1]", "Cl.C[*:1]"])
def test_core_of_wildcards_alone_or_of_many_fragments_raises_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        core_of(text)


def test_graft_of_both_parts_of_a_cut_gives_the_molecule() -> None:
    smiles = canonical("C[C@@H](OCC)c1ccc(C[C@H](N)C(=O)O)cc1")
    mol = Chem.MolFromSmiles(smiles)
    bonds = cuts(mol)
    assert len(bonds) == 20
    for near, far in bonds:
        assert graft(with_point(mol, near, far), with_point(mol, far, near)) == smiles


def test_cuts_with_kept_atoms_spare_bonds_of_the_core() -> None:
    mol = parse("CCNc1ncnc2ccccc12")
    held = core_of(QUINAZOLINE).find(mol)
    assert held is not None
    assert sorted(cuts(mol, held.atoms)) == [(1, 0), (2, 1)]
