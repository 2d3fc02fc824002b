"""Ways through a latent space, with every molecule on them; and ways from molecule to molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from molvae.analysis.vectors import codes, similarities, spread
from molvae.chem.molecules import canonical
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES, whole_number
from molvae.errors import UnknownNameError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["straight", "spherical", "density"]


KNOTS = 16
"""Stretches of a path that is bent along the density."""


BENDS, RATE = 150, 0.05
"""Steps of Adam that bend it, and their length in standard deviations of the encodings."""


PARALLEL = 1e-6
"""Sine of an angle below which two vectors point the same, or the opposite way."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A molecule on a path: from the first vector that decodes to it to the last one in a row."""

    smiles: str | None
    """Canonical SMILES; None where vectors decode to no molecule."""
    first: int
    """Row of the path's z."""
    last: int
    """Likewise, itself included."""
    t: float
    """Where on the path the first is."""
    until: float
    """Where the last is."""
    similarity: tuple[float, ...]
    """Tanimoto (Morgan, radius 2, 2,048 bits), in [0, 1], to the path's `start`, and to its `end`
    if it has one; NaN without a molecule."""
    properties: dict[str, float]
    """By name; NaN without a molecule, or where one cannot be computed."""
    percentile: float
    """How usual the first vector is, from 0 to 100, see `LatentSpace.density_percentile`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentPath:
    """A way through a latent space, and what is on it."""

    name: str
    """What kind of way it is."""
    start: str
    """The molecule that it was to begin at (or, of a walk, to go through), canonical SMILES."""
    end: str | None
    """The one that it was to end at; None if it goes wherever it leads."""
    missed: tuple[str, ...]
    """Those among the given molecules that no vector was found for; the path passes near them."""
    t: tuple[float, ...]
    """Where each vector is: for a way between molecules the share of it (1 at the second molecule,
    2 at the third), else the distance from the start in z."""
    z: Tensor
    """Vectors of the way in its order, `n x d`, float64."""
    decoded: tuple[str | None, ...]
    """The molecule at each of them."""
    log_density: tuple[float, ...]
    """Of the space's prior at each of them, in nats."""
    percentile: tuple[float, ...]
    """How usual each of them is, from 0 to 100, see `LatentSpace.density_percentile`."""
    stops: tuple[Segment, ...]
    """The molecules on the way, each as often as it is come to."""

    @property
    def molecules(self) -> list[str]:
        """Distinct molecules, in the order in which they are come to."""
        return list(dict.fromkeys(stop.smiles for stop in self.stops if stop.smiles is not None))

    @property
    def length(self) -> float:
        """Of the way, in z."""
        return float((self.z[1:] - self.z[:-1]).norm(dim=1).sum())

    def table(self) -> pd.DataFrame:
        """The stops, a row for each.

        Columns t, until, smiles, similarity (or similarity_start and similarity_end, if the path
        has an end), one for each property, and percentile.
        """
        import pandas as pd

        ends = ["similarity"] if self.end is None else ["similarity_start", "similarity_end"]
        rows = [
            {
                "t": stop.t,
                "until": stop.until,
                "smiles": stop.smiles,
                **dict(zip(ends, stop.similarity, strict=True)),
                **stop.properties,
                "percentile": stop.percentile,
            }
            for stop in self.stops
        ]
        return pd.DataFrame(rows)


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
    """Decode vectors in their order, and describe each molecule that they come to.

    Args:
        space: Decodes, and says how usual vectors are.
        z: `n x d`, at least one.
        t: Where each is, `n`, growing.
        name: What kind of way it is.
        start: Canonical SMILES that similarity is measured to.
        end: Another one.
        missed: Given molecules that the way only passes near.
        properties: What to compute of each molecule, see `molvae.properties`.

    Raises:
        UnknownNameError: No property of that name.
    """
    decoded, there = space.decode(z), [start] if end is None else [start, end]
    with torch.no_grad():
        density, percentile = space.log_density(z).tolist(), space.density_percentile(z).tolist()
    runs = [list(rows) for _, rows in groupby(range(len(decoded)), key=decoded.__getitem__)]
    stops = [decoded[run[0]] for run in runs]
    alike, numbers = similarities(stops, there), score([m or "" for m in stops], properties)
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
        stops=tuple(
            Segment(
                smiles=decoded[run[0]],
                first=run[0],
                last=run[-1],
                t=t[run[0]],
                until=t[run[-1]],
                similarity=tuple(similar),
                properties=dict(zip(properties, values, strict=True)),
                percentile=percentile[run[0]],
            )
            for run, similar, values in zip(runs, alike.tolist(), numbers.tolist(), strict=True)
        ),
    )


