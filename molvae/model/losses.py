"""The loss: negative bounds on the log-probability of molecules, in nats per molecule.

`compute_loss` applies beta, the weight of the KL term.

References:
    Kingma and Welling (2013), arXiv:1312.6114 (the evidence lower bound); Higgins et al. (2017),
    beta-VAE; Kingma et al. (2016), arXiv:1606.04934 (free bits); Burda et al. (2015),
    arXiv:1509.00519 (importance-weighted bound); Chen et al. (2018), arXiv:1802.04942 (total
    correlation); Kingma et al. (2014), arXiv:1406.5298, and Kang and Cho (2018),
    doi:10.1021/acs.jcim.8b00801 (semi-supervised).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from molvae.chem.vocabulary import PAD
from molvae.errors import require
from molvae.model.batches import trim_padding
from molvae.model.config import LossConfig
from molvae.model.priors import Prior
from molvae.model.row_random import row_noise
from molvae.model.vae import EncoderOutput, SequenceVAE, repeat_rows

LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Loss:
    """Terms of the loss, means over a batch, in nats per molecule."""

    total: Tensor  # the loss that is minimized; for the ELBO `reconstruction + beta * kl`
    reconstruction: Tensor  # -log p(x | z), summed over the tokens of a molecule, EOS included
    # KL(q(z | x) || N(0, I)), summed over dimensions; plus, for unknown conditions, KL(q(y | x) ||
    # p(y)) at one sample. Not weighted by beta.
    kl: Tensor


@dataclass(frozen=True)
class ConditionTargets:
    """Known conditions of a batch, and the covariance of all conditions."""

    y: Tensor  # `n x p`, in standard deviations from the mean; NaN where not known
    covariance: Tensor  # covariance of p(y), whose mean is 0, `p x p`


def kl_to_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, 1), unit by unit, `n x d`, nats."""
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1)


def reconstruction(logits: Tensor, ids: Tensor) -> Tensor:
    """-log p(ids) under logits `n x t x v`, summed over the tokens of each row, `n`, nats."""
    # Flat: over transposed logits it is a strided loop.
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), ids.flatten(), ignore_index=PAD, reduction="none"
    )
    return losses.view(ids.shape).sum(dim=1)


