"""Paths through a latent space, and the molecules on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from molvae.analysis.vectors import codes, described, spread
from molvae.chem.molecules import canonical
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import UnknownNameError, require
from molvae.latent.conversion import vector_count
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["linear", "slerp", "density"]
KIND_ALIASES: dict[str, Kind] = {"straight": "linear", "spherical": "slerp"}  # old, still read
N_SEGMENTS = 16  # segments of a path bent along the density
N_STEPS = 150  # steps of Adam
LEARNING_RATE = 0.05  # length of a step in standard deviations of the encodings
MIN_SINE = 1e-6  # sine of an angle below which two vectors count as parallel


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of consecutive vectors of a path that decode to the same molecule."""

    smiles: str | None
    """Canonical SMILES; None where vectors decode to no molecule."""
    first: int
    """Row of the path's z."""
    last: int
    """Row of the path's z, included."""
    t_start: float
    t_end: float
    """Positions of the first and the last vector."""
    similarity: tuple[float, ...]
    """Tanimoto (Morgan, radius 2, 2,048 bits) to the path's `start`, and to its `end` if it has
    one; NaN without a molecule.
    """
    properties: dict[str, float]
    """Properties by name; NaN without a molecule, or where one cannot be computed."""
    percentile: float
    """Density percentile of the first vector, see `LatentSpace.density_percentile`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentPath:
    """A path through a latent space, and its molecules."""

    name: str
    """Kind of path."""
    start: str
    """Molecule at the start (of a traversal, in the middle), canonical SMILES."""
    end: str | None
    """Molecule at the end; None if the end was not given."""
    missed: tuple[str, ...]
    """Given molecules that no vector decodes to; the path passes near them."""
    t: tuple[float, ...]
    """Position of each vector: between molecules the fraction of the path (1 at the second
    molecule, 2 at the third), else the distance from the start in z.
    """
    z: Tensor
    """Latent vectors of the path, `n x d`, float64."""
    decoded: tuple[str | None, ...]
    """Molecule at each vector."""
    log_density: tuple[float, ...]
    """Log-density of the prior at each vector, nats."""
    percentile: tuple[float, ...]
    """Density percentile of each vector, from 0 to 100."""
    segments: tuple[Segment, ...]
    """Molecules in the order of the path; one can occur several times."""

    @property
    def molecules(self) -> list[str]:
        """Distinct molecules, in the order of the path."""
        return list(dict.fromkeys(stop.smiles for stop in self.segments if stop.smiles is not None))

    @property
    def length(self) -> float:
        """Length of the path in z."""
        return float((self.z[1:] - self.z[:-1]).norm(dim=1).sum())

    def table(self) -> pd.DataFrame:
        """A row for each segment: t_start, t_end, smiles, similarities, properties, percentile."""
        import pandas as pd

        ends = ["similarity"] if self.end is None else ["similarity_start", "similarity_end"]
        return pd.DataFrame(
            {
                "t_start": stop.t_start,
                "t_end": stop.t_end,
                "smiles": stop.smiles,
                **dict(zip(ends, stop.similarity, strict=True)),
                **stop.properties,
                "percentile": stop.percentile,
            }
            for stop in self.segments
        )


def decode_path(
    space: LatentSpaceProtocol,
    z: Tensor,
    t: Sequence[float],
    *,
    name: str,
    start: str,
    end: str | None = None,
    missed: Sequence[str] = (),
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> LatentPath:
    """Decode vectors, `n x d`, n from 1, in their order, and describe each molecule.

    Other arguments as the fields of `LatentPath`; `properties` as for `interpolate`.
    """
    decoded, ends = space.decode(z), [start] if end is None else [start, end]
    with torch.no_grad():
        density, percentile = space.log_density(z).tolist(), space.density_percentile(z).tolist()
    runs = [list(rows) for _, rows in groupby(range(len(decoded)), key=decoded.__getitem__)]
    stops = [decoded[run[0]] for run in runs]
    segments = [
        Segment(
            smiles=smiles,
            first=run[0],
            last=run[-1],
            t_start=t[run[0]],
            t_end=t[run[-1]],
            similarity=similarity,
            properties=numbers,
            percentile=percentile[run[0]],
        )
        for run, smiles, (similarity, numbers) in zip(
            runs, stops, described(stops, ends, properties), strict=True
        )
    ]
    return LatentPath(
        name=name,
        start=start,
        end=end,
        missed=tuple(missed),
        t=tuple(t),
        z=z,
        decoded=tuple(decoded),
        log_density=tuple(density),
        percentile=tuple(percentile),
        segments=tuple(segments),
    )


@isolated()
def interpolate(
    space: LatentSpaceProtocol,
    *smiles: str,
    steps: int = 100,
    kind: Kind = "linear",
    weight: float = 10.0,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> LatentPath:
    """Interpolate between two molecules, or through several.

    The path starts and ends at vectors that decode to the molecules, see `LatentSpace.invert`;
    where none is found there is a warning, and the molecule is among the path's `missed`.

    Args:
        smiles: At least two molecules, SMILES in any form.
        steps: From one molecule to the next.
        kind: `linear`; `slerp`, along a great circle around the origin while the distance from it
            changes evenly; or `density`, bent towards regions where the prior is dense.
        weight: Weight of the density in `density`, which minimizes
            `length^2 - weight * mean log-density`, lengths in standard deviations of the encodings.
        properties: Names of computed properties, see `molvae.properties`.

    Raises:
        ConfigError: Fewer than two molecules, fewer than one step, or a negative weight.
        UnknownNameError: Unknown kind or property.
        InvalidMoleculeError, UnknownTokenError, TooLongError: See `LatentSpace.encode`.

    References:
        White (2016), arXiv:1609.04468 (slerp); Arvanitidis et al. (2018), arXiv:1710.11379 (paths
        of high density).
    """
    require(len(smiles) >= 2, f"a path needs two molecules or more, got {len(smiles)}")
    steps = vector_count(steps, "steps", least=1)
    require(weight >= 0, f"weight must not be negative, got {weight}")
    kind = KIND_ALIASES.get(kind, kind)
    if kind not in get_args(Kind):
        raise UnknownNameError("kind of interpolation", kind, get_args(Kind))
    molecules = [canonical(text) for text in smiles]
    ends, missed = codes(space, molecules)
    rows, t = [ends[:1]], [0.0]
    for leg, (a, b) in enumerate(pairwise(ends)):
        shares = torch.linspace(0, 1, steps + 1, dtype=ends.dtype)[1:]
        if kind == "density":
            made = along_density(space, a, b, shares, weight=weight)
        else:
            made = {"linear": linear, "slerp": slerp}[kind](a, b, shares)
        rows += [made[:-1], b[None]]  # not only up to rounding
        t += [leg + share for share in shares.tolist()]
    return decode_path(
        space, torch.cat(rows), t, name=kind, start=molecules[0], end=molecules[-1], missed=missed,
        properties=properties,
    )  # fmt: skip


def linear(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Points on the line from a to b, both `d`, at fractions of the path: `n x d`."""
    return torch.lerp(a, b, shares[:, None])


