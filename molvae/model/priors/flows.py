"""Normalising flows over z, which may depend on other numbers: coupling and autoregressive ones.

References:
    Dinh et al. (2017), arXiv:1605.08803 (coupling layers); Papamakarios et al. (2017),
    arXiv:1705.07057 (autoregressive ones); Durkan et al. (2019), arXiv:1906.04032 (splines).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import zuko
from torch import Tensor, nn

from molvae._isolation import seeded
from molvae.model.priors.base import Prior

LAYERS = {"flow": 6, "autoregressive": 2}
"""Of each kind, by default: one autoregressive layer can do more, and takes longer to draw from."""


class Flow(Prior):
    """Layers of monotonic rational-quadratic splines, over standardised z.

    Args:
        dim: Numbers in z.
        kind: `flow`: coupling layers, each of which moves half of the units as the other half says.
            `autoregressive`: each unit is moved as all before it say.
        given: How many numbers it depends on.
        layers: 0 takes the default of the kind.
        hidden: Width of the networks, of two hidden layers.
        bins: Of a spline.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        dim: int,
        kind: Literal["flow", "autoregressive"] = "flow",
        given: int = 0,
        layers: int = 0,
        hidden: int = 256,
        bins: int = 8,
    ) -> None:
        super().__init__()
        layers = layers or LAYERS[kind]
        self.kind, self.dim, self.given = kind, dim, given
        self.layers, self.hidden, self.bins = layers, hidden, bins
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        # Which half is moved and which decides how: another one each time, always the same ones.
        masks = torch.Generator().manual_seed(0)
        splines = {
            "univariate": zuko.transforms.MonotonicRQSTransform,
            "shapes": [(bins,), (bins,), (bins - 1,)],
            "hidden_features": (hidden, hidden),
        }

        def layer(i: int) -> Any:
            if kind == "autoregressive":
                order = torch.arange(dim) if i % 2 == 0 else torch.arange(dim).flip(0)
                return zuko.flows.MaskedAutoregressiveTransform(dim, given, order=order, **splines)
            mask = torch.randperm(dim, generator=masks) % 2 == 0
            return zuko.flows.GeneralCouplingTransform(dim, given, mask=mask, **splines)

        self.flow = zuko.flows.Flow(
            transform=[layer(i) for i in range(layers)],
            base=zuko.flows.UnconditionalDistribution(
                zuko.distributions.DiagNormal, torch.zeros(dim), torch.ones(dim), buffer=True
            ),
        )

    def log_prob(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """See `Prior`; `given` is `n x given`."""
        log_prob: Tensor = self.flow(given).log_prob((z - self.centre) / self.scale)
        return log_prob - self.scale.log().sum()

    def sample(self, n: int, generator: torch.Generator, given: Tensor | None = None) -> Tensor:
        """See `Prior`; `given` is `n x given`."""
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float32)
        return self.from_noise(noise, given)

    @torch.no_grad()
    def to_noise(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Where in N(0, I) z comes from; `n x dim` to `n x dim`."""
        noise: Tensor = self.flow(given).transform((z - self.centre) / self.scale)
        return noise

    @torch.no_grad()
    def from_noise(self, noise: Tensor, given: Tensor | None = None) -> Tensor:
        """What becomes of N(0, I); the inverse of `to_noise`."""
        if len(noise) == 0:
            return noise
        standard: Tensor = self.flow(given).transform.inv(noise)
        return self.centre + self.scale * standard

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        sizes = {"layers": self.layers, "hidden": self.hidden, "bins": self.bins}
        given = {"given": self.given} if self.given else {}
        return {"kind": self.kind, "dim": self.dim, **given, **sizes}


def fit_flow(
    codes: Tensor,
    *,
    passes: int,
    kind: Literal["flow", "autoregressive"] = "flow",
    given: Tensor | None = None,
    hidden: int = 256,
    seed: int = 0,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
) -> Flow:
    """A flow by maximum likelihood of draws from the posteriors, others in each pass.

    Args:
        codes: `k` draws for each of `n` molecules, `k x n x d`, used in turn.
        passes: Over the molecules.
        kind: See `Flow`.
        given: What it depends on, `k x n x p`; None for nothing.
        hidden: See `Flow`.
        seed: Of weights and order.
        batch_size: Molecules a step.
        learning_rate: Peak, of Adam; cosine decay.
    """
    k, n, dim = codes.shape
    with seeded(seed):
        prior = Flow(dim, kind, 0 if given is None else given.shape[2], hidden=hidden)
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        flat = codes.reshape(k * n, dim)
        prior.centre, prior.scale = flat.mean(dim=0), flat.std(dim=0).clamp(min=1e-6)
        optimizer = torch.optim.Adam(prior.parameters(), lr=learning_rate)
        steps = passes * math.ceil(n / batch_size)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for turn in range(passes):
            for rows in torch.split(torch.randperm(n, generator=generator), batch_size):
                known = None if given is None else given[turn % k, rows]
                loss = -prior.log_prob(codes[turn % k, rows], known).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(prior.parameters(), 5.0)
                optimizer.step()
                decay.step()
    return prior.eval()


__all__ = ["LAYERS", "Flow", "fit_flow"]
