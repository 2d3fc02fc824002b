"""Gaussian processes over latent vectors.

A surrogate is any function `(z, y, bounds) -> botorch Model`; BoTorch's `Model` is the interface.
Knows no molecules: a structure kernel will read its columns of the features through `active_dims`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from botorch.exceptions.warnings import InputDataWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor


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


__all__ = ["fit_gp", "one_thread", "quiet"]
