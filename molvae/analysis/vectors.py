"""Encodings, similarities and linear models that several explorations and metrics need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.chem.properties import score
from molvae.config import check_seed, short_seed
from molvae.errors import warn
from molvae.latent.protocol import BOX_WIDTH_IN_STDS, LatentSpaceProtocol, check_space


def codes(space: LatentSpaceProtocol, smiles: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Latent vectors that decode to molecules, `n x d`, and the molecules that none was found for.

    The latter are canonical SMILES, and there is a warning. Errors as for `LatentSpace.encode`.
    """
    check_space(space)
    molecules = [canonical(text) for text in smiles]
    z = space.invert(molecules)
    missed = {m: d for m, d in zip(molecules, space.decode(z), strict=True) if m != d}
    if missed:
        first, decoded = next(iter(missed.items()))
        more = f", and {len(missed) - 1} more" if len(missed) > 1 else ""
        warn(
            f"{space.name or 'the space'} has no vector that decodes to {first}, the nearest "
            f"found gives {decoded or 'no molecule'}{more}"
        )
    return z, list(missed)


def spread(space: LatentSpaceProtocol) -> Tensor:
    """Standard deviation of the encodings in each dimension, `d`, from the space's bounds."""
    return (space.bounds[1] - space.bounds[0]) / BOX_WIDTH_IN_STDS


def unit_vectors(n: int, dim: int, seed: int) -> Tensor:
    """Random directions, uniform on the sphere, `n x dim`."""
    drawn = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return unit


def similarities(smiles: Sequence[str | None], to: Sequence[str]) -> NDArray[np.float64]:
    """Tanimoto similarity (Morgan, radius 2, 2,048 bits), `n x len(to)`; NaN for None."""
    found = np.full((len(smiles), len(to)), np.nan)
    distinct = list(dict.fromkeys(molecule for molecule in smiles if molecule is not None))
    if distinct and to:
        each = dict(zip(distinct, tanimoto(morgan_bits(distinct), morgan_bits(to)), strict=True))
        there = [row for row, molecule in enumerate(smiles) if molecule is not None]
        found[there] = [each[str(smiles[row])] for row in there]
    return found


def described(
    smiles: Sequence[str | None], to: Sequence[str], properties: Sequence[str]
) -> list[tuple[tuple[float, ...], dict[str, float]]]:
    """Similarities and properties by name of each molecule; NaN for None."""
    numbers = score([molecule or "" for molecule in smiles], properties).tolist()
    return [
        (tuple(similar), dict(zip(properties, values, strict=True)))
        for similar, values in zip(similarities(smiles, to).tolist(), numbers, strict=True)
    ]


def ridge() -> Any:
    """Ridge regression on standardized columns; leave-one-out errors choose its penalty."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))


def cross_validated_r2(
    x: NDArray[np.float64], y: NDArray[np.floating], *, seed: int, folds: int = 5
) -> float:
    """R2 of `ridge` on held-out folds, the mean over the columns of y."""
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict

    split = KFold(folds, shuffle=True, random_state=short_seed(check_seed(seed)))
    return float(r2_score(y, cross_val_predict(ridge(), x, y, cv=split)))
