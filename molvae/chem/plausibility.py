"""Which molecules a chemist would consider: no alerts, known ring systems, a usual size.

`molvae.campaign.proposal_check` makes the check of a campaign; strategies apply it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from molvae.chem.filters import alerts
from molvae.chem.molecules import parse
from molvae.chem.precedents import Precedents

CATALOGS = ("BRENK", "UNSTABLE", "NIH", "PAINS")
"""Catalogs of structural alerts in the order in which they are looked up, the shortest first: a
molecule takes 0.3, 0.8, 1.0 and 1.5 ms. PAINS, the last, also finds least."""
COMMON_ALERTS = frozenset(
    {
        *("Oxygen-nitrogen_single_bond", "Aliphatic_long_chain", "nitro_group", "imine_1"),
        *("Michael_acceptor_1", "isolated_alkene", "aniline", "imine_2", "phosphor"),
        *("alkyl_halide", "primary_halide_sulfate"),
    }
)
"""Alerts of BRENK and NIH that are no fault: more than 2 % of ZINC250k or of common drugs have
them."""
MIN_SIZE_FACTOR, MAX_SIZE_FACTOR = 0.75, 1.25
"""Sizes of the initial molecules by as much are usual where nothing is known of the training data;
the larger also of a core."""
MIN_COMMON_SHARE = 0.1
"""Share of the initial molecules from which on a finding belongs to them and is no fault."""
CACHE_SIZE = 50_000  # molecules whose alerts are cached


@dataclass(frozen=True, eq=False)
class Plausibility:
    """Faults that proposals must not have, except those of the initial molecules.

    A search that starts from a series with an alert, an unusual ring or an unusual size keeps it: a
    finding that a tenth of the initial molecules have is no fault.
    """

    catalogs: tuple[str, ...] = CATALOGS
    """Catalogs of structural alerts, see `molvae.chem.filters.passes`; empty: none."""
    precedents: Precedents | None = None
    """Known ring systems and atom environments; None: any are allowed."""
    heavy_atoms: tuple[int, int] | None = None
    """Smallest and largest number of heavy atoms; None: any."""
    allowed: frozenset[str] = COMMON_ALERTS
    """Findings that are no fault."""

    def for_start(self, start: Sequence[str], core: Sequence[str] = ()) -> Plausibility:
        """A check that also allows common findings of initial molecules.

        Args:
            start: Canonical SMILES.
            core: What all proposals hold, in the forms of `molvae.chem.cores.Core.forms`; its
                findings are allowed, too, and that it is large.
        """
        counts = Counter(finding for smiles in start for finding in self.findings(smiles))
        common = {finding for finding, n in counts.items() if n >= MIN_COMMON_SHARE * len(start)}
        common |= {finding for smiles in core for finding in self.findings(smiles)}
        window = self.heavy_atoms
        if window is not None and start:
            sizes = [parse(smiles).GetNumHeavyAtoms() for smiles in start]
            window = (min(window[0], *sizes), max(window[1], *sizes))
        if window is not None and core:
            size = max(parse(smiles).GetNumHeavyAtoms() for smiles in core)
            window = (window[0], max(window[1], int(MAX_SIZE_FACTOR * size)))
        return replace(self, heavy_atoms=window, allowed=self.allowed | common)

    def findings(self, smiles: str) -> list[str]:
        """The faults of a molecule by name; empty if it has none.

        Raises:
            InvalidMoleculeError: The text is not a molecule.
        """
        return list(dict.fromkeys(self._findings(smiles)))

    def accepts(self, smiles: str) -> bool:
        """Whether a canonical SMILES has no fault; stops at the first one.

        Strategies ask through `molvae.bo.base.Observations.accepts`.
        """
        return next(self._findings(smiles), None) is None

    def _findings(self, smiles: str) -> Iterator[str]:
        return (finding for finding in self._all(smiles) if finding not in self.allowed)

    def _all(self, smiles: str) -> Iterator[str]:
        """Findings, allowed ones included, in the order of the time that they take."""
        mol = parse(smiles)
        if self.heavy_atoms is not None:
            size = mol.GetNumHeavyAtoms()
            if not self.heavy_atoms[0] <= size <= self.heavy_atoms[1]:
                yield f"{size} heavy atoms"
        if self.precedents is not None:
            for ring in self.precedents.unseen_rings(mol):
                yield f"unseen ring {ring}"
            for atoms in self.precedents.unseen_environments(mol):
                yield f"unseen environment {atoms}"
        for catalog in self.catalogs:
            yield from _alerts(smiles, catalog)


@lru_cache(maxsize=CACHE_SIZE)
def _alerts(smiles: str, catalog: str) -> tuple[str, ...]:
    return tuple(alerts(smiles, [catalog]))
