"""A map: the codes of many molecules in a plane, and where others lie among them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.molecules import canonical
from molvae.chem.properties import named, score
from molvae.config import check_seed, short_seed
from molvae.errors import DataError, MissingPackageError, UnknownNameError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

    from molvae.campaign.campaign import Campaign

Method = Literal["pca", "umap"]


LEAST = 3
"""Molecules from which there is a plane."""


NEIGHBOURS = 15
"""Of a point, whose distances UMAP keeps."""


@dataclass(frozen=True, kw_only=True)
class ProjectedMolecule:
    """A molecule on a map."""

    smiles: str
    """Canonical SMILES."""
    x: float
    y: float
    value: float
    """Of what the map is coloured by; NaN where it is not known."""
    kind: Literal["data", "placed", "start", "new"]
    """`data`: the plane was made from it. `placed`: was put there. `start`, `new`: a trial of a
    campaign, given at its start or proposed."""
    label: str = ""
    """Of what was placed: its number from 1, or the trial's id."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A plane with molecules."""

    method: Method
    axes: tuple[str, str]
    """What the coordinates are."""
    colour: str
    """Name of the value."""
    spots: tuple[ProjectedMolecule, ...]
    """Data first, then what was placed, in the order given."""
    skipped: int
    """Molecules that the space cannot read, and that are not on the map."""
    place: Callable[[Tensor], NDArray[np.float64]]
    """Latent vectors, `n x d`, to coordinates, `n x 2`."""

    def table(self) -> pd.DataFrame:
        """smiles, x, y, kind, label, and the value under its name."""
        import pandas as pd

        return pd.DataFrame(
            {
                "smiles": [spot.smiles for spot in self.spots],
                "x": [spot.x for spot in self.spots],
                "y": [spot.y for spot in self.spots],
                "kind": [spot.kind for spot in self.spots],
                "label": [spot.label for spot in self.spots],
                self.colour: [spot.value for spot in self.spots],
            }
        )


@isolated()
def fit_projection(
    z: Tensor, method: Method = "pca", *, seed: int = 0
) -> tuple[Callable[[Tensor], NDArray[np.float64]], tuple[str, str]]:
    """A plane through latent vectors, or a curved one near them, and what its axes are called.

    Args:
        z: `n x d`, at least three of them, finite.
        method: `pca`: the plane in which they differ most, the same for the same vectors, the
            signs of the axes fixed. `umap`: neighbours stay neighbours, distances between groups
            say little; needs the package umap-learn.
        seed: Of UMAP.

    Returns:
        A function from vectors, `m x d`, to coordinates, `m x 2`; and the names of the axes.

    Raises:
        DataError: Fewer than three vectors, or of fewer than two dimensions.
        UnknownNameError: Another method.
        MissingPackageError: UMAP is not installed.

    References:
        McInnes et al. (2018), arXiv:1802.03426 (UMAP).
    """
    seed = check_seed(seed)
    if method not in get_args(Method):
        raise UnknownNameError("method of a map", method, get_args(Method))
    if len(z) < LEAST or z.shape[1] < 2:
        raise DataError(
            f"a plane needs at least {LEAST} vectors of 2 dimensions, got {len(z)} of {z.shape[1]}"
        )
    return _pca(z) if method == "pca" else _umap(z, seed)


def _pca(z: Tensor) -> tuple[Callable[[Tensor], NDArray[np.float64]], tuple[str, str]]:
    from sklearn.decomposition import PCA

    fitted = PCA(2, svd_solver="full").fit(z.numpy())  # which fixes the signs
    first, second = (f"{share:.0%} of the variance" for share in fitted.explained_variance_ratio_)

    def place(vectors: Tensor) -> NDArray[np.float64]:
        if not len(vectors):
            return np.empty((0, 2))
        return np.asarray(fitted.transform(vectors.numpy().reshape(-1, z.shape[1])))

    return place, (f"first component ({first})", f"second component ({second})")


