"""Counts of substructures, alerts and elements in a molecule, for constraints.

`matches:SMARTS >= 1` asks for a pattern, `alerts:PAINS+BRENK <= 0` forbids structural alerts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from rdkit import Chem, rdBase

from molvae.chem.filters import known_catalogs, number_of_alerts
from molvae.chem.molecules import unknown_elements
from molvae.errors import ConfigError
from molvae.objectives.scoring import ComputedScoring


@dataclass(frozen=True, kw_only=True)
class _Count(ComputedScoring):
    """Base of the counts."""

    name: str
    direction: str
    of: str = ""
    """Text after the colon: what is counted."""

    is_cheap: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = None

    def __post_init__(self) -> None:
        """Refuse an `of` that cannot be counted."""

    @property
    def doc(self) -> str:
        """One line for `molvae list`."""
        return (type(self).__doc__ or "").split("\n")[0].rstrip(".")


class SubstructureCount(_Count):
    """Matches of a SMARTS pattern, on distinct sets of atoms."""

    def __post_init__(self) -> None:
        _pattern(self.of)

    def _value(self, mol: Chem.Mol) -> float:
        return len(mol.GetSubstructMatches(_pattern(self.of)))


class AlertCount(_Count):
    """Structural alerts of RDKit's catalogs, with `+` between their names."""

    def __post_init__(self) -> None:
        known_catalogs(self.of.split("+"))

    def _value(self, mol: Chem.Mol) -> float:
        return number_of_alerts(mol, tuple(self.of.split("+")))


class ElementsOutsideCount(_Count):
    """Atoms of elements outside a list such as C+N+O; hydrogen is always allowed."""

    def __post_init__(self) -> None:
        if unknown := unknown_elements(self.of.split("+")):
            raise ConfigError(f"{unknown[0]!r} in {self.name!r} is not a chemical element")

    def _value(self, mol: Chem.Mol) -> float:
        allowed = {"H", *self.of.split("+")}
        return sum(atom.GetSymbol() not in allowed for atom in mol.GetAtoms())


class LargestRingSize(_Count):
    """Atoms in the largest ring; 0 without rings."""

    def _value(self, mol: Chem.Mol) -> float:
        return max((len(ring) for ring in mol.GetRingInfo().AtomRings()), default=0)


COUNTS: dict[str, Callable[..., _Count]] = {
    "matches:": SubstructureCount,
    "alerts:": AlertCount,
    "elements-outside:": ElementsOutsideCount,
}
"""Counts by the prefix of their specs."""


@lru_cache(maxsize=64)
def _pattern(smarts: str) -> Chem.Mol:
    with rdBase.BlockLogs():
        found = Chem.MolFromSmarts(smarts) if smarts.isascii() else None
    if found is None or not found.GetNumAtoms():
        raise ConfigError(f"{smarts!r} is not a SMARTS pattern")
    return found
