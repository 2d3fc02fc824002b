"""`properties` and `score`: right numbers of molecules, in the order of the molecules."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors

from molvae.chem import properties as module
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import parse
from molvae.chem.properties import (
    PENALIZED_LOGP_CONSTANTS,
    PROPERTIES,
    Property,
    get_property,
    is_property,
    named,
    properties,
    ring_penalty,
    score,
)
from molvae.errors import ConfigError, DataError, InvalidMoleculeError, UnknownNameError
from molvae.objectives.registry import get_objective
from tests.chem.molecules import zinc

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "properties.json").read_text())


@pytest.mark.parametrize("name", ["logP", "SAS", "QED", "MW", "TPSA", "rings", "heavy_atoms"])
def test_score_equals_stored_rdkit_values(name):
    molecules = GOLDEN["molecules"]
    found = score(list(molecules), [name])[:, 0]
    assert found == pytest.approx([row[name] for row in molecules.values()], rel=1e-6)


@pytest.fixture(scope="module")
def contrib():
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("sascorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_score_of_logp_sas_and_qed_equals_rdkit_bit_for_bit(contrib):
    odd = ("[He]", "[Na+]", "[H][H]", "*CC", "C[15NH2]", "C12C3C4C1C5C2C3C45", "[Re]$[Re]", "CSSC")
    texts = [*odd, *zinc()[:300]]
    found = score(texts, ["logP", "SAS", "QED"], workers=1)
    for text, row in zip(texts, found.tolist(), strict=True):
        mol = Chem.MolFromSmiles(text)
        assert row == [Crippen.MolLogP(mol), contrib.calculateScore(mol), QED.qed(mol)], text


def test_score_of_a_molecule_is_independent_of_others_and_of_order():
    texts = list(zinc()[:40])
    names = ["QED", "SAS", "logP"]
    alone = [score([text], names)[0].tolist() for text in texts]
    assert score(texts[::-1], names).tolist() == alone[::-1]
    assert score(texts, names[::-1])[:, ::-1].tolist() == alone


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [  # values of the original implementation, as RDKit's documentation of QED cites them
        ("N=C(CCSCc1csc(N=C(N)N)n1)NS(N)(=O)=O", 0.253),
        ("CNC(=NCCSCc1nc[nH]c1C)NC#N", 0.234),
        ("CCCCCNC(=N)NN=Cc1c[nH]c2ccc(CO)cc12", 0.234),
    ],
)
def test_score_qed_equals_published_values(smiles, expected):
    assert score([smiles], ["QED"])[0, 0] == pytest.approx(expected, abs=1e-3)


def test_properties_of_aspirin_equal_known_values():
    row = properties(["CC(=O)Oc1ccccc1C(=O)O"]).iloc[0]
    assert row["logP"] == pytest.approx(1.3101)
    assert row["MW"] == pytest.approx(180.159, abs=1e-3)
    assert row["TPSA"] == pytest.approx(63.6)
    assert row["SAS"] == pytest.approx(1.58, abs=0.01)
    assert (row["rings"], row["heavy_atoms"]) == (1, 13)


def test_score_of_a_zinc250k_sample_agrees_with_published_means():
    logp, sas, qed = score(zinc(500), ["logP", "SAS", "QED"], workers=1).T
    # Published over 249,456 molecules; four standard errors of a sample of 500.
    assert logp.mean() == pytest.approx(2.457, abs=4 * 1.434 / 500**0.5)
    assert sas.mean() == pytest.approx(3.053, abs=4 * 0.835 / 500**0.5)
    assert qed.mean() == pytest.approx(0.732, abs=4 * 0.139 / 500**0.5)
    assert logp.std() == pytest.approx(1.434, rel=0.1)
    assert sas.std() == pytest.approx(0.835, rel=0.1)


def test_score_penalized_logp_equals_the_published_formula():
    smiles = "C1CCCCCCCC1CCc1ccccc1"
    logp, sas, penalized = score([smiles], ["logP", "SAS", "penalized_logp"])[0]
    by_hand = (
        (logp - 2.4570953396190123) / 1.434324401111988
        + (-sas + 3.0525811293166134) / 0.8335207024513095
        + (-(9 - 6) + 0.0485696876403053) / 0.2860212110245455
    )
    assert penalized == pytest.approx(by_hand)


def test_penalized_logp_constants_standardize_zinc250k():
    penalties = [ring_penalty(parse(smiles)) for smiles in zinc()]
    mean, std = PENALIZED_LOGP_CONSTANTS["ring"]
    assert np.mean(penalties) == pytest.approx(mean, abs=4 * std / 500**0.5)
    penalized = score(zinc()[:500], ["penalized_logp"], workers=1)
    assert abs(penalized.mean()) < 4 * 2 / 500**0.5


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [("CCO", 0), ("c1ccccc1", 0), ("C1CC1", 0), ("C1CCCCCC1", 1), ("C1CCCCCCC1C1CCCCCCCC1", 3)],
)
def test_ring_penalty_of_rings_up_to_six_atoms_is_zero(smiles, expected):
    assert ring_penalty(parse(smiles)) == expected


def test_properties_of_invalid_molecules_are_nan_with_the_reason():
    given = ["CCO", "C1CC", "OCC", "", "c1ccccc1", "CN(C)(C)(C)C"]
    table = properties(given, ["logP", "rings"])
    assert list(table.columns) == ["smiles", "logP", "rings", "error"]
    assert list(table["smiles"]) == given
    assert list(table["rings"].isna()) == [False, True, False, True, False, True]
    assert table["logP"][0] == pytest.approx(table["logP"][2])
    assert table["error"][0] == ""
    assert "unclosed ring" in table["error"][1]
    assert "empty" in table["error"][3]
    assert "valence" in table["error"][5]


def test_properties_of_missing_molecules_are_nan():
    table = properties(["CCO", None, float("nan")], ["MW"])  # type: ignore[list-item]
    assert list(table["MW"].isna()) == [False, True, True]


def test_properties_default_to_all_and_no_molecules_give_an_empty_table():
    assert list(properties(["C"]).columns) == ["smiles", *PROPERTIES, "error"]
    empty = properties([])
    assert list(empty.columns) == ["smiles", *PROPERTIES, "error"]
    assert len(empty) == 0
    assert score([], ["QED", "SAS"]).shape == (0, 2)


def test_score_with_workers_is_unchanged():
    texts = [*zinc()[:700], "nonsense", *zinc()[700:800]]
    alone = score(texts, ["logP", "SAS"], workers=1)
    together = score(texts, ["logP", "SAS"], workers=2)
    assert np.array_equal(alone, together, equal_nan=True)
    assert np.isnan(alone[700]).all()
    assert alone.dtype == np.float64


def test_properties_with_a_failing_property_are_nan_in_its_column_only(monkeypatch):
    def broken(mol: Chem.Mol) -> float:
        raise ValueError("math domain error")

    made = Property(name="MW", label="", unit="", compute=broken, doc="")
    monkeypatch.setitem(PROPERTIES, "MW", made)
    table = properties(["CCO"], ["MW", "rings"])
    assert math.isnan(table["MW"][0])
    assert table["rings"][0] == 0
    assert table["error"][0] == "MW cannot be computed: math domain error"


def test_properties_parses_each_molecule_once(monkeypatch):
    parsed = []
    monkeypatch.setattr(module, "parse", lambda text: parsed.append(text) or parse(text))
    properties(["CCO", "CCN"])
    assert parsed == ["CCO", "CCN"]


def test_property_names_are_read_in_any_case_and_unknown_names_raise():
    assert list(properties(["C"], ["qed", "heavy_atoms"]).columns)[1:3] == ["QED", "heavy_atoms"]
    old = ["penalised_logP", "Penalised-LogP", "heavy-atoms", "rdkit:bertzct"]
    new = ["penalized_logp", "penalized_logp", "heavy_atoms", "rdkit:BertzCT"]
    assert named(old) == new
    assert is_property("rdkit:BertzCT")
    assert not is_property("pIC50")
    with pytest.raises(UnknownNameError, match="did you mean 'logP'"):
        score(["C"], ["logPP"])
    with pytest.raises(UnknownNameError, match="did you mean 'BertzCT'"):
        score(["C"], ["rdkit:BertzCTT"])


def test_score_of_three_molecules_equals_known_counts():
    glutathione_disulfide = (
        "N[C@@H](CCC(=O)N[C@@H](CSSC[C@H](NC(=O)CC[C@H](N)C(=O)O)C(=O)NCC(=O)O)C(=O)NCC(=O)O)C(=O)O"
    )
    names = [
        *("donors", "acceptors", "rotatable_bonds", "Fsp3", "aromatic_rings", "formal_charge"),
        *("stereocenters", "lipinski_violations", "veber_violations"),
        *("unseen_rings", "unseen_environments"),
    ]
    aspirin, large, ion = score(
        ["CC(=O)Oc1ccccc1C(=O)O", glutathione_disulfide, "C[NH+](C)CC(C)O"], names
    )
    assert aspirin.tolist() == pytest.approx([1, 3, 2, 1 / 9, 1, 0, 0, 0, 0, 0, 0])
    assert large.tolist() == pytest.approx([10, 12, 21, 0.6, 0, 0, 4, 3, 2, 0, 0])
    assert ion.tolist() == pytest.approx([2, 1, 2, 1, 0, 1, 1, 0, 0, 0, 0])


def test_score_of_rdkit_descriptors_equals_rdkit():
    known = dict(Descriptors.descList)
    names = ["rdkit:BertzCT", "rdkit:fr_ester", "rdkit:qed"]
    values = score(["CC(=O)Oc1ccccc1C(=O)O"], names, workers=1)[0]
    mol = parse("CC(=O)Oc1ccccc1C(=O)O")
    assert values.tolist() == [known[name.removeprefix("rdkit:")](mol) for name in names]
    table = properties(["[Na+]"], ["rdkit:MaxPartialCharge", "rdkit:BCUT2D_MWHI", "MW"])
    assert np.isnan(table["rdkit:BCUT2D_MWHI"][0])
    assert "rdkit:BCUT2D_MWHI cannot be computed" in table["error"][0]
    assert table["MW"][0] == pytest.approx(22.99)


def test_properties_of_a_single_text_raises_config_error():
    with pytest.raises(ConfigError, match=r"use \[smiles\]"):
        properties("CCO")
    with pytest.raises(ConfigError, match=r"use \[name\]"):
        properties(["CCO"], "QED")
    with pytest.raises(ConfigError, match="workers"):
        score(["C"], ["QED"], workers=0)


@pytest.mark.parametrize("name", [None, 3])
def test_properties_with_a_name_that_is_no_text_raises(name):
    with pytest.raises(ConfigError, match=f"list of names, got {name} in it"):
        properties(["CCO"], ["logP", name])


def test_properties_of_odd_molecules_print_no_rdkit_warnings(capfd):
    assert not properties(["[H+]", "[H][H]", "*"])["error"].any()
    assert get_objective("qed")(["[H+]"])[0] > 0
    assert capfd.readouterr().err == ""


def test_property_table_has_name_doc_and_label_for_every_property():
    for name, made in PROPERTIES.items():
        assert made.name == name
        assert made.doc
        assert made.label
    assert PROPERTIES["MW"].unit == "g/mol"
    assert PROPERTIES["QED"].compute(parse("CCO")) == QED.qed(parse("CCO"))


def test_properties_nearest_is_similarity_to_the_nearest_molecule_of_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "Known ones.smi"
    file.write_text("CCO\nc1ccccc1O\n")
    name = f"nearest:{file}"
    assert get_property(f" Nearest:{file}").name == name
    table = properties(["OCC", "c1ccccc1N", "CCCCC", "x("], [name])
    values = table[name].tolist()
    assert values[0] == 1.0
    assert values[1] == tanimoto(morgan_bits(["Nc1ccccc1"]), morgan_bits(["Oc1ccccc1"]))[0, 0]
    assert 0 <= values[2] < values[1] < 1
    assert np.isnan(values[3])
    file.write_text("CCCCC\n")
    os.utime(file, ns=(1, 1))
    assert score(["CCCCC"], [name]).tolist() == [[1.0]]  # the file was read again
    with pytest.raises(DataError, match="cannot read"):
        get_property("nearest:missing.smi")
    file.write_text("CCCCC\nC1CC\n")
    with pytest.raises(InvalidMoleculeError, match="line 2"):
        get_property(name)
