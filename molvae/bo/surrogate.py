"""Gaussian processes over latent vectors, and over molecules as `[z | descriptors | counts]`.

BoTorch's `Model` is the interface. Knows no molecules: kernels read their columns of the features
through `active_dims`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from gpytorch.constraints import Positive
from gpytorch.kernels import (
    AdditiveKernel,
    Kernel,
    LinearKernel,
    MaternKernel,
    ProductKernel,
    ScaleKernel,
)
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.special import stdtrit  # type: ignore[import-untyped]
from torch import Tensor

from molvae.bo.base import Candidate, Observations
from molvae.bo.kernels import MinMaxKernel, PrecomputedKernel
from molvae.bo.noise import complete
from molvae.bo.prediction import LEVELS, Prediction
from molvae.bo.transforms import OutcomeTransform
from molvae.errors import MolvaeWarning, UnknownNameError
from molvae.model.isolation import isolated, seeded, threads

FIT_STEPS = 50
"""Of the search for hyperparameters over z. The likelihood goes on rising for a thousand more,
but with a length scale for each of 64 dimensions that is overfitting: of 300 molecules' values,
those of 300 others were foreseen better after 50 steps than after 200 or at the mode (mean
log-likelihood 2.07, 1.95, 1.94 on one task, 1.68, 1.57, 1.41 on another), in a tenth of the time.
"""


MIN_STDV = 1e-150
"""Of values that are standardized; BoTorch's default, 1e-8, leaves small units as they are."""


def fit_gp(z: Tensor, y: Tensor, bounds: Tensor, noise: Tensor | None = None) -> SingleTaskGP:
    """A Gaussian process with an RBF kernel, its hyperparameters near their posterior mode.

    Inputs are scaled to the unit cube and values standardised. The length scales have BoTorch's
    default prior, whose mode grows with the square root of the dimension; without it a GP in 64
    dimensions learns nothing.

    Args:
        z: Latent vectors, `n x d`, float64.
        y: Values, `n x m`, larger is better; each column is an independent output.
        bounds: The box, `2 x d`.
        noise: Variances of the values, `n x m`, where they are known; NaN: as of the others. By
            default one variance for all is learned.

    References:
        Hvarfner et al. (2024), Vanilla Bayesian optimization performs great in high dimensions,
        arXiv:2402.02229.
    """
    with isolated(), reproducible():
        if noise is not None:
            noise = complete(noise)
        model = SingleTaskGP(
            z,
            y,
            noise,
            input_transform=Normalize(d=z.shape[-1], bounds=bounds),
            outcome_transform=Standardize(m=y.shape[-1], min_stdv=MIN_STDV),
        )
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": FIT_STEPS}},
        )
    return model


def predict_gp(
    candidates: Sequence[Candidate], model: SingleTaskGP, observations: Observations
) -> list[Candidate]:
    """Candidates with what a GP over z foresees of their values, where values are what it learned.

    Args:
        candidates: Of a strategy.
        model: Fitted to the scores of the evidence.
        observations: With one goal; of several, or with limits, nothing is foreseen of any value.
    """
    if observations.problem is not None or not candidates:
        return list(candidates)
    z = torch.stack([candidate.z for candidate in candidates])
    with torch.no_grad(), reproducible():
        said = model.posterior(z, observation_noise=True)
        transform = OutcomeTransform(observations.y[:, 0], "high")
        of_each = predictions(said.mean[:, 0], said.variance[:, 0], transform)
    return [
        replace(candidate, predictions=(one,))
        for candidate, one in zip(candidates, of_each, strict=True)
    ]


def predictions(mean: Tensor, variance: Tensor, transform: OutcomeTransform) -> list[Prediction]:
    """Quantiles of values whose scores have such means and variances, `n`."""
    levels = torch.from_numpy(WIDTH * stdtrit(TAIL_DEGREES, np.array(LEVELS)))
    scores = mean[:, None] + variance.clamp_min(0).sqrt()[:, None] * levels
    # Of values of which the smallest are the best, a rising score is a falling value.
    rising = transform.inverse(scores).sort(dim=1).values
    return [Prediction(*row) for row in rising.tolist()]


