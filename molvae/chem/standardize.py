"""The parent molecule of a salt or an ion, by RDKit's MolStandardize."""

from __future__ import annotations

from functools import cache
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from molvae.chem.molecules import canonical, canonical_or_none, parse
from molvae.errors import InvalidMoleculeError, shown

COUNTER_IONS = {
    "acids": """
        CCC(=O)O OC(=O)O OC(=O)C(=O)O OC(=O)CC(=O)O OC(=O)CCC(=O)O OC(=O)CCCCC(=O)O
        OC(=O)C=CC(=O)O CC(O)C(=O)O OC(=O)CC(O)C(=O)O OC(=O)C(O)C(O)C(=O)O
        OC(=O)CC(O)(C(=O)O)CC(=O)O OC(=O)C(O)c1ccccc1 OC(=O)c1ccccc1 OC(=O)c1ccccc1O
        OC(=O)CNC(=O)c1ccccc1 OCC(O)C(O)C(O)C(O)C(=O)O OC(=O)c1cc2ccccc2cc1O
        OC(=O)c1cc2ccccc2c(Cc2c3ccccc3cc(C(=O)O)c2O)c1O CCS(=O)(=O)O OCCS(=O)(=O)O
        OS(=O)(=O)CCS(=O)(=O)O OS(=O)(=O)C(F)(F)F OS(=O)(=O)c1ccccc1 Cc1ccc(S(=O)(=O)O)cc1
        OS(=O)(=O)c1ccc2ccccc2c1 CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2 NS(=O)(=O)O
        NC(CC(=O)O)C(=O)O NC(CCC(=O)O)C(=O)O
    """,
    "bases": """
        CCN(CC)CC CCN(C(C)C)C(C)C NCCO OCCNCCO OCCN(CCO)CCO NCCN NC(CO)(CO)CO
        CNCC(O)C(O)C(O)C(O)CO C[N+](C)(C)CCO NCCCCC(N)C(=O)O NC(CCCNC(=N)N)C(=O)O
        C1CCC(NC2CCCCC2)CC1 c1ccncc1
    """,
}
"""Organic counter-ions, neutral and without stereochemistry; RDKit knows inorganic ones, solvents,
and acetate, formate, trifluoroacetate and mesylate."""
CARBON = 6
METALS = "[Li,Na,K,Rb,Cs,Be,Mg,Ca,Sr,Ba]"  # metals that are drawn with a bond to their counter-ion


class MixtureError(InvalidMoleculeError):
    """Several different molecules, none of which is a counter-ion or a solvent."""


def parent(text: str) -> str:
    """The parent molecule of a SMILES text, as canonical SMILES.

    Counter-ions and solvents are removed and charges neutralized, where hydrogens can do that;
    stereochemistry, isotopes and tautomers stay.

        >>> parent("[Na+].CC(=O)[O-]"), parent("CCOc1ccc(C[NH2+]C)cc1.[Cl-]")
        ('CC(=O)O', 'CCOc1ccc(CNC)cc1')

    Raises:
        InvalidMoleculeError: The text is not a molecule.
        MixtureError: Several different molecules are left.
    """
    mol = parse(text)
    if not any(atom.GetAtomicNum() == CARBON for atom in mol.GetAtoms()):
        return canonical(text)
    disconnector, remover, uncharger = _tools()
    with rdBase.BlockLogs():
        parts = {}
        for part in Chem.GetMolFrags(remover.remove(disconnector.Disconnect(mol)), asMols=True):
            neutral = uncharger.uncharge(part)
            if (smiles := canonical_or_none(Chem.MolToSmiles(neutral))) is None:
                return canonical(text)  # of a metal complex
            parts[smiles] = neutral
        others = [smiles for smiles, part in parts.items() if _flat(part) not in _counter_ions()]
    if len(found := others or [*parts]) > 1:
        raise MixtureError(f"a mixture of {' and '.join(shown(one, 60) for one in sorted(found))}")
    return found[0]


def _flat(mol: Chem.Mol) -> str:
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    return str(Chem.MolToSmiles(flat))


@cache
def _tools() -> tuple[Any, Any, Any]:
    disconnector = rdMolStandardize.MetalDisconnector()
    disconnector.SetMetalNof(Chem.MolFromSmarts(f"{METALS}~[#7,#8,F]"))
    disconnector.SetMetalNon(Chem.MolFromSmarts(f"{METALS}~[#6,#16,#17,#35,#53]"))
    return disconnector, rdMolStandardize.FragmentRemover(), rdMolStandardize.Uncharger()


@cache
def _counter_ions() -> frozenset[str]:
    texts = " ".join(COUNTER_IONS.values()).split()
    return frozenset(str(Chem.MolToSmiles(Chem.MolFromSmiles(text))) for text in texts)
