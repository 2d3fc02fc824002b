"""Numbers for limits on what a molecule looks like: patterns, alerts, elements.

Objectives like any others, though nobody optimises them: `matches:SMARTS >= 1` asks for a pattern,
`alerts:PAINS+BRENK <= 0` forbids structural alerts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from rdkit import Chem, rdBase

from molvae.chem.filters import known_catalogues, number_of_alerts
from molvae.chem.molecules import parse
from molvae.errors import ConfigError, InvalidMoleculeError


@dataclass(frozen=True, kw_only=True)
class _Count:
    """Counts something in a molecule."""

    name: str
    direction: str
    of: str = ""
    """What is counted, as written after the colon."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse what cannot be counted."""

    computed: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = None

    @property
    def doc(self) -> str:
        """What it is, in one line."""
        return (type(self).__doc__ or "").split("\n")[0].rstrip(".")

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """NaN for texts that are no molecules."""
        return [self._one(text) for text in smiles]

    def _one(self, text: str) -> float:
        try:
            return float(self.count(parse(text)))
        except InvalidMoleculeError:
            return math.nan

    def count(self, mol: Chem.Mol) -> int:
        raise NotImplementedError


class SubstructureCount(_Count):
    """Places where a SMARTS pattern matches, those with other atoms counted apart."""

    def check(self) -> None:
        """It is a pattern."""
        _pattern(self.of)

    def count(self, mol: Chem.Mol) -> int:
        """How many."""
        return len(mol.GetSubstructMatches(_pattern(self.of)))


class AlertCount(_Count):
    """Structural alerts of some of RDKit's catalogues, with `+` between their names."""

    def check(self) -> None:
        """RDKit has these catalogues."""
        known_catalogues(self.of.split("+"))

    def count(self, mol: Chem.Mol) -> int:
        """How many."""
        return number_of_alerts(mol, tuple(self.of.split("+")))


class ElementsOutsideCount(_Count):
    """Atoms of other elements than those named, with `+` between; hydrogen is always allowed."""

    def check(self) -> None:
        """They are elements."""
        table = Chem.GetPeriodicTable()
        for symbol in self.of.split("+"):
            try:
                known = table.GetAtomicNumber(symbol) > 0
            except RuntimeError:
                known = False
            if not known:
                raise ConfigError(f"{symbol!r} in {self.name!r} is no chemical element")

    def count(self, mol: Chem.Mol) -> int:
        """How many."""
        allowed = {"H", *self.of.split("+")}
        return sum(atom.GetSymbol() not in allowed for atom in mol.GetAtoms())


class LargestRingSize(_Count):
    """Atoms in the largest ring; 0 without rings."""

    def count(self, mol: Chem.Mol) -> int:
        """How many."""
        return max((len(ring) for ring in mol.GetRingInfo().AtomRings()), default=0)


COUNTS: dict[str, Callable[..., _Count]] = {
    "matches:": SubstructureCount,
    "alerts:": AlertCount,
    "other-elements:": ElementsOutsideCount,
}
"""What counts something, by how its name begins."""


@lru_cache(maxsize=64)
def _pattern(smarts: str) -> Chem.Mol:
    with rdBase.BlockLogs():
        found = Chem.MolFromSmarts(smarts) if smarts.isascii() else None
    if found is None or not found.GetNumAtoms():
        raise ConfigError(f"{smarts!r} is no SMARTS pattern")
    return found


__all__ = ["COUNTS", "AlertCount", "ElementsOutsideCount", "LargestRingSize", "SubstructureCount"]