def _umap(z: Tensor, seed: int) -> tuple[Callable[[Tensor], NDArray[np.float64]], tuple[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses Tensorflow, which is not needed
            import umap
    except ImportError as error:
        raise MissingPackageError("UMAP needs: pip install 'molvae[umap]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its many dependencies
        fitted = umap.UMAP(
            n_neighbors=min(NEIGHBOURS, len(z) - 1),
            random_state=short_seed(seed),
            transform_seed=short_seed(seed),
            n_jobs=1,
        ).fit(z.numpy())
    known: dict[bytes, Any] = dict(
        zip([row.numpy().tobytes() for row in z], fitted.embedding_, strict=True)
    )

    def place(vectors: Tensor) -> NDArray[np.float64]:
        found = np.full((len(vectors), 2), math.nan)
        rows = [row.numpy().tobytes() for row in vectors]
        new = [i for i, row in enumerate(rows) if row not in known]
        for i in set(range(len(rows))) - set(new):
            found[i] = known[rows[i]]
        if new:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[new] = fitted.transform(vectors[new].numpy())
        return found

    return place, ("UMAP 1", "UMAP 2")


@isolated()
def project(
    space: LatentSpaceProtocol,
    smiles: Sequence[str],
    *,
    values: Sequence[float] | None = None,
    colour: str = "logP",
    place: Sequence[str] | Campaign = (),
    method: Method = "pca",
    seed: int = 0,
) -> Projection:
    """A map of a data set, coloured by a property or any other value, and others placed on it.

    Args:
        space: Encodes.
        smiles: The molecules that the plane is made from, SMILES in any form. Those that the space
            cannot read are left out, with a warning, and counted.
        values: To colour by, of each molecule; NaN where there is none. By default the property
            `colour`.
        colour: A property of `molvae.properties`, or the name of `values`.
        place: Molecules to show among them, or a campaign, whose trials are shown.
        method: See `fit_projection`.
        seed: Of UMAP.

    Returns:
        All spots. Placed molecules and trials have the property `colour` as their value, if there
        is one of that name; of a campaign whose goal or limit has that name, it is what was told.

    Raises:
        DataError: Fewer than three molecules that the space can read.
        ConfigError: Another number of values than of molecules.
        UnknownNameError: No property, or no method, of that name.
        MissingPackageError: UMAP is not installed.
        InvalidMoleculeError: A text is not a molecule.
    """
    from molvae.chem.properties import PROPERTIES

    molecules = [canonical(text) for text in smiles]
    if values is None:
        (colour,) = named([colour])
        numbers = score(molecules, [colour])[:, 0]
    else:
        numbers = np.asarray(values, dtype=np.float64)
        require(
            numbers.shape == (len(molecules),),
            f"{len(molecules)} molecules need as many values, got {numbers.shape}",
        )
    z = space.encode(molecules, skip_unknown=True)
    there = torch.isfinite(z).all(dim=1).nonzero()[:, 0].tolist()
    put, axes = fit_projection(z[there], method, seed=seed)
    spots = _spots(put(z[there]), [molecules[i] for i in there], numbers[there].tolist(), "data")
    skipped = len(molecules) - len(there)
    known = PROPERTIES.get(colour)
    if isinstance(place, Sequence):
        others = [canonical(text) for text in place]
        z = space.encode(others, skip_unknown=True)
        there = torch.isfinite(z).all(dim=1).nonzero()[:, 0].tolist()
        skipped += len(others) - len(there)
        shown = score(others, [colour])[:, 0] if known else np.full(len(others), math.nan)
        labels = [str(i + 1) for i in there]
        names = [others[i] for i in there]
        spots += _spots(put(z[there]), names, shown[there].tolist(), "placed", labels)
    else:
        spots += _trials(put, place, colour)
    return Projection(
        method=method,
        axes=axes,
        colour=colour,
        spots=tuple(spots),
        skipped=skipped,
        place=put,
    )


def _trials(
    put: Callable[[Tensor], NDArray[np.float64]], campaign: Campaign, colour: str
) -> list[ProjectedMolecule]:
    from molvae.campaign.initial_design import ORIGIN
    from molvae.chem.properties import PROPERTIES

    trials = campaign.trials
    if not trials:
        return []
    where = put(torch.stack([trial.z for trial in trials]))
    if colour in campaign.problem.names:
        values = [float(trial.values.get(colour, math.nan)) for trial in trials]
    elif colour in PROPERTIES:
        values = score([trial.smiles for trial in trials], [colour])[:, 0].tolist()
    else:
        values = [math.nan] * len(trials)
    return [
        ProjectedMolecule(
            smiles=trial.smiles,
            x=float(x),
            y=float(y),
            value=value,
            kind="start" if trial.origin == ORIGIN else "new",
            label=str(trial.id),
        )
        for trial, (x, y), value in zip(trials, where.tolist(), values, strict=True)
    ]


def _spots(
    where: NDArray[np.float64],
    smiles: Sequence[str],
    values: Sequence[float],
    kind: Literal["data", "placed"],
    labels: Sequence[str] | None = None,
) -> list[ProjectedMolecule]:
    labels = [""] * len(smiles) if labels is None else labels
    return [
        ProjectedMolecule(smiles=molecule, x=x, y=y, value=float(value), kind=kind, label=label)
        for molecule, (x, y), value, label in zip(
            smiles, where.tolist(), values, labels, strict=True
        )
    ]


__all__ = ["Method", "ProjectedMolecule", "Projection", "fit_projection", "project"]
