"""Directions in a latent space along which a property changes: learn, orthogonalize, traverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.analysis.interpolation import LatentPath, decode_path
from molvae.analysis.neighborhood import Neighborhood, around
from molvae.analysis.vectors import codes, cross_validated_r2, ridge
from molvae.chem.fingerprints import morgan_counts
from molvae.chem.molecules import canonical
from molvae.config import DEFAULT_PROPERTIES, check_seed, short_seed
from molvae.errors import ConfigError, DataError, UnknownNameError, require
from molvae.latent.conversion import vector_count
from molvae.latent.protocol import LatentSpaceProtocol, check_space
from molvae.model.isolation import isolated

N_FOLDS = 5  # of cross-validation
MIN_MOLECULES = 10  # molecules with values that a direction needs
ANALOGY_RADII = (0.0, 1.0, 2.0, 3.0)  # radii around C + B - A at which an analogy looks for answers


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentDirection:
    """A direction in a latent space along which a value grows."""

    name: str
    """Name of the value."""
    unit: Tensor
    """Unit vector, `d`, float64."""
    slope: float
    """Growth for each unit of length, if the value were linear in z."""
    r2: float
    """Cross-validated R2; NaN if the direction was not learned from molecules."""
    left: float = 1.0
    """Cosine of the angle to the original direction: below 1 after `orthogonalize`."""
    held: tuple[LatentDirection, ...] = ()
    """Directions that this one is orthogonal to."""

    def __str__(self) -> str:
        held = ", ".join(other.name for other in self.held)
        return f"{self.name} with {held} held" if held else self.name

    def __neg__(self) -> LatentDirection:
        """The opposite direction; its slope is negative."""
        return replace(self, unit=-self.unit, slope=-self.slope)


@isolated()
def head_direction(space: LatentSpaceProtocol, name: str) -> LatentDirection:
    """The gradient of a property head of the space, which is linear; errors as for `head`."""
    column = head(space, name)
    z = torch.zeros(1, space.dim, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(space.property_head(z)[:, column].sum(), z)
    return _direction(name, slope[0], r2=math.nan)


def head(space: LatentSpaceProtocol, name: str) -> int:
    """The index of a property head.

    Raises:
        UnknownNameError: The space has no such head.
    """
    check_space(space)
    if name not in space.properties:
        raise UnknownNameError(f"property head of {space.name}", name, space.properties)
    return list(space.properties).index(name)


@isolated()
def property_direction(
    z: Tensor, values: Sequence[float] | NDArray[np.float64], name: str, *, seed: int = 0
) -> LatentDirection:
    """The direction in which a value grows fastest, by ridge regression on z.

    Args:
        z: Encodings of molecules, `n x d`; rows of NaN are left out.
        values: Their values, `n`; NaN where unknown.
        name: Name of the value.

    Raises:
        ConfigError: Another number of values than of vectors.
        DataError: Fewer than 10 molecules with values, or all values are the same.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
    """
    y = np.asarray(values, dtype=np.float64)
    require(y.shape == (len(z),), f"{len(z)} vectors need as many values, got {y.shape}")
    known = np.isfinite(y) & torch.isfinite(z).all(dim=1).numpy()
    x, y = z.numpy()[known], y[known]
    if len(y) < MIN_MOLECULES or not np.ptp(y) > 0:
        raise DataError(
            f"a direction needs at least {MIN_MOLECULES} molecules with different values of "
            f"{name}, got {len(y)} with {len(set(y.tolist()))}"
        )
    scaler, model = (step for _, step in ridge().fit(x, y).steps)
    slope = torch.from_numpy(model.coef_ / scaler.scale_)
    return _direction(name, slope, r2=cross_validated_r2(x, y, seed=seed, folds=N_FOLDS))


@isolated()
def group_direction(first: Tensor, second: Tensor, name: str, *, seed: int = 0) -> LatentDirection:
    """The direction from one group of molecules to another: the difference of their means.

    Args:
        first: Encodings without the feature, `n x d`; rows of NaN are left out.
        second: Encodings with the feature, `m x d`.
        name: Name of the feature.

    Returns:
        Its slope is 1 over the distance of the means (the feature is 0 in the first group, 1 in the
        second), its R2 that of the cross-validated feature.

    Raises:
        DataError: Fewer than 10 molecules in a group, or the means are the same.

    References:
        Radford et al. (2016), arXiv:1511.06434 (arithmetic with means of groups).
    """
    from sklearn.metrics import r2_score
    from sklearn.model_selection import StratifiedKFold

    groups = [z.numpy()[torch.isfinite(z).all(dim=1).numpy()] for z in (first, second)]
    if min(map(len, groups)) < MIN_MOLECULES:
        raise DataError(
            f"a direction needs at least {MIN_MOLECULES} molecules in each group, got "
            f"{len(groups[0])} and {len(groups[1])} for {name}"
        )
    x, y = np.concatenate(groups), np.repeat([0.0, 1.0], [len(g) for g in groups])
    predicted = np.empty(len(y))
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=short_seed(check_seed(seed)))
    for fit, rest in folds.split(x, y):
        means = [x[fit][y[fit] == group].mean(axis=0) for group in (0.0, 1.0)]
        place = (x - means[0]) @ (means[1] - means[0])
        line = np.polynomial.Polynomial.fit(place[fit], y[fit], 1)
        predicted[rest] = line(place[rest])
    step = torch.from_numpy(groups[1].mean(axis=0) - groups[0].mean(axis=0))
    r2 = float(r2_score(y, predicted))
    return _direction(name, step / step.square().sum(), r2=r2)


def _direction(name: str, slope: Tensor, *, r2: float) -> LatentDirection:
    length = float(slope.norm())
    if not (length > 0 and math.isfinite(length)):
        raise DataError(f"{name} does not change anywhere in z: there is no direction to it")
    return LatentDirection(name=name, unit=slope.double() / length, slope=length, r2=r2)


@isolated()
def orthogonalize(direction: LatentDirection, others: Sequence[LatentDirection]) -> LatentDirection:
    """Remove from a direction its components along others, which then stay constant along it.

    Raises:
        ConfigError: Nothing is left: the others span it.
    """
    if not others:
        return direction
    others = (*direction.held, *others)
    span = torch.stack([other.unit for other in others], dim=1)  # d x k
    basis, spread, _ = torch.linalg.svd(span, full_matrices=False)
    basis = basis[:, spread > 1e-9 * spread[0]]
    rest = direction.unit - basis @ (basis.T @ direction.unit)
    left = float(rest.norm())
    names = ", ".join(other.name for other in others)
    if left < 1e-6:
        raise ConfigError(f"nothing of {direction.name} is left when {names} must not change")
    slope, left_in_all = direction.slope * left, direction.left * left
    return replace(direction, unit=rest / left, slope=slope, left=left_in_all, held=others)


@isolated()
def traverse(
    space: LatentSpaceProtocol,
    smiles: str,
    direction: LatentDirection,
    *,
    length: float = 4.0,
    steps: int = 100,
    both: bool = True,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> LatentPath:
    """Traverse the latent space along a direction through a molecule.

    Args:
        smiles: SMILES in any form; t is 0 at a vector that decodes to it, see `LatentSpace.invert`.
        length: Distance in z, above 0.
        steps: Steps over this distance, from 1.
        both: Start as far on the opposite side, so that the molecule is in the middle.
        properties: Names of computed properties, see `molvae.properties`.

    Raises:
        ConfigError: A number out of range.
        UnknownNameError: Unknown property.
        InvalidMoleculeError, UnknownTokenError, TooLongError: See `LatentSpace.encode`.
    """
    require(length > 0, f"length must be positive, got {length}")
    steps = vector_count(steps, "steps", least=1)
    molecule = canonical(smiles)
    z, missed = codes(space, [molecule])
    places = torch.arange(-steps if both else 0, steps + 1, dtype=torch.float64) * (length / steps)
    return decode_path(
        space, z + places[:, None] * direction.unit, places.tolist(), start=molecule,
        name=f"traversal along {direction}", missed=missed, properties=properties,
    )  # fmt: skip


@isolated()
def analogy(
    space: LatentSpaceProtocol,
    a: str,
    b: str,
    c: str,
    *,
    radii: Sequence[float] = ANALOGY_RADII,
    n: int = 100,
    seed: int = 0,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> Neighborhood:
    """A is to B as C is to ?: the molecules at and around `c + b - a`.

    Other arguments and errors as for `neighbors`.

    Returns:
        Answers, nearest first, with similarities to a, b and c. `same_transformation` rates them.

    References:
        Mikolov et al. (2013), arXiv:1310.4546.
    """
    molecules = [canonical(text) for text in (a, b, c)]
    z, missed = codes(space, molecules)
    return around(
        space, z[2] + z[1] - z[0], molecules, radii, n=n, seed=seed, missed=missed,
        properties=properties,
    )  # fmt: skip


@isolated()
def same_transformation(a: str, b: str, c: str, smiles: Sequence[str]) -> list[float]:
    """How similar the change from c to each molecule is to that from a to b.

    Cosines between differences of Morgan counts (radius 2), in [-1, 1]; 0 where nothing changed.
    """
    counts = morgan_counts([a, b, c, *smiles], radius=2).astype(np.float64)
    change, others = counts[1] - counts[0], counts[3:] - counts[2]
    sizes = np.linalg.norm(others, axis=1) * np.linalg.norm(change)
    return list(np.divide(others @ change, sizes, out=np.zeros(len(others)), where=sizes > 0))
