"""Bounds on log p(x), compared with a model whose log p(x) is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from benchmarks.shared.annealing import annealed_bound
from molvae.chem.vocabulary import EOS
from molvae.model.config import ModelConfig
from molvae.model.losses import importance_bound, log_normal
from molvae.model.priors import MixturePrior, NormalPrior, Prior
from molvae.model.vae import EncoderOutput, SequenceVAE

pytestmark = pytest.mark.slow  # a measure of benchmarks; test_importance has the bound itself
SYMBOLS = 8
X = torch.tensor([[0.3, -1.2, 2.0], [1.5, 0.4, -0.7], [-2.5, 3.0, 0.1]])
W = torch.tensor([[1.0, 0.5], [-0.6, 1.2], [0.2, -0.9]])
NOISE = 1.3


class LinearGaussian(nn.Module):
    """x = W z + noise, in the place of a network: a symbol's id says which x is meant.

    Its posterior has the right mean, but no covariance: the bound is not tight with one draw.
    """

    config, code_dim, n_conditions = ModelConfig(latent_dim=2), 2, 0

    def posterior(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        precision = torch.eye(2) + W.T @ W / NOISE**2
        mean = X[ids[:, 0] - 1] @ W @ torch.linalg.inv(precision) / NOISE**2
        return mean, torch.linalg.inv(precision).diagonal().log().expand_as(mean)

    def infer(self, ids: Tensor, *, n_samples: int, noise: Tensor) -> EncoderOutput:
        mean, logvar = self.posterior(ids)
        wide, spread = (x.repeat_interleave(n_samples, dim=0) for x in (mean, logvar))
        z = wide + noise * (0.5 * spread).exp()
        none = z.new_zeros(len(z), 0)
        return EncoderOutput(z, log_normal(z, wide, spread).sum(dim=1), wide, spread, none, none)

    def logits(self, z: Tensor, ids: Tensor) -> Tensor:
        of_x = torch.distributions.Normal(z @ W.T, NOISE).log_prob(X[ids[:, 0] - 1]).sum(1)
        # What a softmax makes log p(x | z) of, the other symbols' logits being 0.
        own = of_x - torch.log(-torch.expm1(of_x)) + math.log(SYMBOLS - 1)
        return own[:, None, None] * nn.functional.one_hot(ids, SYMBOLS)


MODEL: SequenceVAE = LinearGaussian()  # type: ignore[assignment]
IDS = torch.tensor([[1], [2], [3]])


def exact_log_prob(prior: Prior) -> Tensor:
    """log p(x): N(m, S) in z is N(W m, W S W' + noise) in x, and a mixture of these."""
    if isinstance(prior, MixturePrior):
        parts = zip(prior.logits.softmax(0), prior.means, prior.factors, strict=True)
    else:
        parts = zip(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None], strict=True)
    each = [
        weight.log()
        + torch.distributions.MultivariateNormal(
            W @ mean, W @ factor @ factor.T @ W.T + NOISE**2 * torch.eye(3)
        ).log_prob(X)
        for weight, mean, factor in parts
    ]
    return torch.logsumexp(torch.stack(each), dim=0).double()


def two_hills() -> MixturePrior:
    prior = MixturePrior(2, 2)
    prior.logits = torch.tensor([0.2, -0.3])
    prior.means = torch.tensor([[1.0, 0.5], [-0.8, -1.0]])
    prior.factors = torch.tensor([[[0.8, 0.0], [0.3, 0.6]], [[0.7, 0.0], [-0.2, 0.9]]])
    return prior


PRIORS = pytest.mark.parametrize("prior", [NormalPrior(2), two_hills()], ids=["normal", "mixture"])


def bounds_by_seed(prior: Prior, k: int, seed: int, times: int = 1) -> Tensor:
    """With k draws, with that many seeds; `3 x times`."""
    seeds = range(seed, seed + times)
    return torch.stack(
        [importance_bound(MODEL, prior, IDS, n_samples=k, seed=s) for s in seeds], dim=1
    )


@PRIORS
def test_importance_bound_with_many_samples_equals_the_exact_value(prior: Prior) -> None:
    assert (bounds_by_seed(prior, 100_000, 1)[:, 0] - exact_log_prob(prior)).abs().max() < 0.01


@PRIORS
def test_annealed_bound_with_many_chains_equals_the_exact_value(prior: Prior) -> None:
    drawn = torch.get_rng_state()
    found = annealed_bound(MODEL, prior, IDS, chains=2000, steps=30, n_leapfrog_steps=2)
    assert found.dtype == torch.float64
    assert (found - exact_log_prob(prior)).abs().max() < 0.015
    assert torch.equal(drawn, torch.get_rng_state())


def test_importance_bound_rises_with_k_from_elbo_to_exact_value() -> None:
    """In expectation: means of 3,000 draws, whose standard errors are below 0.02."""
    prior = two_hills()
    means = [bounds_by_seed(prior, k, 1, times=3_000 // k).mean(dim=1) for k in (1, 4, 20, 100)]
    for lower, higher in pairwise([*means, exact_log_prob(prior)]):
        assert (higher > lower - 0.05).all()
    assert (means[-1] - means[0] > 0.2).all()
    assert (means[-1] - exact_log_prob(prior)).abs().max() < 0.04


def test_annealed_bound_rises_with_steps_to_the_exact_value() -> None:
    """With one chain and one step it is the ELBO: means over 500."""
    prior, ids = two_hills(), IDS.repeat_interleave(500, dim=0)
    one, few, many = (
        annealed_bound(MODEL, prior, ids, chains=1, steps=steps, n_leapfrog_steps=2)
        .view(3, 500)
        .mean(dim=1)
        for steps in (1, 4, 40)
    )
    assert (many > one + 0.2).all()
    assert (many > few).all()
    assert (few > one).all()
    assert ((exact_log_prob(prior) - many).abs() < 0.1).all()


def test_bounds_agree_on_a_sequence_model_and_repeat_with_the_seed() -> None:
    torch.manual_seed(0)
    sizes = ModelConfig(latent_dim=3, embedding_dim=4, encoder_dim=5, decoder_dim=6, position_dim=2)
    model, prior = SequenceVAE(sizes, 7, 9).eval(), NormalPrior(3)
    with torch.no_grad():
        model.encoder.pooling.head.bias[3:] += 3  # untrained, p(z | x) is about as wide as p(z)
        model.decoder.initial_state.weight.mul_(4)  # and z matters all the same
    ids = torch.tensor([[3, 4, EOS, 0, 0], [5, 6, 4, 3, EOS], [6, EOS, 0, 0, 0]])
    expected = importance_bound(model, prior, ids, n_samples=50_000, seed=1)
    found = annealed_bound(model, prior, ids, chains=200, steps=30, n_leapfrog_steps=3)
    assert (found - expected).abs().max() < 0.03
    first, again, other = (
        annealed_bound(model, prior, ids, seed=seed, chains=2, steps=3) for seed in (4, 4, 5)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert annealed_bound(model, prior, ids[:0]).shape == (0,)
