from __future__ import annotations

import numpy as np
import pytest

from molvae.chem.descriptors import DESCRIPTORS, descriptors
from molvae.errors import ConfigError, InvalidMoleculeError
from tests.chem.molecules import zinc


def test_of_drug_like_molecules_they_are_on_one_scale() -> None:
    values = descriptors(list(zinc()))
    assert values.shape == (len(zinc()), len(DESCRIPTORS))
    assert np.abs(values.mean(axis=0)).max() < 0.3
    assert values.std(axis=0).min() > 0.7
    assert values.std(axis=0).max() < 1.4


def test_of_benzene_they_can_be_worked_out() -> None:
    row = dict(zip(DESCRIPTORS, descriptors(["c1ccccc1"])[0], strict=True))
    raw = {name: row[name] * sd + mean for name, (_, mean, sd) in DESCRIPTORS.items()}
    for name in ("TPSA", "rotatable bonds", "sp3 carbon", "donors", "acceptors"):
        assert raw[name] == pytest.approx(0.0, abs=1e-9)
    assert raw["heavy atoms"] == pytest.approx(6)
    assert raw["rings"] == raw["aromatic rings"] == pytest.approx(1)


def test_bad_input() -> None:
    with pytest.raises(InvalidMoleculeError):
        descriptors(["C1CC"])
    with pytest.raises(ConfigError, match="single text"):
        descriptors("CCO")
