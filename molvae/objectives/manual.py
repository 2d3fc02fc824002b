"""Values that a person measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from molvae.errors import CampaignError


@dataclass(frozen=True, kw_only=True)
class ManualScoring:
    """A scoring function without a function: values come from a laboratory, by `tell`."""

    name: str
    direction: str = "maximize"

    def __call__(self, smiles: Sequence[str]) -> NoReturn:
        """Refuse to be called."""
        raise CampaignError(
            f"values of {self.name!r} are measured by people: use ask and tell instead of run"
        )


__all__ = ["ManualScoring"]
