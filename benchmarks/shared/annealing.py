"""Log-likelihoods by annealed importance sampling, to check the importance-weighted bound.

Between a start that can be sampled, the posterior q(z | x) or the prior p(z), and the target
p(x | z) p(z) lie many intermediate distributions; a Hamiltonian Monte Carlo move follows each. The
result is a lower bound too, but it becomes tight with the number of distributions. It costs
hundreds of times as much: for checks on few rows.

References:
    Neal (2001), doi:10.1023/A:1008923215028; Wu et al. (2016), arXiv:1611.04273 (of decoders; the
    temperatures and the target acceptance are theirs).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from molvae.errors import require
from molvae.model.hmc import Density, hmc_sample
from molvae.model.losses import log_normal, reconstruction
from molvae.model.priors import Prior
from molvae.model.vae import SequenceVAE

TARGET_ACCEPTANCE, GAIN = 0.65, 0.2
"""Share of moves to be accepted, and how fast the first run adapts the step length to it."""
MAX_CHAINS_AT_ONCE = 512


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
    """Lower bound on log p(ids), `n`, nats, float64; compare with `losses.importance_bound`.

    Args:
        model: Its posterior has to be a Gaussian of z alone.
        prior: p(z), on the CPU.
        ids: `n x t`, ended by EOS, padded.
        chains: Per row.
        steps: Distributions between start and target, the target included.
        n_leapfrog_steps: Gradients of each move.
        start: The posterior is nearer to the target; the prior does not depend on the encoder, and
            so finds what the posterior leaves out.
        seed: Of all random numbers.
    """
    require(
        model.config.posterior == "gaussian" and not model.n_conditions,
        "annealing needs a model with posterior = 'gaussian' and no conditions",
    )
    generator = torch.Generator().manual_seed(seed)
    bounds = [torch.zeros(0, dtype=torch.float64)]
    for part in torch.split(ids, max(1, MAX_CHAINS_AT_ONCE // chains)) if len(ids) else ():
        with torch.no_grad():
            mean, logvar = (x.double().cpu() for x in model.posterior(part))
        rows = part.repeat_interleave(chains, dim=0)
        center, scale = (x.repeat_interleave(chains, dim=0) for x in (mean, (0.5 * logvar).exp()))
        if start == "posterior":
            z = center + scale * torch.randn(center.shape, generator=generator).double()
        else:
            z = prior.sample(len(rows), generator).double()

        def at_start(z: Tensor, center: Tensor = center, scale: Tensor = scale) -> Tensor:
            if start == "posterior":
                return log_normal(z, center, 2 * scale.log()).sum(dim=1)
            return prior.log_prob(z.float()).double()

        def joint(z: Tensor, rows: Tensor = rows) -> Tensor:
            nats = reconstruction(model.logits(z.float().to(rows.device), rows), rows)
            return prior.log_prob(z.float()).double() - nats.double().cpu()

        # Without cuDNN, whose recurrent layers have gradients in training only.
        with torch.backends.cudnn.flags(enabled=False):
            weights = annealed_weights(
                at_start,
                joint,
                z,
                scale=scale,
                steps=steps,
                n_leapfrog_steps=n_leapfrog_steps,
                chains=chains,
                generator=generator,
            )
        bounds.append(torch.logsumexp(weights.view(-1, chains), dim=1) - math.log(chains))
    return torch.cat(bounds)


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
    """Log-weights of chains from one density to another, `n`, float64.

    The mean of their exponentials is an unbiased estimate of the ratio of the normalizing
    constants. A first run only finds step lengths, one for each row and distribution: lengths that
    depend on the chain itself would bias the estimate.

    Args:
        start: The density that z was sampled from.
        target: Need not be normalized.
        z: `n x d`, float64, the chains of a row one after the other; they share step lengths.
        scale: About the width of the target, `n x d`.
        steps: See `annealed_bound`.
        n_leapfrog_steps: See `annealed_bound`.
        chains: Per row.
        generator: Of all random numbers, on the CPU.
    """
    sizes = torch.empty(steps, len(z) // chains, dtype=torch.float64)
    size = torch.full((len(z) // chains,), 0.5 / z.shape[1] ** 0.25, dtype=torch.float64)
    for adapting in (True, False):
        here, weights = z, torch.zeros(len(z), dtype=torch.float64)
        for step, (before, now) in enumerate(pairwise(_temperatures(steps))):
            with torch.no_grad():
                weights += (now - before) * (target(here) - start(here))
            if adapting:
                sizes[step] = size

            def tempered(z: Tensor, now: float = now) -> Tensor:
                return (1 - now) * start(z) + now * target(z)

            moved = hmc_sample(
                tempered,
                here,
                scale=sizes[step].repeat_interleave(chains)[:, None] * scale,
                steps=1,
                step=1.0,
                n_leapfrog_steps=n_leapfrog_steps,
                generator=generator,
            )
            here = moved.z
            if adapting:
                rate = moved.acceptance.view(-1, chains).mean(dim=1)
                size = size * (GAIN * (rate - TARGET_ACCEPTANCE)).exp()
    return weights


def _temperatures(steps: int) -> list[float]:
    """From 0 to 1, close together at both ends."""
    curve = [1 / (1 + math.exp(-4 * (2 * step / steps - 1))) for step in range(steps + 1)]
    return [(at - curve[0]) / (curve[-1] - curve[0]) for at in curve]


__all__ = ["annealed_bound", "annealed_weights"]