@isolated()
def interpolate(
    space: LatentSpaceProtocol,
    *smiles: str,
    steps: int = 100,
    kind: Kind = "straight",
    weight: float = 10.0,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> LatentPath:
    """The way from one molecule to another, or through several in a row.

    It begins and ends at vectors that decode to the molecules, as `LatentSpace.invert` finds them;
    where none is found there is a warning, and the molecule is among the path's `missed`.

    Args:
        space: Where the way leads through.
        smiles: At least two molecules, SMILES in any form.
        steps: From one molecule to the next; there are `steps + 1` vectors from the first to the
            second.
        kind: `linear`; `slerp`: along a great circle around the origin, the distance from it
            changing evenly, straight where the origin is in line with both; or `density`: bent
            towards where the prior is dense.
        weight: Of the density for the latter: the path is that of the smallest
            `length^2 - weight * log-density`, the latter its mean along the path, lengths in
            standard deviations of the encodings.
        properties: What to compute of each molecule, see `molvae.properties`.

    Raises:
        ConfigError: Fewer than two molecules, fewer than one step, or a negative weight.
        UnknownNameError: No kind, or no property, of that name.
        InvalidMoleculeError, UnknownTokenError, TooLongError: As of `LatentSpace.encode`.

    References:
        White (2016), arXiv:1609.04468 (spherical); Arvanitidis et al. (2018), arXiv:1710.11379
        (ways that keep to where data are).
    """
    require(len(smiles) >= 2, f"a way needs two molecules or more, got {len(smiles)}")
    steps = whole_number(steps, "steps", least=1)
    require(weight >= 0, f"weight must not be negative, got {weight}")
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
            made = slerp(a, b, shares) if kind == "spherical" else linear(a, b, shares)
        rows += [made[:-1], b[None]]  # not only up to rounding
        t += [leg + share for share in shares.tolist()]
    return decode_path(
        space,
        torch.cat(rows),
        t,
        name=kind,
        start=molecules[0],
        end=molecules[-1],
        missed=missed,
        properties=properties,
    )


def linear(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Points on the line from a to b, both `d`, at shares of the way: `n x d`."""
    return torch.lerp(a, b, shares[:, None])


def slerp(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Points on the great circle from a to b, both `d`, at shares of the angle: `n x d`.

    Their distances from the origin change evenly. Where there is no such circle, or more than one,
    since a and b point the same or the opposite way, or are nothing: points on the line.
    """
    lengths = torch.stack([a.norm(), b.norm()])
    if not bool((lengths > 0).all()):
        return linear(a, b, shares)
    u, v = a / lengths[0], b / lengths[1]
    angle = torch.acos((u @ v).clamp(-1, 1))
    if angle.sin() < PARALLEL:
        return linear(a, b, shares)
    turned = torch.sin((1 - shares) * angle)[:, None] * u + torch.sin(shares * angle)[:, None] * v
    return turned / angle.sin() * torch.lerp(lengths[0], lengths[1], shares)[:, None]


def along_density(
    space: LatentSpaceProtocol,
    a: Tensor,
    b: Tensor,
    shares: Tensor,
    *,
    weight: float,
    knots: int = KNOTS,
) -> Tensor:
    """Points at shares of a way from a to b, both `d`, that is bent towards the dense: `n x d`.

    The line is cut into `knots` stretches, and the points between them go down the gradient of
    `length^2 - weight * log-density`; the ends stay.
    """
    scale = spread(space)
    whole = linear(a, b, torch.linspace(0, 1, knots + 1, dtype=a.dtype))
    inner = ((whole[1:-1] - a) / scale).requires_grad_()
    ends = torch.zeros_like(a)[None], ((b - a) / scale)[None]
    optimiser = torch.optim.Adam([inner], lr=RATE)
    for _ in range(BENDS):
        with torch.enable_grad():
            u = torch.cat([ends[0], inner, ends[1]])
            # Of so many even stretches, so many times the sum of squares is the length squared; it
            # also keeps them even.
            length = knots * (u[1:] - u[:-1]).square().sum()
            dense = space.log_density(a + inner * scale).sum() / knots
            (inner.grad,) = torch.autograd.grad(length - weight * dense, inner)
        optimiser.step()
    bent = torch.cat([a[None], a + inner.detach() * scale, b[None]])
    way = torch.cat([bent.new_zeros(1), (bent[1:] - bent[:-1]).norm(dim=1).cumsum(0)])
    if not way[-1] > 0:
        return linear(a, b, shares)
    where = (shares * way[-1]).numpy()
    columns = [np.interp(where, way.numpy(), column.numpy()) for column in bent.T]
    return torch.from_numpy(np.stack(columns, axis=1))


__all__ = [
    "Kind",
    "LatentPath",
    "Segment",
    "along_density",
    "decode_path",
    "interpolate",
    "linear",
    "slerp",
]
