"""Gradient ascent on the prediction of a Gaussian process or a property head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from molvae.bo.base import Candidate, Observations, check_at_least, check_positive, documented
from molvae.bo.candidates import MAX_DECODE_ATTEMPTS, expand_bounds, propose_decoded
from molvae.bo.surrogate import fit_gp, reproducible
from molvae.errors import UnknownNameError
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@documented
@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Gradient ascent in z on a predicted value; of the molecules on the paths, the best ones.

    The prediction is that of a Gaussian process or of a property head of the space. Paths start
    near the best molecules. There is no exploration: this is the local optimization of the first
    molecular VAE, with a surrogate that keeps learning.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
    """

    name: ClassVar[str] = "gradient"
    head: str = ""
    """Property head of the space to maximize instead of the GP's mean, e.g. QED; -SAS minimizes
    SAS."""
    n_steps: int = 20
    """Steps of a path."""
    step_size: float = 0.01
    """Length of a step, as a share of the box's width in each dimension (root mean square)."""
    sigma: float = 0.02
    """Standard deviation of the perturbation of each start, in the same unit."""
    max_decode_attempts: int = MAX_DECODE_ATTEMPTS
    """Latent vectors to decode per molecule before giving up."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "n_steps", "max_decode_attempts")
        check_positive(self, "step_size", "sigma")

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
            for _ in range(self.n_steps):
                u = u.detach().requires_grad_()
                (slope,) = torch.autograd.grad(value(box[0] + u * width).sum(), u)
                size = slope.square().mean(dim=1, keepdim=True).sqrt()
                u = (u + self.step_size * torch.where(size > 0, slope / size, 0.0)).clamp(0.0, 1.0)
                path.append(box[0] + u.detach() * width)
            # The furthest step first: it is expected to be the best.
            return propose_decoded(
                space,
                torch.cat(path[::-1]),
                lambda encodings, _: value(encodings),
                observations,
                n,
                seed=seed,
                max_attempts=self.max_decode_attempts,
            )

    def _value(
        self, observations: Observations, space: LatentSpaceProtocol, box: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """The function to maximize, from `n x d` to `n`."""
        if not self.head:
            model = fit_gp(observations.z, observations.scores, observations.score_noise)
            return lambda z: model.posterior(z).mean[:, 0]
        sign, name = (-1, self.head[1:]) if self.head.startswith("-") else (1, self.head)
        if name not in space.properties:
            raise UnknownNameError(f"property head of {space.name}", name, space.properties)
        column = space.properties.index(name)
        return lambda z: sign * space.property_head(z)[:, column]
