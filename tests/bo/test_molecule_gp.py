"""`molecule_gp`: predictions, noise, pending molecules, calibration and choice of kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import ScaleKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.means import ConstantMean
from torch import Tensor

from molvae.bo.exact_gp import ExactGP
from molvae.bo.kernels import MinMaxKernel
from molvae.bo.surrogate import AUTO_KERNELS, cholesky_plus, molecule_gp
from molvae.chem.fingerprints import DESCRIPTORS, descriptors, morgan_counts
from tests.chem.molecules import zinc

D = 4
BOUNDS = torch.tensor([[-2.575], [2.575]], dtype=torch.float64).repeat(1, D)  # std 1


@pytest.fixture(scope="module")
def x() -> Tensor:
    counts = morgan_counts(list(zinc()[:30]), radius=2, size=256).astype(np.float64)
    z = torch.randn(30, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    described = descriptors(list(zinc()[:30]))
    return torch.cat([z, torch.from_numpy(described), torch.from_numpy(counts)], dim=1)


def coverage(model: ExactGP, shares: Sequence[float] = (0.5, 0.8, 0.95)) -> dict[float, float]:
    """Share of the values in each central leave-one-out interval."""
    mean, std, _ = model.leave_one_out()
    needed = torch.erf(((model.y[:, 0] - mean) / std).abs() / math.sqrt(2))
    return {share: float((needed <= share).double().mean()) for share in shares}


def gp(x: Tensor, y: Tensor, kernel: str) -> ExactGP:
    return molecule_gp(x, y, BOUNDS, kernel=kernel, n_descriptors=len(DESCRIPTORS))


def with_hyperparameters_of(whole: ExactGP, part: ExactGP) -> ExactGP:
    """A model of a part of the data with mean, amplitude and noise of the model of all of it."""
    matrix = part.kernel(part.x).to_dense().detach()
    return ExactGP(
        part.kernel,
        part.x,
        part.y,
        mean=whole.mean,
        amplitude=whole.amplitude,
        noise=whole.noise,
        factor=cholesky_plus(matrix, whole.noise / whole.amplitude),
    )


@pytest.mark.parametrize("noisy", [False, True])
def test_molecule_gp_equals_botorch_with_the_same_hyperparameters(x: Tensor, noisy: bool) -> None:
    y = x[:20, :1].sigmoid()
    noise = torch.linspace(1e-4, 1e-2, 20, dtype=x.dtype)[:, None] if noisy else None
    model = molecule_gp(
        x[:20], y, BOUNDS, kernel="weighted", n_descriptors=len(DESCRIPTORS), noise=noise
    )
    mean, covariance = ConstantMean(), ScaleKernel(model.kernel)
    mean.constant, covariance.outputscale = model.mean, model.amplitude
    other = SingleTaskGP(
        x[:20],
        y,
        mean_module=mean,
        covar_module=covariance,
        likelihood=FixedNoiseGaussianLikelihood(noise=model.noise.expand(20)),
        outcome_transform=None,
    ).eval()
    with torch.no_grad():
        found, expected = model.posterior(x[20:]), other.posterior(x[20:])
    torch.testing.assert_close(found.mean, expected.mean, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(
        found.distribution.covariance_matrix,
        expected.distribution.covariance_matrix,
        atol=1e-8,
        rtol=1e-6,
    )


@pytest.mark.parametrize("kernel", AUTO_KERNELS)
def test_molecule_gp_is_certain_at_data_and_uncertain_far_away(x: Tensor, kernel: str) -> None:
    y = x[:, :1].sigmoid()
    model = gp(x, y, kernel)
    at_data = model.posterior(x)
    if kernel != "linear":  # which has fewer weights than there are values
        torch.testing.assert_close(at_data.mean, y, atol=0.05, rtol=0)
        amplitude = float(model.amplitude)
        assert bool((at_data.variance < 2e-3 * amplitude).all())
    far = torch.full((1, x.shape[1]), 1000.0, dtype=x.dtype)
    far[0, D + len(DESCRIPTORS) :] = 0.0  # shares no neighbourhood with any
    far[0, -1] = 9.0
    if kernel != "linear":
        with torch.no_grad():
            said = model.posterior(far)
        assert float(said.mean) == pytest.approx(float(y.median()), abs=0.05)
        assert float(said.variance) > 0.9 * amplitude


def test_molecule_gp_follows_a_noisy_value_less(x: Tensor) -> None:
    """Of two measurements that are off by as much, the one that is known to be rough moves less."""
    y = torch.zeros(30, 1, dtype=x.dtype)
    y[3], y[7] = 1.0, 1.0
    noise = torch.full((30, 1), 1e-6, dtype=x.dtype)
    noise[3] = 1.0
    model = molecule_gp(
        x, y, BOUNDS, kernel="tanimoto", n_descriptors=len(DESCRIPTORS), noise=noise
    )
    with torch.no_grad():
        said = model.posterior(x[[3, 7]])
    assert float(said.mean[0]) < 0.3 < 0.9 < float(said.mean[1])
    assert float(said.variance[0]) > 5 * float(said.variance[1])


def test_molecule_gp_unknown_noise_equals_noise_of_other_values(x: Tensor) -> None:
    noise = torch.full((30, 1), torch.nan, dtype=x.dtype)
    noise[3], noise[7] = 0.01, 0.03
    y = x[:, :1].sigmoid()
    model = molecule_gp(
        x, y, BOUNDS, kernel="tanimoto", n_descriptors=len(DESCRIPTORS), noise=noise
    )
    found = model.noise
    assert float(found[0]) == pytest.approx(0.02, rel=0.05)
    assert bool((found >= noise.nan_to_num()[:, 0]).all())
    nothing = torch.full_like(noise, torch.nan)
    plain = gp(x, y, "tanimoto")
    same = molecule_gp(
        x, y, BOUNDS, kernel="tanimoto", n_descriptors=len(DESCRIPTORS), noise=nothing
    )
    torch.testing.assert_close(same.posterior(x).mean, plain.posterior(x).mean)


def sample_process(n: int, kernel: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, values drawn from the very process with an amplitude of 1, and standard noise."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, D, generator=generator, dtype=torch.float64)
    prior = molecule_gp(z, z[:, :1], BOUNDS, kernel=kernel).kernel
    k = prior(z).to_dense().detach() + 1e-3 * torch.eye(n)
    white = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return z, torch.linalg.cholesky(k) @ white[:, :1], white[:, 1:]


@pytest.mark.parametrize("std", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("equal", [True, False])
def test_molecule_gp_amplitude_is_independent_of_the_noise(std: float, equal: bool) -> None:
    found, held = [], []
    for seed in range(8):
        z, signal, white = sample_process(150, "latent", seed)
        each = torch.full((150, 1), std, dtype=torch.float64)
        if not equal:
            each[::2] *= 0.5
        model = molecule_gp(z, signal + each * white, BOUNDS, kernel="latent", noise=each**2)
        found.append(float(model.amplitude))
        held.append(coverage(model, (0.5,))[0.5])
    assert float(np.mean(found)) == pytest.approx(1.0, abs=0.3)
    assert float(np.mean(held)) == pytest.approx(0.5, abs=0.06)


def test_molecule_gp_pending_molecules_shrink_variance_only(x: Tensor) -> None:
    y = x[:20, :1].sigmoid()
    for kernel in ("tanimoto", "auto"):
        for noise in (None, torch.full((20, 1), 1e-4, dtype=x.dtype)):
            told = molecule_gp(x[:20], y, BOUNDS, kernel=kernel, noise=noise)
            both = molecule_gp(x[:20], y, BOUNDS, kernel=kernel, noise=noise, pending=x[20:25])
            torch.testing.assert_close(told.amplitude, both.amplitude)
            torch.testing.assert_close(told.mean, both.mean)
            with torch.no_grad():
                before, after = told.posterior(x), both.posterior(x)
            torch.testing.assert_close(after.mean, before.mean, atol=1e-6, rtol=0)
            assert bool((after.variance <= before.variance + 1e-9).all())
            assert bool((after.variance[20:25] < 0.5 * before.variance[20:25]).all())


def test_molecule_gp_pending_molecules_keep_weights_means_and_noise(x: Tensor) -> None:
    y = x[:20, D : D + 2].sum(dim=1, keepdim=True)
    told, both = (
        molecule_gp(
            x[:20], y, BOUNDS, kernel="weighted", n_descriptors=len(DESCRIPTORS), pending=pending
        )
        for pending in (None, x[20:25])
    )
    torch.testing.assert_close(told.amplitude, both.amplitude)
    torch.testing.assert_close(told.noise, both.noise)
    with torch.no_grad():
        before, after = told.posterior(x), both.posterior(x)
    torch.testing.assert_close(after.mean, before.mean, atol=1e-6, rtol=0)
    assert bool((after.variance[20:25] < before.variance[20:25]).all())


def test_one_step_ahead_errors_equal_models_of_earlier_values(x: Tensor) -> None:
    y = x[:, :1].sigmoid()
    whole = gp(x, y, "tanimoto")
    errors = whole.one_step_ahead_errors()
    for n in (1, 8, 29):
        model = gp(x[:n], y[:n], "tanimoto")
        model = with_hyperparameters_of(whole, model)
        with torch.no_grad():
            said = model.posterior(x[[n]], observation_noise=True)
        expected = (y[n] - said.mean) / said.variance.sqrt()
        assert float(errors[n]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("kernel", AUTO_KERNELS)
def test_leave_one_out_equals_a_model_without_the_value(x: Tensor, kernel: str) -> None:
    y = x[:, :1].sigmoid() + x[:, -1:] / 10
    whole = gp(x, y, kernel)
    mean, std, log_density = whole.leave_one_out()
    for i in (0, 7, 29):
        rest = [k for k in range(30) if k != i]
        model = gp(x[rest], y[rest], kernel)
        # Leaving a value out leaves mean and amplitude as they are.
        model = with_hyperparameters_of(whole, model)
        with torch.no_grad():
            said = model.posterior(x[[i]], observation_noise=True)
        assert float(mean[i]) == pytest.approx(float(said.mean), abs=1e-5)
        assert float(std[i] ** 2) == pytest.approx(float(said.variance), abs=1e-5)
        expected = torch.distributions.Normal(said.mean, said.variance.sqrt()).log_prob(y[i])
        assert float(log_density[i]) == pytest.approx(float(expected), abs=1e-3)


def test_molecule_gp_auto_takes_the_likeliest_kernel(x: Tensor) -> None:
    alike = torch.randn(10, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    of_z = torch.sin(x[:, :1] + x[:, 1:2]) / 2 + 0.5
    smooth = gp(x, of_z, "auto")
    likeliest = max(
        AUTO_KERNELS,
        key=lambda k: float(gp(x, of_z, k).leave_one_out()[2].mean()),
    )
    assert likeliest != "tanimoto"
    again = gp(x, of_z, likeliest)
    far = torch.cat([alike, x[:10, D:]], dim=1)
    torch.testing.assert_close(smooth.posterior(far).mean, again.posterior(far).mean)


def test_molecule_gp_intervals_of_its_own_prior_are_calibrated() -> None:
    """Values drawn from the prior itself, ten times as wide, and noisier than the model takes them
    to be."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, D, generator=generator, dtype=torch.float64)
    prior = molecule_gp(z, z[:, :1], BOUNDS, kernel="latent").kernel
    k = prior(z).to_dense().detach() + 1e-3 * torch.eye(400)
    noise = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    y = 10 * torch.linalg.cholesky(k) @ noise[:, :1]
    model = molecule_gp(z, y, BOUNDS, kernel="latent")
    assert float(model.amplitude) == pytest.approx(100, rel=0.2)
    right = coverage(model)
    for share, held in right.items():
        assert held == pytest.approx(share, abs=0.08)
    spoilt = torch.where(torch.rand(400, 1, generator=generator) < 0.1, 100 * noise[:, 1:], 0.0)
    held = coverage(molecule_gp(z, y + spoilt, BOUNDS, kernel="latent"))
    assert held[0.5] > right[0.5] + 0.1  # wide for the many, because of the few


