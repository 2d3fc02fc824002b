"""Log-likelihoods by annealed importance sampling: what the importance-weighted bound is held to.

Between a start that can be drawn from, the posterior q(z | x) or the prior p(z), and the target
p(x | z) p(z) lie many distributions, each of which a Hamiltonian Monte Carlo move follows. Also a
bound from below, but one that closes with the number of distributions and not only with that of the
draws. Costs hundreds of times as much: for checks, on few rows.

References:
    Neal (2001), doi:10.1023/A:1008923215028; Wu et al. (2016), arXiv:1611.04273 (of decoders; the
    temperatures and the acceptance aimed at are theirs); Neal (2011), arXiv:1206.1901 (HMC).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from molvae.errors import require
from molvae.model.losses import reconstruction
from molvae.model.priors import Prior
from molvae.model.vae import SequenceVAE

Density = Callable[[Tensor], Tensor]
"""Natural logarithm of a density, up to a constant or not: `n x d` to `n`; differentiable."""

ACCEPTANCE, GAIN = 0.65, 0.2
"""Share of moves to be accepted, and how fast the first run changes the step length for it."""
SHORTEST = 0.2
"""Of step lengths, drawn evenly from this share of them up: chains do not come back to where they
were, as they would if all moves were a period long."""
AT_ONCE = 512
"""Chains that go through the network together."""


def annealed_bound(
    model: SequenceVAE,
    prior: Prior,
    ids: Tensor,
    *,
    chains: int = 16,
    steps: int = 200,
    n_leapfrog_steps: int = 5,
    start: Literal["posterior", "prior"] = "posterior",
    seed: int = 0,
) -> Tensor:
    """Lower bound on log p(ids), in nats; compare with `objectives.importance_bound`.

    Args:
        model: The network.
        prior: Its p(z), on the CPU.
        ids: `n x t`, ended by stop, padded.
        chains: Of each row.
        steps: Distributions between start and target, the target counted.
        n_leapfrog_steps: Evaluations of the gradient in each move.
        start: Where chains begin. The posterior is nearer to the target; the prior knows nothing
            of the encoder, and so finds what the posterior leaves out.
        seed: Of all draws.

    Returns:
        `n`, float64, on the CPU. In expectation below log p, and rises with chains and steps.

    Raises:
        ConfigError: Another posterior than a Gaussian of z alone.
    """
    require(
        model.config.posterior == "gaussian" and not model.n_conditions,
        "annealing needs a model with posterior = 'gaussian' and no conditions",
    )
    generator = torch.Generator().manual_seed(seed)
    bounds = []
    for part in torch.split(ids, max(1, AT_ONCE // chains)):
        with torch.no_grad():
            mean, logvar = (x.double().cpu() for x in model.posterior(part))
        rows = part.repeat_interleave(chains, dim=0)
        centre, scale = (x.repeat_interleave(chains, dim=0) for x in (mean, (0.5 * logvar).exp()))
        # Without cuDNN, whose recurrent layers have gradients in training only.
        with torch.backends.cudnn.flags(enabled=False):
            weights = annealed_weights(
                _gaussian(centre, scale) if start == "posterior" else _of_prior(prior),
                _joint(model, prior, rows),
                centre + scale * torch.randn(centre.shape, generator=generator).double()
                if start == "posterior"
                else prior.sample(len(rows), generator).double(),
                scale=scale,
                steps=steps,
                n_leapfrog_steps=n_leapfrog_steps,
                chains=chains,
                generator=generator,
            )
        bounds.append(torch.logsumexp(weights.view(-1, chains), dim=1) - math.log(chains))
    return torch.cat(bounds) if bounds else torch.zeros(0, dtype=torch.float64)


def annealed_weights(
    start: Density,
    target: Density,
    z: Tensor,
    *,
    scale: Tensor,
    steps: int,
    n_leapfrog_steps: int,
    chains: int,
    generator: torch.Generator,
) -> Tensor:
    """Log-weights of chains from one density to another.

    The mean of their exponentials is an unbiased estimate of the ratio of the normalising
    constants. A first run only finds step lengths, one for each row and distribution: lengths that
    depend on what the chain itself has met would bias it.

    Args:
        start: Of which z are draws.
        target: Need not be normalised.
        z: `n x d`, float64, the chains of a row one after the other.
        scale: About the width of the target, `n x d`.
        steps: See `annealed_bound`.
        n_leapfrog_steps: Likewise.
        chains: Of each row; they share their step lengths.
        generator: Of all draws, on the CPU.

    Returns:
        `n`, float64.
    """
    temperatures = _temperatures(steps)
    sizes = torch.empty(steps, len(z) // chains, dtype=torch.float64)
    size = torch.full((len(z) // chains,), 0.5 / z.shape[1] ** 0.25, dtype=torch.float64)
    for first in (True, False):
        here = _look(start, target, z)
        weights = torch.zeros(len(z), dtype=torch.float64)
        for step, (before, now) in enumerate(pairwise(temperatures)):
            weights += (now - before) * (here.target - here.start)
            if first:
                sizes[step] = size
            share = torch.rand(len(z), generator=generator, dtype=torch.float64)
            each = sizes[step].repeat_interleave(chains) * (SHORTEST + (1 - SHORTEST) * share)
            here, accepted = _move(
                here,
                lambda x: _look(start, target, x),
                now,
                each[:, None] * scale,
                n_leapfrog_steps,
                generator,
            )
            if first:
                rate = accepted.double().view(-1, chains).mean(dim=1)
                size = size * (GAIN * (rate - ACCEPTANCE)).exp()
    return weights


class _Here(NamedTuple):
    """Where chains are, and both log-densities there with their gradients."""

    z: Tensor
    start: Tensor
    target: Tensor
    start_slope: Tensor
    target_slope: Tensor

    def slope(self, temperature: float) -> Tensor:
        return (1 - temperature) * self.start_slope + temperature * self.target_slope

    def height(self, temperature: float) -> Tensor:
        return (1 - temperature) * self.start + temperature * self.target


def _look(start: Density, target: Density, z: Tensor) -> _Here:
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        values = start(z), target(z)
        slopes = [torch.autograd.grad(value.sum(), z)[0] for value in values]
    return _Here(z.detach(), values[0].detach(), values[1].detach(), slopes[0], slopes[1])


def _move(
    here: _Here,
    look: Callable[[Tensor], _Here],
    temperature: float,
    size: Tensor,
    n_leapfrog_steps: int,
    generator: torch.Generator,
) -> tuple[_Here, Tensor]:
    """A Hamiltonian Monte Carlo move of all chains, and which of them accepted it.

    Args:
        here: Where they are.
        look: What is found elsewhere.
        temperature: Of the distribution to keep, from 0 at the start to 1 at the target.
        size: Step length, `n x d`.
        n_leapfrog_steps: Steps.
        generator: Of momenta and acceptances.
    """
    momentum = torch.randn(here.z.shape, generator=generator, dtype=torch.float64)
    energy = here.height(temperature) - 0.5 * momentum.square().sum(dim=1)
    there = here
    momentum = momentum + 0.5 * size * there.slope(temperature)
    for step in range(n_leapfrog_steps):
        there = look(there.z + size * momentum)
        last = step == n_leapfrog_steps - 1
        momentum = momentum + (0.5 if last else 1.0) * size * there.slope(temperature)
    gained = there.height(temperature) - 0.5 * momentum.square().sum(dim=1) - energy
    luck = torch.rand(len(gained), generator=generator, dtype=torch.float64)
    accepted = luck.log() < gained  # not where it is no number
    new = [
        torch.where(accepted.view(-1, *[1] * (a.ndim - 1)), a, b)
        for a, b in zip(there, here, strict=True)
    ]
    return _Here(*new), accepted


def _temperatures(steps: int) -> list[float]:
    """From 0 to 1, close together at both ends."""
    curve = [1 / (1 + math.exp(-4 * (2 * step / steps - 1))) for step in range(steps + 1)]
    return [(at - curve[0]) / (curve[-1] - curve[0]) for at in curve]


def _gaussian(mean: Tensor, std: Tensor) -> Density:
    constant = -std.log().sum(dim=1) - 0.5 * mean.shape[1] * math.log(2 * math.pi)
    return lambda z: constant - 0.5 * ((z - mean) / std).square().sum(dim=1)


def _of_prior(prior: Prior) -> Density:
    return lambda z: prior.log_prob(z.float()).double()


def _joint(model: SequenceVAE, prior: Prior, ids: Tensor) -> Density:
    def joint(z: Tensor) -> Tensor:
        given_z = -reconstruction(model.logits(z.float().to(ids.device), ids), ids)
        return given_z.double().cpu() + prior.log_prob(z.float()).double()

    return joint


__all__ = ["annealed_bound", "annealed_weights"]
