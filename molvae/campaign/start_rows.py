"""What became of each row of a file of initial molecules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Fate = Literal[
    "measured value",
    "censored value",
    "failed measurement",
    "no value",
    "left out: mixture",
    "left out: invalid molecule",
    "left out: cannot be encoded",
]
STANDARDIZED, REPEATED = "salt or charges removed", "repeats an earlier molecule"
COPIED, KNOWN = "equal to an earlier row in every cell", "in the campaign already"


@dataclass(frozen=True, kw_only=True)
class StartRow:
    """A row, and what became of it."""

    where: str  # the place of the row, e.g. "line 3"
    molecule: str  # the molecule as given
    fate: Fate
    values: str = ""  # the values as read, e.g. "pIC50 <5"
    reason: str = ""  # why it was left out
    smiles: str = ""  # its canonical SMILES; empty if it was left out
    parent: str = ""  # the parent molecule, if a salt or charges were removed
    repeats: str = ""  # the place of the first row of the same molecule
    copies: str = ""  # the place of the first row with the same cells
    trial: str = ""  # the trial of the molecule, if the campaign had it before

    @property
    def remarks(self) -> str:
        """Everything about the row besides its fate and values."""
        parts = [self.reason, f"{STANDARDIZED}: {self.parent}" if self.parent else ""]
        parts += [f"same molecule as {same}" for same in (self.repeats, self.trial) if same]
        parts.append(COPIED if self.copies else "")
        return "; ".join(part for part in parts if part)


def count_rows(rows: Sequence[StartRow]) -> dict[str, int]:
    """The number of rows by fate, which add up to all; then of those changed, repeated or known.

    >>> count_rows([StartRow(where="line 2", molecule="C.Cl", fate="no value", parent="C")])
    {'no value': 1, 'salt or charges removed': 1}
    """
    fates = Counter[str](row.fate for row in rows)
    changes = {STANDARDIZED: "parent", REPEATED: "repeats", COPIED: "copies", KNOWN: "trial"}
    counts = {name: sum(bool(getattr(row, of)) for row in rows) for name, of in changes.items()}
    return dict(fates.most_common()) | {name: n for name, n in counts.items() if n}
