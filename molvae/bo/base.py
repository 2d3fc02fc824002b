"""Input and output of a strategy: observations and candidates; checks of its settings."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from textwrap import dedent, wrap
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.origins import GIVEN
from molvae.bo.prediction import Prediction
from molvae.bo.transforms import standardized, standardized_variances
from molvae.chem.cores import Core
from molvae.chem.diversity import Diversity
from molvae.chem.plausibility import Plausibility
from molvae.errors import CampaignError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.objectives.problem import OptimizationProblem

Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True, eq=False)
class LowerFidelity:
    """The data of a cheaper evaluation that says something of the objective."""

    name: str
    cost: float
    smiles: tuple[str, ...]
    """Canonical SMILES of the `n` molecules evaluated at it, in the order asked."""
    z: Tensor
    """Latent vectors of the evaluated molecules, `n x d`."""
    y: Tensor
    """Values of the evaluated molecules, `n`, larger is better."""
    origins: tuple[str, ...]
    pending_smiles: tuple[str, ...] = ()
    pending_z: Tensor
    """Latent vectors of the pending molecules, `p x d`."""
    known: frozenset[str]
    """Molecules not proposed at it again: evaluated, pending and failed ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """The data of a campaign when molecules are chosen.

    Raises:
        CampaignError: Shapes disagree, or a number is not finite.
    """

    smiles: tuple[str, ...]
    """Canonical SMILES of the `n` evaluated molecules, in the order asked."""
    z: Tensor
    """Latent vectors, `n x d`, float64: decoded ones, or encodings of given molecules."""
    y: Tensor
    """Values, `n x m`, float64; larger is better in every column; no NaN. In the unit of the
    objective: surrogates are trained on `scores`."""
    pending_smiles: tuple[str, ...] = ()
    """The `p` molecules without a value yet. They enter the surrogate of `rank` and `screen`
    (`surrogate.fit_surrogates`; with fidelities `fidelity_gp`) and `X_pending` of `log-ei`; the
    other strategies only avoid them."""
    pending_z: Tensor
    """Latent vectors of the pending molecules, `p x d`."""
    known: frozenset[str]
    """All molecules of the campaign, pending and failed ones included; not proposed again. With
    fidelities, those asked for at the objective itself."""
    bounds: Tensor
    """The box to search, `2 x d`, lower row first."""
    origins: tuple[str, ...] = ()
    """Origin of each evaluated molecule: one of `origins.GIVEN`, or a strategy and its operator."""
    noise: Tensor | None = None
    """Variances of the measured values, `n x measured`, see `molvae.bo.measurement_noise`; NaN:
    as of the others; None: all unknown. With one objective and no constraints, those of `y`."""
    problem: OptimizationProblem | None = None
    """Objectives and constraints, unless there is a single measured objective to maximize or
    minimize. It computes `y` from `values`; several columns are a Pareto search."""
    values: Tensor | None = None
    """All values with their original sign, `n x len(problem.names)`."""
    compute: Callable[[Sequence[str]], NDArray[np.float64]] | None = None
    """Computes the cheap values of any molecules, `n x len(problem.computed)`."""
    plausibility: Plausibility | None = None
    """The check that proposals have to pass; None: there is none."""
    core: Core | None = None
    """The core that proposals have to hold; None: there is none."""
    diversity: Diversity | None = None
    """How unlike proposals have to be; None: there is no such demand."""
    fidelities: tuple[LowerFidelity, ...] = ()
    """Lower fidelities of the objective, for strategies in `MULTI_FIDELITY`."""
    cost: float = 1.0
    """Cost of an evaluation of the objective."""
    max_cost: float = math.inf
    """Largest cost of an evaluation that may be proposed."""
    batch_size: int | None = None
    """Number of molecules that are proposed together by default, for the calibration of predictions
    by earlier batches; None: as many as are asked for now."""

    def __post_init__(self) -> None:
        d = self.bounds.shape[-1]
        expected = {
            "z": (self.z, (len(self.smiles), d)),
            "y": (self.y, (len(self.smiles), self.y.shape[-1])),
            "pending_z": (self.pending_z, (len(self.pending_smiles), d)),
            "bounds": (self.bounds, (2, d)),
        }
        for name, (tensor, shape) in expected.items():
            if tuple(tensor.shape) != shape:
                raise CampaignError(
                    f"observations.{name} must be {' x '.join(map(str, shape))}, "
                    f"got {' x '.join(map(str, tensor.shape))}"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise CampaignError(
                    f"observations.{name} holds numbers that are not finite; leave those "
                    "molecules out"
                )

    def accepts(self, smiles: str, chosen: Sequence[str] = ()) -> bool:
        """Whether a canonical SMILES may be proposed beside those chosen for the batch so far.

        It holds the core, is plausible, and keeps the demands on diversity.

        Strategies refuse the others where candidates arise: `bo.candidates` after decoding,
        `bo.pool` in the pool of `rank`, `bo.strategies.genetic` among the offspring.
        """
        return (
            (self.core is None or self.core.holds(smiles))
            and (self.diversity is None or self.diversity.allows(smiles, chosen))
            and (self.plausibility is None or self.plausibility.accepts(smiles))
        )

    @property
    def cheapest(self) -> str:
        """Name of the cheapest fidelity; empty: the objective."""
        return min(self.fidelities, key=lambda one: one.cost).name if self.fidelities else ""

    @property
    def proposed(self) -> list[int]:
        """Indices of evaluated molecules that a strategy proposed."""
        return [place for place, origin in enumerate(self.origins) if origin not in GIVEN]

    @cached_property
    def scores(self) -> Tensor:
        """`y` transformed, `n x m`: independent of the unit and the zero of the objective."""
        return standardized(self.y)

    @property
    def y_noise(self) -> Tensor | None:
        """Variances of `y`; None unless there is one objective without constraints."""
        plain = self.problem is None or (
            len(self.problem.objectives) == 1 and not self.problem.constraints
        )
        return self.noise if plain else None

    @cached_property
    def score_noise(self) -> Tensor | None:
        """Variances of `scores`; None if those of `y` are unknown."""
        return None if self.y_noise is None else standardized_variances(self.y, self.y_noise)

    def since(self, first: int) -> Observations:
        """The observations without the first evaluated molecules."""
        return replace(
            self,
            smiles=self.smiles[first:],
            z=self.z[first:],
            y=self.y[first:],
            origins=self.origins[first:],
            noise=None if self.noise is None else self.noise[first:],
            values=None if self.values is None else self.values[first:],
        )

    def require_observations(
        self, strategy: str, different: int = 2, *, several: bool = False
    ) -> None:
        """Check that there is enough to learn from.

        Args:
            different: Number of different values that it needs.
            several: Whether it supports several objectives.

        Raises:
            CampaignError: Several objectives, or fewer different values.
        """
        if self.y.shape[1] != 1 and not several:
            raise CampaignError(
                f"strategy {strategy} supports one objective, got {self.y.shape[1]}; set combine "
                "to desirability or weighted_sum, or use strategy rank, log-ei or random"
            )
        distinct = len({tuple(row) for row in self.y.tolist()})
        if distinct < different:
            raise CampaignError(
                f"strategy {strategy} needs at least {different} different values, has "
                f"{distinct} ({len(self.y)} evaluated molecules); tell more values, start with "
                "more molecules, or use strategy random"
            )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A molecule and its latent vector: the one that it was decoded from, or its encoding."""

    smiles: str
    """Canonical SMILES."""
    z: Tensor
    """Latent vector, `d`, float64."""
    operator: str = ""
    """The operator that made it, stored after the strategy's name."""
    predictions: tuple[Prediction, ...] = ()
    """Predictions of `Observations.y` if there is no `problem`, else of each of
    `problem.measured`; may be empty."""
    parents: tuple[str, ...] = ()
    """Canonical SMILES of the molecules that it was made from; may be empty."""
    kappa: float | None = None
    """Weight of the standard deviation when it was chosen; None if the strategy has none."""
    fidelity: str = ""
    """Name of the lower fidelity at which to evaluate it; empty: the objective."""


class Strategy(Protocol):
    """Chooses a batch: a pure function of its arguments, independent of global seeds."""

    @property
    def name(self) -> str:
        """Name in campaign files and tables, e.g. log-ei."""
        ...

    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """The next `n` molecules to evaluate.

        Args:
            n: Number of molecules, at least 1.
            seed: The only source of randomness.

        Returns:
            `n` distinct canonical molecules, none of them in `observations.known`.

        Raises:
            CampaignError: There are too few observations, or no new molecule was found.
        """
        ...


def documented(kind: type[Kind]) -> type[Kind]:
    """A dataclass whose docstring ends with its settings, so that `help` shows them."""
    try:
        body = ast.parse(dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    except OSError:  # there is no source, e.g. in a bundle
        return kind
    lines = list[str]()
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            said = " ".join(str(ast.literal_eval(text.value)).split())
            name = ast.unparse(field.target)
            default = "" if field.value is None else f" = {getattr(kind, name, '...')!r}"
            entry = f"{name}: {ast.unparse(field.annotation)}{default}"
            lines += ["", entry, *wrap(said, 88, initial_indent="    ", subsequent_indent="    ")]
    if lines:
        kind.__doc__ = f"{inspect.cleandoc(kind.__doc__ or '')}\n\nSettings:\n" + "\n".join(lines)
    return kind


def check_at_least(strategy: Strategy, least: float, *names: str) -> None:
    """Check that settings are not below a number."""
    for name in names:
        value = getattr(strategy, name)
        require(value >= least, f"{name} must be at least {least:g}, got {value}")


def check_positive(strategy: Strategy, *names: str) -> None:
    """Check that settings are above 0."""
    for name in names:
        value = getattr(strategy, name)
        require(value > 0, f"{name} must be positive, got {value}")


def check_share(strategy: Strategy, *names: str) -> None:
    """Check that settings lie in [0, 1]."""
    for name in names:
        value = getattr(strategy, name)
        require(0 <= value <= 1, f"{name} must lie in [0, 1], got {value}")


def check_order(strategy: Strategy, low: str, high: str, most: float = math.inf) -> None:
    """Check that `0 < low <= high <= most`, and that both are finite."""
    small, large = getattr(strategy, low), getattr(strategy, high)
    require(
        0 < small <= large <= most and large < math.inf,
        f"{low} and {high} must be finite, with 0 < {low} <= {high}"
        f"{'' if most == math.inf else f' <= {most:g}'}; got {small} and {large}",
    )
