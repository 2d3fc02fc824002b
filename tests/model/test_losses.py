"""`compute_loss` and its terms, on models whose log-probabilities are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from molvae.model.config import LossConfig
from molvae.model.losses import (
    ConditionTargets,
    compute_loss,
    condition_loss,
    gaussian_total_correlation,
    iwae_bound,
    kl_to_normal,
    log_known,
    log_normal,
    property_loss,
    total_correlation_terms,
)
from molvae.model.vae import EncoderOutput

ELBO = LossConfig(beta=1.0)
A, B, NOISE = 0.8, 1.3, 0.5
"""x = A y + B z + NOISE e, all standard normal: a model that can be solved."""


def log_p(x: Tensor, mean: float | Tensor, variance: float) -> Tensor:
    return log_normal(x, torch.as_tensor(mean).expand_as(x), torch.full_like(x, math.log(variance)))


def exact_posterior(
    x: Tensor, known: Tensor | None, n_samples: int, widen: float = 1.0
) -> EncoderOutput:
    """The exact posteriors of the model, or wider ones; x and known labels are `n`, NaN if not."""
    n = len(x)
    variance = A**2 + B**2 + NOISE**2
    y_mean, y_var = A * x / variance, torch.full((n,), 1 - A**2 / variance)
    y = (y_mean + widen * y_var.sqrt() * torch.randn(n_samples, n)).T.reshape(-1)
    log_q = log_normal(
        y, y_mean.repeat_interleave(n_samples), (widen**2 * y_var[0]).log().expand(n * n_samples)
    )
    if known is not None:
        seen = known.repeat_interleave(n_samples)
        y, log_q = torch.where(seen.isnan(), y, seen), torch.where(seen.isnan(), log_q, 0.0)
    mean = B * (x.repeat_interleave(n_samples) - A * y) / (B**2 + NOISE**2)
    logvar = torch.full_like(mean, math.log(widen**2 * NOISE**2 / (B**2 + NOISE**2)))
    z = mean + (0.5 * logvar).exp() * torch.randn(n * n_samples)
    y_logvar = (widen**2 * y_var).log()
    return EncoderOutput(
        torch.stack([z, y], dim=1),
        log_q + log_normal(z, mean, logvar),
        mean[:, None],
        logvar[:, None],
        y_mean[:, None],
        y_logvar[:, None],
    )


def reconstruction_losses(inference: EncoderOutput, x: Tensor) -> Tensor:
    z, y = inference.code.T
    x = x.repeat_interleave(len(z) // len(x))
    return -log_p(x, A * y + B * z, NOISE**2)


X = torch.tensor([0.3, -1.2, 2.0])
LABELS = torch.tensor([0.5, -0.4, 1.1])
NOTHING = torch.full((3,), torch.nan)
ONE = torch.eye(1)


def integrated_log_prob(x: float, y: float | None) -> float:
    """log p(x | y), or log p(x), by adding up over a grid."""
    side = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    z, ys = side[:, None], torch.tensor([y]).double()[None] if y is not None else side[None]
    there = log_p(torch.tensor(x).double().expand(1601, ys.shape[1]), A * ys + B * z, NOISE**2)
    there = there + log_p(z, 0.0, 1.0) + (log_p(ys, 0.0, 1.0) if y is None else 0.0)
    step = 0.01 if y is not None else 0.01**2
    return float(torch.logsumexp(there.flatten(), 0)) + math.log(step)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("kind", ["elbo", "iwae"])
@pytest.mark.parametrize("posterior", ["gaussian", "flow"])
def test_compute_loss_with_exact_posterior_is_the_log_probability(
    labelled: bool, kind: str, posterior: str
) -> None:
    torch.manual_seed(0)
    known = LABELS if labelled else NOTHING
    for i, x in enumerate(X.tolist()):
        exact = integrated_log_prob(x, float(LABELS[i]) if labelled else None)
        one, label = X[i : i + 1], known[i : i + 1]
        n_samples = 4 if kind == "iwae" else 1
        config = LossConfig(kind=kind, beta=1.0, n_samples=n_samples)  # type: ignore[arg-type]
        copies = one if kind == "iwae" else one.expand(40_000)
        labels = label if kind == "iwae" else label.expand(40_000)
        inference = exact_posterior(copies, labels, n_samples)
        loss = compute_loss(
            config,
            1.0,
            inference,
            reconstruction_losses(inference, copies),
            posterior=posterior,
            known=ConditionTargets(labels[:, None], ONE),
        )
        # Every draw has the same weight, so that four of them are enough; the evidence lower bound
        # with its KL in closed form is right on average.
        assert float(-loss.total) == pytest.approx(exact, abs=2e-3 if kind == "iwae" else 0.03)
        if kind == "elbo":
            both = float(loss.reconstruction + loss.kl)
            assert float(loss.total) == pytest.approx(both, abs=1e-4)


def test_compute_loss_with_wide_posterior_is_lower_and_tightens_with_samples() -> None:
    torch.manual_seed(0)
    exact = sum(integrated_log_prob(x, None) for x in X.tolist()) / 3
    bounds = []
    for n_samples in (2, 8, 64, 1024):
        config = LossConfig(kind="iwae", n_samples=n_samples)
        copies = X.repeat(max(1, 20_000 // n_samples))
        inference = exact_posterior(copies, None, n_samples, widen=2.0)
        known = ConditionTargets(torch.full((len(copies), 1), torch.nan), ONE)
        loss = compute_loss(
            config, 1.0, inference, reconstruction_losses(inference, copies), known=known
        )
        bounds.append(float(-loss.total))
    inference = exact_posterior(X.repeat(20_000), None, 1, widen=2.0)
    known = ConditionTargets(torch.full((60_000, 1), torch.nan), ONE)
    elbo = compute_loss(
        ELBO, 1.0, inference, reconstruction_losses(inference, X.repeat(20_000)), known=known
    )
    # Of y, and of z given y: each a Gaussian twice as wide as it should be.
    gap = 2 * (math.log(1 / 2) - 0.5 + 0.5 * 4)
    assert float(-elbo.total) == pytest.approx(exact - gap, abs=0.05)
    assert float(-elbo.total) < bounds[0] < bounds[1] < bounds[2]
    assert bounds[3] == pytest.approx(exact, abs=0.01)


def test_compute_loss_uses_known_conditions_for_correlated_ones() -> None:
    """x is one condition, the other is known: log p(x | known) by the rules of Gaussians."""
    covariance = torch.tensor([[1.0, 0.6], [0.6, 1.0]])
    known = torch.tensor([[torch.nan, 1.5]]).expand(50_000, 2)
    # p(x | y) = N(y_0, 0.25), so y_0 | x, y_1 is a Gaussian of precision 4 + 1 / 0.64.
    x = 0.7
    precision = 4 + 1 / 0.64
    mean = (4 * x + 0.9 / 0.64) / precision
    torch.manual_seed(0)
    drawn = mean + precision**-0.5 * torch.randn(50_000)
    logvar = -math.log(precision)
    nothing = torch.zeros(50_000, 0)
    inference = EncoderOutput(
        torch.stack([drawn, known[:, 1]], dim=1),
        log_normal(drawn, torch.tensor(mean), torch.tensor(logvar)),
        nothing,
        nothing,
        torch.tensor([[mean, 0.3]]).expand(50_000, 2),
        torch.tensor([[logvar, 0.0]]).expand(50_000, 2),
    )
    loss = compute_loss(
        ELBO,
        1.0,
        inference,
        -log_p(torch.full((50_000,), x), drawn, 0.25),
        known=ConditionTargets(known, covariance),
    )
    exact = log_p(torch.tensor(x), 0.9, 0.25 + 0.64)
    assert float(-loss.total) == pytest.approx(float(exact), abs=1e-3)


def test_log_known_leaves_unknown_conditions_out() -> None:
    covariance = torch.tensor([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 0.7]])
    y = torch.tensor([[0.4, torch.nan, -0.8], [torch.nan] * 3, [1.0, 0.2, 0.3]])
    both = covariance[[0, 2]][:, [0, 2]]
    expected = [
        torch.distributions.MultivariateNormal(torch.zeros(2), both).log_prob(y[0, [0, 2]]),
        torch.tensor(0.0),
        torch.distributions.MultivariateNormal(torch.zeros(3), covariance).log_prob(y[2]),
    ]
    torch.testing.assert_close(log_known(y, covariance), torch.stack(expected))


def gaussian_output(mean: Tensor, logvar: Tensor, n_samples: int = 1) -> EncoderOutput:
    """What a Gaussian encoder without conditions infers."""
    mean, logvar = (x.repeat_interleave(n_samples, dim=0) for x in (mean, logvar))
    z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
    nothing = mean.new_zeros(len(mean), 0)
    return EncoderOutput(z, log_normal(z, mean, logvar).sum(1), mean, logvar, nothing, nothing)


def test_compute_loss_weighs_kl_by_beta_and_free_bits() -> None:
    torch.manual_seed(0)
    mean = torch.tensor([[1.0, 0.1], [-1.0, -0.1]], requires_grad=True)
    logvar = torch.tensor([[-1.0, -0.01], [-1.0, 0.01]])
    inference, rec = gaussian_output(mean, logvar), torch.tensor([3.0, 5.0])
    units = kl_to_normal(mean, logvar).mean(dim=0)
    loss = compute_loss(ELBO, 0.3, inference, rec)
    torch.testing.assert_close(loss.total, 4 + 0.3 * units.sum())
    torch.testing.assert_close(loss.kl, units.sum())
    free = compute_loss(LossConfig(free_bits=0.05), 0.3, inference, rec)
    torch.testing.assert_close(free.total, 4 + 0.3 * (units[0] + 0.05))
    torch.testing.assert_close(free.kl, loss.kl)
    (slope,) = torch.autograd.grad(free.total, mean)
    assert bool((slope[:, 0] != 0).all())  # says more than is free
    assert bool((slope[:, 1] == 0).all())  # gains nothing by saying less


def test_compute_loss_of_a_point_posterior_has_no_kl() -> None:
    mean = torch.tensor([[1.0, 2.0]])
    inference = gaussian_output(mean, torch.full((1, 2), -torch.inf))
    loss = compute_loss(ELBO, 1.0, inference, torch.tensor([3.0]), posterior="point")
    assert (float(loss.total), float(loss.kl)) == (3.0, 0.0)


def test_iwae_bound_is_the_logarithm_of_the_mean_weight() -> None:
    weights = torch.tensor([1.0, 3.0, 0.5, 0.5])
    found = iwae_bound(weights.log(), 2).exp()
    torch.testing.assert_close(found, torch.tensor([2.0, 0.5]))


def correlated_posteriors(
    n: int, rho: float, variance: float
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Posteriors whose aggregate is a Gaussian, a draw of each, and its total correlation."""
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]])
    mean = torch.randn(n, 2) @ torch.linalg.cholesky(covariance).T
    logvar = torch.full((n, 2), math.log(variance))
    z = mean + variance**0.5 * torch.randn(n, 2)
    seen = rho / (1 + variance)
    return z, mean, logvar, -0.5 * math.log(1 - seen**2)


