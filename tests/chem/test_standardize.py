"""`parent`: molecules without counter-ions, solvents and charges."""

from __future__ import annotations

import pytest

from molvae.chem.molecules import canonical
from molvae.chem.standardize import MixtureError, parent
from molvae.errors import InvalidMoleculeError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("CCOc1ccccc1CN.Cl", "CCOc1ccccc1CN"),
        ("[Na+].[Cl-].CCOc1ccccc1CN", "CCOc1ccccc1CN"),
        ("CCOc1ccccc1C[NH3+].[Br-]", "CCOc1ccccc1CN"),
        ("[Na]OC(=O)c1ccccc1", "O=C(O)c1ccccc1"),
        ("[Na+].[O-]C(=O)c1ccccc1", "O=C(O)c1ccccc1"),
        ("O[C@H]([C@@H](O)C(=O)[O-])C(=O)O.CC[NH2+]CC", "CCNCC"),  # tartrate
        ("OC(=O)/C=C/C(=O)O.CCNCC.CCNCC", "CCNCC"),  # hemifumarate
        ("O.CCO.CCNC(=O)c1ccccc1", "CCNC(=O)c1ccccc1"),  # solvents
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("C[N+](C)(C)CC(=O)[O-]", "C[N+](C)(C)CC(=O)[O-]"),  # no hydrogen to lose
        ("CC[N+](C)(C)C.[I-]", "CC[N+](C)(C)C"),
        ("O=[N+]([O-])c1ccccc1", "O=[N+]([O-])c1ccccc1"),
        ("C[S+](C)[O-]", "C[S+](C)[O-]"),
        ("CC(=O)O", "CC(=O)O"),  # a counter-ion alone is a molecule
        ("c1ccncc1.Cl", "c1ccncc1"),
        ("[2H]C([2H])([2H])Oc1ccccc1.Cl", "[2H]C([2H])([2H])Oc1ccccc1"),
        ("[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1", "[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1"),
        ("[Na+].[Cl-]", "[Na+].[Cl-]"),
    ],
)
def test_parent_of_salts_and_ions_is_the_neutral_molecule(given: str, expected: str) -> None:
    assert parent(given) == canonical(expected)
    assert parent(parent(given)) == parent(given)


def test_parent_keeps_enantiomers_apart() -> None:
    salts = ("C[C@H](c1ccccc1)[NH3+].[Cl-]", "C[C@@H](c1ccccc1)[NH3+].[Cl-]")
    assert len({parent(salt) for salt in salts} | {parent("CC(c1ccccc1)N")}) == 3


def test_parent_of_a_mixture_raises_with_its_molecules() -> None:
    with pytest.raises(MixtureError, match=r"'CC\(O\)Cc1ccccc1' and 'CCCNCC'"):
        parent("CCNCCC.CC(O)Cc1ccccc1.Cl")


def test_parent_of_an_invalid_molecule_raises() -> None:
    with pytest.raises(InvalidMoleculeError, match="C1CC"):
        parent("C1CC")
