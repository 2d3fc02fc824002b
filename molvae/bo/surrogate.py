"""Gaussian processes over latent vectors, and over molecules as rows `[z | counts]`.

BoTorch's `Model` is the interface. Knows no molecules: kernels read their columns of the features
through `active_dims`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from botorch.exceptions.warnings import InputDataWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from gpytorch.kernels import (
    AdditiveKernel,
    Kernel,
    LinearKernel,
    MaternKernel,
    ProductKernel,
    ScaleKernel,
)
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ZeroMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from molvae.bo.kernels import MinMaxKernel


def fit_gp(z: Tensor, y: Tensor, bounds: Tensor) -> SingleTaskGP:
    """A Gaussian process with an RBF kernel, its hyperparameters at their posterior mode.

    Inputs are scaled to the unit cube and values standardised. The length scales have BoTorch's
    default prior, whose mode grows with the square root of the dimension; without it a GP in 64
    dimensions learns nothing.

    Args:
        z: Latent vectors, `n x d`, float64.
        y: Values, `n x m`, larger is better; each column is an independent output.
        bounds: The box, `2 x d`.

    References:
        Hvarfner et al. (2024), Vanilla Bayesian optimization performs great in high dimensions,
        arXiv:2402.02229.
    """
    with one_thread(), quiet(), torch.enable_grad():
        model = SingleTaskGP(
            z,
            y,
            input_transform=Normalize(d=z.shape[-1], bounds=bounds),
            outcome_transform=Standardize(m=y.shape[-1]),
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def molecule_gp(x: Tensor, y: Tensor, bounds: Tensor, *, kind: str) -> SingleTaskGP:
    """A Gaussian process over molecules with fixed hyperparameters: nothing is fitted.

    Far from all data it says 0 with standard deviation 1. With values scaled to [0, 1] that is the
    worst seen, give or take the whole range: a prior of that width neither ends an exploration
    early nor drowns what was learned.

    Args:
        x: `[z | counts]`, `n x (d + f)`, float64.
        y: Values, `n x 1`.
        bounds: The box of z, `2 x d`.
        kind: `structure`: MinMax similarity of the counts. `latent`: Matern-5/2 on z, with a length
            scale of `sqrt(d)` standard deviations of the encodings. `linear`: inner products of z.
            `sum`, `product`: of structure and latent. `auto`: that of the others under which each
            value is likeliest given all the rest.

    References:
        Tripp et al. (2021), NeurIPS workshop AI for Science (fixed hyperparameters, Tanimoto);
        Sundararajan and Keerthi (2001), doi:10.1162/08997660151134343 (leave-one-out).
    """
    if kind == "auto":
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MOST_LEFT_OUT]
        few = {k: molecule_gp(x[chosen], y[chosen], bounds, kind=k) for k in KERNELS}
        kind = max(few, key=lambda k: float(leave_one_out(few[k])[2].mean()))
    d = bounds.shape[1]
    model = SingleTaskGP(
        x,
        y,
        covar_module=KERNELS[kind](d, x.shape[1], bounds),
        mean_module=ZeroMean(),
        likelihood=GaussianLikelihood(),
        outcome_transform=None,
    )
    model.likelihood.noise = NOISE
    return model.eval()


def _structure(d: int, columns: int, bounds: Tensor) -> Kernel:
    return MinMaxKernel(active_dims=tuple(range(d, columns)))


def _latent(d: int, columns: int, bounds: Tensor) -> Kernel:
    kernel = MaternKernel(nu=2.5, ard_num_dims=d, active_dims=tuple(range(d)))
    kernel.lengthscale = d**0.5 * (bounds[1] - bounds[0]) / BOX_IN_SDS
    return kernel


def _linear(d: int, columns: int, bounds: Tensor) -> Kernel:
    kernel = LinearKernel(ard_num_dims=d, active_dims=tuple(range(d)))
    kernel.variance = ((BOX_IN_SDS / (bounds[1] - bounds[0])) ** 2 / d)[None]
    return kernel


def _sum(*of: Any) -> Kernel:
    both = ScaleKernel(AdditiveKernel(_structure(*of), _latent(*of)))
    both.outputscale = 0.5
    return both


def _product(*of: Any) -> Kernel:
    return ProductKernel(_structure(*of), _latent(*of))


KERNELS: dict[str, Callable[[int, int, Tensor], Kernel]] = {
    "structure": _structure,
    "latent": _latent,
    "sum": _sum,
    "product": _product,
    "linear": _linear,
}
"""Kernels over `[z | counts]` by name, made for `d`, the number of columns and the box."""
NOISE = 1e-3
"""Variance of a value around what the surrogate can say, in units of the squared range."""
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread.

    The matrices of a campaign are small: more threads make fitting several times slower when cores
    are shared, and the order of summation, hence the last bits of a proposal, would depend on their
    number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings of BoTorch that a campaign's user can do nothing about.

    Given molecules may lie outside the box, a standardised column is exact only up to float error,
    and jitter on the diagonal is how nearly equal latent vectors are meant to be handled.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Data .* is not (contained|standardized)", InputDataWarning
        )
        warnings.filterwarnings("ignore", "A not p.d., added jitter", NumericalWarning)
        yield


__all__ = ["KERNELS", "fit_gp", "leave_one_out", "molecule_gp", "one_thread", "quiet"]
