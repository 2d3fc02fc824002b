"""Values that are computed for every candidate: by RDKit, or by functions that are cheap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from molvae.chem.values import MAX_VALUE
from molvae.errors import ObjectiveError, encodable

if TYPE_CHECKING:
    from molvae.objectives.scoring import ScoringFunction


def computed(
    functions: Mapping[str, ScoringFunction], smiles: Sequence[str]
) -> list[dict[str, float]]:
    """Values of cheap scoring functions for each molecule, without those that are no number."""
    columns = {name: _each(function, smiles) for name, function in functions.items()}
    return [
        {name: float(c[row]) for name, c in columns.items() if abs(float(c[row])) <= MAX_VALUE}
        for row in range(len(smiles))
    ]


def _each(function: ScoringFunction, smiles: Sequence[str]) -> Sequence[float]:
    """Values of molecules; NaN for those at which a user's function raises, unless at all."""
    try:
        return function(smiles)
    except ObjectiveError:
        values, errors = list[float](), list[ObjectiveError]()
        for one in smiles:
            try:
                values += function([one])
            except ObjectiveError as error:
                values.append(math.nan)
                errors.append(error)
        if errors and len(errors) == len(smiles):
            raise
        return values


def name_of(function: ScoringFunction) -> str:
    """The name of a scoring function, as campaign files can hold it."""
    return encodable(str(function.name))


def is_cheap(function: ScoringFunction) -> bool:
    """Whether values may be computed for every candidate: by RDKit, or since its author says so."""
    return bool(getattr(function, "is_cheap", False))
