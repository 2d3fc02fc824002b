"""Local gradient ascent: from molecules up what is predicted, with every molecule on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from molvae.analysis.directions import LatentDirection, head
from molvae.analysis.interpolation import LatentPath, decode_path
from molvae.analysis.vectors import codes
from molvae.chem.molecules import canonical
from molvae.chem.properties import PROPERTIES as KNOWN
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES, whole_number
from molvae.errors import MolvaeError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

    from molvae.campaign.campaign import Campaign

HALVINGS = 6
"""How often a step can be halved before a row is at its summit."""


ENOUGH = 0.5
"""Of what the gradient promises, what a step has to give: less is a step across a ridge."""


OOD_PERCENTILE = 1.0
"""Percentile below which a vector is as hardly any known molecule."""


FLAT = 1e-12
"""Length of a gradient that is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AscentTarget:
    """What is climbed, and how it is shown."""

    name: str
    """As users write it: QED, or -SAS to go down."""
    up: Callable[[Tensor], Tensor]
    """`n x d` to `n`, larger is better; gradients reach z."""
    sign: float = 1.0
    """-1 if what is shown is small where `up` is large."""
    measure: Callable[[Sequence[str]], Sequence[float]] | None = None
    """True values of molecules, as shown; NaN where nobody can tell. None: of no molecule."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AscentPath:
    """A way up from one molecule."""

    path: LatentPath
    """Distances from its beginning, vectors, molecules."""
    climbed: str
    """Name of what."""
    sign: float
    """-1 if smaller is better."""
    predicted: tuple[float, ...]
    """At each vector of the path, in its own sign."""
    true: tuple[float, ...]
    """Of the molecule of each stop, in its own sign; NaN where it is not known."""
    began_outside: bool
    """The beginning lies outside of the space's box; there the box was widened to hold it."""
    ended: Literal["summit", "steps", "edge"]
    """`summit`: no step leads higher by half of what was promised. `steps`: all were taken. `edge`:
    steps that lead higher lead to where known molecules are rarer than was allowed."""

    @property
    def left(self) -> float | None:
        """Distance from which on the way is outside of the known world; None if it stays.

        Outside are vectors that are less usual than 99 % of known molecules.
        """
        outside = [p < OOD_PERCENTILE for p in self.path.percentile]
        if not outside[-1]:
            return None
        inside = [t for t, out in zip(self.path.t, outside, strict=True) if not out]
        return next((t for t in self.path.t if not inside or t > inside[-1]), None)

    @property
    def gain(self) -> float:
        """What the true value of the last molecule is better than that of the first.

        Negative if it is worse, NaN if one is not known.
        """
        return self.sign * (self.true[-1] - self.true[0])

    def table(self) -> pd.DataFrame:
        """As of the path, with `predicted` at the first vector of each stop, and `true`."""
        table = self.path.table()
        table.insert(3, "predicted", [self.predicted[stop.first] for stop in self.path.stops])
        table.insert(4, "true", list(self.true))
        return table


def head_target(space: LatentSpaceProtocol, name: str) -> AscentTarget:
    """A property as the space reads it off z; `-NAME` goes down.

    Raises:
        UnknownNameError: The space has no such head.
    """
    sign, bare = (-1.0, name[1:]) if name.startswith("-") else (1.0, name)
    column = head(space, bare)

    def up(z: Tensor) -> Tensor:
        return sign * space.property_head(z)[:, column]

    return AscentTarget(name=name, up=up, sign=sign, measure=_property(bare))


def direction_target(direction: LatentDirection) -> AscentTarget:
    """A direction; what is predicted is what grows along it, but for a constant.

    True values are known where its name is that of a property.
    """
    sign = math.copysign(1.0, direction.slope)

    def up(z: Tensor) -> Tensor:
        return abs(direction.slope) * (z @ direction.unit)

    name = direction.name if sign > 0 else f"-{direction.name}"
    return AscentTarget(name=name, up=up, sign=sign, measure=_property(direction.name))


