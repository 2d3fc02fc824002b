"""Langevin and Hamiltonian Monte Carlo: from the encoder's q(z | x) to the posterior p(z | x).

The posterior is proportional to p(x | z) p(z). Chains that start at samples of q(z | x) end, after
enough moves, as samples of p(z | x).

References:
    Hoffman (2017), proceedings.mlr.press/v70/hoffman17a.html (of deep latent Gaussian models, from
    the encoder on); Betancourt (2017), arXiv:1701.02434 (Hamiltonian Monte Carlo); Roberts and
    Tweedie (1996), doi:10.2307/3318418 (Langevin, of one leapfrog step each).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from molvae.errors import require
from molvae.model.losses import reconstruction
from molvae.model.priors import Prior
from molvae.model.row_random import row_generators, row_noise
from molvae.model.vae import SequenceVAE

Density = Callable[[Tensor], Tensor]
"""Natural logarithm of a density but for a constant, `n x d` to `n`; differentiable."""
MIN_STEP_FRACTION = 0.5
"""Step lengths are sampled from this share of `step` up to all of it, so that no chain returns to
its start because its moves last a full period."""


class HMCResult(NamedTuple):
    """Ends of the chains, and how often they moved."""

    z: Tensor  # `n x d`
    log_density: Tensor  # at the ends, `n`
    # Share of the moves that each chain accepted, `n`; NaN if there were none. Moves of many steps
    # do best at 0.65, of one step at 0.57; far below, the steps are too long.
    acceptance: Tensor


def hmc_sample(
    log_density: Density,
    z: Tensor,
    *,
    scale: Tensor,
    steps: int,
    step: float,
    n_leapfrog_steps: int = 1,
    generator: torch.Generator | Sequence[torch.Generator],
) -> HMCResult:
    """Run chains that converge to samples from a density; all at once, each on its own.

    Args:
        log_density: The target, row by row.
        z: Starts of the chains, `n x d`.
        scale: About the width of the density, `n x d`, positive; steps are measured in it.
        steps: Moves of each chain.
        step: Largest length of a leapfrog step, in units of the scale.
        n_leapfrog_steps: Steps of a move. 1 is the Metropolis-adjusted Langevin algorithm; more is
            Hamiltonian Monte Carlo, and as many gradients.
        generator: Source of random numbers on the device of z; or one for each chain, so that it
            does not depend on the others.
    """

    def look(z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            height = log_density(z)
            (slope,) = torch.autograd.grad(height.sum(), z)
        return height.detach(), slope

    def random(sample: Callable[..., Tensor], width: int) -> Tensor:
        settings: dict[str, Any] = {"device": z.device, "dtype": z.dtype}
        if isinstance(generator, torch.Generator):
            return sample(len(z), width, generator=generator, **settings)
        return torch.stack([sample(width, generator=own, **settings) for own in generator])

    z, accepted = z.detach(), z.new_zeros(len(z))
    height, slope = look(z)
    for _ in range(steps):
        momentum = random(torch.randn, z.shape[1])
        energy = height - 0.5 * momentum.square().sum(dim=1)
        length = (
            step * scale * (MIN_STEP_FRACTION + (1 - MIN_STEP_FRACTION) * random(torch.rand, 1))
        )
        there, slope_there, height_there = z, slope, height
        for _ in range(n_leapfrog_steps):
            momentum = momentum + 0.5 * length * slope_there
            there = there + length * momentum
            height_there, slope_there = look(there)
            momentum = momentum + 0.5 * length * slope_there
        gained = height_there - 0.5 * momentum.square().sum(dim=1) - energy
        moves = random(torch.rand, 1)[:, 0].log() < gained  # not where it is no number
        z = torch.where(moves[:, None], there, z)
        slope = torch.where(moves[:, None], slope_there, slope)
        height = torch.where(moves, height_there, height)
        accepted = accepted + moves
    return HMCResult(z, height, accepted / steps if steps else accepted * torch.nan)


def sample_posterior_codes(
    model: SequenceVAE,
    prior: Prior,
    ids: Tensor,
    *,
    steps: int,
    step: float,
    n_leapfrog_steps: int,
    seed: int,
    weight: float = 1.0,
) -> HMCResult:
    """Codes of rows, `n x t`, about as p(code | x) has them, `n x code_dim`, float64, on the CPU.

    Chains start at samples of the encoder's posterior, whose spread is their scale, and do not
    depend on the other rows; 0 steps leave the samples. Other arguments are as for `hmc_sample`.

    Args:
        prior: Density of codes, on the CPU.
        ids: Rows, ended by stop, padded.
        steps: Moves of each chain.
        step: Length of a step.
        n_leapfrog_steps: Steps of a move.
        weight: Weight of log p(x | code), beside log p(code). 1 is the posterior; 1 / beta is what
            an encoder trained with a weight of beta on its KL term aims at, for its decoder to
            write x more surely.

    Raises:
        ConfigError: The posterior is a point, which gives no scale.
    """
    require(
        model.config.posterior != "point",
        "a deterministic autoencoder does not say how far its codes may be moved; take a model "
        "with posterior = 'gaussian' or 'flow'",
    )

    def log_density(code: Tensor) -> Tensor:
        code = code.float()
        given = -reconstruction(model.logits(code.to(ids.device), ids), ids)
        return weight * given.double().cpu() + prior.log_prob(code).double()

    with torch.no_grad():
        start = model.infer(ids, noise=row_noise(ids, 1, model.code_dim, seed)[:, 0])
    logvar = torch.cat([start.logvar, start.y_logvar], dim=1).double().cpu()
    # Without cuDNN, whose recurrent layers have gradients in training only.
    with torch.backends.cudnn.flags(enabled=False):
        return hmc_sample(
            log_density,
            start.code.double().cpu(),
            scale=(0.5 * logvar).exp(),
            steps=steps,
            step=step,
            n_leapfrog_steps=n_leapfrog_steps,
            generator=row_generators(ids, seed + 1),
        )