def log_normal(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Log-density of N(mean, exp(logvar)), unit by unit, nats."""
    return -0.5 * ((x - mean).square() * (-logvar).exp() + logvar + LOG_2_PI)


def log_known(y: Tensor, covariance: Tensor) -> Tensor:
    """Log-density of what is not NaN in each row, `n x p`, under N(0, covariance); `n`, nats."""
    known = ~y.isnan()
    both = known[:, :, None] & known[:, None, :]
    # What is not known becomes a standard normal of its own, at 0.
    apart = torch.where(both, covariance, torch.eye(y.shape[1], device=y.device))
    there = torch.where(known, y, 0.0)
    joint = torch.distributions.MultivariateNormal(torch.zeros_like(there), apart)
    log_density: Tensor = joint.log_prob(there)  # type: ignore[no-untyped-call]
    return log_density + 0.5 * LOG_2_PI * (~known).sum(dim=1)


def compute_loss(
    config: LossConfig,
    beta: float,
    inference: EncoderOutput,
    losses: Tensor,
    *,
    posterior: str = "gaussian",
    known: ConditionTargets | None = None,
    molecules: int | None = None,
) -> Loss:
    """The loss of a batch: reconstruction plus beta times the KL divergence, or another bound.

    With conditions y: where they are known, the bound on log p(x | y), with z from q(z | x, y);
    where they are not, y is sampled from q(y | x) and its KL divergence from p(y) is added. The
    constant -log p(y) of known conditions is left out.

    Args:
        config: Kind of bound.
        beta: Weight of the KL term, not negative.
        inference: Sampled codes, `config.n_samples` per row.
        losses: -log p(x | code) of each, `n * n_samples`, as `reconstruction` gives them.
        posterior: Kind of q(z | x), see `ModelConfig`; `point` has no KL term.
        known: Conditions, for a model that has any.
        molecules: Size of the training set; needed for the total correlation.
    """
    exact = posterior if config.kind != "iwae" else "sampled"
    of_z, of_y = _divergences(inference, exact, known)  # n*k x d, n*k
    kl = of_z.sum(dim=1) + of_y  # n*k
    rec, whole = losses.mean(), kl.mean()
    if config.kind == "iwae":
        total = -iwae_bound(-losses - beta * kl, config.n_samples).mean()
    elif config.free_bits > 0:
        # Mean over the batch first: a molecule may use one dimension more and another less.
        units = of_z.mean(dim=0).clamp(min=config.free_bits).sum()
        total = rec + beta * (units + of_y.mean())
    else:
        total = rec + beta * whole
    mean, logvar = inference.mean, inference.logvar
    # The last row of an epoch may be alone.
    if config.kind == "total-correlation" and molecules and min(len(mean), molecules) > 1:
        z = inference.code[:, : mean.shape[1]]
        shared = total_correlation_terms(z, mean, logvar, molecules).shared
        total = total + beta * (config.total_correlation_weight - 1) * shared
    return Loss(total=total, reconstruction=rec, kl=whole)


def _divergences(
    inference: EncoderOutput, posterior: str, known: ConditionTargets | None
) -> tuple[Tensor, Tensor]:
    """KL divergences of z from N(0, I), `n x d`, and of sampled conditions from p(y), `n`.

    In closed form for a Gaussian, else by the samples; then those of z are one column.
    """
    mean, logvar = inference.mean, inference.logvar
    n, d = mean.shape
    of_y, log_q = mean.new_zeros(n), inference.log_q
    if known is not None:
        n_samples = n // len(known.y)
        seen, guess, spread = (
            repeat_rows(x, n_samples) for x in (known.y, inference.y_mean, inference.y_logvar)
        )
        y = inference.code[:, d:]
        log_q_y = torch.where(seen.isnan(), log_normal(y, guess, spread), 0.0).sum(dim=1)
        covariance = known.covariance
        of_y = log_q_y - log_known(y, covariance) + log_known(seen, covariance)
        log_q = log_q - log_q_y
    if posterior == "gaussian":
        return kl_to_normal(mean, logvar), of_y
    if posterior == "point":
        return torch.zeros_like(mean), of_y
    z = inference.code[:, :d]
    prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(dim=1)
    return (log_q - prior)[:, None], of_y


def iwae_bound(log_weights: Tensor, n_samples: int) -> Tensor:
    """Logarithm of the mean weight of each row, `n`, over samples that lie next to each other.

    Log-weights are log p(x, z) - log q(z | x), `n * n_samples`.
    """
    return torch.logsumexp(log_weights.view(-1, n_samples), dim=1) - math.log(n_samples)


class Parts(NamedTuple):
    """Parts of the mean KL divergence of z from N(0, I), estimated; each a scalar, in nats."""

    mutual: Tensor  # how much z says of the molecule: of q(z | x) from the aggregated posterior
    # Total correlation: of the aggregated posterior from the product of its marginals.
    shared: Tensor
    single: Tensor  # of these marginals from N(0, 1)


def total_correlation_terms(z: Tensor, mean: Tensor, logvar: Tensor, molecules: int) -> Parts:
    """The KL divergence in three parts, whose sum is its estimate by samples z, `n x d`.

    The density of the aggregated posterior at a sample is the mean over all molecules, at least 2,
    of their Gaussian posteriors' densities there: that of the molecule itself, and the batch's mean
    for all others, so batches must be sampled uniformly. The logarithm makes the total correlation
    too high where posteriors hardly overlap; its gradient is what a training needs.
    """
    n = len(z)
    of_each = log_normal(z[:, None], mean[None], logvar[None])  # n samples x n molecules x d
    others = math.log((molecules - 1) / molecules / (n - 1))
    weights = z.new_full((n, n), others).fill_diagonal_(-math.log(molecules))  # n x n
    own = of_each.diagonal().sum(dim=0)  # n
    joint = torch.logsumexp(of_each.sum(dim=2) + weights, dim=1)  # n
    marginals = torch.logsumexp(of_each + weights[..., None], dim=1).sum(dim=1)
    prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(dim=1)
    parts = (own - joint, joint - marginals, marginals - prior)
    return Parts(*(part.mean() for part in parts))


def condition_loss(mean: Tensor, logvar: Tensor, y: Tensor) -> Tensor:
    """-log q(y | x), nats: the mean over the molecules that a condition is known of, summed.

    Not over all molecules: what few labels say would drown in the other terms. y is NaN where it is
    not known. Kingma et al. (2014), arXiv:1406.5298 (equation 9).
    """
    known = ~y.isnan()
    losses = -log_normal(torch.where(known, y, 0.0), mean, logvar)
    return (torch.where(known, losses, 0.0).sum(dim=0) / known.sum(dim=0).clamp(min=1)).sum()


def property_loss(predicted: Tensor, measured: Tensor) -> Tensor:
    """Half of the squared error, `n x p`, summed over the properties, mean over the molecules.

    With one unit of variance that is -log p(properties | z) of a Gaussian, but for a constant: nats
    per molecule, as the other terms. NaN counts nothing. Gomez-Bombarelli et al. (2018),
    doi:10.1021/acscentsci.7b00572.
    """
    known = ~torch.isnan(measured)
    error = torch.where(known, predicted.float() - measured, 0.0)
    return 0.5 * error.square().sum(dim=1).mean()


BOUND_BATCH_SIZE = 512  # rows that `importance_bound` sends through the decoder together


@torch.inference_mode()
def importance_bound(
    model: SequenceVAE, prior: Prior, ids: Tensor, *, n_samples: int, seed: int = 0
) -> Tensor:
    """Importance-weighted lower bound on log p(ids), `n`, nats, float64, on the CPU.

    log p itself for a language model. With one sample an unbiased estimate of the ELBO; grows with
    samples towards log p.

    Args:
        prior: Density of codes, on the CPU.
        ids: `n x t`; quickest when sorted by length.
        n_samples: Codes of each row, which do not depend on the other rows.

    Raises:
        ConfigError: The posterior is a point, which has no density.
    """
    require(
        model.config.posterior != "point",
        "a deterministic autoencoder has no log-probability: its posterior is a point; take a "
        "model with posterior = 'gaussian' or 'flow'",
    )
    n_samples = n_samples if model.code_dim else 1
    bounds = [torch.zeros(0, dtype=torch.float64)]
    for rows in torch.split(ids, max(1, BOUND_BATCH_SIZE // n_samples)) if len(ids) else ():
        rows = trim_padding(rows)
        weights = []
        for noise in torch.split(
            row_noise(rows, n_samples, model.code_dim, seed), BOUND_BATCH_SIZE, dim=1
        ):
            k = noise.shape[1]
            found = model.infer(rows, n_samples=k, noise=noise.flatten(0, 1))
            repeated = repeat_rows(rows, k)
            given = -reconstruction(model.logits(found.code, repeated), repeated)
            log_p = given.cpu() + prior.log_prob(found.code.cpu())
            weights.append((log_p - found.log_q.cpu()).double().view(len(rows), k))
        bounds.append(torch.logsumexp(torch.cat(weights, dim=1), dim=1) - math.log(n_samples))
    return torch.cat(bounds)


def gaussian_total_correlation(codes: Tensor) -> float:
    """Total correlation of codes `n x d`, nats, as far as a Gaussian shows it.

    Half of the negative log-determinant of the correlation matrix of the units that vary. NaN for
    no more codes than units.
    """
    codes = codes.double()
    n, d = codes.shape
    if n <= d:
        return math.nan
    codes = codes[:, codes.amax(dim=0) > codes.amin(dim=0)]
    d = codes.shape[1]
    correlation = torch.corrcoef(codes.T).reshape(d, d)
    return max(0.0, -0.5 * float(torch.linalg.slogdet(correlation)[1]))


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Latent units whose posterior mean, `n x d`, has a variance above the threshold.

    Burda et al. (2015), arXiv:1509.00519, section 5.
    """
    if means.shape[1] == 0:  # of which torch warns
        return 0
    return int((torch.var(means, dim=0, correction=0) > threshold).sum())
