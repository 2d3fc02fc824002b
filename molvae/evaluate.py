"""Calling objectives: from molecules to values, in order, one for one.

In-process so far. Knows no records: what is called, what came back, and what that means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from molvae.errors import CampaignError, MolvaeError, ObjectiveError

if TYPE_CHECKING:
    from molvae.chem.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What came of one molecule."""

    value: float
    """In the objective's own sign; NaN = could not be scored."""
    message: str = ""
    """Why not, if so."""


@dataclass(frozen=True, kw_only=True)
class ByHand:
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


def evaluate(objective: Objective, smiles: Sequence[str]) -> list[Scored]:
    """Score molecules, as many at a time as the objective asks for.

    An objective that is better off with many molecules at once (a docking program, a model on a
    GPU) says so by an attribute `batch_size`; the caller hands over that many.

    Args:
        objective: Called once, with all of `smiles`.
        smiles: Canonical SMILES.

    Returns:
        One result a molecule. What is no finite number counts as not scored, with the reason.

    Raises:
        ObjectiveError: The objective broke, or gave another number of values than it got molecules.
    """
    what = smiles[0] if len(smiles) == 1 else f"{len(smiles)} molecules ({smiles[0]}, ...)"
    try:
        values = list(objective(list(smiles)))
    except MolvaeError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # one line
        raise ObjectiveError(f"objective {objective.name!r} broke on {what}: {reason}") from error
    if len(values) != len(smiles):
        raise ObjectiveError(
            f"objective {objective.name!r} gave {len(values)} values for {len(smiles)} molecules; "
            "it must "
            "return one per molecule, NaN where it cannot score"
        )
    return [_scored(value) for value in values]


def _scored(value: object) -> Scored:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return Scored(value=math.nan, message=f"the objective returned {value!r}, not a number")
    if math.isinf(number):
        return Scored(value=math.nan, message=f"the objective returned {number}")
    return Scored(value=number, message="could not be scored" if math.isnan(number) else "")


__all__ = ["ByHand", "Scored", "evaluate"]
