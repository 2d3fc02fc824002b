"""`SequenceVAE`: padding, conditions, and the loss compared with slow references."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.chem.vocabulary import BOS, PAD
from molvae.errors import ConfigError, UnknownNameError
from molvae.model.config import LossConfig, ModelConfig
from molvae.model.corruption import add_noise
from molvae.model.decoding import decode
from molvae.model.losses import active_units, compute_loss, kl_to_normal, reconstruction
from molvae.model.posterior import reparameterize
from molvae.model.vae import EncoderOutput, SequenceVAE
from tests.model.kinds import MAX_LENGTH, N_SYMBOLS, PLAIN, random_rows

SMALL = ModelConfig(latent_dim=4, embedding_dim=5, encoder_dim=6, decoder_dim=7, position_dim=3)


@pytest.fixture(scope="module")
def model() -> SequenceVAE:
    torch.manual_seed(0)
    return SequenceVAE(SMALL, N_SYMBOLS, MAX_LENGTH).eval()


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    extra=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_vae_posterior_and_loss_ignore_padding(
    model: SequenceVAE, lengths: list[int], extra: int, seed: int
) -> None:
    width = max(lengths)
    short = random_rows(lengths, width, seed)
    long = torch.nn.functional.pad(short, (0, extra), value=PAD)
    z = torch.randn(len(lengths), 4)
    with torch.no_grad():
        for a, b in zip(model.posterior(short), model.posterior(long), strict=True):
            torch.testing.assert_close(a, b)
        torch.testing.assert_close(
            reconstruction(model.logits(z, short), short),
            reconstruction(model.logits(z, long), long),
        )


def test_vae_posterior_depends_on_every_token(model: SequenceVAE) -> None:
    row = random_rows([8], 8)
    with torch.no_grad():
        mean, _ = model.posterior(row)
        for place in range(7):
            other = row.clone()
            other[0, place] = 3 + (other[0, place] - 2) % (N_SYMBOLS - 3)
            assert not torch.allclose(model.posterior(other)[0], mean)


@pytest.fixture(scope="module")
def conditional() -> SequenceVAE:
    torch.manual_seed(0)
    return SequenceVAE(SMALL, N_SYMBOLS, MAX_LENGTH, n_properties=1, n_conditions=2).eval()


def test_encode_and_infer_of_conditional_vae_join_z_and_conditions(
    conditional: SequenceVAE,
) -> None:
    rows = random_rows([2, 5, 8], 8)
    assert conditional.code_dim == 6
    with torch.no_grad():
        code, (guess, _) = conditional.encode(rows), conditional.conditions(rows)
        torch.testing.assert_close(code, torch.cat([conditional.posterior(rows)[0], guess], dim=1))
        y = torch.tensor([[0.5, torch.nan], [torch.nan, torch.nan], [1.0, 2.0]])
        found = conditional.infer(rows, y, n_samples=3)
    assert found.code.shape == (9, 6)
    assert bool((found.code[:3, 4] == 0.5).all())
    assert len(found.code[:3, 5].unique()) == 3
    assert torch.equal(found.code[6:, 4:], y[2:].expand(3, 2))
    # Of known conditions, log_q holds nothing; of drawn ones, their density.
    for i in range(9):
        d, row = torch.distributions.Normal, i // 3
        log_q = d(found.mean[i], (0.5 * found.logvar[i]).exp()).log_prob(found.code[i, :4]).sum()
        of_y = d(found.y_mean[row], (0.5 * found.y_logvar[row]).exp()).log_prob(found.code[i, 4:])
        assert float(found.log_q[i]) == pytest.approx(
            float(log_q + of_y[y[row].isnan()].sum()), rel=1e-4
        )
    with torch.no_grad():
        for given, mean in zip(found.code[:, 4:], found.mean, strict=True):
            i = int((found.mean == mean).all(dim=1).nonzero()[0]) // 3
            again, _ = conditional.posterior(rows[i : i + 1], given[None])
            torch.testing.assert_close(again[0], mean)
    assert not torch.equal(found.mean[0], found.mean[1])  # other conditions, another q(z | x, y)


def test_infer_without_conditions_samples_z_by_the_given_noise(
    model: SequenceVAE,
) -> None:
    rows = random_rows([2, 5, 8], 8)
    with torch.no_grad():
        mean, logvar = model.posterior(rows)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        found = model.infer(rows, noise=noise)
        again = model.infer(rows, noise=torch.Generator().manual_seed(3))
    assert torch.equal(found.code, reparameterize(mean, logvar, noise)[0])
    assert torch.equal(found.code, again.code)
    assert found.y_mean.shape == (3, 0)
    assert torch.equal(model.encode(rows), model.posterior(rows)[0])


def test_infer_has_encoder_gradients_from_samples_and_their_density(
    conditional: SequenceVAE,
) -> None:
    rows = random_rows([2, 5, 8], 8)
    unknown = torch.tensor([[0.5, torch.nan]] * 3)
    for which in ("code", "log_q"):
        for parameter in conditional.parameters():
            parameter.grad = None
        getattr(conditional.infer(rows, unknown), which).square().sum().backward()
        for name in (
            "encoder.forwards.weight_ih_l0",
            "q.condition_head.weight",
            "q.given_conditions.weight",
        ):
            gradient = conditional.get_parameter(name).grad
            assert gradient is not None
            assert bool(torch.isfinite(gradient).all())
            assert bool(gradient.any())


def test_add_noise_leaves_conditions_unchanged() -> None:
    code = torch.randn(2, 6)
    blurred = add_noise(code, torch.ones(2), 4)
    assert torch.equal(blurred[:, 4:], code[:, 4:])
    assert not bool((blurred[:, :4] == code[:, :4]).any())


def test_add_noise_keeps_variance_and_lowers_correlation_with_z() -> None:
    torch.manual_seed(0)
    z = torch.randn(100_000, 1)
    for level in (0.0, 0.5, 1.0):
        blurred = add_noise(z, torch.full((100_000,), level))
        assert blurred.std().item() == pytest.approx(1, abs=0.02)
        correlation = float((blurred * z).mean())
        assert correlation == pytest.approx(math.sqrt(1 - level**2), abs=0.02)


def test_logits_do_not_depend_on_later_tokens(model: SequenceVAE) -> None:
    rows, z = random_rows([8], 8), torch.randn(1, 4)
    other = rows.clone()
    other[0, 5] = 3 + (other[0, 5] - 2) % (N_SYMBOLS - 3)
    with torch.no_grad():
        before, after = model.logits(z, rows), model.logits(z, other)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6], after[:, 6])


def test_compute_loss_equals_a_slow_reference(model: SequenceVAE) -> None:
    rows = random_rows([3, 6, 1], 6)
    with torch.no_grad():
        mean, logvar = model.posterior(rows)
        z = mean + 0.3
        nothing = torch.zeros(3, 0)
        inference = EncoderOutput(z, torch.zeros(3), mean, logvar, nothing, nothing)
        losses = reconstruction(model.logits(z, rows), rows)
        loss = compute_loss(LossConfig(), 0.7, inference, losses)
        rec = kl = 0.0
        for i in range(3):
            state = model.start(z[i : i + 1])
            symbol = torch.tensor([BOS])
            for t, target in enumerate(rows[i].tolist()):
                if target == PAD:
                    break
                logits, state = model.step(symbol, state, t)
                scores = [math.exp(x) for x in logits[0].tolist()]
                rec -= math.log(scores[target] / sum(scores)) / 3
                symbol = torch.tensor([target])
            for m, v in zip(mean[i].tolist(), logvar[i].exp().tolist(), strict=True):
                kl += 0.5 * (m * m + v - math.log(v) - 1) / 3
    assert float(loss.reconstruction) == pytest.approx(rec, rel=1e-4)
    assert float(loss.kl) == pytest.approx(kl, rel=1e-4)
    assert float(loss.total) == pytest.approx(rec + 0.7 * kl, rel=1e-4)


def test_kl_to_normal_agrees_with_monte_carlo() -> None:
    torch.manual_seed(0)
    mean, logvar = torch.tensor([0.0, 1.5, -0.4]), torch.tensor([0.0, -1.0, 0.8])
    q = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    z = q.sample((400_000,))
    p = torch.distributions.Normal(0.0, 1.0)
    estimate = (q.log_prob(z) - p.log_prob(z)).mean(dim=0)
    torch.testing.assert_close(kl_to_normal(mean, logvar), estimate, atol=0.01, rtol=0)
    assert kl_to_normal(mean, logvar)[0] == 0


def test_reparameterize_has_moments_and_gradients_of_the_posterior() -> None:
    torch.manual_seed(0)
    mean = torch.full((200_000, 1), 0.7, requires_grad=True)
    logvar = torch.full((200_000, 1), math.log(0.25), requires_grad=True)
    z, _ = reparameterize(mean, logvar, torch.randn_like(mean))
    assert z.mean().item() == pytest.approx(0.7, abs=0.01)
    assert z.std().item() == pytest.approx(0.5, abs=0.01)
    z.square().mean().backward()
    # d E[z^2] / d mean = 2 mean; d / d logvar = variance
    assert mean.grad is not None
    assert logvar.grad is not None
    assert float(mean.grad.sum()) == pytest.approx(1.4, abs=0.02)
    assert float(logvar.grad.sum()) == pytest.approx(0.25, abs=0.01)


def test_active_units_counts_dimensions_with_variance() -> None:
    means = torch.randn(1000, 3) * torch.tensor([1.0, 0.001, 0.5])
    assert active_units(means) == 2


def test_decode_with_temperature_is_reproducible_and_needs_a_seed(model: SequenceVAE) -> None:
    z = torch.zeros(50, 4)
    first = decode(model, z, temperature=1.0, seed=3).ids
    torch.rand(7)
    assert torch.equal(first, decode(model, z, temperature=1.0, seed=3).ids)
    assert not torch.equal(first, decode(model, z, temperature=1.0, seed=4).ids)
    with pytest.raises(ValueError, match="seed"):
        decode(model, z, temperature=1.0)


def test_decode_of_no_vectors_is_empty(model: SequenceVAE) -> None:
    assert decode(model, torch.empty(0, 4)).ids.shape == (0, MAX_LENGTH)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_vae_of_unknown_network_raises_with_the_known_names(part: str) -> None:
    config = dataclasses.replace(PLAIN, **{part: "convolutional"})  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError) as error:
        SequenceVAE(config, N_SYMBOLS, MAX_LENGTH)
    assert (error.value.name, error.value.known) == ("convolutional", ["recurrent", "transformer"])


def test_vae_of_unknown_posterior_raises() -> None:
    config = dataclasses.replace(PLAIN, posterior="normal")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        SequenceVAE(config, N_SYMBOLS, MAX_LENGTH)
