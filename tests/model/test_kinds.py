"""`SequenceVAE` with every kind of encoder, posterior and decoder, with conditions and without."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from molvae.chem.vocabulary import BOS, EOS, PAD
from molvae.errors import ConfigError
from molvae.model.checkpoint import Condition, ModelCard, load_run, save_run
from molvae.model.decoding import decode
from molvae.model.finetuning import finetune_decoder
from molvae.model.losses import reconstruction
from molvae.model.priors import standard_normal_prior
from molvae.model.vae import SequenceVAE
from tests.model.kinds import KINDS, MAX_LENGTH, N_SYMBOLS, SMALL, make, random_rows

every_kind = pytest.mark.parametrize("kind", KINDS)
every_kind_with_conditions_or_not = pytest.mark.parametrize(
    ("kind", "conditions"), [(kind, p) for kind in KINDS for p in (0, 2)]
)


@every_kind_with_conditions_or_not
def test_vae_outputs_have_the_documented_shapes(kind: str, conditions: int) -> None:
    model, rows = make(kind, conditions=conditions), random_rows([2, 5, 8], 8)
    d, c = KINDS[kind].latent_dim, KINDS[kind].latent_dim + conditions
    assert model.code_dim == c
    with torch.no_grad():
        found = model.infer(rows, n_samples=3)
        assert [tuple(x.shape) for x in found[:6] if x is not None] == [
            (9, c),
            (9,),
            (9, d),
            (9, d),
            (3, conditions),
            (3, conditions),
        ]
        assert [tuple(x.shape) for x in model.posterior(rows)] == [(3, d)] * 2
        assert [tuple(x.shape) for x in model.conditions(rows)] == [(3, conditions)] * 2
        assert model.encode(rows).shape == (3, c)
        assert model.logits(model.encode(rows), rows).shape == (3, 8, N_SYMBOLS)
        assert all(bool(torch.isfinite(x).all()) for x in (found.code, found.log_q))


@every_kind_with_conditions_or_not
def test_vae_encode_and_logits_ignore_padding(kind: str, conditions: int) -> None:
    model, rows = make(kind, conditions=conditions), random_rows([1, 3, 6], 6)
    padded = nn.functional.pad(rows, (0, 4), value=PAD)
    with torch.no_grad():
        code = model.encode(rows)
        torch.testing.assert_close(code, model.encode(padded))
        for row, alone in zip(rows, code, strict=True):
            torch.testing.assert_close(model.encode(row[None, row != PAD])[0], alone)
        torch.testing.assert_close(
            reconstruction(model.logits(code, rows), rows),
            reconstruction(model.logits(code, padded), padded),
        )


@every_kind_with_conditions_or_not
def test_vae_steps_one_by_one_equal_the_logits_of_whole_rows(kind: str, conditions: int) -> None:
    model, rows = make(kind, conditions=conditions), random_rows([8, 8, 8], 8)
    code, noise = torch.randn(3, model.code_dim), torch.tensor([0.0, 0.3, 0.8])
    with torch.no_grad():
        together = model.logits(code, rows, noise=noise)
        state, symbol, left = model.start(code, noise), torch.full((3,), BOS), torch.arange(3)
        for place in range(8):
            if place == 4:  # one of the sequences has come to its end
                left, symbol = torch.tensor([0, 2]), symbol[[0, 2]]
                state = state.rows(torch.tensor([True, False, True]))
            alone, state = model.step(symbol, state, place)
            torch.testing.assert_close(alone, together[left, place])
            symbol = rows[left, place]
        quiet = model.logits(code, rows)
    torch.testing.assert_close(quiet[0], together[0])
    assert torch.allclose(quiet[2], together[2]) != KINDS[kind].noise_conditioning


@every_kind
def test_decode_log_prob_equals_the_logits_of_decoded_tokens(kind: str) -> None:
    model, code = make(kind), torch.randn(20, KINDS[kind].latent_dim)
    decoded = decode(model, code, temperature=1.0, seed=3)
    with torch.no_grad():
        logits = model.logits(code, decoded.ids)
    logits[..., (PAD, BOS)] = -torch.inf
    torch.testing.assert_close(decoded.log_prob, -reconstruction(logits, decoded.ids))
    assert torch.equal(decoded.ids, decode(model, code, temperature=1.0, seed=3).ids)
    assert decode(model, code[:0]).log_prob.shape == (0,)


@every_kind
def test_logits_depend_on_all_earlier_tokens_and_no_later_ones(kind: str) -> None:
    model, rows = make(kind), random_rows([8], 8)
    code = torch.randn(1, model.code_dim)
    other = rows.clone()
    other[0, 3] = 3 + (other[0, 3] - 2) % (N_SYMBOLS - 3)
    with torch.no_grad():
        before, after = model.logits(code, rows), model.logits(code, other)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    for place in range(4, 8):
        assert not torch.allclose(before[:, place], after[:, place])


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [(kind, n) for kind, config in KINDS.items() for n in (0, 2) if config.latent_dim + n],
)
def test_logits_at_every_step_depend_on_all_of_z(kind: str, conditions: int) -> None:
    model, rows = make(kind, conditions=conditions), random_rows([8], 8)
    code = torch.randn(1, model.code_dim, requires_grad=True)
    logits = model.logits(code, rows)
    for place in range(8):
        (slope,) = torch.autograd.grad(logits[0, place].square().sum(), code, retain_graph=True)
        assert bool((slope != 0).all())


@every_kind_with_conditions_or_not
def test_vae_loss_has_gradients_for_every_weight(kind: str, conditions: int) -> None:
    model = make(kind, conditions=conditions, properties=min(1, KINDS[kind].latent_dim))
    rows, unknown = random_rows([2, 5, MAX_LENGTH], MAX_LENGTH), torch.full((3, conditions), 0.5)
    unknown[0] = torch.nan
    found = model.infer(rows, unknown)
    logits = model.logits(found.code, rows, noise=torch.full((3,), 0.5))
    loss = reconstruction(logits, rows).mean() + found.log_q.mean()
    loss = loss + model.properties(found.code).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool(parameter.grad.any()) or parameter.numel() == 0, name


@every_kind_with_conditions_or_not
def test_load_run_of_saved_vae_is_equal(kind: str, conditions: int, tmp_path: Path) -> None:
    model = make(kind, conditions=conditions, properties=min(1, KINDS[kind].latent_dim))
    card = ModelCard(
        model=KINDS[kind],
        conditions=tuple(Condition(name=f"c{i}", mean=i, std=1 + i) for i in range(conditions)),
        representation={"name": "selfies", "settings": {}},
        vocabulary=tuple(f"[{i}]" for i in range(N_SYMBOLS - 3)),
        max_length=MAX_LENGTH,
        properties=("logP",) if KINDS[kind].latent_dim else (),
        bounds=((-1.0,) * model.code_dim, (1.0,) * model.code_dim),
    )
    prior = standard_normal_prior(KINDS[kind].latent_dim, conditions)
    save_run(tmp_path, model, card, prior)
    loaded, _, read = load_run(tmp_path)
    assert dataclasses.replace(read, prior=card.prior, files=card.files) == card
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    rows = random_rows([2, 5], 5)
    with torch.no_grad():
        code = model.encode(rows)
        assert torch.equal(code, loaded.encode(rows))
        assert torch.equal(model.logits(code, rows), loaded.logits(code, rows))


@every_kind
def test_vae_learns_a_few_rows(kind: str) -> None:
    model, rows = make(kind).train(), random_rows([4, 6, 7, 3], 7)
    if model.code_dim == 0:
        rows = rows[:1]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        found = model.infer(rows)
        loss = reconstruction(model.logits(found.code, rows), rows).mean()
        # Against the prior, or else the codes of a flow run away.
        loss = loss + 0.03 * (found.log_q + 0.5 * found.code.square().sum(dim=1)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    model.eval()
    with torch.no_grad():
        nats = reconstruction(model.logits(model.encode(rows), rows), rows).mean()
    assert float(nats) < 2  # 11 before; 1.4 for knowing no more than that it is one of the four


@every_kind_with_conditions_or_not
def test_decode_greedy_takes_the_most_likely_tokens(kind: str, conditions: int) -> None:
    model = make(kind, conditions=conditions)
    code = 3 * torch.randn(20, model.code_dim)
    ids = decode(model, code).ids
    for row, one in zip(ids, code, strict=True):
        row = row[row != PAD]
        with torch.no_grad():
            logits = model.logits(one[None], row[None])[0]
        logits[:, [PAD, BOS]] = -torch.inf
        assert torch.equal(logits.argmax(dim=1), row)
        assert bool((row[:-1] != EOS).all())


@every_kind
def test_finetune_decoder_learns_rows_and_keeps_the_encoder(kind: str) -> None:
    model, rows = make(kind), random_rows([4, 6, 7, 3], 7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    noise = 0.25 if KINDS[kind].noise_conditioning else 0.0
    new = finetune_decoder(
        model, rows, torch.ones(4), steps=20, batch=8, learning_rate=0.01, noise=noise, seed=0
    )
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    with torch.no_grad():
        code = model.encode(rows)
        torch.testing.assert_close(new.encode(rows), code)
        was, is_ = (reconstruction(m.logits(code, rows), rows).sum() for m in (model, new))
    assert is_ < was


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"encoder": "transformer"},
            "residual_conditioning must be false with encoder = 'transformer'",
        ),
        (
            {"decoder": "transformer"},
            "residual_conditioning must be false with decoder = 'transformer'",
        ),
        ({"latent_dim": 0}, "residual_conditioning must be false with latent_dim = 0"),
        (
            {"latent_dim": 0, "residual_conditioning": False},
            "noise_conditioning must be false with latent_dim = 0",
        ),
        (
            {
                "latent_dim": 0,
                "residual_conditioning": False,
                "noise_conditioning": False,
                "posterior": "flow",
            },
            "posterior must be 'gaussian' with latent_dim = 0",
        ),
        (
            {"encoder": "transformer", "residual_conditioning": False, "heads": 4},
            "heads must divide encoder_dim",
        ),
        ({"latent_dim": 1, "posterior": "flow"}, "latent_dim must be at least 2 with posterior"),
        ({"latent_dim": -1}, "latent_dim must be at least 0"),
        ({"layers": 0}, "layers must be at least 1"),
    ],
)
def test_model_config_with_incompatible_settings_raises(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **settings)


def test_vae_property_heads_without_z_raise() -> None:
    with pytest.raises(ConfigError, match="nothing to read properties off"):
        SequenceVAE(KINDS["language"], N_SYMBOLS, MAX_LENGTH, n_properties=1)


def test_infer_with_point_posterior_repeats_the_encoding() -> None:
    model, rows = make("point"), random_rows([2, 5], 5)
    found = model.infer(rows, n_samples=2)
    assert torch.equal(found.code, model.encode(rows).repeat_interleave(2, dim=0))
    assert not bool(found.log_q.any())
    assert bool((model.posterior(rows)[1] == -torch.inf).all())
