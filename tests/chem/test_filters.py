"""`passes`: molecules without structural alerts of the catalogs that are named."""

from __future__ import annotations

import pytest

from molvae.chem.filters import passes
from molvae.errors import ConfigError, InvalidMoleculeError, UnknownNameError


def test_passes_is_false_for_alerts_of_the_named_catalogs_only() -> None:
    quinone, aspirin = "O=C1C=CC(=O)C=C1", "CC(=O)Oc1ccccc1C(=O)O"
    assert passes([quinone, "CCO"], ["pains"]) == [False, True]
    assert passes([aspirin, "CCO"], ["BRENK"]) == [False, True]  # a phenol ester
    assert passes([aspirin], ["PAINS"]) == [True]


def test_passes_with_unknown_catalog_or_invalid_molecule_raises() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'BRENK'"):
        passes(["CCO"], ["BRENKS"])
    with pytest.raises(ConfigError, match="single text"):
        passes(["CCO"], "PAINS")
    with pytest.raises(ConfigError, match="no catalogs"):
        passes(["CCO"], [])
    with pytest.raises(InvalidMoleculeError):
        passes(["C1CC"])
