"""Tasks of GuacaMol and PMO: equal to the packages, and to values worked by hand."""

from __future__ import annotations

import json
import math
import pickle
from math import exp, sqrt
from pathlib import Path

import pytest
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import AllChem, Crippen, Descriptors, GraphDescriptors
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

from molvae.chem.molecules import canonical
from molvae.errors import UnknownNameError
from molvae.objectives import guacamol
from molvae.objectives.guacamol import SUITES, TASKS, targets
from molvae.objectives.guacamol_terms import FINGERPRINTS, pharmacophores
from molvae.objectives.registry import get_objective, list_objectives
from tests.chem.molecules import zinc

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "guacamol.json").read_text())
NAMED = {
    name: canonical(getattr(guacamol, name.upper()))
    for name in (
        *("celecoxib", "troglitazone", "thiothixene", "aripiprazole", "albuterol", "mestranol"),
        *("camphor", "menthol", "tadalafil", "sildenafil", "osimertinib", "fexofenadine"),
        *("ranolazine", "perindopril", "amlodipine", "sitagliptin", "zaleplon", "hop_scaffold"),
    )
}
SPELLINGS = (
    ("OC(=O)c1ccccc1OC(C)=O", "CC(=O)OC1=CC=CC=C1C(O)=O", "O=C(C)Oc1ccccc1C(=O)O"),
    ("C[C@H](N)C(=O)O", "N[C@@H](C)C(O)=O", "OC([C@@H](N)C)=O"),
    ("FC(F)(F)c1nnc2n1CCNC2", "C1CNCc2nnc(C(F)(F)F)n12", "n1nc(C(F)(F)F)n2CCNCc12"),
)


def score_of(name: str, smiles: str) -> float:
    return TASKS[name]([smiles])[0]


