"""What the encoder's summary says of z and of conditions: q(y | x) and q(z | x, y).

Shapes use n for the batch, d for the latent dimension, p for the number of conditions and s for the
numbers of the encoder's summary.

References:
    Kingma and Welling (2013), arXiv:1312.6114 (Gaussian); Kingma et al. (2016), arXiv:1606.04934
    (pushed through inverse autoregressive layers); Kang and Cho (2018),
    doi:10.1021/acs.jcim.8b00801 (with conditions, of molecules).
"""

from __future__ import annotations

import math
from functools import partial

import torch
import zuko
from torch import Tensor, nn
from torch.nn import functional

from molvae.errors import require
from molvae.model.config import ModelConfig

KINDS = ("gaussian", "flow", "point")
INITIAL_LOGVAR = -3.0
"""Posteriors start narrow, so that the decoder sees a signal in z from its first step."""
CONDITION_UNITS, CONTEXT_UNITS = 64, 32
"""Numbers of the encoder's summary that conditions are read off, and that the flow is given."""
FLOW_LAYERS, FLOW_HIDDEN = 2, 128  # of the flow: how many layers, and the hidden units of each
FLOW_STRETCH = 5.0
"""How much a layer stretches or shrinks a unit at most: without a bound codes may run away."""


class Posterior(nn.Module):
    """q(y | x), a diagonal Gaussian, and q(z | x, y), which goes by its kind.

    The kinds are `gaussian`, diagonal; `flow`, such a Gaussian pushed through layers that move each
    unit by what the units before it and the encoder say; and `point`, the mean without any spread.
    Conditions add a linear term to the Gaussian's parameters.
    """

    def __init__(self, config: ModelConfig, n_conditions: int) -> None:
        super().__init__()
        d = config.latent_dim
        require(
            config.posterior in KINDS, f"posterior must be one of {KINDS}, got {config.posterior!r}"
        )
        self.kind, self.latent_dim, self.n_conditions = config.posterior, d, n_conditions
        self.widths = [
            d if self.kind == "point" else 2 * d,
            CONDITION_UNITS if n_conditions else 0,
            CONTEXT_UNITS if self.kind == "flow" else 0,
        ]
        if n_conditions:
            self.condition_head = nn.Linear(CONDITION_UNITS, 2 * n_conditions)
        if n_conditions and d:
            self.given_conditions = nn.Linear(n_conditions, self.widths[0], bias=False)
            shape = self.given_conditions.weight.shape
            self.given_conditions.weight = nn.Parameter(torch.normal(0.0, 0.02, shape))
        if self.kind == "flow":
            self.flow = nn.ModuleList(_layer(d, i % 2 == 1) for i in range(FLOW_LAYERS))

    @property
    def width(self) -> int:
        """Numbers of the summary, s."""
        return sum(self.widths)

    def conditions(self, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and natural logarithm of the variance of q(y | x), each `n x p`, float32."""
        if not self.n_conditions:
            return summary[:, :0], summary[:, :0]
        hidden = torch.split(summary, self.widths, dim=1)[1]
        mean, logvar = self.condition_head(functional.gelu(hidden)).float().chunk(2, dim=1)
        return mean, logvar

    def gaussian(self, summary: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of q(z | x, y), each `n x d`, float32.

        Before any flow. The logarithm of `point` is minus infinity.
        """
        both = torch.split(summary, self.widths, dim=1)[0]
        if self.n_conditions and self.latent_dim:
            both = both + self.given_conditions(y).float()
        if self.kind == "point":
            return both, torch.full_like(both, -torch.inf)
        mean, logvar = both.chunk(2, dim=1)
        return mean, logvar + INITIAL_LOGVAR

    def sample(
        self, summary: Tensor, mean: Tensor, logvar: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Samples z, `n x d`, from q(z | x, y), and their log-densities, `n`, nats.

        The noise is standard normal; the other arguments are as for `gaussian`. `point` gives the
        mean and 0.
        """
        if self.kind == "point":
            return mean, mean.new_zeros(len(mean))
        z, log_density = reparameterize(mean, logvar, noise)
        z, stretch = self.apply_flow(summary, z)
        return z, log_density.sum(dim=1) - stretch

    def apply_flow(self, summary: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Samples sent through the flow, if any, `n x d`, and the logarithm of the stretch, `n`."""
        stretch = z.new_zeros(len(z))
        if self.kind == "flow":
            context = torch.split(summary, self.widths, dim=1)[2]
            with torch.autocast(z.device.type, enabled=False):
                for layer in self.flow:
                    z, more = layer(context).call_and_ladj(z)
                    stretch = stretch + more
        return z, stretch


def _layer(d: int, backwards: bool) -> nn.Module:
    """One layer of the flow, which starts as the identity."""
    with torch.device("cpu"):  # masks are computed, also where a network is built without memory
        order = torch.arange(d)
        layer: nn.Module = zuko.flows.MaskedAutoregressiveTransform(
            d,
            CONTEXT_UNITS,
            order=order.flip(0) if backwards else order,
            univariate=partial(zuko.transforms.MonotonicAffineTransform, slope=1 / FLOW_STRETCH),
            hidden_features=(FLOW_HIDDEN,),
            activation=nn.ELU,
        )
    last = [x for x in layer.modules() if isinstance(x, nn.Linear)][-1]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return layer


def reparameterize(mean: Tensor, logvar: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Samples from N(mean, exp(logvar)), with gradients, and log-densities of the units, nats."""
    log_density = -0.5 * (noise.square() + logvar + math.log(2 * math.pi))
    return mean + noise * (0.5 * logvar).exp(), log_density
