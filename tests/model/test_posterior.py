"""`Posterior`: densities compared with numerical integration, and the effect of conditions."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from molvae.model.posterior import Posterior, reparameterize
from tests.model.kinds import PLAIN


def make(kind: str, latent_dim: int, conditions: int = 0) -> tuple[Posterior, Tensor]:
    """A posterior of random weights, and the summary of one row."""
    torch.manual_seed(0)
    config = dataclasses.replace(PLAIN, latent_dim=latent_dim, posterior=kind)
    q = Posterior(config, conditions)
    with torch.no_grad():
        for parameter in q.parameters():
            parameter.copy_(0.2 * torch.randn_like(parameter))
    summary = torch.randn(1, q.width)
    return q, summary


def test_posterior_flow_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    q = Posterior(dataclasses.replace(PLAIN, posterior="flow"), 0)
    z = torch.randn(5, PLAIN.latent_dim)
    pushed, stretch = q.apply_flow(torch.randn(5, q.width), z)
    torch.testing.assert_close(pushed, z)
    assert not bool(stretch.any())


def test_posterior_flow_log_determinant_equals_the_jacobian() -> None:
    q, summary = make("flow", 4)
    for z in torch.randn(5, 4):
        slopes = torch.autograd.functional.jacobian(
            lambda x: q.apply_flow(summary, x[None])[0][0], z
        )
        stretch = q.apply_flow(summary, z[None])[1].detach()
        assert float(stretch) == pytest.approx(float(torch.linalg.slogdet(slopes)[1]), abs=1e-4)
        off = (slopes - slopes.diag().diag()).abs()
        assert float(off.max()) > 0.01  # units depend on each other


def log_density(q: Posterior, summary: Tensor, z: Tensor) -> Tensor:
    """log q at any points, by the flow backwards; `n`."""
    base, rows = z, summary.expand(len(z), -1)
    if q.kind == "flow":
        context = torch.split(rows, q.widths, dim=1)[2]
        for layer in reversed(q.flow):
            base = layer(context).inv(base)
    mean, logvar = q.gaussian(summary, summary[:, :0])
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    _, stretch = q.apply_flow(rows, base)
    return normal.log_prob(base).sum(dim=1) - stretch


@torch.no_grad()
@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_posterior_samples_and_density_agree_with_integration(kind: str) -> None:
    q, summary = make(kind, 2)
    many = summary.expand(100_000, -1)
    z, log_q = q.sample(many, *q.gaussian(many, many[:, :0]), torch.randn(100_000, 2))
    torch.testing.assert_close(log_q, log_density(q, summary, z), atol=1e-3, rtol=0)
    axes = [torch.linspace(float(x.min()) - 0.5, float(x.max()) + 0.5, 300) for x in z.T]
    grid = torch.cartesian_prod(*axes)
    weights = log_density(q, summary, grid).exp() * math.prod(float(x[1] - x[0]) for x in axes)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-3)
    mean = weights @ grid
    covariance = torch.einsum("n,ni,nj->ij", weights, grid - mean, grid - mean)
    torch.testing.assert_close(z.mean(dim=0), mean, atol=0.01, rtol=0)
    torch.testing.assert_close(z.T.cov(), covariance, atol=0.01, rtol=0.02)


def test_posterior_gaussian_is_linear_in_conditions() -> None:
    q, summary = make("gaussian", 3, conditions=2)
    steps = torch.tensor([[0.0, 0.0], [1.0, -0.5], [2.0, -1.0]])
    for found in q.gaussian(summary, steps):
        torch.testing.assert_close(found[2] - found[1], found[1] - found[0])
        assert not torch.allclose(found[1], found[0])


def test_reparameterize_log_density_equals_the_normal_distribution() -> None:
    mean, logvar = torch.randn(50, 3), torch.randn(50, 3)
    noise = torch.randn(50, 3)
    z, log_density = reparameterize(mean, logvar, noise)
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    torch.testing.assert_close(log_density, normal.log_prob(z), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close((z - mean) / (0.5 * logvar).exp(), noise)