@isolated()
def campaign_target(campaign: Campaign) -> AscentTarget:
    """What a Gaussian process over z expects that has learned all values of a campaign.

    Of a campaign with one goal and no limits, values are as they were told; else the product or
    sum of goals, larger is better, and less than all others for what breaks a limit. True values
    are those in the record, and of other molecules where RDKit computes them.

    Raises:
        CampaignError: There are fewer than two different values, or it is a search for a Pareto
            front.
    """
    from molvae.bo.surrogate import fit_gp, reproducible
    from molvae.objectives.parsing import is_cheap

    observations, goal = campaign.observations(), campaign.problem.objectives[0]
    observations.require_observations("gradient")
    low, high = observations.bounds
    box = torch.stack(
        [torch.minimum(low, observations.z.amin(0)), torch.maximum(high, observations.z.amax(0))]
    )
    model = fit_gp(observations.z, observations.y, box, observations.y_noise)
    plain = len(campaign.problem.names) == 1 and goal.direction != "range"
    sign = -1.0 if plain and goal.direction == "minimize" else 1.0
    values = dict(zip(observations.smiles, (sign * observations.y[:, 0]).tolist(), strict=True))
    objective = None
    if plain and goal.spec is not None:
        with suppress(MolvaeError):  # it is not needed: what it would say of others stays unknown
            objective = campaign.objective

    def up(z: Tensor) -> Tensor:
        with reproducible():
            mean: Tensor = model.posterior(z).mean[:, 0]
            return mean

    def measure(smiles: Sequence[str]) -> list[float]:
        unknown = [molecule for molecule in dict.fromkeys(smiles) if molecule not in values]
        if objective is not None and is_cheap(objective) and unknown:
            values.update(zip(unknown, map(float, objective(unknown)), strict=True))
        return [values.get(molecule, math.nan) for molecule in smiles]

    return AscentTarget(name=goal.name if plain else "score", up=up, sign=sign, measure=measure)


def _property(name: str) -> Callable[[Sequence[str]], Sequence[float]] | None:
    if name not in KNOWN:
        return None
    return lambda smiles: score(smiles, [name])[:, 0].tolist()


