"""Log-likelihoods by annealed importance sampling, to check the importance-weighted bound.

Between the posterior q(z | x) and the target p(x | z) p(z) lie many intermediate distributions; a
Hamiltonian Monte Carlo move follows each. The result is a lower bound too, but it becomes tight
with the number of distributions. It costs hundreds of times as much: for checks on few rows.

References:
    Neal (2001), doi:10.1023/A:1008923215028; Wu et al. (2016), arXiv:1611.04273 (of decoders; the
    temperatures and the target acceptance are theirs).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from molvae.errors import require
from molvae.model.hmc import hmc_sample
from molvae.model.losses import log_normal, reconstruction
from molvae.model.priors import Prior
from molvae.model.vae import SequenceVAE

# Share of moves to be accepted, and how fast the first run adapts the step length to it.
TARGET_ACCEPTANCE, GAIN = 0.65, 0.2
MAX_CHAINS_AT_ONCE = 512


def annealed_bound(
    model: SequenceVAE,
    prior: Prior,
    ids: Tensor,
    *,
    chains: int = 16,
    steps: int = 200,
    n_leapfrog_steps: int = 5,
    seed: int = 0,
) -> Tensor:
    """Lower bound on log p(ids), `n`, nats, float64; compare with `losses.importance_bound`.

    Args:
        model: Its posterior has to be a Gaussian of z alone.
        prior: p(z), on the CPU.
        ids: `n x t`, ended by EOS, padded.
        chains: Per row.
        steps: Distributions between posterior and target, the target included.
        n_leapfrog_steps: Gradients of each move.
        seed: Seed of all random numbers.
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
        first = center + scale * torch.randn(center.shape, generator=generator).double()

        def posterior(z: Tensor, center: Tensor = center, scale: Tensor = scale) -> Tensor:
            return log_normal(z, center, 2 * scale.log()).sum(dim=1)

        def joint(z: Tensor, rows: Tensor = rows) -> Tensor:
            nats = reconstruction(model.logits(z.float().to(rows.device), rows), rows)
            return prior.log_prob(z.float()).double() - nats.double().cpu()

        # The first run only finds step lengths, one for each row and distribution: lengths that
        # depend on the chain itself would bias the estimate.
        lengths: list[Tensor] | None = None
        for _ in range(2):
            z, used = first, list[Tensor]()
            weights = torch.zeros(len(z), dtype=torch.float64)
            length = torch.full((len(part),), 0.5 / z.shape[1] ** 0.25, dtype=torch.float64)
            for step, (before, now) in enumerate(pairwise(_temperatures(steps))):
                with torch.no_grad():
                    weights += (now - before) * (joint(z) - posterior(z))
                used.append(length if lengths is None else lengths[step])

                def tempered(z: Tensor, now: float = now) -> Tensor:
                    return (1 - now) * posterior(z) + now * joint(z)

                # Without cuDNN, whose recurrent layers have gradients in training only.
                with torch.backends.cudnn.flags(enabled=False):
                    moved = hmc_sample(
                        tempered,
                        z,
                        scale=used[-1].repeat_interleave(chains)[:, None] * scale,
                        steps=1,
                        step=1.0,
                        n_leapfrog_steps=n_leapfrog_steps,
                        generator=generator,
                    )
                z, rate = moved.z, moved.acceptance.view(-1, chains).mean(dim=1)
                length = length * (GAIN * (rate - TARGET_ACCEPTANCE)).exp()
            lengths = used
        bounds.append(torch.logsumexp(weights.view(-1, chains), dim=1) - math.log(chains))
    return torch.cat(bounds)


def _temperatures(steps: int) -> list[float]:
    """Temperatures from 0 to 1, close together at both ends."""
    curve = [1 / (1 + math.exp(-4 * (2 * step / steps - 1))) for step in range(steps + 1)]
    return [(at - curve[0]) / (curve[-1] - curve[0]) for at in curve]
