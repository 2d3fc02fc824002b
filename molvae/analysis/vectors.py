"""Encodings, distances and similarities that all explorations need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.errors import warn
from molvae.latent.protocol import LatentSpaceProtocol

BOX_IN_SDS = 5.15
"""Width of a space's box in standard deviations of the encodings: it leaves out half a percent at
each end."""


def codes(space: LatentSpaceProtocol, smiles: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Latent vectors that decode to molecules, `n x d`, and the molecules that none was found for.

    The latter are canonical SMILES, and there is a warning.

    Raises:
        InvalidMoleculeError, UnknownTokenError, TooLongError: See `LatentSpace.encode`.
    """
    molecules = [canonical(text) for text in smiles]
    z = space.invert(molecules)
    decoded = space.decode(z)
    missed = [m for m, d in zip(molecules, decoded, strict=True) if m != d]
    if missed:
        first = next(d for m, d in zip(molecules, decoded, strict=True) if m != d)
        more = f", and {len(missed) - 1} more" if len(missed) > 1 else ""
        warn(
            f"{space.name or 'the space'} has no vector that decodes to {missed[0]}, the nearest "
            f"found gives {first or 'no molecule'}{more}"
        )
    return z, missed


def spread(space: LatentSpaceProtocol) -> Tensor:
    """Standard deviation of the encodings in each dimension, `d`, from the space's bounds."""
    return (space.bounds[1] - space.bounds[0]) / BOX_IN_SDS


def unit_vectors(n: int, dim: int, seed: int) -> Tensor:
    """Random directions, uniform on the sphere, `n x dim`."""
    drawn = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return unit


def similarities(smiles: Sequence[str | None], to: Sequence[str]) -> NDArray[np.float64]:
    """Tanimoto similarity (Morgan, radius 2, 2,048 bits), `n x len(to)`; NaN for None."""
    found = np.full((len(smiles), len(to)), np.nan)
    there = [row for row, molecule in enumerate(smiles) if molecule is not None]
    if there and to:
        distinct = list(dict.fromkeys(str(smiles[row]) for row in there))
        place = {molecule: row for row, molecule in enumerate(distinct)}
        each = tanimoto(morgan_bits(distinct), morgan_bits(list(to)))
        found[there] = each[[place[str(smiles[row])] for row in there]]
    return found


__all__ = ["codes", "similarities", "spread", "unit_vectors"]