def test_total_correlation_terms_of_a_gaussian_equal_exact_values() -> None:
    torch.manual_seed(0)
    z, mean, logvar, expected = correlated_posteriors(2_000, 0.8, 0.2)
    parts = total_correlation_terms(z, mean, logvar, 2_000)
    assert float(parts.shared) == pytest.approx(expected, abs=0.03)
    by_draws = log_normal(z, mean, logvar).sum(1) - log_p(z, 0.0, 1.0).sum(1)
    whole = parts.mutual + parts.shared + parts.single
    assert float(whole) == pytest.approx(float(by_draws.mean()), abs=1e-4)
    assert float(whole) == pytest.approx(float(kl_to_normal(mean, logvar).sum(1).mean()), abs=0.05)
    # Entropy of the aggregate less that of a posterior.
    aggregate = torch.tensor([[1.2, 0.8], [0.8, 1.2]])
    mutual = 0.5 * float(torch.logdet(aggregate)) - math.log(0.2)
    assert float(parts.mutual) == pytest.approx(mutual, abs=0.05)


def test_total_correlation_terms_of_batches_estimate_the_whole_set() -> None:
    torch.manual_seed(0)
    z, mean, logvar, expected = correlated_posteriors(6_400, 0.8, 0.2)
    found = [
        float(total_correlation_terms(z[rows], mean[rows], logvar[rows], 6_400).shared)
        for rows in torch.split(torch.randperm(6_400), 128)
    ]
    assert sum(found) / len(found) == pytest.approx(expected, abs=0.1)