def test_molecule_gp_computes_the_kernel_of_observed_molecules_once(
    x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[tuple[int, int]] = []
    forward = MinMaxKernel.forward

    def counted(kernel: MinMaxKernel, a: Tensor, b: Tensor, **how: bool) -> Tensor:
        computed.append((len(a), len(b)))
        return forward(kernel, a, b, **how)

    monkeypatch.setattr(MinMaxKernel, "forward", counted)
    y = x[:, -256:].sum(dim=1, keepdim=True)
    with torch.no_grad():
        model = gp(x[:20], y[:20], "tanimoto")
        model.posterior(x[20:])
    assert computed.count((20, 20)) == 1
    assert (10, 20) in computed


def test_molecule_gp_learn_noise_finds_noise_only_if_present(x: Tensor) -> None:
    kernel = gp(x, torch.zeros(len(x), 1, dtype=torch.float64), "tanimoto+descriptors").kernel
    factor = cholesky_plus(kernel(x).to_dense().detach(), torch.tensor(1e-6, dtype=torch.float64))
    shares = []
    for size in (0.0, 1.0):
        found = []
        for seed in range(5):
            generator = torch.Generator().manual_seed(seed)
            draw = torch.randn(2, len(x), 1, generator=generator, dtype=torch.float64)
            model = molecule_gp(
                x,
                factor @ draw[0] + size * draw[1],
                BOUNDS,
                kernel="tanimoto+descriptors",
                n_descriptors=len(DESCRIPTORS),
                learn_noise=True,
            )
            found.append(float(model.noise / model.amplitude))
        shares.append(sorted(found)[2])
    assert shares[0] <= 0.1
    assert shares[1] >= 0.3


@pytest.mark.parametrize("kernel", AUTO_KERNELS)
def test_molecule_gp_moments_equal_the_posterior(x: Tensor, kernel: str) -> None:
    model = gp(x[:20], x[:20, :1].sigmoid(), kernel)
    here = torch.cat([x, 3.0 * x[20:]])  # far from the data as well
    mean, std = model.moments(here)
    posterior = model.posterior(here)
    torch.testing.assert_close(mean, posterior.mean[:, 0])
    variance = posterior.variance[:, 0].clamp_min(0)
    torch.testing.assert_close(std.square(), variance, rtol=1e-4, atol=1e-6)
