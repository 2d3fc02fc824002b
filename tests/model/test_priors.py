"""Priors: densities that are densities, draws that follow them, and the choice by likelihood."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from molvae.model.priors import Mixture, Normal, Prior, choose_prior, fit_flow, fit_mixture


def ring(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes on a circle in the plane: no Gaussian."""
    angle = 6.283 * torch.rand(n, generator=torch.Generator().manual_seed(seed))
    return 2 * torch.stack([angle.cos(), angle.sin()], dim=1), torch.full((n, 2), 0.2)


@pytest.fixture(scope="module")
def priors() -> dict[str, Prior]:
    mean, std = ring(2_000, 0)
    flow = fit_flow(mean, std, passes=30)
    return {"normal": Normal(2), "mixture": fit_mixture(mean), "flow": flow}


@pytest.mark.parametrize("kind", ["normal", "mixture", "flow"])
def test_densities_integrate_to_one_and_draws_follow_them(
    priors: dict[str, Prior], kind: str
) -> None:
    prior = priors[kind]
    side = torch.linspace(-7, 7, 281)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = prior.log_prob(grid).exp() * 0.05**2
    assert float(density.sum()) == pytest.approx(1, abs=0.02)
    z = prior.sample(20_000, torch.Generator().manual_seed(1))
    expected = float((density * grid.norm(dim=1)).sum())
    assert float(z.norm(dim=1).mean()) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("kind", ["normal", "mixture", "flow"])
def test_draws_repeat_and_leave_the_global_generator_alone(
    priors: dict[str, Prior], kind: str
) -> None:
    before = torch.get_rng_state()
    first, again = (priors[kind].sample(9, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (9, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert priors[kind].sample(0, torch.Generator()).shape == (0, 2)


def test_the_choice_is_the_likeliest_on_held_out_codes() -> None:
    prior, found = choose_prior(ring(2_000, 0), ring(500, 1), passes=30)
    assert set(found) == {"normal", "mixture", "flow"}
    assert found[prior.kind] == max(found.values())
    assert prior.kind != "normal"
    torch.manual_seed(0)
    normal = (torch.zeros(400, 2), torch.ones(400, 2))
    assert choose_prior(normal, normal, passes=0)[0].kind == "normal"


def test_few_codes_have_few_components() -> None:
    mixture = fit_mixture(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)))
    assert isinstance(mixture, Mixture)
    assert mixture.components == 2