def molecule_gp(
    x: Tensor,
    y: Tensor,
    bounds: Tensor,
    *,
    kind: str,
    descriptors: int = 0,
    noise: Tensor | None = None,
    pending: Tensor | None = None,
) -> SingleTaskGP:
    """A Gaussian process over molecules, without any search for hyperparameters in many dimensions.

    Far from all data it says the median of the values. Its amplitude is the likeliest one given the
    noise that is known, so that it is as sure as it has been right; beside that, there is noise of
    a thousandth of the amplitude.

    Args:
        x: `[z | descriptors | counts]`, `n x (d + descriptors + f)`, float64.
        y: Values, `n x 1`.
        bounds: The box of z, `2 x d`.
        kind: `structure`: MinMax similarity of the counts. `descriptors`: Matern-5/2 on them, with
            a length scale of 5. `latent`: Matern-5/2 on z, with a length scale of `2 sqrt(d)`
            standard deviations of the encodings. `linear`: inner products of z. Several with `+`
            between them: their mean; with `*`: their product. `auto`: that of `CHOICES` under which
            each value is likeliest given all the rest.
        descriptors: Columns of `x` that hold descriptors on a common scale.
        noise: Variances of the values beyond that, `n x 1`; NaN: as of the others, the median.
        pending: Molecules that are being measured, `p x (d + descriptors + f)`. They count as
            measured, with the values that are expected of them: so the model is surer near them,
            and believes the same of all values, with the same kernel, mean and amplitude.

    Raises:
        UnknownNameError: No kernel of that name.

    References:
        Tripp et al. (2021), NeurIPS workshop AI for Science (fixed hyperparameters, Tanimoto);
        Sundararajan and Keerthi (2001), doi:10.1162/08997660151134343 (leave-one-out).
    """
    known = None if noise is None else complete(noise)[:, 0]
    if kind == "auto":
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MOST_LEFT_OUT]
        few = {
            k: molecule_gp(
                x[chosen],
                y[chosen],
                bounds,
                kind=k,
                descriptors=descriptors,
                noise=None if known is None else known[chosen, None],
            )
            for k in CHOICES
            if descriptors or "descriptors" not in k
        }
        kind = max(few, key=lambda k: float(leave_one_out(few[k])[2].mean()))
    n, middle = len(x), y.quantile(0.5)  # torch's median of an even number is the lower of two
    if pending is not None:
        x = torch.cat([x, pending])
    similar = _kernel(kind, _Columns(bounds, descriptors, x))
    with torch.no_grad():
        matrix = similar(x).to_dense()
        amplitude = max_likelihood_amplitude(matrix[:n, :n], y - middle, known)
        least = NOISE * amplitude
        if pending is not None:
            whole = amplitude * matrix[:n, :n] + _diagonal(least, known, n)
            weights = torch.cholesky_solve(y - middle, torch.linalg.cholesky(whole))
            y = torch.cat([y, middle + amplitude * matrix[n:, :n] @ weights])
            if known is not None:
                known = torch.cat([known, known.median().expand(len(x) - n)])
    mean, kernel = ConstantMean(), ScaleKernel(PrecomputedKernel(similar, x, matrix))
    mean.constant = middle
    kernel.outputscale = amplitude
    likelihood: GaussianLikelihood | FixedNoiseGaussianLikelihood
    if known is None:
        likelihood = GaussianLikelihood(noise_constraint=Positive())
        likelihood.noise = least
    else:
        likelihood = FixedNoiseGaussianLikelihood(noise=least + known)
    model = SingleTaskGP(
        x,
        y,
        covar_module=kernel,
        mean_module=mean,
        likelihood=likelihood,
        outcome_transform=None,
    )
    return model.eval()


def _diagonal(least: Tensor, known: Tensor | None, n: int) -> Tensor:
    return torch.diag(least.expand(n) if known is None else least + known)


