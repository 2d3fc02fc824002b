"""`Precedents`: ring systems and atom environments that known molecules have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molvae.chem.molecules import parse
from molvae.chem.precedents import Precedents, environments, ring_systems, zinc250k
from molvae.errors import CheckpointError
from tests.chem.molecules import zinc

KNOWN = Precedents.of(["c1ccccc1CC(=O)O", "C1CCNCC1", "CCOC"], workers=1)


@pytest.mark.parametrize(
    ("smiles", "systems"),
    [
        ("CCO", []),
        ("c1ccccc1C1CC1", ["C1CC1", "c1ccccc1"]),
        ("c1ccc2ccccc2c1", ["c1ccc2ccccc2c1"]),
        ("O=C1CCCCC1", ["O=C1CCCCC1"]),
        ("C1CCC2(CC1)OCCO2", ["C1CCC2(CC1)OCCO2"]),
        ("c1c[nH]cn1", ["c1cncn1"]),
    ],
)
def test_ring_systems_of_a_molecule_are_as_expected(smiles: str, systems: list[str]) -> None:
    assert sorted(ring_systems(Chem.MolFromSmiles(smiles))) == sorted(systems)


def test_ring_systems_and_environments_ignore_tautomers_and_charges() -> None:
    one, other = (Chem.MolFromSmiles(s) for s in ("Cc1c[nH]cn1", "Cc1cnc[nH]1"))
    assert ring_systems(one) == ring_systems(other)
    acid, ion = (Chem.MolFromSmiles(s) for s in ("CC(=O)O", "CC(=O)[O-]"))
    assert set(environments(acid)) == set(environments(ion))


def test_unseen_rings_and_environments_name_parts_without_precedent() -> None:
    assert KNOWN.unseen_rings(parse("OC(=O)Cc1ccccc1")) == []
    assert KNOWN.unseen_rings(parse("C1CCCCC1CCO")) == ["C1CCCCC1"]
    assert KNOWN.unseen_environments(parse("OC(=O)Cc1ccccc1")) == []
    assert KNOWN.unseen_environments(parse("CSC")) == ["CS", "CSC"]


def test_precedents_saved_and_loaded_are_equal(tmp_path: Path) -> None:
    KNOWN.save(tmp_path / "p.safetensors")
    again = Precedents.load(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(again.rings, KNOWN.rings)
    np.testing.assert_array_equal(again.environments, KNOWN.environments)
    (tmp_path / "p.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError):
        Precedents.load(tmp_path / "p.safetensors")


def test_zinc250k_precedents_cover_most_druglike_molecules() -> None:
    known = zinc250k()
    new = [
        s for s in zinc(500) if known.unseen_rings(parse(s)) or known.unseen_environments(parse(s))
    ]
    assert len(new) < 0.03 * 500
    assert known.unseen_rings(parse("C1=CC2=CC3=CC=C3C=C12"))
