"""Two-dimensional maps of molecules in a latent space, by PCA or UMAP."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.origins import GIVEN
from molvae.chem.molecules import canonical, list_of_smiles
from molvae.chem.properties import is_property, named, score
from molvae.config import check_seed, short_seed
from molvae.errors import DataError, MissingPackageError, UnknownNameError, require
from molvae.latent.protocol import LatentSpaceProtocol, check_space
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

    from molvae.campaign.campaign import Campaign

Method = Literal["pca", "umap"]
Kind = Literal["data", "overlay", "start", "new"]
Transform = Callable[[Tensor], NDArray[np.float64]]
MIN_VECTORS = 3  # that a projection needs
N_NEIGHBORS = 15  # neighbors of a point whose distances UMAP keeps


@dataclass(frozen=True, kw_only=True)
class ProjectedMolecule:
    """A molecule on a map."""

    smiles: str
    """Canonical SMILES."""
    x: float
    y: float
    value: float
    """Value that the map is colored by; NaN where unknown."""
    kind: Kind
    """Role on the map. `data`: the projection was fitted to it. `overlay`: shown on it. `start`,
    `new`: a trial of a campaign, of the initial design or proposed.
    """
    label: str = ""
    """Label of an overlaid molecule: its number from 1, or its trial's id."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A map of molecules."""

    method: Method
    axes: tuple[str, str]
    """Names of the coordinates."""
    color: str
    """Name of the value."""
    molecules: tuple[ProjectedMolecule, ...]
    """Data first, then the overlay, in the given order."""
    skipped: int
    """Molecules left out, since the space cannot encode them."""
    transform: Transform
    """Latent vectors, `n x d`, to coordinates, `n x 2`."""

    def table(self) -> pd.DataFrame:
        """Columns smiles, x, y, kind, label, and the value under its name."""
        import pandas as pd

        names = ("smiles", "x", "y", "kind", "label")
        columns = {name: [getattr(one, name) for one in self.molecules] for name in names}
        return pd.DataFrame({**columns, self.color: [one.value for one in self.molecules]})