@isolated()
def gradient_ascent(
    space: LatentSpaceProtocol,
    smiles: Sequence[str],
    hill: AscentTarget | LatentDirection | str,
    *,
    step: float = 0.25,
    steps: int = 40,
    keep: float = 0.0,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> list[AscentPath]:
    """Go up from each molecule, in small steps along the gradient.

    Each way begins at a vector that decodes to its molecule, see `LatentSpace.invert`, stays in the
    space's box (widened to hold its beginning) and goes up only: a step that gives less than half
    of what the gradient promises is halved, down to a 64th, and later ones become longer again.

    Args:
        space: Where.
        smiles: Molecules to begin at, SMILES in any form.
        hill: What to climb: a property head of the space (`QED`, or `-SAS` to go down), a
            `LatentDirection`, or what `head_target`, `direction_target` and `campaign_target` make.
        step: Largest length of one, in z.
        steps: Of a way, at most.
        keep: Percentile, from 0 to 100, of the prior's density that no way goes below, see
            `LatentSpace.density_percentile`; one that begins below it goes to nothing less dense.
            0: go anywhere.
        properties: What to compute of each molecule, see `molvae.properties`.

    Returns:
        One way for each molecule, in the order given.

    Raises:
        ConfigError: A number out of range; or no molecules.
        UnknownNameError: The space has no such head; or no property of that name.
        InvalidMoleculeError, UnknownTokenError, TooLongError: As of `LatentSpace.encode`.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
    """
    require(len(smiles) > 0, "there is no molecule to begin at; give at least one")
    require(step > 0, f"step must be positive, got {step}")
    steps = whole_number(steps, "steps", least=1)
    require(0 <= keep <= 100, f"keep must be a percentile from 0 to 100, got {keep}")
    if isinstance(hill, str):
        hill = head_target(space, hill)
    elif isinstance(hill, LatentDirection):
        hill = direction_target(hill)
    molecules = [canonical(text) for text in smiles]
    z, missed = codes(space, molecules)
    rows, ended = climb_target(space, z, hill.up, step=step, steps=steps, keep=keep)
    outside = ((z < space.bounds[0]) | (z > space.bounds[1])).any(dim=1).tolist()
    return [
        _described(space, hill, m, row, m in missed, out, end, properties)
        for m, row, out, end in zip(molecules, rows, outside, ended, strict=True)
    ]


def climb_target(
    space: LatentSpaceProtocol,
    z: Tensor,
    up: Callable[[Tensor], Tensor],
    *,
    step: float,
    steps: int,
    keep: float = 0.0,
) -> tuple[list[Tensor], list[Literal["summit", "steps", "edge"]]]:
    """Vectors on the ways up; arguments as of `gradient_ascent`, z is `n x d`.

    Returns:
        Of each row its vectors, the first included, and why it ended.
    """
    low, high = torch.minimum(space.bounds[0], z), torch.maximum(space.bounds[1], z)
    began = space.log_density(z).detach()
    lengths, shortest = torch.full((len(z),), float(step), dtype=z.dtype), step / 2**HALVINGS
    ways: list[list[Tensor]] = [[row] for row in z]
    ended: list[Literal["summit", "steps", "edge"]] = ["steps"] * len(z)
    going = torch.arange(len(z))
    here = z.clone()
    for _ in range(steps):
        values, slope = _slope(up, here[going])
        # At a wall, along it.
        held = (here[going] <= low[going]) & (slope < 0) | (here[going] >= high[going]) & (
            slope > 0
        )
        slope = slope.masked_fill(held, 0.0)
        size = slope.norm(dim=1)
        unit = slope / size.clamp_min(FLAT)[:, None]
        waiting, blocked = size > FLAT, torch.zeros(len(going), dtype=torch.bool)
        moved = torch.zeros(len(going), dtype=torch.bool)
        while len(mine := (waiting & (lengths[going] >= shortest)).nonzero()[:, 0]):
            rows = going[mine]
            tried = here[rows] + lengths[rows, None] * unit[mine]
            tried = tried.clamp(low[rows], high[rows])
            promised = (slope[mine] * (tried - here[rows])).sum(dim=1)
            with torch.no_grad():
                gained = up(tried) - values[mine]
            higher = (gained > 0) & (gained >= ENOUGH * promised)
            inside = torch.ones_like(higher)
            if keep > 0:
                with torch.no_grad():
                    denser = space.log_density(tried) >= began[rows]
                inside = (space.density_percentile(tried) >= keep) | denser
            blocked[mine] |= higher & ~inside
            done = higher & inside
            here[rows[done]] = tried[done]
            moved[mine[done]], waiting[mine[done]] = True, False
            lengths[rows[~done]] /= 2
        for row in going[moved].tolist():
            ways[row].append(here[row].clone())
        for place in (~moved).nonzero()[:, 0].tolist():
            ended[int(going[place])] = "edge" if blocked[place] else "summit"
        going = going[moved]
        lengths[going] = (2 * lengths[going]).clamp(max=step)
        if not len(going):
            break
    return [torch.stack(way) for way in ways], ended


def _slope(up: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Values and gradients."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        values = up(z)
        (slope,) = torch.autograd.grad(values.sum(), z)
    return values.detach(), slope


def _described(
    space: LatentSpaceProtocol,
    hill: AscentTarget,
    molecule: str,
    z: Tensor,
    missed: bool,
    began_outside: bool,
    ended: Literal["summit", "steps", "edge"],
    properties: Sequence[str],
) -> AscentPath:
    path = decode_path(
        space,
        z,
        [0.0, *(z[1:] - z[:-1]).norm(dim=1).cumsum(0).tolist()],
        name=f"up {hill.name}",
        start=molecule,
        missed=[molecule] if missed else [],
        properties=properties,
    )
    with torch.no_grad():
        predicted = (hill.sign * hill.up(z)).tolist()
    there = [stop.smiles for stop in path.stops]
    true = [math.nan] * len(there)
    if hill.measure is not None and (known := [m for m in there if m is not None]):
        measured = dict(zip(known, hill.measure(known), strict=True))
        true = [math.nan if m is None else float(measured[m]) for m in there]
    return AscentPath(
        path=path,
        climbed=hill.name,
        sign=hill.sign,
        predicted=tuple(predicted),
        true=tuple(true),
        began_outside=began_outside,
        ended=ended,
    )


__all__ = [
    "AscentPath",
    "AscentTarget",
    "campaign_target",
    "climb_target",
    "direction_target",
    "gradient_ascent",
    "head_target",
]
