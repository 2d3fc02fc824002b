"""`alerts` of the catalog UNSTABLE: groups that hydrolyze, explode or react by themselves."""

from __future__ import annotations

from collections import Counter

import pytest
from rdkit import Chem

from molvae.chem.filters import alerts, passes
from molvae.chem.unstable_groups import UNSTABLE
from molvae.errors import UnknownNameError
from tests.chem.molecules import zinc

UNSTABLE_MOLECULES = (
    *("CN1C(=O)NCC1Nc1ncccn1", "CC(=O)N1CCCC1Nc1ccccc1"),
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
    *("CCN=COc1ccccc1", "CN=CSC"),
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


PAIRS = {
    "alkene between two carbonyls": ("CNC(=O)C=CC(=O)NC", "CNC(=O)C=CCN(C)C"),
    "tropone": ("Cc1cc(CC)ccc(O)c1=O", "Cc1cc(CC)cc(O)c1O"),
    "acyl aminal or N,O-acetal": ("CC(=O)N1CCCC1OC", "CC(=O)N1CCCC1COC"),
    "acyl N,S-acetal": ("CC(=O)N1CCCC1SC", "CC(=O)N1CCSC1C"),
    "aryl aminal": ("c1ccccc1N1CN(C)CC1", "CC1NC(=O)c2ccccc2N1"),
    "aryl N,O-acetal or N,S-acetal": ("c1ccccc1N1CCOC1", "c1ccccc1N1CCOCC1"),
    "azole aminal": ("CN(C)C(C)n1cccn1", "CN(C)CCn1cccn1"),
    "acyclic acetal": ("COC(C)OC", "OCCOCn1cnc2c1ncnc2N"),
    "acyclic dithioacetal": ("CSC(C)SC", "C1CSCSC1"),
    "alkoxy ring ether": ("COC1CCCO1", "COC1OC(CO)C(O)C1O"),
    "aminonitrile": ("CN(C)C(C)C#N", "CC(=O)N1CCCC1C#N"),
    "geminal dinitrile": ("CC(C#N)C#N", "N#CCCC#N"),
    "cyclic anhydride": ("O=c1[nH]c2ccccc2c(=O)o1", "O=c1[nH]c2ccccc2c(=O)[nH]1"),
    "acylated azole": ("CNC(=O)n1ccnc1", "CC(=O)n1ccc2ccccc21"),
    "activated ester": ("CC(=O)Oc1ccc([N+](=O)[O-])cc1", "CC(=O)Oc1cccnc1"),
    "exocyclic or acyclic imine": ("CC(C)=Nc1ccccc1", "CC(C)=NOC"),
    "cyclic aliphatic imine": ("CC1=NCCC1", "O=C1CN=C(c2ccccc2)c2ccccc2N1"),
    "cyclic imine of an aldehyde": ("C1=NCCc2ccccc21", "C1=NCCN1"),
    "acyclic imidate or isourea": ("CC(=NC)OC", "CC1=NCCO1"),
    "primary alpha-amino ketone": ("CC(=O)CN", "COC(=O)CN"),
    "vinyl sulfide": ("CC=CSC", "CC=CCSC"),
    "dihydropyridine": ("CC(=O)N1C=CCC=C1", "COC(=O)C1=C(C)NC(C)=C(C(=O)OC)C1C"),
    "pyran or thiopyran": ("C1=COC=CC1", "O=c1ccocc1"),
    "cyclohexadiene": ("C1=CCCC=C1", "C1=CCCCC1"),
    "tautomer of a phenol, toluene or azine": ("O=C1C=CC=CC1", "O=C1C=CCCC1"),
    "cyclopentadiene, its aza analog or fulvene": ("CC1=CC(C)(C)C(C)=N1", "C1=Cc2ccccc2C1"),
    "cyclopentadienone or its aza analog": ("O=C1C=CN=N1", "O=C1C=CCN1"),
    "isobenzofuran or isoindole": ("c1ccc2cocc2c1", "c1ccc2occc2c1"),
    "hydroxyfuran, -pyrrole or -thiophene": ("Oc1ccco1", "OCc1ccco1"),
    "aminofuran or aminopyrrole": ("Nc1ccco1", "CC(=O)Nc1ccco1"),
    "terminal diene": ("C=CC=CC", "C=CCC=CC"),
    "phosphorane or metaphosphate": ("CC=P(C)(C)C", "CP(C)(C)=O"),
    "sulfur-nitrogen double bond": ("CS(C)=N", "CS(C)(=N)=O"),
    "sulfonic anhydride": ("CS(=O)(=O)OS(C)(=O)=O", "CS(=O)(=O)NS(C)(=O)=O"),
    "azine of carbonyls": ("CC(C)=NN=C(C)C", "c1ccnnc1"),
    "N-unsubstituted pyrazoline": ("C1=NNCC1", "CC(=O)N1N=CCC1"),
    "nitrogen-rich ring": ("c1nncnn1", "Cc1nnn[nH]1"),
    "unusual element": ("C[Sn](C)(C)C", "C[Si](C)(C)C"),
    "difluoroalkene": ("CC=C(F)F", "CCC(F)F"),
    "bridgehead alkene": ("C1CCC2=CCCC1C2", "C1=CC2CCC1C2"),
    "bridgehead amide": ("O=C1C2CCN1CC2", "O=C1CC2CCC1CN2"),
    "allene or alkyne in a ring": ("C1#CCCCCCC1", "CC#CC1CCCCC1"),
    "fused rings of three or four": ("C12C3C4C1C5C2C3C45", "C1C2CC1C2"),
    "spiropentane": ("C1CC12CC2", "C1CC12CCC2"),
    "four-membered acetal": ("C1OCO1", "O=C1COC1"),
    "N-unsubstituted formamidine": ("N=CN1CCCC1", "CN(C)C(=N)N"),
    "N-cyano azole or azine": ("N#Cn1cccc1", "Cn1cccc1C#N"),
    "N-hydroxyamine": ("ONc1ccccc1", "CC(=O)NO"),
    "sulfinamide": ("CS(=O)NC", "CS(=O)(=O)NC"),
    "acyl or alkenyl azo": ("CC1=C(C)C(=O)N=NC1", "Cc1ccc(N=Nc2ccccc2)cc1"),
    "acyclic hydrazone": ("CC=NNc1ccccc1", "CC1=NN(c2ccccc2)CC1"),
    "ammonium beside nitrogen or oxygen": ("C[NH2+]OC", "C[N+](C)(C)[O-]"),
    "protonated aniline, amide or trifluoroethylamine": ("CS([NH3+])(=O)=O", "C[NH2+]Cc1ccccc1"),
    "protonated azole or azine that is not basic": ("Cc1cnc[nH+]c1", "Nc1cccc[nH+]1"),
    "anion of a weakly acidic azole or amide": ("CC(=O)[N-]C", "c1nn[n-]n1"),
    "O-aryl hydroxylamine or oxime": ("CCC=NOc1ccccc1", "CC(C)=NOCc1ccccc1"),
    "N-oxyazole": ("COn1cccc1", "O=c1ccccn1O"),
    "phosphorus with hydrogen": ("C[PH](C)=O", "CP(C)(C)=O"),
    "silicon-heteroatom bond": ("CO[Si](C)(C)C", "C[Si](C)(C)C"),
    "boron halide, boron amide or borane": ("CB(C)O", "CB(O)O"),
    "nitrogen mustard": ("C[NH+](C)CCCl", "CC(=O)N(C)CCCl"),
    "activated aryl halide": ("Fc1nncc(C)n1", "Clc1ncccn1"),
    "hemiaminal": ("C[NH2+]C(C)O", "C[NH2+]CCO"),
    "aminal": ("C[NH+](C)C[NH+](C)C", "C[NH+](C)CC[NH+](C)C"),
    "aminal of an imine": ("CC1=NC(NC)C(=O)N1", "CC1=NCC(=O)N1"),
    "acyloxymethyl azole": ("CC(=O)OCn1cccn1", "OCCOCn1cccn1"),
    "alpha-amino sulfone": ("CC(=O)NCS(C)(=O)=O", "CC(=O)NCCS(C)(=O)=O"),
    "cyanohydrin or its ester": ("CC(=O)OC(C)C#N", "COC(C)C#N"),
    "quinone, quinone methide or xylylene": ("C=C1C=CC(=O)C=C1", "CC1(C)C=CC(=O)C=C1"),
    "acylated pyridone or oxazolone": ("CC(=O)n1c(=O)oc2ccccc21", "CCn1c(=O)oc2ccccc21"),
    "triacylamine": ("CC(=O)N1C(=O)CCC1=O", "CN1C(=O)CCC1=O"),
    "azlactone": ("CC1=NC(C)C(=O)O1", "CC1=NC(C)C(=O)N1"),
    "sulfonylpyrimidine": ("CS(=O)(=O)c1ncccn1", "CS(=O)(=O)c1cccnc1"),
    "imidic or thioimidic acid": ("OC1=NCCC1", "COC1=NCCC1"),
    "tautomer of a pyridone": ("Oc1ccccn1", "Oc1cccnc1"),
    "imino tautomer of an aminoazine": ("CN=c1cccc[nH]1", "CNc1ccccn1"),
    "acyl formamidine": ("CNC=NC(C)=O", "CN=CN(C)C"),
    "enamine": ("CC=CN(C)c1ccccc1", "CC(=O)C=CN(C)c1ccccc1"),
    "isomer of an unsaturated lactam or lactone": ("CC1=CCC(=O)N1", "CC1C=CC(=O)N1"),
    "enol ether or ester": ("CC=COC(C)=O", "CC=CCOC(C)=O"),
    "dihydroazine": ("C1C=CN=CN1", "O=C1C=CN=CN1"),
    "conjugated ring of seven or eight": ("C1=CC=CC=CC1", "C1=CCCC=CC1"),
    "cyclopropanol": ("OC1CC1", "COC1CC1"),
    "nitroso": ("CNc1ccccc1[NH+]=O", "CNc1ccccc1[N+](=O)[O-]"),
    "1,2,3-oxadiazole": ("Cc1conn1", "Cc1cnon1"),
    "halogen on a pyrrole": ("Clc1ccc[nH]1", "Clc1ccn[nH]1"),
    "halogen beside a heteroatom of an azolone": ("O=c1[nH]cc(F)[nH]1", "Cc1[nH][nH]c(=O)c1Br"),
    "fluorofuran": ("Cc1ccc(F)o1", "FCc1ccco1"),
    "acylated sulfonamide": ("O=C1CCCN1S(C)(=O)=O", "CC(=O)NS(C)(=O)=O"),
    "alkyl sulfonate or sulfate": ("CCOS(C)(=O)=O", "CS(=O)(=O)Oc1ccccc1"),
    "maleimide": ("CN1C(=O)C=CC1=O", "CN1C(=O)C(C)=C(C)C1=O"),
    "protonated enamine": ("CC=C[NH+](C)C", "CC=CC[NH+](C)C"),
    "oxonium": ("CC(C)=[OH+]", "CC(C)=O"),
    "three-membered ring with two heteroatoms": ("CC1(C)N=N1", "CC1CN=N1"),
    "radical or carbene": ("C[NH+]", "C[NH3+]"),
}
"""Of a group: a molecule that has it, and one that is like it and has not."""


def test_alerts_find_each_unstable_group_in_its_example_only() -> None:
    for name, (having, other) in PAIRS.items():
        assert name in alerts(having, ["UNSTABLE"])
        assert name not in alerts(other, ["UNSTABLE"])


def test_unstable_patterns_are_valid_smarts() -> None:
    assert [name for name in UNSTABLE if Chem.MolFromSmarts(UNSTABLE[name]) is None] == []


def test_alerts_of_unstable_molecules_are_never_empty() -> None:
    assert [smiles for smiles in UNSTABLE_MOLECULES if not alerts(smiles, ["UNSTABLE"])] == []
    assert not any(passes(UNSTABLE_MOLECULES, ["unstable"], workers=1))


def test_alerts_of_drugs_name_no_unstable_group() -> None:
    assert [smiles for smiles in DRUGS if alerts(smiles, ["UNSTABLE"])] == []


def test_alerts_of_druglike_molecules_are_rare_for_every_unstable_group() -> None:
    found = [alerts(smiles, ["UNSTABLE"]) for smiles in zinc(1000)]
    assert sum(bool(names) for names in found) < 0.08 * len(found)
    assert max(Counter(name for names in found for name in names).values()) < 0.02 * len(found)


def test_alerts_of_several_catalogs_are_joined() -> None:
    assert len(alerts("CC(=O)Cl", ["UNSTABLE", "BRENK"])) > len(alerts("CC(=O)Cl", ["UNSTABLE"]))
    with pytest.raises(UnknownNameError):
        alerts("CCO", ["STABLE"])
