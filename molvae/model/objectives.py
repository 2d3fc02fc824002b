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


@torch.inference_mode()
def importance_bound(model: SequenceVAE, prior: Prior, ids: Tensor, noise: Tensor) -> Tensor:
    """Lower bound on log p(ids), in nats, from k draws of each row's posterior.

    Args:
        model: The network.
        prior: Its p(z), on the CPU.
        ids: `n x t`, ended by stop, padded.
        noise: Of the draws, standard normal, `n x k x d`, on the CPU.

    Returns:
        `n`, float64, on the CPU. With k = 1 an unbiased draw of the ELBO; grows with k towards
        log p.

    References:
        Burda et al. (2015), arXiv:1509.00519.
    """
    n, k, d = noise.shape
    mean, logvar = (x.cpu() for x in model.posterior(ids))
    z = mean[:, None] + noise * (0.5 * logvar).exp()[:, None]
    flat = z.reshape(n * k, d)
    rows = ids.repeat_interleave(k, dim=0)
    given_z = -reconstruction(model.logits(flat.to(ids.device), rows), rows).cpu()
    posterior = -0.5 * (noise.square() + logvar[:, None] + math.log(2 * math.pi)).sum(dim=2)
    weights = given_z.view(n, k) + prior.log_prob(flat).view(n, k) - posterior
    return torch.logsumexp(weights.double(), dim=1) - math.log(k)


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Latent units whose posterior mean varies over a data set by more than the threshold.

    Args:
        means: Posterior means of many molecules, `n x d`.
        threshold: Of the variance of the mean.

    References:
        Burda et al. (2015), arXiv:1509.00519, section 5.
    """
    return int((torch.var(means, dim=0, correction=0) > threshold).sum())
