"""Priors: densities integrate to one, samples follow them; `choose_prior` goes by likelihood."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor

from molvae.chem.vocabulary import EOS, PAD
from molvae.errors import MolvaeWarning
from molvae.model.config import ModelConfig, PriorConfig
from molvae.model.prior_fitting import choose_prior, fit_flow, fit_mixture, fit_vamp
from molvae.model.priors import (
    ConditionalPrior,
    FlowPrior,
    MixturePrior,
    NormalPrior,
    Prior,
    covariance_of,
    make_prior,
    standard_normal_prior,
)
from molvae.model.vae import SequenceVAE

KINDS = ("normal", "mixture", "vamp", "flow", "autoregressive", "conditional")


def ring(n: int, seed: int) -> Tensor:
    """Codes around a circle in the plane, four draws of each: no Gaussian."""
    generator = torch.Generator().manual_seed(seed)
    angle = 6.283 * torch.rand(n, generator=generator)
    mean = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    return mean + 0.2 * torch.randn(4, n, 2, generator=generator)


def encoder() -> tuple[SequenceVAE, Tensor]:
    """A network and rows for it; what it makes of them is spread over the plane."""
    torch.manual_seed(0)
    sizes = ModelConfig(latent_dim=2, embedding_dim=4, encoder_dim=8, decoder_dim=8, position_dim=4)
    rows = torch.randint(3, 9, (400, 6))
    rows[:, 5] = EOS
    rows[::3, 3:] = torch.tensor([EOS, PAD, PAD])
    return SequenceVAE(sizes, 9, 6).eval(), rows


@pytest.fixture(scope="module")
def priors() -> dict[str, Prior]:
    codes = ring(2_000, 0)
    model, rows = encoder()
    return {
        "normal": NormalPrior(2),
        "mixture": fit_mixture(codes[0]),
        "vamp": fit_vamp(model, rows, codes, epochs=20, components=30),
        "flow": fit_flow(codes, epochs=30, hidden=32),
        "autoregressive": fit_flow(codes, epochs=20, kind="autoregressive", hidden=32),
        "conditional": joint(codes),
    }


def joint(codes: Tensor) -> ConditionalPrior:
    """Of the second number given the first: two branches."""
    z, y = codes[..., 1:], codes[..., :1]
    flow = fit_flow(z, epochs=20, kind="autoregressive", given=y, hidden=32)
    prior = ConditionalPrior(flow, 1)
    prior.mean, prior.covariance = y.reshape(-1, 1).mean(0), covariance_of(y.reshape(-1, 1))
    return prior


@pytest.mark.parametrize("kind", KINDS)
def test_prior_density_integrates_to_one_and_samples_follow(
    priors: dict[str, Prior], kind: str
) -> None:
    prior = priors[kind]
    assert prior.kind == kind
    side = torch.linspace(-7, 7, 141)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = prior.log_prob(grid).exp() * 0.1**2
    assert float(density.sum()) == pytest.approx(1, abs=0.02)
    z = prior.sample(20_000, torch.Generator().manual_seed(1))
    for measure in (lambda x: x.norm(dim=1), lambda x: (x[:, 0] - x[:, 1]).abs()):
        expected = float((density * measure(grid)).sum())
        assert float(measure(z).mean()) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_prior_sample_is_reproducible_and_ignores_the_global_generator(
    priors: dict[str, Prior], kind: str
) -> None:
    before = torch.get_rng_state()
    first, again = (priors[kind].sample(9, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (9, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert priors[kind].sample(0, torch.Generator()).shape == (0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_make_prior_from_settings_and_weights_gives_the_same_density(
    priors: dict[str, Prior], kind: str
) -> None:
    prior = priors[kind]
    again = make_prior(prior.settings())
    again.load_state_dict(prior.state_dict())
    assert again.settings() == prior.settings()
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.log_prob(z), prior.log_prob(z))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "sphere", "dim": 2},
        {"kind": "mixture", "dim": 2, "layers": 3},
        {"kind": "conditional", "dim": 4, "conditions": 1, "z": {"kind": "normal", "dim": 2}},
        {"kind": "conditional", "dim": 3, "conditions": 1, "z": {"kind": "vamp", "dim": 2}},
    ],
)
def test_make_prior_from_invalid_settings_raises(settings: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        make_prior(settings)


def test_learned_priors_beat_the_normal_on_held_out_z(priors: dict[str, Prior]) -> None:
    held_out = ring(500, 1)[0]
    with torch.no_grad():
        found = {kind: float(prior.log_prob(held_out).mean()) for kind, prior in priors.items()}
    learned = set(KINDS) - {"normal", "conditional"}
    assert all(found[kind] > found["normal"] + 0.1 for kind in learned)
    # The best possible: even around the circle, a Gaussian across.
    best = -math.log(2 * math.pi * 2) - 0.5 * math.log(2 * math.pi * math.e * 0.2**2)
    assert best > found["flow"] > best - 0.3


def test_fit_vamp_learns_pseudo_inputs_and_keeps_the_encoder() -> None:
    codes = ring(2_000, 0)
    model, rows = encoder()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    few, many = (fit_vamp(model, rows, codes, epochs=p, components=20) for p in (1, 40))
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    held_out = ring(500, 1)[0]
    assert float(many.log_prob(held_out).mean()) > float(few.log_prob(held_out).mean()) + 0.1
    assert not many.means.requires_grad


def test_choose_prior_takes_the_likeliest_on_held_out_z() -> None:
    prior, found = choose_prior(ring(1_000, 0), ring(500, 1)[0], PriorConfig(epochs=10))
    assert set(found) == {"normal", "mixture", "flow"}
    assert found[prior.kind] == max(found.values())
    assert prior.kind != "normal"
    normal = torch.randn(1, 400, 2, generator=torch.Generator().manual_seed(0))
    assert choose_prior(normal, normal[0], PriorConfig(epochs=0))[0].kind == "normal"
    nothing = torch.zeros(1, 50, 0)
    assert choose_prior(nothing, nothing[0], PriorConfig())[0].dim == 0


@pytest.mark.parametrize("kind", ["normal", "mixture", "vamp", "flow", "autoregressive"])
def test_choose_prior_of_a_given_kind_compares_with_normal(kind: str) -> None:
    codes = ring(1_000, 0)
    model, rows = encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior, found = choose_prior(
            codes,
            ring(300, 1)[0],
            PriorConfig(kind=kind, epochs=5, components=10 * (kind in ("mixture", "vamp"))),  # type: ignore[arg-type]
            vamp=lambda: fit_vamp(model, rows, codes, epochs=5, components=10),
        )
    assert prior.kind == kind
    assert set(found) == {"normal", kind}


def test_choose_prior_worse_than_normal_warns() -> None:
    generator = torch.Generator().manual_seed(0)
    few, held_out = (torch.randn(1, n, 8, generator=generator) for n in (40, 500))
    with pytest.warns(MolvaeWarning, match=r"likelier under N\(0, I\)"):
        prior, _ = choose_prior(few, held_out[0], PriorConfig(kind="flow", epochs=30))
    assert prior.kind == "flow"


def test_fit_mixture_of_few_vectors_has_few_components() -> None:
    mixture = fit_mixture(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)))
    assert isinstance(mixture, MixturePrior)
    assert mixture.components == 2


def labelled(n: int, seed: int) -> Tensor:
    """z_0 is the square of the first condition but for noise, z_1 is noise; codes `[z | y]`."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(2, n, 2, generator=generator)
    y[..., 1] = 0.8 * y[..., 0] + 0.6 * y[..., 1]
    z = torch.randn(2, n, 2, generator=generator)
    z[..., 0] = y[..., 0].square() + 0.2 * z[..., 0]
    return torch.cat([z, y], dim=2)


