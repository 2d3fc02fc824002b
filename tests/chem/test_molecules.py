"""`parse`, `canonical`, `list_of_smiles` and `draw_molecule`."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molvae.chem.depiction import draw_molecule
from molvae.chem.molecules import canonical, canonical_or_none, list_of_smiles, parse
from molvae.chem.properties import properties
from molvae.errors import ConfigError, DataError, InvalidMoleculeError
from tests.chem.molecules import molecules


@given(molecules)
@settings(deadline=None, max_examples=200)
def test_canonical_of_canonical_smiles_is_unchanged(text):
    once = canonical(text)
    assert canonical(once) == once


@given(molecules, st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=100)
def test_canonical_does_not_depend_on_the_order_of_atoms(text, seed):
    mol = parse(text)
    (shuffled,) = Chem.MolToRandomSmilesVect(mol, 1, seed)
    assert canonical(shuffled) == canonical(text)


@pytest.mark.parametrize("text", [r"[H]\C=[C+]", r"[H]/N=B[C@]#S", r"[H]\C=P[13CH3]", "[H]/N=C/C"])
def test_canonical_of_hydrogens_beside_double_bonds_is_stable(text):
    assert canonical(canonical(text)) == canonical(text)


def test_canonical_of_known_molecules_is_as_expected():
    assert canonical("OC(=O)c1ccccc1OC(C)=O") == "CC(=O)Oc1ccccc1C(=O)O"
    assert canonical("C1=CC=CC=C1") == "c1ccccc1"
    assert canonical("  OCC\n") == "CCO"
    assert canonical("[H]C([H])([H])O") == "CO"
    assert canonical("N[C@@H](C)C(=O)O") != canonical("N[C@H](C)C(=O)O")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CN(C)(C)(C)C", "Explicit valence for atom # 1 N, 5, is greater than permitted"),
        ("c1cccc1", "Can't kekulize mol"),
        ("C1CC", "unclosed ring"),
        ("CC)C", "extra close parentheses"),
        ("xyz", "syntax error"),
        ("", "empty"),
        ("  ", "empty"),
        ("CCO ethanol", "holds no space"),
        (None, "expected a SMILES text, got None"),
        (float("nan"), "got nan"),
    ],
)
def test_parse_invalid_text_raises_the_reason_in_one_line(text, reason, capfd):
    with pytest.raises(InvalidMoleculeError) as caught:
        parse(text)
    message = str(caught.value)
    assert reason in message
    assert "\n" not in message
    assert canonical_or_none(text) is None
    assert capfd.readouterr() == ("", "")  # RDKit's own log stays quiet


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # RDKit raises where it should return nothing
        ("[CH255]", "at most 9 hydrogens"),
        ("[#119]", "element 118"),
        # and takes these for other molecules
        ("[CH260]", "at most 9 hydrogens"),
        ("[#264]", "at most 9 hydrogens"),
        ("[13C-200]", "at most 9 hydrogens"),
        ("CC[C@H+999]O", "at most 9 hydrogens"),
        ("[65536C]", "at most 9 hydrogens"),
        # or dies of these
        ("C" * 100_000, "longer than"),
        ("C(" * 4_000 + "C" + ")" * 4_000, "longer than"),
        ("(" * 4_000, "syntax error"),
        ("C" * 4_000 + "1", "unclosed ring"),
        ("[C@TH9](C)(N)O", "Invalid chiral specification"),
        ("\ud800", "written in ASCII"),
        ("C\x00C", "syntax error"),
        ("A>>B", "reaction"),
        ("CC>O>CC", "reaction"),
        ("CCO |$a;;b$|", "holds no space"),
        ("CCO|$a;;b$|", "syntax error"),
        ("C%", "syntax error"),
        ("*[" * 10, "syntax error"),
    ],
)
def test_canonical_of_hostile_text_raises_one_short_line(text, reason, capfd):
    with pytest.raises(InvalidMoleculeError, match=reason) as caught:
        canonical(text)
    assert len(str(caught.value).encode()) < 500
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("*", "*"),
        ("[*:1]CCO", "OCC[*:1]"),
        ("[Na+].[Cl-]", "[Cl-].[Na+]"),
        ("[13CH4]", "[13CH4]"),
        ("C%99CCC%99", "C1CCC1"),
        ("C%(123)CCC%(123)", "C1CCC1"),
        ("[Fe+3]", "[Fe+3]"),
        ("[Og]", "[Og]"),
        ("C->N", "C->N"),
        ("[NH4+:12]", "[NH4+:12]"),
    ],
)
def test_canonical_of_unusual_molecules_is_as_expected(text, same):
    assert canonical(text) == same
    assert draw_molecule(text).startswith("<svg")


def test_canonical_of_long_chain_is_unchanged():
    chain = "C" * 4_999
    assert canonical(chain) == chain


def test_canonical_or_none_mutes_the_rdkit_log_only_during_the_call(capfd):
    canonical_or_none("c1cccc1")
    Chem.MolFromSmiles("c1cccc1")
    assert "kekulize" in capfd.readouterr().err


def test_draw_molecule_gives_svg_of_the_size():
    svg = draw_molecule("CCO", size=(300, 100))
    assert svg.startswith("<svg")
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert (root.get("width"), root.get("height")) == ("300px", "100px")
    assert draw_molecule("CCO") == draw_molecule("CCO")


def test_draw_molecule_of_invalid_size_or_molecule_raises():
    with pytest.raises(ConfigError, match="at least 1 x 1"):
        draw_molecule("CCO", size=(0, 10))
    with pytest.raises(InvalidMoleculeError):
        draw_molecule("C1")


@pytest.mark.parametrize(
    "several",
    [
        ("CCO", "CCN"),
        np.array(["CCO", "CCN"]),
        pd.Series(["CCO", "CCN"], index=[4, 2]),
        pd.DataFrame({"n": [1, 2], "Canonical_SMILES": ["CCO", "CCN"]}),
        pd.DataFrame({"n": [1, 2]}, index=pd.Index(["CCO", "CCN"], name="smiles")),
    ],
)
def test_list_of_smiles_accepts_arrays_series_and_data_frames(several: Any) -> None:
    assert list_of_smiles(several) == ["CCO", "CCN"]
    table = properties(several, ["logP"])
    assert table["smiles"].tolist() == ["CCO", "CCN"]
    assert table["logP"].notna().all()
    index = getattr(several, "index", None) if hasattr(several, "iloc") else pd.RangeIndex(2)
    assert table.index.equals(index)


def test_list_of_smiles_of_data_frame_without_smiles_raises_data_error() -> None:
    with pytest.raises(DataError, match="no column 'smiles'"):
        list_of_smiles(pd.DataFrame({"n": [1, 2]}))