def max_likelihood_amplitude(
    correlations: Tensor, y: Tensor, noise: Tensor | None = None
) -> Tensor:
    """The variance that a process of mean 0 most likely has.

    Args:
        correlations: Of its values, `n x n`.
        y: Values, `n x 1`.
        noise: Variances of the values beside that, `n`, which are known; by default 0, and then the
            amplitude has a closed form.
    """
    with torch.no_grad():
        k = correlations + NOISE * torch.eye(len(y), dtype=y.dtype)
        spread = (y.max() - y.min()).square()
        floor = LEAST_AMPLITUDE * torch.where(spread > 0, spread, torch.ones_like(spread))
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(k), y, upper=False)
        amplitude: Tensor = half.square().mean().clamp_min(floor)
        if noise is None or not bool(noise.any()):
            return amplitude
        diagonal = torch.diag(noise)

        def unlikelihood(log_amplitude: float) -> float:
            factor = torch.linalg.cholesky(math.exp(log_amplitude) * k + diagonal)
            off = torch.linalg.solve_triangular(factor, y, upper=False)
            return float(off.square().sum() / 2 + factor.diagonal().log().sum())

        # Noise explains a part of the spread, so that there is hardly more than without it.
        ends = math.log(float(floor)), math.log(float(2 * amplitude))
        found = minimize_scalar(
            unlikelihood, bounds=ends, method="bounded", options={"xatol": 0.02}
        )
        return amplitude.new_tensor(math.exp(found.x))


@dataclass(frozen=True)
class _Columns:
    """Which columns of `[z | descriptors | counts]` are what."""

    bounds: Tensor
    descriptors: int
    x: Tensor

    @property
    def z(self) -> tuple[int, ...]:
        return tuple(range(self.bounds.shape[1]))

    @property
    def described(self) -> tuple[int, ...]:
        return tuple(range(len(self.z), len(self.z) + self.descriptors))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(range(len(self.z) + self.descriptors, self.x.shape[1]))

    @property
    def scale(self) -> Tensor:
        """Standard deviations of the encodings, `d`."""
        return (self.bounds[1] - self.bounds[0]) / BOX_IN_SDS


def _structure(columns: _Columns) -> Kernel:
    return MinMaxKernel(active_dims=columns.counts)


def _descriptors(columns: _Columns) -> Kernel:
    kernel = MaternKernel(nu=2.5, active_dims=columns.described)
    kernel.lengthscale = 5.0
    return kernel


def _latent(columns: _Columns) -> Kernel:
    kernel = MaternKernel(nu=2.5, ard_num_dims=len(columns.z), active_dims=columns.z)
    kernel.lengthscale = 2 * len(columns.z) ** 0.5 * columns.scale
    return kernel


def _linear(columns: _Columns) -> Kernel:
    kernel = LinearKernel(ard_num_dims=len(columns.z), active_dims=columns.z)
    kernel.variance = (columns.scale**-2 / len(columns.z))[None]
    return kernel


KERNELS: dict[str, Callable[[_Columns], Kernel]] = {
    "structure": _structure,
    "descriptors": _descriptors,
    "latent": _latent,
    "linear": _linear,
}
"""Kernels over `[z | descriptors | counts]` by name."""


CHOICES = (
    "structure",
    "latent",
    "linear",
    "structure+latent",
    "structure*latent",
    "structure+descriptors",
    "structure+descriptors+latent",
)
"""What `auto` chooses among."""


def _kernel(kind: str, columns: _Columns) -> Kernel:
    terms = [[part.strip() for part in term.split("*")] for term in kind.split("+")]
    for name in (name for term in terms for name in term):
        if name not in KERNELS:
            raise UnknownNameError("kernel", name, KERNELS)
    products = [[KERNELS[name](columns) for name in term] for term in terms]
    made = [of[0] if len(of) == 1 else ProductKernel(*of) for of in products]
    if len(made) == 1:
        return made[0]
    mean = ScaleKernel(AdditiveKernel(*made))
    mean.outputscale = 1 / len(made)
    return mean


NOISE = 1e-3
"""Variance of a value around what the surrogate can say, as a share of its amplitude."""


LEAST_AMPLITUDE = 1e-3
"""As a share of the squared range of the values: where nearly all are equal, the next one may yet
be another."""