@pytest.fixture(scope="module")
def conditional() -> ConditionalPrior:
    prior, found = choose_prior(
        labelled(4_000, 0), labelled(500, 1)[0], PriorConfig(epochs=12), conditions=2
    )
    assert set(found) == {"normal", "flow"}
    assert found["flow"] > found["normal"] + 1
    assert isinstance(prior, ConditionalPrior)
    return prior


def test_conditional_prior_sample_meets_conditions_and_correlations(
    conditional: ConditionalPrior,
) -> None:
    code = conditional.sample(4_000, torch.Generator().manual_seed(2), {0: 1.5})
    z, y = conditional.parts(code)
    assert bool((y[:, 0] == 1.5).all())
    assert float(y[:, 1].mean()) == pytest.approx(1.2, abs=0.06)
    assert float(y[:, 1].std()) == pytest.approx(0.6, abs=0.05)
    assert float(z[:, 0].median()) == pytest.approx(2.25, abs=0.15)
    assert float(z[:, 0].std()) < 0.5
    assert float(z[:, 1].std()) == pytest.approx(1, abs=0.1)
    both = conditional.sample(9, torch.Generator().manual_seed(2), {0: -1.0, 1: 0.5})
    assert both[:, 2:].tolist() == [[-1.0, 0.5]] * 9
    free = conditional.sample(4_000, torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        covariance_of(free[:, 2:]), torch.tensor([[1.0, 0.8], [0.8, 1.0]]), atol=0.08, rtol=0
    )


