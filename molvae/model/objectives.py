"""What is minimised: the negative evidence lower bound, in nats per molecule.

References:
    Kingma and Welling (2013), arXiv:1312.6114; Higgins et al. (2017), beta-VAE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from molvae.chem.vocabulary import PAD
from molvae.config import require
from molvae.model.priors import Prior
from molvae.model.vae import SequenceVAE


@dataclass(frozen=True)
class Loss:
    """The terms of the objective, each the mean over a batch, in nats per molecule."""

    total: Tensor
    """`reconstruction + beta * kl`; what is minimised."""
    reconstruction: Tensor
    """-log p(x | z), summed over the symbols of a molecule, stop included."""
    kl: Tensor
    """KL(q(z | x) || N(0, I)), summed over the latent units."""


def kl_to_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, 1), unit by unit, in nats.

    Args:
        mean: `n x d`.
        logvar: Natural logarithm of the variance, `n x d`.

    Returns:
        `n x d`, not negative.
    """
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1)


def reconstruction(logits: Tensor, ids: Tensor) -> Tensor:
    """-log p(ids) under the logits, summed over the symbols of each row; padding counts nothing.

    Args:
        logits: `n x length x symbols`.
        ids: `n x length`.

    Returns:
        Nats, `n`.
    """
    losses = functional.cross_entropy(
        logits.float().transpose(1, 2), ids, ignore_index=PAD, reduction="none"
    )
    return losses.sum(dim=1)


def elbo_loss(logits: Tensor, ids: Tensor, mean: Tensor, logvar: Tensor, beta: float) -> Loss:
    """The beta-weighted negative ELBO; `beta = 1` is the ELBO itself.

    Args:
        logits: Of the decoder at z drawn from the posterior, `n x length x symbols`.
        ids: What was encoded, `n x length`, padded.
        mean: Of the posterior, `n x d`.
        logvar: Of the posterior, `n x d`.
        beta: Weight of the KL term, not negative.
    """
    rec = reconstruction(logits, ids).mean()
    kl = kl_to_normal(mean, logvar).sum(dim=1).mean()
    return Loss(total=rec + beta * kl, reconstruction=rec, kl=kl)


def property_loss(predicted: Tensor, measured: Tensor) -> Tensor:
    """Half of the squared error, summed over the properties, mean over the molecules.

    With one unit of variance that is -log p(properties | z) of a Gaussian, but for a constant: nats
    per molecule, as the other terms.

    Args:
        predicted: `n x p`.
        measured: `n x p`; NaN where it is not known, which counts nothing.

    References:
        Gomez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572 (trained along with a VAE).
    """
    known = ~torch.isnan(measured)
    error = torch.where(known, predicted.float() - measured, 0.0)
    return 0.5 * error.square().sum(dim=1).mean()


AT_ONCE = 512
"""Rows that `importance_bound` sends through the decoder together."""


@torch.inference_mode()
def importance_bound(
    model: SequenceVAE, prior: Prior, ids: Tensor, *, draws: int, seed: int = 0
) -> Tensor:
    """Lower bound on log p(ids), in nats, from draws of each row's posterior over codes.

    Of a language model, which has nothing to draw, log p itself.

    Args:
        model: The network.
        prior: Its density of codes, on the CPU.
        ids: `n x t`, ended by stop, padded; quickest when sorted by length.
        draws: Of codes, for each row.
        seed: Of the draws; torch's global generators are left as they were.

    Returns:
        `n`, float64, on the CPU. With one draw an unbiased draw of the ELBO; grows with draws
        towards log p.

    Raises:
        ConfigError: The posterior is a point, of which there is no density.

    References:
        Burda et al. (2015), arXiv:1509.00519.
    """
    require(
        model.config.posterior != "point",
        "a deterministic autoencoder has no log-probability: its posterior is a point; take a "
        "model with posterior = 'gaussian' or 'flow'",
    )
    draws = draws if model.code_dim else 1
    blocks = [min(AT_ONCE, draws - done) for done in range(0, draws, AT_ONCE)]
    bounds = [torch.zeros(0, dtype=torch.float64)]
    with torch.random.fork_rng(devices=[ids.device] if ids.is_cuda else []):
        torch.manual_seed(seed)
        for rows in torch.split(ids, max(1, AT_ONCE // draws)) if len(ids) else ():
            rows = rows[:, : int((rows != PAD).sum(dim=1).max())]
            weights = []
            for k in blocks:
                found, repeated = model.infer(rows, draws=k), rows.repeat_interleave(k, dim=0)
                given = -reconstruction(model.logits(found.code, repeated), repeated)
                log_p = given.cpu() + prior.log_prob(found.code.cpu())
                weights.append((log_p - found.log_q.cpu()).double().view(len(rows), k))
            bounds.append(torch.logsumexp(torch.cat(weights, dim=1), dim=1) - math.log(draws))
    return torch.cat(bounds)


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Latent units whose posterior mean varies over a data set by more than the threshold.

    Args:
        means: Posterior means of many molecules, `n x d`.
        threshold: Of the variance of the mean.

    References:
        Burda et al. (2015), arXiv:1509.00519, section 5.
    """
    return int((torch.var(means, dim=0, correction=0) > threshold).sum())
