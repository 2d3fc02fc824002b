"""`multi_fidelity_gp` and `FidelityChoice`: the process over fidelities, and the choice of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from molvae.bo.fidelity_choice import FidelityChoice
from molvae.bo.fidelity_gp import FidelityGP, _learned, at_fidelity, multi_fidelity_gp
from molvae.bo.kernels import Columns, GramMatrices

N = 40
BOUNDS = torch.tensor([[-3.0, -3.0], [3.0, 3.0]], dtype=torch.float64)


def hill(z: Tensor) -> Tensor:
    return torch.sin(z[:, 0]) + torch.cos(z[:, 1])


@pytest.fixture(scope="module")
def z() -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(-3, 3, (N, 2)))


def fitted(z: Tensor, low: Tensor, n_high: int = 8, pending: int = 0) -> FidelityGP:
    """All molecules at the lower fidelity, the first ones at the objective, the next pending."""
    rows = [*range(N), *range(n_high), *range(n_high, n_high + pending)]
    numbers = torch.tensor([1] * N + [0] * (n_high + pending))
    y = torch.cat([low, hill(z)[:n_high]])
    gram = GramMatrices(Columns(BOUNDS, 0, z[rows]))
    return multi_fidelity_gp(y, numbers, gram, kernel="latent", n_fidelities=2)


def correlation(model: FidelityGP) -> float:
    b = model.kernel.covariances
    return float(b[0, 1] / (b[0, 0] * b[1, 1]).sqrt())


def test_multi_fidelity_gp_learns_from_an_informative_fidelity(z: Tensor) -> None:
    good = fitted(z, 2 * hill(z) + 5)
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal(N))
    bad = fitted(z, noise)
    assert correlation(good) > 0.8 > correlation(bad)
    errors = [float((m.posterior(z[8:]).mean[:, 0] - hill(z)[8:]).std()) for m in (good, bad)]
    assert errors[0] < errors[1] / 3


def test_fidelity_gp_moments_equal_the_posterior(z: Tensor) -> None:
    model = fitted(z, hill(z))
    mean, std = model.moments(z[8:])
    posterior = model.posterior(z[8:])
    torch.testing.assert_close(mean, posterior.mean[:, 0])
    torch.testing.assert_close(std, posterior.variance[:, 0].sqrt(), rtol=1e-4, atol=1e-5)
    same = model.posterior(at_fidelity(z[8:], 0))
    torch.testing.assert_close(same.mean, posterior.mean)


def test_fidelity_gp_pending_evaluations_keep_means_and_shrink_variance(z: Tensor) -> None:
    without, with_ = fitted(z, hill(z)), fitted(z, hill(z), pending=3)
    rows = z[8:11]
    torch.testing.assert_close(with_.posterior(rows).mean, without.posterior(rows).mean)
    assert (with_.posterior(rows).variance < without.posterior(rows).variance).all()


def test_multi_fidelity_gp_mean_accounts_for_selected_molecules(z: Tensor) -> None:
    """The best by the lower fidelity alone: others are predicted to be worse than these."""
    best = hill(z).argsort(descending=True)
    rows = [*range(N), *best[:8].tolist()]
    y = torch.cat([hill(z), hill(z)[best[:8]]])
    gram = GramMatrices(Columns(BOUNDS, 0, z[rows]))
    numbers = torch.tensor([1] * N + [0] * 8)
    model = multi_fidelity_gp(y, numbers, gram, kernel="latent", n_fidelities=2)
    assert float(model.mean) < float(hill(z)[best[:8]].mean()) - 0.5


def choice(model: FidelityGP, x: Tensor, cost: float, allowed: Tensor | None = None) -> Tensor:
    everything = torch.ones(2, len(x), dtype=torch.bool)
    allowed = everything if allowed is None else allowed
    found = FidelityChoice(model, x, 1.0, [cost, 1.0], allowed, seed=0)
    return torch.stack([found.information(i) for i in range(len(x))], dim=1)


def test_fidelity_choice_prefers_cheap_fidelities_and_new_molecules(z: Tensor) -> None:
    rng = np.random.default_rng(2)
    model, new = fitted(z, hill(z)), torch.from_numpy(rng.uniform(-3, 3, (10, 2)))
    dear, even = choice(model, new, 100.0), choice(model, new, 1.0)
    assert (dear[1] > dear[0]).all()
    assert (even[0] >= even[1]).all()
    torch.testing.assert_close(even[0] / 100, dear[0])
    # What is known at the lower fidelity says less there again.
    shares = [float((of[1] / of[0]).median()) for of in (choice(model, z[8:], 1.0), even)]
    assert shares[0] < 0.8 * shares[1]


def test_fidelity_choice_counts_chosen_evaluations_as_made(z: Tensor) -> None:
    model = fitted(z, hill(z))
    twice = torch.cat([z[20:21], z[20:21], z[30:31]])
    found = FidelityChoice(model, twice, 1.0, [1.0, 0.9], torch.ones(2, 3) > 0, seed=0)
    before = found.std.clone()
    assert found.choose(0) == 0
    assert float(found.std[1]) < 0.8 * float(before[1])
    assert not found.allowed[:, 0].any()
    assert bool((found.information(0) == -torch.inf).all())


def test_multi_fidelity_covariances_of_three_are_positive_definite(z: Tensor) -> None:
    numbers = torch.tensor([0] * 10 + [1] * 15 + [2] * 15)
    kernel = torch.exp(-(torch.cdist(z, z) ** 2))
    covariances, shares = _learned(kernel, hill(z), numbers, 3)
    assert float(torch.linalg.eigvalsh(covariances)[0]) > 0
    assert bool((shares > 0).all())
    assert float(covariances[0, 0]) == 1.0
