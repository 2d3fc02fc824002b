"""Which molecules a chemist would consider: no alerts, no new ring systems, a usual size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from molvae.chem.filters import alerts
from molvae.chem.molecules import parse
from molvae.chem.precedents import Precedents

CATALOGS = ("UNSTABLE", "PAINS", "NIH")
"""Of 4,000 random molecules of ZINC250k 91 % have no alert of these; of BRENK alone 73 %."""
HEAVY_ATOMS = (10, 40)
"""Sizes that nearly all molecules of ZINC250k have."""
COMMON = 0.1
"""Share of the molecules of a start from which on a finding is theirs and no fault."""


@dataclass(frozen=True)
class Plausibility:
    """What a proposal must not have, beside what the molecules of the start have themselves.

    A search that starts from a series with an alert, an unusual ring or of an unusual size may keep
    these: a finding that a tenth of the start has is none.
    """

    catalogs: tuple[str, ...] = CATALOGS
    """Catalogs of structural alerts, see `molvae.chem.filters.passes`; empty: none."""
    precedents: Precedents | None = None
    """Known ring systems and atom environments; None: any will do."""
    heavy_atoms: tuple[int, int] | None = HEAVY_ATOMS
    """Smallest and largest number; None: any."""
    allowed: frozenset[str] = frozenset()
    """Findings that are no fault."""

    def beside(self, start: Sequence[str]) -> Plausibility:
        """The same, but what is common in a start is allowed.

        Args:
            start: Canonical SMILES.
        """
        found = Counter(finding for smiles in start for finding in self.findings(smiles))
        common = {finding for finding, n in found.items() if n >= COMMON * len(start)}
        window = self.heavy_atoms
        if window is not None and start:
            sizes = [parse(smiles).GetNumHeavyAtoms() for smiles in start]
            window = (min(window[0], *sizes), max(window[1], *sizes))
        return Plausibility(self.catalogs, self.precedents, window, self.allowed | common)

    def findings(self, smiles: str) -> list[str]:
        """What speaks against a molecule; empty if nothing does.

        Raises:
            InvalidMoleculeError: The text is not a molecule.
        """
        mol, found = parse(smiles), list[str]()
        if self.heavy_atoms is not None:
            size = mol.GetNumHeavyAtoms()
            if not self.heavy_atoms[0] <= size <= self.heavy_atoms[1]:
                found.append(f"{size} heavy atoms")
        if self.catalogs:
            found += alerts(smiles, self.catalogs)
        if self.precedents is not None:
            found += [f"unseen ring {ring}" for ring in self.precedents.unseen_rings(mol)]
            found += [
                f"unseen environment {atoms}" for atoms in self.precedents.unseen_environments(mol)
            ]
        return [finding for finding in found if finding not in self.allowed]


__all__ = ["CATALOGS", "HEAVY_ATOMS", "Plausibility"]