@isolated()
def fit_projection(
    z: Tensor, method: Method = "pca", *, seed: int = 0
) -> tuple[Transform, tuple[str, str]]:
    """Fit a projection to latent vectors.

    Args:
        z: `n x d`, n from 3, finite.
        method: `pca`, with fixed signs of the axes; or `umap`, which keeps neighbors together while
            distances between groups mean little, and needs the package umap-learn.

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
    if len(z) < MIN_VECTORS or z.shape[1] < 2:
        raise DataError(
            f"a plane needs at least {MIN_VECTORS} vectors of 2 dimensions, got {len(z)} of "
            f"{z.shape[1]}"
        )
    return _pca(z) if method == "pca" else _umap(z, seed)


def _pca(z: Tensor) -> tuple[Transform, tuple[str, str]]:
    from sklearn.decomposition import PCA

    fitted = PCA(2, svd_solver="full").fit(z.numpy())  # which fixes the signs
    first, second = (f"{share:.0%} of the variance" for share in fitted.explained_variance_ratio_)

    def place(vectors: Tensor) -> NDArray[np.float64]:
        if not len(vectors):
            return np.empty((0, 2))
        return np.asarray(fitted.transform(vectors.numpy().reshape(-1, z.shape[1])))

    return place, (f"first component ({first})", f"second component ({second})")


def _umap(z: Tensor, seed: int) -> tuple[Transform, tuple[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its many dependencies
        try:
            import umap
        except ImportError as error:
            raise MissingPackageError("UMAP needs: pip install 'molvae[umap]'") from error
        fitted = umap.UMAP(
            n_neighbors=min(N_NEIGHBORS, len(z) - 1),
            random_state=short_seed(seed),
            transform_seed=short_seed(seed),
            n_jobs=1,
        ).fit(z.numpy())
    known = {row.tobytes(): xy for row, xy in zip(z.numpy(), fitted.embedding_, strict=True)}

    def place(vectors: Tensor) -> NDArray[np.float64]:
        found = np.full((len(vectors), 2), math.nan)
        new = []
        for i, row in enumerate(vectors.numpy()):
            if (at := known.get(row.tobytes())) is None:
                new.append(i)
            else:
                found[i] = at
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
    color: str = "logP",
    overlay: Sequence[str] | Campaign = (),
    method: Method = "pca",
    seed: int = 0,
) -> Projection:
    """A map of molecules, colored by a value, with others on top.

    Args:
        smiles: Molecules to fit the projection to, SMILES in any form. Those that the space cannot
            encode are left out, with a warning, and counted.
        values: A value of each molecule to color by, NaN where unknown; by default the property
            `color`.
        color: A property of `molvae.properties`, or the name of `values`.
        overlay: Molecules to show on the map, or a campaign, whose trials are shown.
        method: See `fit_projection`.

    Returns:
        Molecules of the overlay have the property `color` as their value, if there is one; trials
        of a campaign with an objective or constraint of that name have their observed value.

    Raises:
        DataError: Fewer than three molecules that the space can encode.
        ConfigError: Another number of values than of molecules.
        UnknownNameError: Unknown property or method.
        MissingPackageError: UMAP is not installed.
        InvalidMoleculeError: A text is not a molecule.
    """
    from molvae.campaign.view import CampaignView

    molecules = [canonical(text) for text in list_of_smiles(smiles)]
    if values is None:
        (color,) = named([color])
        numbers = score(molecules, [color])[:, 0]
    else:
        numbers = np.asarray(values, dtype=np.float64)
        require(
            numbers.shape == (len(molecules),),
            f"{len(molecules)} molecules need as many values, got {numbers.shape}",
        )
    z, there = _encoded(space, molecules)
    put, axes = fit_projection(z, method, seed=seed)
    names = [molecules[i] for i in there]
    spots = _spots(put(z), names, numbers[there], ["data"] * len(there), [""] * len(there))
    skipped = len(molecules) - len(there)
    if not isinstance(overlay, CampaignView):
        others = [canonical(text) for text in list_of_smiles(overlay)]
        z, there = _encoded(space, others)
        names, labels = [others[i] for i in there], [str(i + 1) for i in there]
        spots += _spots(put(z), names, _values(names, color), ["overlay"] * len(there), labels)
        skipped += len(others) - len(there)
    elif trials := overlay.trials:
        names = [trial.smiles for trial in trials]
        kinds: list[Kind] = ["start" if trial.origin in GIVEN else "new" for trial in trials]
        shown = [trial.values.get(color, math.nan) for trial in trials]
        numbers = np.array(shown) if color in overlay.problem.names else _values(names, color)
        where = put(torch.stack([trial.z for trial in trials]))
        spots += _spots(where, names, numbers, kinds, [str(trial.id) for trial in trials])
    return Projection(
        method=method, axes=axes, color=color, molecules=tuple(spots), skipped=skipped,
        transform=put,
    )  # fmt: skip


def _encoded(space: LatentSpaceProtocol, molecules: Sequence[str]) -> tuple[Tensor, list[int]]:
    """Encodings of the molecules that the space can encode, and which these are."""
    check_space(space)
    z = space.encode(molecules, skip_unknown=True)
    there = torch.isfinite(z).all(dim=1)
    return z[there], there.nonzero()[:, 0].tolist()


def _values(smiles: Sequence[str], color: str) -> NDArray[np.float64]:
    return score(smiles, [color])[:, 0] if is_property(color) else np.full(len(smiles), math.nan)


def _spots(
    where: NDArray[np.float64],
    smiles: Sequence[str],
    values: NDArray[np.float64],
    kinds: Sequence[Kind],
    labels: Sequence[str],
) -> list[ProjectedMolecule]:
    rows = zip(where.tolist(), smiles, values.tolist(), kinds, labels, strict=True)
    return [
        ProjectedMolecule(smiles=molecule, x=x, y=y, value=value, kind=kind, label=label)
        for (x, y), molecule, value, kind, label in rows
    ]
