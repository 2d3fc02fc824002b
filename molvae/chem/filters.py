"""Structural alerts: substructures that are undesirable in a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from rdkit import Chem
from rdkit.Chem.FilterCatalog import (
    FilterCatalog,
    FilterCatalogEntry,
    FilterCatalogParams,
    SmartsMatcher,
)

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import parse
from molvae.chem.unstable_groups import UNSTABLE
from molvae.errors import ConfigError, UnknownNameError

CATALOGS = ("PAINS", "BRENK")
"""Assay interference (PAINS), and reactive, toxic or metabolically unstable groups (BRENK)."""
OWN_CATALOG = "UNSTABLE"  # the catalog of `molvae.chem.unstable_groups`


def passes(
    smiles: Sequence[str], catalogs: Sequence[str] = CATALOGS, *, workers: int | None = None
) -> list[bool]:
    """Whether each molecule is free of structural alerts.

    Args:
        smiles: SMILES in any form.
        catalogs: At least one, in any case: UNSTABLE (groups that do not survive on a shelf or in
            water, see `molvae.chem.unstable_groups`), and those of RDKit's FilterCatalog: PAINS
            (and PAINS_A, _B, _C), BRENK, NIH, ZINC, CHEMBL (and its parts), ALL.
        workers: Processes; None for one per core when there are more than 2,000 molecules.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
        UnknownNameError: A catalog is unknown.
        ConfigError: No catalog, a single text instead of a list, `workers` below 1, or workers
            that died.

    References:
        PAINS: Baell and Holloway (2010), doi:10.1021/jm901137j; BRENK: Brenk et al. (2008),
        doi:10.1002/cmdc.200700139; NIH: Jadhav et al. (2010), doi:10.1021/jm901070c, and
        Doveston et al. (2015), doi:10.1039/C4OB02287D.
    """
    return parallel_map(partial(_passes, known_catalogs(catalogs)), smiles, workers=workers)


def _passes(names: tuple[str, ...], molecule: str) -> bool:
    return not _catalog(names).HasMatch(parse(molecule))


def known_catalogs(names: Sequence[str]) -> tuple[str, ...]:
    """Names of catalogs, given in any case, in their own spelling; errors as for `passes`."""
    if isinstance(names, str):
        raise ConfigError(f"expected a list of names, got the single text {names!r}; use [name]")
    if len(names) == 0:
        raise ConfigError("no catalogs of alerts to filter by; give at least one, e.g. PAINS")
    known = [OWN_CATALOG, *FilterCatalogParams.FilterCatalogs.names]
    spelling = {name.lower(): name for name in known}
    for name in names:
        if name.lower() not in spelling:
            raise UnknownNameError("catalog of alerts", name, known)
    return tuple(spelling[name.lower()] for name in names)


def alerts(smiles: str, catalogs: Sequence[str] = CATALOGS) -> list[str]:
    """Sorted names of the structural alerts of a molecule; errors as for `passes`."""
    matches = _catalog(known_catalogs(catalogs)).GetMatches(parse(smiles))
    return sorted({match.GetDescription() for match in matches})


def number_of_alerts(mol: Chem.Mol, names: tuple[str, ...]) -> int:
    """Number of different alerts of a molecule in some catalogs."""
    return len(_catalog(known_catalogs(names)).GetMatches(mol))


@lru_cache(maxsize=8)
def _catalog(names: tuple[str, ...]) -> FilterCatalog:
    parameters = FilterCatalogParams()
    for name in names:
        if name != OWN_CATALOG:
            parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.names[name])
    catalog = FilterCatalog(parameters)
    if OWN_CATALOG in names:
        for group, smarts in UNSTABLE.items():
            catalog.AddEntry(FilterCatalogEntry(group, SmartsMatcher(group, smarts, 1)))
    return catalog