TAIL_DEGREES, WIDTH = 4, 0.82
"""Errors have heavier tails than a normal distribution: Student's t, so much narrower than the
standard deviation. Of 2,070 molecules that `rank` proposed on four tasks, half of the errors were
below 0.58 standard deviations, and nine of ten below 1.76."""


BOX_IN_SDS = 5.15
"""Width of a space's box in standard deviations of the encodings: it leaves out half a percent at
each end."""


MOST_LEFT_OUT = 500
"""Molecules, chosen at random, on which `auto` compares kernels."""


def leave_one_out(model: SingleTaskGP) -> tuple[Tensor, Tensor, Tensor]:
    """What a Gaussian process says of each of its own values, given all the others.

    Returns:
        Mean, standard deviation (of the value, noise included) and log density, each `n`, in the
        units that the model was given.

    References:
        Sundararajan and Keerthi (2001), doi:10.1162/08997660151134343.
    """
    with torch.no_grad():
        x, y = model.train_inputs[0], model.train_targets
        k = model.covar_module(x).to_dense()
        k = k + model.likelihood.noise * torch.eye(len(x), dtype=k.dtype)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(k))
        precision = inverse.diagonal()
        mean = y - (inverse @ (y - model.mean_module(x))) / precision
        sd = precision.rsqrt()
        log_density = -0.5 * ((y - mean) / sd) ** 2 - sd.log() - 0.5 * math.log(2 * math.pi)
        return mean, sd, log_density


def one_step_ahead_errors(model: SingleTaskGP) -> Tensor:
    """How far each value lay from what its predecessors had said of it, in standard deviations.

    The model's own hyperparameters are taken for known; values are in the order of its data.
    """
    with torch.no_grad():
        x, y = model.train_inputs[0], model.train_targets
        k = model.covar_module(x).to_dense()
        k = k + model.likelihood.noise * torch.eye(len(x), dtype=k.dtype)
        off = (y - model.mean_module(x))[:, None]
        factor = torch.linalg.cholesky(k)
        errors: Tensor = torch.linalg.solve_triangular(factor, off, upper=False)[:, 0]
        return errors


def coverage(model: SingleTaskGP, shares: Sequence[float] = (0.5, 0.8, 0.95)) -> dict[float, float]:
    """Is the surrogate as sure as it may be? Leave-one-out intervals against what they hold.

    Args:
        model: With its data.
        shares: Of probability, each in (0, 1), that central intervals are meant to hold.

    Returns:
        For each share, the share of the model's own values that lie in the interval which it gives
        them, knowing all the others: more is underconfident, less overconfident.
    """
    mean, sd, _ = leave_one_out(model)
    off = ((model.train_targets - mean) / sd).abs()
    held = torch.erf(off / math.sqrt(2))  # the smallest central interval that holds the value
    return {share: float((held <= share).double().mean()) for share in shares}


@contextmanager
def reproducible(seed: int = 0) -> Iterator[None]:
    """Compute with BoTorch so that only the seed decides: one at a time, on one thread, quietly.

    BoTorch draws from torch's global generator and changes the process's warning filters and
    settings, so only one thread of a process may be inside; others wait. The matrices of a campaign
    are small: more threads make fitting several times slower when cores are shared, and the order
    of summation, hence the last bits of a proposal, would depend on their number. Warnings other
    than molvae's are held back: given molecules may lie outside the box, and jitter on the diagonal
    is how nearly equal latent vectors are meant to be handled.

    Args:
        seed: Of whatever is drawn inside from torch's global generator.
    """
    with seeded(seed), threads(1), warnings.catch_warnings():
        own: Any = next(
            (
                action
                for action, text, kind, module, line in warnings.filters
                if issubclass(MolvaeWarning, kind) and not (text or module or line)
            ),
            "default",
        )
        warnings.simplefilter("ignore")
        warnings.simplefilter(own, MolvaeWarning)
        yield


__all__ = [
    "CHOICES",
    "KERNELS",
    "coverage",
    "fit_gp",
    "leave_one_out",
    "molecule_gp",
    "one_step_ahead_errors",
    "predict_gp",
    "predictions",
    "reproducible",
]