def test_compute_loss_weighs_total_correlation_relative_to_kl() -> None:
    torch.manual_seed(0)
    z, mean, logvar, _ = correlated_posteriors(200, 0.8, 0.2)
    nothing = z.new_zeros(200, 0)
    inference = EncoderOutput(z, torch.zeros(200), mean, logvar, nothing, nothing)
    rec = torch.ones(200)

    def total(weight: float) -> float:
        config = LossConfig(kind="total-correlation", total_correlation_weight=weight)
        return float(compute_loss(config, 0.5, inference, rec, molecules=1_000).total)

    assert total(1.0) == pytest.approx(float(compute_loss(ELBO, 0.5, inference, rec).total))
    shared = float(total_correlation_terms(z, mean, logvar, 1_000).shared)
    assert total(7.0) == pytest.approx(total(1.0) + 0.5 * 6 * shared, rel=1e-4)


def test_gaussian_total_correlation_of_known_covariance_is_exact() -> None:
    torch.manual_seed(0)
    z, *_, expected = correlated_posteriors(200_000, 0.9, 0.1)
    assert gaussian_total_correlation(z) == pytest.approx(expected, abs=0.01)
    assert gaussian_total_correlation(3 + 5 * z) == pytest.approx(expected, abs=0.01)
    assert gaussian_total_correlation(torch.randn(100_000, 3)) < 0.001
    with_constant = torch.cat([z, torch.ones(len(z), 1)], dim=1)
    assert gaussian_total_correlation(with_constant) == pytest.approx(expected, abs=0.01)
    assert gaussian_total_correlation(z[:, :1]) == 0
    assert math.isnan(gaussian_total_correlation(z[:2]))
    assert gaussian_total_correlation(z[:, :0]) == 0


def test_condition_loss_ignores_unknown_labels() -> None:
    y = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])
    mean = torch.tensor([[0.0, 9.0], [9.0, 9.0]], requires_grad=True)
    logvar = torch.zeros(2, 2, requires_grad=True)
    loss = condition_loss(mean, logvar, y)
    expected = 0.5 + 0.5 * math.log(2 * math.pi)  # of the one that is known
    assert loss.item() == pytest.approx(expected)
    for slope in torch.autograd.grad(loss, (mean, logvar)):
        assert bool(torch.isfinite(slope).all())
        assert slope.flatten()[1:].tolist() == [0, 0, 0]
    assert property_loss(mean, y).item() == pytest.approx(0.25)
