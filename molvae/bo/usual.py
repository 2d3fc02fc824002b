"""How usual molecules are to the space of a campaign, if the space can tell.

The one place that asks a space for what not every space has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from molvae.bo.evidence import Dense, Space
from molvae.chem.mol import has_radicals
from molvae.errors import without_warnings


def proposable(space: Space, smiles: str | None) -> bool:
    """Whether there is a molecule, and one of a kind that may be proposed.

    Radicals are none, unless the space says by its attribute `radicals` that it learned from them.

    Args:
        space: Any.
        smiles: Canonical SMILES, or None.
    """
    if smiles is None:
        return False
    return bool(getattr(space, "radicals", False)) or not has_radicals(smiles)


def percentiles(
    space: Space, smiles: Sequence[str], encodings: Tensor | None = None
) -> list[float | None]:
    """Percentiles of the densities of encodings, see `LatentSpace.percentile`.

    Of encodings, and not of the vectors that molecules were made from: these may lie anywhere, and
    what they are decoded to may be quite usual.

    Args:
        space: Any; one without a density can say nothing.
        smiles: Canonical SMILES.
        encodings: Of them, `n x d`, if they are at hand.

    Returns:
        From 0 to 100; None for what the space cannot read, and everywhere if it has no density.
    """
    if not isinstance(space, Dense):
        return [None] * len(smiles)
    if encodings is None:
        with without_warnings():  # None says it
            encodings = space.encode(smiles, skip_unknown=True)
    found = space.percentile(encodings).tolist()
    return [None if math.isnan(percentile) else percentile for percentile in found]


__all__ = ["percentiles", "proposable"]
