"""`descriptors`: scaled numbers of molecules for the surrogate."""

from __future__ import annotations

import numpy as np
import pytest

from molvae.chem.fingerprints import DESCRIPTORS, descriptors
from molvae.errors import ConfigError, InvalidMoleculeError
from tests.chem.molecules import zinc


def test_descriptors_of_druglike_molecules_have_mean_0_and_sd_1() -> None:
    values = descriptors(list(zinc()))
    assert values.shape == (len(zinc()), len(DESCRIPTORS))
    assert np.abs(values.mean(axis=0)).max() < 0.3
    spread = dict(zip(DESCRIPTORS, values.std(axis=0), strict=True))
    assert spread.pop("P") < 0.3  # of drug-like molecules, one in ten thousand has some
    assert min(spread.values()) > 0.7
    assert max(spread.values()) < 1.4


def test_descriptors_of_benzene_equal_hand_calculation() -> None:
    row = dict(zip(DESCRIPTORS, descriptors(["c1ccccc1"])[0], strict=True))
    raw = {name: row[name] * std + mean for name, (_, mean, std) in DESCRIPTORS.items()}
    for name in ("TPSA", "rotatable_bonds", "Fsp3", "donors", "acceptors"):
        assert raw[name] == pytest.approx(0.0, abs=1e-9)
    assert raw["heavy_atoms"] == pytest.approx(6)
    assert raw["rings"] == raw["aromatic_rings"] == pytest.approx(1)
    assert (raw["H"], raw["C"]) == pytest.approx((6, 6))


def test_descriptors_count_atoms_of_each_element() -> None:
    (row,) = descriptors(["CS(=O)(=O)c1ccc(OP(O)(O)=O)c(Cl)c1NC(F)(F)F"])
    raw = {
        name: value * std + mean
        for value, (name, (_, mean, std)) in zip(row, DESCRIPTORS.items(), strict=True)
    }
    formula = {"H": 8, "C": 8, "N": 1, "O": 6, "F": 3, "P": 1, "S": 1, "Cl": 1}
    assert {name: round(raw[name], 6) for name in formula} == formula


def test_descriptors_of_invalid_molecule_or_single_text_raises() -> None:
    with pytest.raises(InvalidMoleculeError):
        descriptors(["C1CC"])
    with pytest.raises(ConfigError, match="single text"):
        descriptors("CCO")
