"""Gradient ascent in a latent space, with every molecule on the path."""

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
from molvae.analysis.summary import OOD_PERCENTILE
from molvae.analysis.vectors import codes
from molvae.chem.molecules import canonical, list_of_smiles
from molvae.chem.properties import is_property, score
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import MolvaeError, require
from molvae.latent.conversion import vector_count
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

    from molvae.campaign.campaign import Campaign

MAX_HALVINGS = 6  # how often a step is halved before an ascent has converged
MIN_GAIN_FRACTION = 0.5
"""Fraction of the improvement predicted by the gradient that a step must bring."""
MIN_GRADIENT_NORM = 1e-12  # length below which a gradient is zero
Ended = Literal["converged", "max_steps", "bounded"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AscentTarget:
    """A differentiable function of z to maximize, and how it is shown."""

    name: str
    """Name of the value, such as QED, or -SAS to go down."""
    up: Callable[[Tensor], Tensor]
    """Differentiable function from `n x d` to `n`; larger is better."""
    sign: float = 1.0
    """-1 if the value shown is small where `up` is large."""
    measure: Callable[[Sequence[str]], Sequence[float]] | None = None
    """True values of molecules, as shown; NaN where unknown. None: of no molecule."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AscentPath:
    """A gradient ascent from one molecule."""

    path: LatentPath
    """Positions are distances from the start."""
    target: str
    """Name of the target."""
    sign: float
    """-1 if smaller values are better."""
    predicted: tuple[float, ...]
    """Predicted value at each vector of the path."""
    true: tuple[float, ...]
    """Value of each segment's molecule; NaN where unknown."""
    started_outside: bool
    """The start lies outside of the space's bounds, which were widened to hold it."""
    ended: Ended
    """Reason for the end. `converged`: no step leads higher by half of what the gradient predicts.
    `max_steps`: all steps were taken. `bounded`: steps that lead higher lead below
    `min_percentile`.
    """

    @property
    def ood_distance(self) -> float | None:
        """Distance at which the path leaves the training distribution for good, or None.

        Outside are vectors of lower density than 99 % of the training distribution.
        """
        outside = None
        for t, percentile in zip(self.path.t[::-1], self.path.percentile[::-1], strict=True):
            if not percentile < OOD_PERCENTILE:
                break
            outside = t
        return outside

    @property
    def gain(self) -> float:
        """Improvement of the true value from the first molecule to the last; NaN if unknown."""
        return self.sign * (self.true[-1] - self.true[0])

    def table(self) -> pd.DataFrame:
        """The path's table, with `predicted` at the first vector of each segment, and `true`."""
        table = self.path.table()
        table.insert(3, "predicted", [self.predicted[stop.first] for stop in self.path.segments])
        table.insert(4, "true", list(self.true))
        return table


def head_target(space: LatentSpaceProtocol, name: str) -> AscentTarget:
    """A property head of the space, or an UnknownNameError; `-NAME` goes down."""
    sign, bare = (-1.0, name[1:]) if name.startswith("-") else (1.0, name)
    column = head(space, bare)

    def up(z: Tensor) -> Tensor:
        return sign * space.property_head(z)[:, column]

    return AscentTarget(name=name, up=up, sign=sign, measure=_property(bare))


def direction_target(direction: LatentDirection) -> AscentTarget:
    """A direction; true values are known if its name is that of a property."""
    sign = math.copysign(1.0, direction.slope)

    def up(z: Tensor) -> Tensor:
        return abs(direction.slope) * (z @ direction.unit)

    name = direction.name if sign > 0 else f"-{direction.name}"
    return AscentTarget(name=name, up=up, sign=sign, measure=_property(direction.name))


@isolated()
def campaign_target(campaign: Campaign) -> AscentTarget:
    """The mean of a Gaussian process over z fitted to all values of a campaign.

    Values of a campaign with one objective and no constraint are those observed; otherwise the
    scalarized score. True values are observed ones, and of other molecules those that RDKit
    computes.

    Raises:
        CampaignError: Fewer than two different values, or a Pareto search.
    """
    from molvae.bo.surrogate import fit_gp, reproducible
    from molvae.objectives.computing import is_cheap

    observations, goal = campaign.observations(), campaign.problem.objectives[0]
    observations.require_observations("gradient")
    model = fit_gp(observations.z, observations.y, observations.y_noise)
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
    return (lambda smiles: score(smiles, [name])[:, 0].tolist()) if is_property(name) else None


@isolated()
def gradient_ascent(
    space: LatentSpaceProtocol,
    smiles: Sequence[str],
    target: AscentTarget | LatentDirection | str,
    *,
    step: float = 0.25,
    steps: int = 40,
    min_percentile: float = 0.0,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> list[AscentPath]:
    """Gradient ascents, one from each molecule, in the given order.

    An ascent starts at a vector that decodes to its molecule, see `LatentSpace.invert`, and stays
    within the space's bounds (widened to hold the start). A step that brings less than half of the
    improvement that the gradient predicts is halved, down to a 64th; later steps become longer
    again.

    Args:
        smiles: Molecules to start at, SMILES in any form.
        target: A property head of the space (`QED`, or `-SAS` to go down), a `LatentDirection`, or
            an `AscentTarget`.
        step: Largest length of a step, in z.
        steps: Maximum number of steps.
        min_percentile: Density percentile, from 0 to 100, that no path falls below, see
            `LatentSpace.density_percentile`; a path that starts below it may not become less dense.
        properties: Names of computed properties, see `molvae.properties`.

    Raises:
        ConfigError: A number out of range, or no molecules.
        UnknownNameError: The space has no such head; or unknown property.
        InvalidMoleculeError, UnknownTokenError, TooLongError: See `LatentSpace.encode`.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
    """
    molecules = [canonical(text) for text in list_of_smiles(smiles)]
    require(len(molecules) > 0, "there is no molecule to start at; give at least one")
    require(step > 0, f"step must be positive, got {step}")
    steps = vector_count(steps, "steps", least=1)
    in_range = 0 <= min_percentile <= 100
    require(in_range, f"min_percentile must be from 0 to 100, got {min_percentile}")
    if isinstance(target, str):
        target = head_target(space, target)
    elif isinstance(target, LatentDirection):
        target = direction_target(target)
    z, missed = codes(space, molecules)
    rows, ended = ascend(space, z, target.up, step=step, steps=steps, min_percentile=min_percentile)
    outside = ((z < space.bounds[0]) | (z > space.bounds[1])).any(dim=1).tolist()
    ascents = []
    for molecule, vectors, out, end in zip(molecules, rows, outside, ended, strict=True):
        path = decode_path(
            space,
            vectors,
            [0.0, *(vectors[1:] - vectors[:-1]).norm(dim=1).cumsum(0).tolist()],
            name=f"ascent of {target.name}",
            start=molecule,
            missed=[molecule] if molecule in missed else [],
            properties=properties,
        )
        with torch.no_grad():
            predicted = (target.sign * target.up(vectors)).tolist()
        known = path.molecules
        measured = dict(zip(known, target.measure(known), strict=True)) if target.measure else {}
        ascents.append(
            AscentPath(
                path=path,
                target=target.name,
                sign=target.sign,
                predicted=tuple(predicted),
                true=tuple(
                    float(measured.get(stop.smiles or "", math.nan)) for stop in path.segments
                ),
                started_outside=out,
                ended=end,
            )
        )
    return ascents


def ascend(
    space: LatentSpaceProtocol, z: Tensor, up: Callable[[Tensor], Tensor], *, step: float,
    steps: int, min_percentile: float = 0.0,
) -> tuple[list[Tensor], list[Ended]]:  # fmt: skip
    """Vectors on the paths up from z, `n x d`, the first included, and why each ended.

    Arguments as `gradient_ascent`.
    """
    low, high = torch.minimum(space.bounds[0], z), torch.maximum(space.bounds[1], z)
    began = space.log_density(z).detach()
    lengths, shortest = torch.full((len(z),), float(step), dtype=z.dtype), step / 2**MAX_HALVINGS
    paths: list[list[Tensor]] = [[row] for row in z]
    ended: list[Ended] = ["max_steps"] * len(z)
    going = torch.arange(len(z))
    here = z.clone()
    for _ in range(steps):
        values, slope = _slope(up, here[going])
        at_low, at_high = here[going] <= low[going], here[going] >= high[going]
        slope = slope.masked_fill(at_low & (slope < 0) | at_high & (slope > 0), 0.0)  # along walls
        size = slope.norm(dim=1)
        unit = slope / size.clamp_min(torch.finfo(size.dtype).tiny)[:, None]
        waiting = size > MIN_GRADIENT_NORM * values.abs().clamp_max(1.0)  # values may be 1e-9 mol/L
        blocked = torch.zeros(len(going), dtype=torch.bool)
        moved = torch.zeros(len(going), dtype=torch.bool)
        while len(mine := (waiting & (lengths[going] >= shortest)).nonzero()[:, 0]):
            rows = going[mine]
            tried = here[rows] + lengths[rows, None] * unit[mine]
            tried = tried.clamp(low[rows], high[rows])
            promised = (slope[mine] * (tried - here[rows])).sum(dim=1)
            with torch.no_grad():
                gained = up(tried) - values[mine]
            higher = (gained > 0) & (gained >= MIN_GAIN_FRACTION * promised)
            inside = torch.ones_like(higher)
            if min_percentile > 0:
                denser = space.log_density(tried).detach() >= began[rows]
                inside = (space.density_percentile(tried) >= min_percentile) | denser
            blocked[mine] |= higher & ~inside
            done = higher & inside
            here[rows[done]] = tried[done]
            moved[mine[done]], waiting[mine[done]] = True, False
            lengths[rows[~done]] /= 2
        for row in going[moved].tolist():
            paths[row].append(here[row].clone())
        for place in (~moved).nonzero()[:, 0].tolist():
            ended[int(going[place])] = "bounded" if blocked[place] else "converged"
        going = going[moved]
        lengths[going] = (2 * lengths[going]).clamp(max=step)
        if not len(going):
            break
    return [torch.stack(path) for path in paths], ended


def _slope(up: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Values at vectors, and their gradients."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        values = up(z)
        (slope,) = torch.autograd.grad(values.sum(), z)
    return values.detach(), slope
