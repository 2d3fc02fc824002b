from __future__ import annotations

from collections import Counter

import pytest
from rdkit import Chem

from molvae.chem.filters import alerts, passes
from molvae.chem.unstable_groups import UNSTABLE
from molvae.errors import UnknownNameError
from tests.chem.molecules import zinc

UNSTABLE_MOLECULES = (
    *("FF", "ClCl", "OBr", "CN(C)Cl", "OO", "CC(=O)OO", "C1COO1", "CSSC", "CSOC", "CSN(C)C"),
    *("CNNNC", "CN=NC", "CC=NN", "CNN", "CN=O", "CN=[N+]=[N-]", "CC=[N+]=[N-]", "CO[N+](=O)[O-]"),
    *("CC(=O)N=Cc1ccccc1", "CS(=O)(=O)N=CC", "CC=NC", "CC=N", "CC(=N)OC", "CC=[NH+]C"),
    *("CNC(C)O", "CC(=O)NC(C)O", "CNCNC", "CN(C)CN(C)C", "CC(N)N", "CC(O)O", "OC(O)C(F)(F)F"),
    *("COC(C)(OC)OC", "CSCO", "CC(O)C#N", "CN(C)CCl", "CN(C)CF", "COCCl", "CC(=O)OCOC(C)=O"),
    *("CC=C=CC", "C1CC=C=CC1", "CC=C=O", "CN=C=O", "CN=C=NC", "C[N+]#[C-]", "CC#CN"),
    *("C1=CC=C1", "C1=CN=C1", "C1=NN=C1", "C1=NC1", "C1NN1", "CN1OC1", "CC(=O)N1CC1", "CC1CO1"),
    *("C1=CC1", "O=C1CCO1", "C1=COC1", "C1CC#C1", "CC#CC#CC", "CC=CN", "CC=CO", "CC=S", "CC(C)=S"),
    *("C1=C2CCC(C2)C1", "C1=C2CC(C2)C1", "O=C1C=CC=C1", "N1C=CC=CC=C1", "O1C=COC=C1"),
    *("C[CH2]", "C[O]", "C[NH]", "CC[O-]", "C[S+](C)C", "c1ccccc1[O-]", "CP(C)C", "C[SiH2]C"),
    *("CNNC", "CC=NNC", "C=CC(C)=O", "C=COC", "C=CN(C)C", "CC#CC=O", "CSC#N", "CC(=O)SC"),
    *(
        "CC(=O)n1ccnc1",
        "CCBr",
        "CC(C)Cl",
        "CC=CCl",
        "CCN=Cc1ccccc1",
        "O=C1CCC(=O)O1",
        "CC[N+](=O)[O-]",
    ),
    *("CC(=O)Cl", "CC(=O)OC(C)=O", "CNC(=O)O", "COC(=O)O", "CC(=S)S", "CPC", "CC(=NO)Cl"),
)
DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "Cc1ccc(cc1Nc1nccc(n1)-c1cccnc1)NC(=O)c1ccc(CN2CCN(C)CC2)cc1",
    "CCCc1nn(C)c2c1nc([nH]c2=O)-c1cc(ccc1OCC)S(=O)(=O)N1CCN(C)CC1",
    "NS(=O)(=O)c1cc2c(cc1Cl)NCNS2(=O)=O",
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "Cc1nc[nH]c1CSCCNC(=NC)NC#N",
    "Nc1ccn([C@@H]2CS[C@H](CO)O2)c(=O)n1",
    "NNC(=O)c1ccncc1",
    "CN(C)C(=N)NC(N)=N",
    "ClCCN(CCCl)P1(=O)NCCCO1",
    "CCCCc1nc(Cl)c(CO)n1Cc1ccc(cc1)-c1ccccc1-c1nn[nH]n1",
    "Cn1nnc2c(ncn2c1=O)C(N)=O",
    "C[C@H](CS)C(=O)N1CCC[C@H]1C(=O)O",
    "COc1ccc2[nH]c(nc2c1)S(=O)Cc1ncc(C)c(OC)c1C",
)


def test_unstable_patterns_are_smarts() -> None:
    assert [name for name in UNSTABLE if Chem.MolFromSmarts(UNSTABLE[name]) is None] == []


def test_unstable_molecules_have_an_alert() -> None:
    assert [smiles for smiles in UNSTABLE_MOLECULES if not alerts(smiles, ["UNSTABLE"])] == []
    assert not any(passes(UNSTABLE_MOLECULES, ["unstable"], workers=1))


def test_drugs_have_no_unstable_group() -> None:
    assert [smiles for smiles in DRUGS if alerts(smiles, ["UNSTABLE"])] == []


def test_no_unstable_group_is_common_among_druglike_molecules() -> None:
    found = [alerts(smiles, ["UNSTABLE"]) for smiles in zinc(1000)]
    assert sum(bool(names) for names in found) < 0.06 * len(found)
    assert max(Counter(name for names in found for name in names).values()) < 0.02 * len(found)


def test_alerts_come_from_all_catalogs_that_are_named() -> None:
    assert len(alerts("CC(=O)Cl", ["UNSTABLE", "BRENK"])) > len(alerts("CC(=O)Cl", ["UNSTABLE"]))
    with pytest.raises(UnknownNameError):
        alerts("CCO", ["STABLE"])