def test_conditional_prior_moved_changes_conditions_and_keeps_the_rest(
    conditional: ConditionalPrior,
) -> None:
    code = labelled(1_000, 3)[0]
    z, y = conditional.parts(code)
    torch.testing.assert_close(conditional.moved(code, y), code, atol=1e-3, rtol=1e-3)
    moved = conditional.moved(code, torch.tensor([[1.5, 1.2]]).expand(1_000, 2))
    assert float(moved[:, 0].median()) == pytest.approx(2.25, abs=0.15)
    kept = torch.corrcoef(torch.stack([moved[:, 1], z[:, 1]]))[0, 1]
    assert float(kept) > 0.9


def test_standard_normal_prior_moved_leaves_z_unchanged() -> None:
    prior = standard_normal_prior(2, 1)
    assert isinstance(prior, ConditionalPrior)
    code = torch.randn(4, 3)
    moved = prior.moved(code, torch.ones(4, 1))
    assert torch.equal(moved, torch.cat([code[:, :2], torch.ones(4, 1)], dim=1))
    assert prior.sample(3, torch.Generator().manual_seed(0), {0: 2.0})[:, 2].tolist() == [2.0] * 3
    only = standard_normal_prior(0, 2)
    assert only.log_prob(torch.zeros(1, 2)).item() == pytest.approx(-math.log(2 * math.pi))
    assert isinstance(standard_normal_prior(3), NormalPrior)


def test_covariance_of_partly_known_labels_is_positive_definite() -> None:
    y = torch.randn(50_000, 2, generator=torch.Generator().manual_seed(0))
    y[:, 1] = 0.5 * y[:, 0] + 2 * y[:, 1]
    y[::3, 0], y[1::3, 1] = torch.nan, torch.nan
    expected = torch.tensor([[1.0, 0.5], [0.5, 4.25]])
    torch.testing.assert_close(covariance_of(y), expected, atol=0.1, rtol=0)
    same = torch.randn(100, 1).expand(100, 2)
    assert bool((torch.linalg.eigvalsh(covariance_of(same)) > 0).all())
    assert covariance_of(torch.zeros(5, 0)).shape == (0, 0)


def test_flow_prior_from_noise_inverts_to_noise() -> None:
    torch.manual_seed(0)
    for kind in ("flow", "autoregressive"):
        flow = FlowPrior(3, kind, given=2)  # type: ignore[arg-type]
        z, y = torch.randn(6, 3), torch.randn(6, 2)
        torch.testing.assert_close(flow.from_noise(flow.to_noise(z, y), y), z, atol=1e-4, rtol=1e-4)
