"""A prior of z and conditions: a Gaussian over the conditions, and z given them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from molvae.model.priors.base import Normal, Prior
from molvae.model.priors.flows import Flow

SMALLEST = 1e-4
"""Eigenvalue of a covariance: conditions that say the same stay a distribution."""


class Conditional(Prior):
    """p(y) p(z | y): codes are `[z | y]`, y in the units of the network.

    Args:
        z: Of z given y: a flow, or N(0, I), which does not depend on it.
        conditions: Numbers in y.
    """

    kind = "conditional"
    mean: Tensor
    covariance: Tensor

    def __init__(self, z: Normal | Flow, conditions: int) -> None:
        super().__init__()
        self.z, self.conditions, self.dim = z, conditions, z.dim + conditions
        self.register_buffer("mean", torch.zeros(conditions))
        self.register_buffer("covariance", torch.eye(conditions))

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        z, y = self.parts(z)
        of_y: Tensor = MultivariateNormal(self.mean, self.covariance).log_prob(y)  # type: ignore[no-untyped-call]
        return of_y + (self.z.log_prob(z, y) if isinstance(self.z, Flow) else self.z.log_prob(z))

    def sample(
        self, n: int, generator: torch.Generator, where: Mapping[int, float] | None = None
    ) -> Tensor:
        """See `Prior`.

        Args:
            n: How many.
            generator: Of all draws.
            where: Conditions that are to have a value, by their place in y; the others are drawn
                given those.
        """
        y = self.sample_conditions(n, generator, where or {})
        if isinstance(self.z, Flow):
            return torch.cat([self.z.sample(n, generator, y), y], dim=1)
        return torch.cat([self.z.sample(n, generator), y], dim=1)

    def sample_conditions(
        self, n: int, generator: torch.Generator, where: Mapping[int, float]
    ) -> Tensor:
        """Conditions, `n x conditions`: those of `where` as they are, the others given those."""
        known = sorted(where)
        rest = [i for i in range(self.conditions) if i not in where]
        y = torch.zeros(n, self.conditions, dtype=torch.float32)
        values = torch.tensor([where[i] for i in known], dtype=torch.float64)
        y[:, known] = values.float()
        if not rest:
            return y
        mean, covariance = self.mean.double(), self.covariance.double()
        across = covariance[rest][:, known]
        slope = torch.linalg.solve(covariance[known][:, known], across.T).T
        left = covariance[rest][:, rest] - slope @ across.T
        noise = torch.randn(n, len(rest), generator=generator, dtype=torch.float32).double()
        factor = torch.linalg.cholesky(left)
        drawn = mean[rest] + slope @ (values - mean[known]) + noise @ factor.T
        y[:, rest] = drawn.float()
        return y

    def moved(self, code: Tensor, y: Tensor) -> Tensor:
        """Codes with other conditions, and of z what it says beside them.

        What is kept is where z comes from in the noise that the flow makes z of.

        Args:
            code: `n x dim`.
            y: The new conditions, `n x conditions`.
        """
        z, old = self.parts(code)
        if isinstance(self.z, Flow):
            z = self.z.from_noise(self.z.to_noise(z, old), y)
        return torch.cat([z, y], dim=1)

    def parts(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Z and conditions of codes."""
        return code[:, : self.z.dim], code[:, self.z.dim :]

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        sizes = {"dim": self.dim, "conditions": self.conditions}
        return {"kind": self.kind, **sizes, "z": self.z.settings()}


def covariance_of(y: Tensor) -> Tensor:
    """Covariance of numbers of which some are not known: of each pair, over what is known of both.

    Args:
        y: `n x p`; NaN where not known.

    Returns:
        `p x p`, float32, positive definite.
    """
    known = ~y.isnan()
    y = y.double()
    mean = y.nanmean(dim=0)
    centred = torch.where(known, y - mean, 0.0)
    pairs = known.double().T @ known.double()
    # Pairs that are never known together count as unrelated.
    covariance = centred.T @ centred / pairs.clamp(min=1)
    values, vectors = torch.linalg.eigh(covariance)
    mended: Tensor = vectors * values.clamp(min=SMALLEST) @ vectors.T
    return (0.5 * (mended + mended.T)).float()


__all__ = ["Conditional", "covariance_of"]
