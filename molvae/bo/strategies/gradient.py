"""Gradient ascent on what a Gaussian process or a property head expects, from the best ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from molvae.bo.base import Candidate, Observations
from molvae.bo.candidates import PATIENCE, expand_bounds, first_novel, spawn_seed
from molvae.bo.surrogate import fit_gp, reproducible
from molvae.errors import UnknownNameError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Steps up a predicted value over z; every step is decoded, and each path gives one molecule.

    What predicts is a Gaussian process over the told values, or one of the space's property heads.
    Paths start at the best told molecules, each moved a little, since two paths from one place
    would be one. It explores nothing: the local optimisation of the first molecular VAE, here with
    a surrogate that learns on.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
    """

    name: ClassVar[str] = "gradient"
    head: str = ""
    """Property that the space reads off z, to be climbed instead of the surrogate's mean: QED, or
    -SAS to go down."""
    steps: int = 20
    """Of a path."""
    step: float = 0.01
    """Length of one, as a share of the box's width in each dimension (root mean square)."""
    sigma: float = 0.02
    """Size of the move at the start, in the same unit."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        for name in ("steps", "patience"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {self}")
        for name in ("step", "sigma"):
            require(getattr(self, name) > 0, f"{name} must be positive, got {self}")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name)
        box = expand_bounds(observations)
        width = box[1] - box[0]
        top = observations.scores[:, 0].argsort(descending=True, stable=True)
        starts = observations.z[top[torch.arange(n) % len(top)]]
        generator = torch.Generator().manual_seed(seed)
        moved = torch.randn(starts.shape, generator=generator, dtype=starts.dtype)
        u = (starts + self.sigma * width * moved - box[0]) / width
        path = []
        with reproducible(seed):
            value = self._value(observations, space, box)
            for _ in range(self.steps):
                u = u.detach().requires_grad_()
                (slope,) = torch.autograd.grad(value(box[0] + u * width).sum(), u)
                size = slope.square().mean(dim=1, keepdim=True).sqrt()
                u = (u + self.step * torch.where(size > 0, slope / size, 0.0)).clamp(0.0, 1.0)
                path.append(box[0] + u.detach() * width)
        z = torch.stack(path, dim=1)  # n x steps x d
        # The furthest step first: it is expected to be the best.
        order = [[row * self.steps + k for k in reversed(range(self.steps))] for row in range(n)]
        return first_novel(
            space,
            z.flatten(0, 1),
            order,
            observations.known,
            bounds=box,
            seed=spawn_seed(seed, 1),
            patience=self.patience,
        )

    def _value(
        self, observations: Observations, space: LatentSpaceProtocol, box: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """What is climbed: `n x d` to `n` values."""
        if not self.head:
            model = fit_gp(observations.z, observations.scores, box, observations.score_noise)
            return lambda z: model.posterior(z).mean[:, 0]
        sign, name = (-1, self.head[1:]) if self.head.startswith("-") else (1, self.head)
        if name not in space.properties:
            raise UnknownNameError(f"property head of {space.name}", name, space.properties)
        column = space.properties.index(name)
        return lambda z: sign * space.property_head(z)[:, column]


__all__ = ["Gradient"]
