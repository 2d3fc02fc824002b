"""What a strategy may look at, what it gives back, and what it may ask of a latent space.

The vocabulary of this layer; nothing is computed here. A strategy that ranks decoded molecules
finds them in `Observations.smiles` and `Candidate.smiles`; one with several objectives finds them
as columns of `Observations.y`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.prediction import Prediction
from molvae.bo.transforms import standardized, standardized_variances
from molvae.errors import CampaignError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.objectives.problem import OptimizationProblem


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """All that is known when molecules are chosen; built anew from the record each time.

    Raises:
        CampaignError: Shapes disagree, or a number is not finite.
    """

    smiles: tuple[str, ...]
    """Canonical SMILES of the `n` molecules that were scored, in the order asked."""
    z: Tensor
    """Their latent vectors, `n x d`, float64: as decoded, or encoded from given molecules."""
    y: Tensor
    """Their values, `n x m`, float64; larger is better in every column; no NaN. In the unit of the
    objective: what is to learn from them takes `scores`."""
    pending_smiles: tuple[str, ...] = ()
    """The `p` molecules that were asked for and not told yet."""
    pending_z: Tensor
    """Their latent vectors, `p x d`."""
    known: frozenset[str]
    """Every molecule ever asked for, pending and failed ones included: not to be proposed."""
    bounds: Tensor
    """The box to search, `2 x d`, lower row first."""
    origins: tuple[str, ...] = ()
    """Where each scored molecule came from: `start`, or a strategy, and by what it made it."""
    noise: Tensor | None = None
    """Variances of the measured values, `n x measured`, see `molvae.bo.noise`; NaN: as of the
    others; None: of no value. With one goal and no limits, those of `y`."""
    problem: OptimizationProblem | None = None
    """Goals and limits, where there is more than one measured goal, or that goal is a range: `y` is
    made of `values` by it, for strategies that know of no goals. One column of `y` is one number to
    maximize, more are a Pareto search."""
    values: Tensor | None = None
    """All values in their own sign, `n x len(problem.names)`."""
    compute: Callable[[Sequence[str]], NDArray[np.float64]] | None = None
    """Values of any molecules that need no call, `n x len(problem.computed)`."""

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
                    f"evidence.{name} must be {' x '.join(map(str, shape))}, "
                    f"got {' x '.join(map(str, tensor.shape))}"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise CampaignError(
                    f"evidence.{name} holds numbers that are not finite; leave those molecules out"
                )

    @property
    def proposed(self) -> list[int]:
        """Places of scored molecules that a strategy chose; none where origins are not known."""
        return [place for place, origin in enumerate(self.origins) if origin != "start"]

    @cached_property
    def scores(self) -> Tensor:
        """Unit-free `y`, `n x m`: the same whatever the objective is multiplied by or shifted."""
        return standardized(self.y)

    @property
    def y_noise(self) -> Tensor | None:
        """Variances of `y`; known where it is what was measured: one goal and no limits."""
        plain = self.problem is None or (
            len(self.problem.objectives) == 1 and not self.problem.constraints
        )
        return self.noise if plain else None

    @cached_property
    def score_noise(self) -> Tensor | None:
        """Variances of `scores`, where those of `y` are known."""
        return None if self.y_noise is None else standardized_variances(self.y, self.y_noise)

    def since(self, first: int) -> Observations:
        """The same without the earliest scored molecules, as if they had never been told."""
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
        """Refuse what there is nothing to learn from: that would be random search in disguise.

        Args:
            strategy: Its name, for the message.
            different: How many different values it needs.
            several: It can do a Pareto search.

        Raises:
            CampaignError: Several objectives, or fewer different values.
        """
        if self.y.shape[1] != 1 and not several:
            raise CampaignError(
                f"strategy {strategy} has one goal, got {self.y.shape[1]}; combine them (product "
                "or sum), or use strategy rank, log-ei or random"
            )
        distinct = len({tuple(row) for row in self.y.tolist()})
        if distinct < different:
            raise CampaignError(
                f"strategy {strategy} needs told molecules with at least {different} different "
                f"values, has {distinct} ({len(self.y)} told); tell more values, start with more "
                "molecules, or use strategy random"
            )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A molecule and the latent vector that it was decoded from."""

    smiles: str
    """Canonical SMILES."""
    z: Tensor
    """`d`, float64."""
    operator: str = ""
    """By what, if a strategy has several ways; kept in the record after the strategy's name."""
    predictions: tuple[Prediction, ...] = ()
    """What is foreseen of its measured values: of `Observations.y` if there is no `problem`, else
    of each of `problem.measured`. Empty: nothing is."""


class Strategy(Protocol):
    """How a batch is chosen: a pure function of its arguments, whatever the global seeds."""

    @property
    def name(self) -> str:
        """As recorded and shown, e.g. log-ei."""
        ...

    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """The next `n` molecules to score.

        Args:
            observations: What is known.
            space: Decodes, encodes and samples.
            n: Molecules wanted, at least 1.
            seed: The only source of randomness.

        Returns:
            `n` distinct canonical molecules, none of them in `observations.known`.

        Raises:
            CampaignError: The evidence is too small for this strategy, or no new molecule could be
                found.
        """
        ...


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


__all__ = [
    "Candidate",
    "Observations",
    "Strategy",
    "check_at_least",
    "check_order",
    "check_positive",
    "check_share",
]
