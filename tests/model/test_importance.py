"""The importance-weighted bound, on every kind of network that has one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from molvae.errors import ConfigError
from molvae.model import objectives
from molvae.model.objectives import importance_bound, reconstruction
from molvae.model.priors import Normal
from molvae.model.vae import SequenceVAE
from tests.model.kinds import KINDS, make, random_rows

ROWS = random_rows([3, 6, 1], 6)


def wide(kind: str, conditions: int = 0) -> SequenceVAE:
    """A network with posteriors a bit wider than the prior: draws reach all of that."""
    model, d = make(kind, conditions=conditions), KINDS[kind].latent_dim
    assert model.encoder is not None
    summary = model.encoder.summary
    with torch.no_grad():
        for parameter in summary.parameters():
            parameter.mul_(0.3)
        summary.head.bias[d : 2 * d] += 3.5
    return model


@torch.no_grad()
def plain(model: SequenceVAE, row: Tensor, n: int = 20_000) -> float:
    """log p(row) by plain Monte Carlo over the prior N(0, I)."""
    code = torch.randn(n, model.code_dim, generator=torch.Generator().manual_seed(1))
    rows = row[row != 0].expand(n, -1)
    likelihood = -reconstruction(model.logits(code, rows), rows)
    return float(torch.logsumexp(likelihood.double(), 0)) - math.log(n)


@pytest.mark.parametrize(
    ("kind", "conditions"), [("recurrent", 0), ("flow", 0), ("recurrent", 2), ("transformer", 1)]
)
def test_it_is_what_plain_monte_carlo_finds(kind: str, conditions: int) -> None:
    model = wide(kind, conditions)
    prior = Normal(model.code_dim)
    bound = importance_bound(model, prior, ROWS, draws=4_000)
    for row, found in zip(ROWS, bound, strict=True):
        assert float(found) == pytest.approx(plain(model, row), abs=0.05)
    elbo = torch.stack(
        [importance_bound(model, prior, ROWS, draws=1, seed=seed) for seed in range(200)]
    ).mean(dim=0)
    assert bool((bound > elbo).all())


def test_of_a_language_model_it_is_exact_with_one_draw() -> None:
    for kind in ("language", "transformer language"):
        model = make(kind)
        with torch.no_grad():
            exact = -reconstruction(model.logits(torch.zeros(3, 0), ROWS), ROWS)
        for draws in (1, 50):
            found = importance_bound(model, Normal(0), ROWS, draws=draws)
            torch.testing.assert_close(found, exact.double())


def test_draws_are_independent_and_the_seeds_alone() -> None:
    model, prior = make("recurrent"), Normal(4)
    same = ROWS[:1].expand(4, -1)
    torch.manual_seed(5)
    first = importance_bound(model, prior, same, draws=3)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)  # the global generator is left alone
    assert len(first.unique()) == 4
    assert torch.equal(first, importance_bound(model, prior, same, draws=3))
    assert not torch.equal(first, importance_bound(model, prior, same, draws=3, seed=1))
    assert importance_bound(model, prior, ROWS[:0], draws=3).shape == (0,)


def test_no_more_rows_go_through_the_decoder_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = make("recurrent"), []
    logits = model.logits

    def spy(code: Tensor, ids: Tensor) -> Tensor:
        seen.append(len(ids))
        return logits(code, ids)

    monkeypatch.setattr(model, "logits", spy)
    monkeypatch.setattr(objectives, "AT_ONCE", 8)
    many = importance_bound(model, Normal(4), ROWS, draws=20)
    assert seen == [8, 8, 4] * 3
    seen.clear()
    few = importance_bound(model, Normal(4), ROWS, draws=3)
    assert seen == [6, 3]
    assert bool(torch.isfinite(torch.cat([many, few])).all())


def test_a_point_has_no_density() -> None:
    with pytest.raises(ConfigError, match="posterior is a point"):
        importance_bound(make("point"), Normal(4), ROWS, draws=1)