def slerp(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Points on the great circle from a to b, both `d`, at fractions of the angle: `n x d`.

    Distances from the origin change evenly. Points on the line if a and b are parallel or zero.
    """
    lengths = torch.stack([a.norm(), b.norm()])
    if not bool((lengths > 0).all()):
        return linear(a, b, shares)
    u, v = a / lengths[0], b / lengths[1]
    angle = torch.acos((u @ v).clamp(-1, 1))
    if angle.sin() < MIN_SINE:
        return linear(a, b, shares)
    turned = torch.sin((1 - shares) * angle)[:, None] * u + torch.sin(shares * angle)[:, None] * v
    return turned / angle.sin() * torch.lerp(lengths[0], lengths[1], shares)[:, None]


def along_density(
    space: LatentSpaceProtocol, a: Tensor, b: Tensor, shares: Tensor, *, weight: float,
    knots: int = N_SEGMENTS,
) -> Tensor:  # fmt: skip
    """Points at fractions of a path from a to b, both `d`, bent towards high density: `n x d`.

    The inner ends of `knots` segments follow the gradient of `length^2 - weight * log-density`.
    """
    scale = spread(space)
    whole = linear(a, b, torch.linspace(0, 1, knots + 1, dtype=a.dtype))
    inner = ((whole[1:-1] - a) / scale).requires_grad_()
    first, last = torch.zeros_like(a)[None], ((b - a) / scale)[None]
    optimizer = torch.optim.Adam([inner], lr=LEARNING_RATE)
    for _ in range(N_STEPS):
        with torch.enable_grad():
            u = torch.cat([first, inner, last])
            # The squared length of `knots` even segments; this form also keeps them even.
            length = knots * (u[1:] - u[:-1]).square().sum()
            dense = space.log_density(a + inner * scale).sum() / knots
            (inner.grad,) = torch.autograd.grad(length - weight * dense, inner)
        optimizer.step()
    bent = torch.cat([a[None], a + inner.detach() * scale, b[None]])
    path = torch.cat([bent.new_zeros(1), (bent[1:] - bent[:-1]).norm(dim=1).cumsum(0)])
    if not path[-1] > 0:
        return linear(a, b, shares)
    where = (shares * path[-1]).numpy()
    columns = [np.interp(where, path.numpy(), column.numpy()) for column in bent.T]
    return torch.from_numpy(np.stack(columns, axis=1))
