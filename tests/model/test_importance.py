"""`importance_bound` on every kind of network that has one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from molvae.chem.vocabulary import PAD
from molvae.errors import ConfigError
from molvae.model import losses as objectives
from molvae.model.losses import importance_bound, reconstruction
from molvae.model.priors import NormalPrior
from molvae.model.row_random import row_noise
from molvae.model.vae import SequenceVAE
from tests.model.kinds import KINDS, make, random_rows

ROWS = random_rows([3, 6, 1], 6)


def wide_model(kind: str, conditions: int = 0) -> SequenceVAE:
    """A network with posteriors a bit wider than the prior: draws reach all of that."""
    model, d = make(kind, conditions=conditions), KINDS[kind].latent_dim
    assert model.encoder is not None
    summary = model.encoder.pooling
    with torch.no_grad():
        for parameter in summary.parameters():
            parameter.mul_(0.3)
        summary.head.bias[d : 2 * d] += 3.5
    return model


@torch.no_grad()
def plain_monte_carlo(model: SequenceVAE, row: Tensor, n: int = 20_000) -> float:
    """log p(row) by plain Monte Carlo over the prior N(0, I)."""
    code = torch.randn(n, model.code_dim, generator=torch.Generator().manual_seed(1))
    rows = row[row != 0].expand(n, -1)
    likelihood = -reconstruction(model.logits(code, rows), rows)
    return float(torch.logsumexp(likelihood.double(), 0)) - math.log(n)


@pytest.mark.parametrize(
    ("kind", "conditions"), [("recurrent", 0), ("flow", 0), ("recurrent", 2), ("transformer", 1)]
)
def test_importance_bound_equals_plain_monte_carlo(kind: str, conditions: int) -> None:
    model = wide_model(kind, conditions)
    prior = NormalPrior(model.code_dim)
    bound = importance_bound(model, prior, ROWS, n_samples=4_000)
    for row, found in zip(ROWS, bound, strict=True):
        assert float(found) == pytest.approx(plain_monte_carlo(model, row), abs=0.05)
    elbo = torch.stack(
        [importance_bound(model, prior, ROWS, n_samples=1, seed=seed) for seed in range(200)]
    ).mean(dim=0)
    assert bool((bound > elbo).all())


def test_importance_bound_of_language_model_is_exact_with_one_sample() -> None:
    for kind in ("language", "transformer language"):
        model = make(kind)
        with torch.no_grad():
            exact = -reconstruction(model.logits(torch.zeros(3, 0), ROWS), ROWS)
        for n_samples in (1, 50):
            found = importance_bound(model, NormalPrior(0), ROWS, n_samples=n_samples)
            torch.testing.assert_close(found, exact.double())


def test_importance_bound_of_a_row_depends_on_row_and_seed_alone() -> None:
    model, prior = make("recurrent"), NormalPrior(4)
    state = torch.get_rng_state()
    together = importance_bound(model, prior, ROWS, n_samples=3)
    assert torch.equal(state, torch.get_rng_state())
    padded = functional.pad(ROWS, (0, 5), value=PAD)
    for i, row in enumerate(padded):
        alone = importance_bound(model, prior, row[None], n_samples=3)
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-6, atol=1e-6)
    backwards = importance_bound(model, prior, ROWS.flip(0), n_samples=3).flip(0)
    torch.testing.assert_close(backwards, together, rtol=1e-6, atol=1e-6)
    assert torch.equal(together, importance_bound(model, prior, ROWS, n_samples=3))
    other = importance_bound(model, prior, ROWS, n_samples=3, seed=1)
    assert bool(((other - together).abs() > 1e-3).all())


def test_row_noise_differs_between_rows_and_is_standard_normal() -> None:
    rows = torch.arange(3, 4003)[:, None]
    noise = row_noise(rows, 2, 5, seed=0)
    assert noise.shape == (4000, 2, 5)
    assert noise.dtype == torch.float32
    flat = noise.flatten(1)
    assert float(flat.mean()) == pytest.approx(0, abs=0.02)
    assert float(flat.std()) == pytest.approx(1, abs=0.02)
    assert len(flat[:, 0].unique()) == 4000
    off_diagonal = torch.corrcoef(flat.T) - torch.eye(10)
    assert float(off_diagonal.abs().max()) < 0.06


def test_importance_bound_of_no_rows_is_empty() -> None:
    model, prior = make("recurrent"), NormalPrior(4)
    assert importance_bound(model, prior, ROWS[:0], n_samples=3).shape == (0,)


def test_importance_bound_decodes_at_most_the_allowed_rows_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, seen = make("recurrent"), []
    logits = model.logits

    def spy(code: Tensor, ids: Tensor) -> Tensor:
        seen.append(len(ids))
        return logits(code, ids)

    monkeypatch.setattr(model, "logits", spy)
    monkeypatch.setattr(objectives, "BOUND_BATCH_SIZE", 8)
    many = importance_bound(model, NormalPrior(4), ROWS, n_samples=20)
    assert seen == [8, 8, 4] * 3
    seen.clear()
    few = importance_bound(model, NormalPrior(4), ROWS, n_samples=3)
    assert seen == [6, 3]
    assert bool(torch.isfinite(torch.cat([many, few])).all())


def test_importance_bound_of_a_point_posterior_raises() -> None:
    with pytest.raises(ConfigError, match="posterior is a point"):
        importance_bound(make("point"), NormalPrior(4), ROWS, n_samples=1)
