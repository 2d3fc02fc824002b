from __future__ import annotations

import pytest

from molvae.chem.filters import passes
from molvae.errors import ConfigError, InvalidMoleculeError, UnknownNameError


def test_alerts_are_found_in_the_catalogs_asked() -> None:
    quinone, aspirin = "O=C1C=CC(=O)C=C1", "CC(=O)Oc1ccccc1C(=O)O"
    assert passes([quinone, "CCO"], ["pains"]) == [False, True]
    assert passes([aspirin, "CCO"], ["BRENK"]) == [False, True]  # a phenol ester
    assert passes([aspirin], ["PAINS"]) == [True]


def test_bad_input() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'BRENK'"):
        passes(["CCO"], ["BRENKS"])
    with pytest.raises(ConfigError, match="single text"):
        passes(["CCO"], "PAINS")
    with pytest.raises(ConfigError, match="no catalogs"):
        passes(["CCO"], [])
    with pytest.raises(InvalidMoleculeError):
        passes(["C1CC"])
