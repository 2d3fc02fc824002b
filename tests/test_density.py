"""How usual points of a latent space are."""

from __future__ import annotations

import copy

import pytest
import torch

from molvae.datasets import sample_molecules
from molvae.density import Reference, log_density
from molvae.errors import ConfigError
from molvae.latent import LatentSpace
from molvae.model.priors import Normal


def test_log_density_is_the_priors_and_gradients_reach_z() -> None:
    z = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [3.0, 4.0]], dtype=torch.float64)
    z.requires_grad_()
    found = log_density(Normal(2), z)
    assert found.dtype == torch.float64
    assert found[0].item() == pytest.approx(-1.8378771)
    assert found[2].item() == pytest.approx(-1.8378771 - 12.5)
    assert found.isnan().tolist() == [False, True, False]
    found[[0, 2]].sum().backward()
    assert z.grad is not None
    assert z.grad[2].tolist() == [-3.0, -4.0]
    assert log_density(Normal(2), torch.zeros(0, 2, dtype=torch.float64)).shape == (0,)


def test_a_percentile_counts_the_known_codes_that_are_less_dense() -> None:
    asked = []

    def known() -> torch.Tensor:
        asked.append(1)
        return torch.tensor([[0.5], [1.0], [-2.0], [3.0], [torch.nan]], dtype=torch.float64)

    reference = Reference(Normal(1), known)
    z = torch.tensor([[0.0], [0.7], [-1.5], [2.5], [9.0], [torch.nan]], dtype=torch.float64)
    found = reference.percentile(z)
    assert found[:5].tolist() == [100.0, 75.0, 50.0, 25.0, 0.0]
    assert found[5].isnan()
    assert reference.percentile(z[:2]).tolist() == [100.0, 75.0]
    assert len(asked) == 1
    assert reference.percentile(torch.zeros(0, 1, dtype=torch.float64)).shape == (0,)


def test_without_known_codes_no_percentile_can_be_said() -> None:
    reference = Reference(Normal(1), lambda: torch.zeros(0, 1, dtype=torch.float64))
    assert reference.percentile(torch.zeros(2, 1, dtype=torch.float64)).isnan().all()


def test_percentiles_of_known_molecules_spread_over_the_range(space: LatentSpace) -> None:
    found = space.percentile(space.encode(sample_molecules("zinc250k", 300, seed=11)))
    assert found.shape == (300,)
    assert found.dtype == torch.float64
    assert 0 <= found.min() <= found.max() <= 100
    # What the space generates is about as usual as its data: neither end is crowded.
    assert 35 < found.median() < 75
    assert (found < 1).double().mean() < 0.1
    assert (found > 99).double().mean() < 0.1


def test_what_is_far_from_all_codes_is_below_all_of_them(space: LatentSpace) -> None:
    z = torch.cat([20 * torch.ones(1, space.dim), torch.full((1, space.dim), torch.nan)]).double()
    found = space.percentile(z)
    assert found[0] == 0
    assert found[1].isnan()
    with pytest.raises(ConfigError, match=f"n x {space.dim}"):
        space.percentile(z[:, :5])
    with pytest.raises(ConfigError, match="not finite"):
        space.log_density(z)


def test_a_tuned_copy_of_a_space_compares_with_the_same_codes(space: LatentSpace) -> None:
    fresh = LatentSpace(copy.deepcopy(space.model), space.card, prior=space.prior)
    tuned = fresh.tuned(["CCO"], seed=1)
    z = space.encode(sample_molecules("zinc250k", 20, seed=12))
    first = tuned.percentile(z)
    assert torch.equal(first, fresh.percentile(z))
    assert torch.equal(first, space.percentile(z))
