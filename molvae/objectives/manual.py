"""Objectives whose values a person tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from molvae.errors import CampaignError


@dataclass(frozen=True, kw_only=True)
class ManualScoring:
    """An objective that nobody can call: its values come from a laboratory, by `tell`."""

    name: str
    direction: str = "maximise"

    def __call__(self, smiles: Sequence[str]) -> NoReturn:
        """Say so.

        Raises:
            CampaignError: Always.
        """
        raise CampaignError(
            f"values of {self.name!r} are told by hand: use ask and tell (run calls an objective)"
        )


__all__ = ["ManualScoring"]
