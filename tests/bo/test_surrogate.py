"""`fit_gp`: the Gaussian process over z."""

from __future__ import annotations

import pytest
import torch

from molvae.bo.surrogate import fit_gp, reproducible
from tests.contracts import toy_observations


def test_fit_gp_predicts_held_out_values() -> None:
    observations, held_out = toy_observations(n=30, seed=0), toy_observations(n=30, seed=1)
    model = fit_gp(observations.z, observations.y)
    with torch.no_grad():
        predicted = model.posterior(held_out.z).mean
    residual = (predicted - held_out.y).square().mean()
    assert float(residual) < 0.2 * float(held_out.y.var())


def test_fit_gp_of_several_objectives_has_one_column_each() -> None:
    observations = toy_observations(n=10)
    y = torch.cat([observations.y, -3 * observations.y], dim=1)
    with torch.no_grad():
        posterior = fit_gp(observations.z, y).posterior(observations.z[:4])
    assert posterior.mean.shape == (4, 2)


@pytest.mark.parametrize(("scale", "shift"), [(1e3, 7.0), (1e-12, 0.0), (1e90, 0.0)])
def test_fit_gp_is_independent_of_scale_and_offset(scale: float, shift: float) -> None:
    observations = toy_observations(n=10)
    with torch.no_grad():
        plain = fit_gp(observations.z, observations.y).posterior(observations.bounds).mean
        scaled = fit_gp(observations.z, scale * observations.y + shift)
        mean = (scaled.posterior(observations.bounds).mean - shift) / scale
    assert torch.allclose(mean, plain, rtol=1e-3, atol=1e-2)


def test_reproducible_restores_threads_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with reproducible():
            assert torch.get_num_threads() == 1
            raise RuntimeError
    except RuntimeError:
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_fit_gp_does_not_follow_a_noisy_value() -> None:
    z = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
    y = z.clone()
    y[5] += 3.0
    noise = torch.full_like(y, 1e-4)
    noise[5] = 9.0
    with torch.no_grad():
        rough = float(fit_gp(z, y, noise).posterior(z[[5]]).mean)
    assert rough == pytest.approx(float(z[5]), abs=0.3)
    noise[:] = torch.nan  # of no value: learned, as if it had not been given
    noise[0] = 1e-4
    fit_gp(z, y, noise)
