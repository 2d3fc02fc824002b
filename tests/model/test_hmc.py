"""`hmc_sample` on a linear-Gaussian model, whose posterior is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from molvae.model.hmc import hmc_sample

MAP = torch.tensor([[1.0, 0.5], [-0.3, 1.0], [0.8, -0.6]], dtype=torch.float64)
STD = 0.5
X = torch.tensor([1.2, -0.4, 0.9], dtype=torch.float64)
PRECISION = torch.eye(2, dtype=torch.float64) + MAP.T @ MAP / STD**2
COVARIANCE = torch.linalg.inv(PRECISION)
MEAN = COVARIANCE @ MAP.T @ X / STD**2


def log_density(z: Tensor) -> Tensor:
    """log p(x | z) + log p(z) of x = MAP z + noise and z from N(0, I), but for a constant."""
    return -0.5 * ((X - z @ MAP.T) / STD).square().sum(dim=1) - 0.5 * z.square().sum(dim=1)


@pytest.mark.parametrize(("n_leapfrog_steps", "step", "steps"), [(1, 1.5, 60), (4, 1.2, 20)])
def test_hmc_sample_chains_converge_to_the_posterior(
    n_leapfrog_steps: int, step: float, steps: int
) -> None:
    n = 8_000
    found = hmc_sample(
        log_density,
        torch.full((n, 2), 3.0, dtype=torch.float64),
        scale=COVARIANCE.diagonal().sqrt().expand(n, 2),
        steps=steps,
        step=step,
        n_leapfrog_steps=n_leapfrog_steps,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(found.z.mean(dim=0), MEAN, atol=0.02, rtol=0)
    torch.testing.assert_close(found.z.T.cov(), COVARIANCE, atol=0.01, rtol=0.05)
    torch.testing.assert_close(found.log_density, log_density(found.z))
    # Steps as long as these are not exact: without refusals the covariance would be another one.
    assert 0.3 < float(found.acceptance.mean()) < 0.95


def start(n: int) -> dict[str, Tensor]:
    return {
        "z": torch.zeros(n, 2, dtype=torch.float64),
        "scale": torch.ones(n, 2, dtype=torch.float64),
    }


def test_hmc_sample_acceptance_falls_with_the_step_size() -> None:
    rates = [
        float(
            hmc_sample(
                log_density,
                **start(200),
                steps=10,
                step=step,
                generator=torch.Generator().manual_seed(0),
            ).acceptance.mean()
        )
        for step in (0.01, 0.5, 20.0)
    ]
    assert rates[0] > 0.99
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] < 0.01


def test_hmc_sample_is_reproducible_and_0_steps_leave_z_unchanged() -> None:
    def run(seed: int, steps: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        torch.rand(3)  # the global generator plays no part
        return hmc_sample(log_density, **start(5), steps=steps, step=0.5, generator=generator).z

    assert torch.equal(run(0, 5), run(0, 5))
    assert not torch.equal(run(0, 5), run(1, 5))
    assert torch.equal(run(0, 0), torch.zeros(5, 2, dtype=torch.float64))


def test_hmc_sample_rejects_moves_to_nan_density() -> None:
    def hole(z: Tensor) -> Tensor:
        return torch.where(z[:, 0] > 0.5, torch.nan, log_density(z))

    generator = torch.Generator().manual_seed(0)
    found = hmc_sample(hole, **start(500), steps=20, step=0.8, generator=generator)
    assert bool((found.z[:, 0] <= 0.5).all())
    assert bool(torch.isfinite(found.z).all())
    assert 0 < float(found.acceptance.mean()) < 1