@pytest.mark.parametrize("name", TASKS)
def test_task_scores_equal_the_packages(name):
    expected = GOLDEN["scores"][name]
    assert max(expected) > 0.1  # something is there to be got wrong
    assert TASKS[name](GOLDEN["molecules"]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_task_scores_equal_the_documentation_of_tdc():
    # https://github.com/mims-harvard/TDC/issues/244: what PyTDC 0.4.7 gave, and what the pages said
    # that had been written with an older one.
    example = "CC(C)(C)[C@H]1CCc2c(sc(NC(=O)COc3ccc(Cl)cc3)c2C(N)=O)C1"
    for name, today, before in (
        ("zaleplon_mpo", 0.0019017991803329235, 7.752152611462035e-05),
        ("isomers_c7h8n2o2", 2.1987591132394053e-34, 7.077155389805107e-22),
        ("isomers_c9h10n2o2pf2cl", 1.713908431542013e-15, 3.775134544279098e-11),
    ):
        assert score_of(f"pmo/{name}", example) == pytest.approx(today, rel=1e-9)
        assert score_of(f"pmo/{name}_prev", example) == pytest.approx(before, rel=1e-9)
    assert score_of("pmo/sitagliptin_mpo", example) == pytest.approx(3.34970667598234e-12, rel=1e-9)


@pytest.mark.parametrize("suite", ["guacamol", "pmo"])
@pytest.mark.parametrize(
    "name",
    [
        *("celecoxib_rediscovery", "troglitazone_rediscovery", "thiothixene_rediscovery"),
        *("aripiprazole_similarity", "albuterol_similarity", "mestranol_similarity"),
    ],
)
def test_task_score_is_1_for_its_target_only(suite, name):
    (target,) = targets(f"{suite}/{name}")
    assert score_of(f"{suite}/{name}", target) == 1.0
    assert max(TASKS[f"{suite}/{name}"](zinc()[:50])) < 1.0


def bell(distance: float) -> float:
    return exp(-0.5 * distance**2)


@pytest.mark.parametrize(
    ("name", "smiles", "score"),
    [
        ("isomers_c11h24", "CCCCCCCCCCC", 1.0),
        ("isomers_c11h24", "CCCCC(CC)(CC)CC", 1.0),
        # One oxygen too many is one atom too many: half a deviation. Three parts.
        ("isomers_c11h24", "CCCCCCCCCCCO", bell(1 / 2) ** (1 / 3)),
        # C10H22: one carbon, two hydrogens, three atoms.
        ("isomers_c11h24", "CCCCCCCCCC", (bell(1) * bell(2) * bell(3 / 2)) ** (1 / 3)),
        ("isomers_c7h8n2o2", "NC(=O)c1ccncc1OC", 1.0),
        # C6H7N3O2: three elements and the number of atoms are wrong by one. C7H8N2OS: one is.
        ("isomers_c7h8n2o2", "COc1ccc(N)nc1N=O", (bell(1) ** 3 * bell(1 / 2)) ** (1 / 5)),
        ("isomers_c7h8n2o2", "Nc1ccc(C(N)=O)cc1S", bell(1) ** (1 / 5)),
        # C17H15N5O where C19H17N3O2 is wanted; itself otherwise.
        ("zaleplon_mpo", NAMED["zaleplon"], sqrt((bell(2) ** 3 * bell(1) * bell(3 / 2)) ** 0.2)),
        # Right in all but that it is sitagliptin: ten deviations, four parts.
        ("sitagliptin_mpo", NAMED["sitagliptin"], bell(10) ** (1 / 4)),
        # No aromatic ring, two rings: two are wanted, three are, with deviations of 1/2.
        ("perindopril_mpo", NAMED["perindopril"], sqrt(bell(4))),
        ("amlodipine_mpo", NAMED["amlodipine"], sqrt(bell(2))),
        # Properties of sitagliptin without the substructure, and nothing at all.
        ("valsartan_smarts", NAMED["sitagliptin"], 0.0),
        # Pharmacophores and scaffold are there, and so is the decoration.
        ("deco_hop", NAMED["hop_scaffold"], (1 + 0 + 0 + 1) / 4),
        ("scaffold_hop", NAMED["hop_scaffold"], (1 + 1 + 0) / 3),
        ("deco_hop", "C", (0 + 1 + 1 + 0) / 4),
        ("scaffold_hop", "C", (0 + 0 + 1) / 3),
    ],
)
@pytest.mark.parametrize("suite", ["guacamol", "pmo"])
def test_task_scores_equal_hand_calculation(suite, name, smiles, score):
    assert score_of(f"{suite}/{name}", smiles) == pytest.approx(score, rel=1e-9)


def legacy(mol: Chem.Mol, kind: str):
    """The fingerprints as GuacaMol makes them."""
    with rdBase.BlockLogs():
        if kind == "AP":
            return AllChem.GetAtomPairFingerprint(mol, maxLength=10)
        features = kind == "FCFP4"
        return AllChem.GetMorganFingerprint(mol, 3 if kind == "ECFP6" else 2, useFeatures=features)


@pytest.mark.skipif(not hasattr(AllChem, "GetMorganFingerprint"), reason="RDKit dropped them")
@pytest.mark.parametrize("kind", ["ECFP4", "ECFP6", "FCFP4", "AP"])
def test_task_fingerprints_equal_the_rdkit_functions_of_guacamol(kind):
    for text in (*NAMED.values(), *zinc()[:50]):
        mol = Chem.MolFromSmiles(text)
        ours, theirs = FINGERPRINTS[kind](mol), legacy(mol, kind)
        assert dict(ours.GetNonzeroElements()) == dict(theirs.GetNonzeroElements())


def tanimoto(a: str, b: str, kind: str) -> float:
    molecules = [Chem.MolFromSmiles(text) for text in (a, b)]
    return DataStructs.TanimotoSimilarity(*(legacy(mol, kind) for mol in molecules))


@pytest.mark.skipif(not hasattr(AllChem, "GetMorganFingerprint"), reason="RDKit dropped them")
@pytest.mark.parametrize(
    "smiles", [NAMED["osimertinib"], NAMED["ranolazine"], zinc()[0], zinc()[1]]
)
def test_task_scores_equal_the_formulas_of_the_paper(smiles):
    mol = Chem.MolFromSmiles(smiles)
    logp, tpsa = Crippen.MolLogP(mol), Descriptors.TPSA(mol)
    like = {
        (name, kind): tanimoto(smiles, text, kind)
        for name, text in NAMED.items()
        for kind in ("ECFP4", "ECFP6", "FCFP4", "AP")
    }
    osimertinib = (
        min(like["osimertinib", "FCFP4"] / 0.8, 1)
        * bell(max(like["osimertinib", "ECFP6"] - 0.85, 0) / 0.1)
        * bell(min(tpsa - 100, 0) / 10)
        * bell(max(logp - 1, 0))
    ) ** (1 / 4)
    fexofenadine = (
        min(like["fexofenadine", "AP"] / 0.8, 1)
        * bell(min(tpsa - 90, 0) / 10)
        * bell(max(logp - 4, 0))
    ) ** (1 / 3)
    fluorines = sum(atom.GetSymbol() == "F" for atom in mol.GetAtoms())
    ranolazine = (
        min(like["ranolazine", "AP"] / 0.7, 1)
        * bell(min(logp - 7, 0))
        * bell(min(tpsa - 95, 0) / 20)
        * bell(fluorines - 1)
    ) ** (1 / 4)
    for name, score in (
        ("osimertinib_mpo", osimertinib),
        ("fexofenadine_mpo", fexofenadine),
        ("ranolazine_mpo", ranolazine),
        ("median1", sqrt(like["camphor", "ECFP4"] * like["menthol", "ECFP4"])),
        ("median2", sqrt(like["tadalafil", "ECFP6"] * like["sildenafil", "ECFP6"])),
        ("aripiprazole_similarity", min(like["aripiprazole", "ECFP4"] / 0.75, 1)),
        ("mestranol_similarity", min(like["mestranol", "AP"] / 0.75, 1)),
    ):
        assert score_of(f"guacamol/{name}", smiles) == pytest.approx(score, rel=1e-9)
    fcfp4 = min(like["aripiprazole", "FCFP4"] / 0.75, 1)
    assert score_of("pmo/aripiprazole_similarity", smiles) == pytest.approx(fcfp4, rel=1e-9)


def test_valsartan_smarts_scores_properties_of_sitagliptin():
    smiles = "CN(Cc1ccc(-c2ccccc2F)cc1)C(=O)Cc1nc(N)n[nH]1"
    mol, wanted = (Chem.MolFromSmiles(text) for text in (smiles, NAMED["sitagliptin"]))
    score = 1.0
    for measure, sigma in (
        (Crippen.MolLogP, 0.2),
        (Descriptors.TPSA, 5),
        (GraphDescriptors.BertzCT, 30),
    ):
        score *= bell((measure(mol) - measure(wanted)) / sigma)
    assert 0.1 < score ** (1 / 4) < 1
    assert score_of("guacamol/valsartan_smarts", smiles) == pytest.approx(
        score ** (1 / 4), rel=1e-9
    )


@pytest.mark.parametrize(
    ("smiles", "number"),
    [("Cc1ccccc1N", 2), ("CC", 2), ("C1CC12CC2", 17), ("c1cc[nH]c1", 1), ("C[C@H](N)O", 5)],
)
def test_atoms_in_text_counts_as_earlier_versions_did(smiles, number):
    mol = Chem.MolFromSmiles(smiles)
    assert Chem.MolToSmiles(mol) == smiles
    assert guacamol.atoms_in_text(mol) == number


def test_suites_guacamol_and_pmo_differ_in_known_tasks_only():
    names = [name.removeprefix("guacamol/") for name in TASKS if name.startswith("guacamol/")]
    differ = {
        name for name in names if TASKS[f"guacamol/{name}"].parts != TASKS[f"pmo/{name}"].parts
    }
    assert differ == {"aripiprazole_similarity"}
    more = {name.removeprefix("pmo/") for name in TASKS if name.startswith("pmo/")} - {*names}
    assert more == {
        *("isomers_c7h8n2o2_prev", "isomers_c9h10n2o2pf2cl_prev"),
        *("sitagliptin_mpo_prev", "zaleplon_mpo_prev"),
    }


def test_suites_have_20_tasks_each():
    assert {name: len(tasks) for name, tasks in SUITES.items()} == {
        "guacamol": 20,
        "pmo": 20,
        "pmo-2022": 20,
    }
    assert {name for tasks in SUITES.values() for name in tasks} <= {*TASKS}
    today, before = {*SUITES["pmo"]}, {*SUITES["pmo-2022"]}
    assert {f"{name}_prev" for name in today - before} == before - today
    assert len(today - before) == 4
    theirs = {name.partition("/")[2] for name in SUITES["guacamol"]}
    ours = {name.partition("/")[2] for name in today}
    assert theirs - ours == {"aripiprazole_similarity", "isomers_c11h24"}
    assert ours - theirs == {"isomers_c7h8n2o2", "qed"}


@pytest.mark.parametrize("name", TASKS)
def test_get_objective_of_every_task_scores_maximizes_and_pickles(name):
    made = get_objective(name)
    assert (made.name, made.direction) == (name, "maximize")
    values = made(["CCO", "C1CC", "", "CCN", "CCO"])
    assert [math.isnan(value) for value in values] == [False, True, True, False, False]
    assert values[0] == values[4]
    assert all(0 <= value <= 1 for value in values if not math.isnan(value))
    assert made([]) == []
    assert [(name, "maximize")] == [row[:2] for row in list_objectives() if row[0] == name]
    down = pickle.loads(pickle.dumps(get_objective(name, direction="minimize")))
    assert (down.name, down.direction) == (name, "minimize")
    assert down(["CCN"]) == [values[3]]


@pytest.mark.parametrize("name", TASKS)
def test_task_scores_are_independent_of_spelling_and_order(name):
    task = TASKS[name]
    rows = [task(spellings) for spellings in zip(*SPELLINGS, strict=True)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-12)
    assert rows[0] == pytest.approx(rows[2], rel=1e-12)
    assert task([spellings[0] for spellings in SPELLINGS[::-1]]) == rows[0][::-1]


def test_task_score_of_a_failing_part_is_nan():
    def fails(mol: Chem.Mol) -> float:
        raise ValueError("no")

    broken = guacamol.Task(name="broken", doc="", parts=(fails,))
    assert math.isnan(broken(["C"])[0])


def test_targets_of_every_task_are_its_named_molecules():
    found = {name.partition("/")[2]: targets(name) for name in TASKS}
    assert {text for texts in found.values() for text in texts} == {*NAMED.values()}
    assert found["median2"] == (NAMED["tadalafil"], NAMED["sildenafil"])
    assert found["osimertinib_mpo"] == (NAMED["osimertinib"],)
    assert found["valsartan_smarts"] == found["sitagliptin_mpo"] == (NAMED["sitagliptin"],)
    assert found["deco_hop"] == found["scaffold_hop"] == (NAMED["hop_scaffold"],)
    assert [name for name, texts in found.items() if not texts] == [
        *("isomers_c7h8n2o2", "isomers_c9h10n2o2pf2cl", "isomers_c11h24", "qed"),
        *("isomers_c7h8n2o2_prev", "isomers_c9h10n2o2pf2cl_prev"),
    ]
    with pytest.raises(UnknownNameError, match="did you mean 'guacamol/median2'"):
        targets("guacamol/median")


def test_get_objective_of_unknown_task_suggests_names_of_its_suite():
    with pytest.raises(UnknownNameError, match="did you mean 'guacamol/osimertinib_mpo'") as caught:
        get_objective("guacamol/osimertinib")
    assert "guacamol/zaleplon_mpo" in str(caught.value)
    assert "pmo/" not in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"guacamol/NAME.*pmo/NAME") as caught:
        get_objective("osimertinib_mpo")
    assert "guacamol/osimertinib_mpo" not in str(caught.value)
    assert get_objective("GuacaMol/QED").name == "guacamol/qed"


@pytest.mark.slow
def test_pharmacophores_equal_rdkit() -> None:
    odd = ["C", "[Na+].[Cl-]", "CC.OCCN", "OCC(O)C(O)C(N)c1ccccc1C(=O)O", "C" * 120 + "O"]
    for text in [*zinc()[:3], *odd]:
        mol = Chem.MolFromSmiles(text)
        expected = Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)
        assert pharmacophores(mol) == expected, text
