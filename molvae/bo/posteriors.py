"""Moments, covariances and noise of the scores that any BoTorch model predicts."""

from __future__ import annotations

from typing import Any

import torch
from botorch.posteriors.gpytorch import GPyTorchPosterior
from torch import Tensor

from molvae.bo.exact_gp import ExactGP


def posterior_moments(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of the scores of molecules, `n` each."""
    if isinstance(model, ExactGP):
        return model.moments(x)
    posterior = model.posterior(x)
    return posterior.mean[:, 0], posterior.variance[:, 0].clamp_min(0).sqrt()


def posterior_covariance(posterior: Any) -> Tensor:
    """Joint covariance, `n x n`; diagonal for posteriors without one."""
    if isinstance(posterior, GPyTorchPosterior):
        covariance: Tensor = posterior.distribution.covariance_matrix.clone()
        return covariance
    diagonal: Tensor = posterior.variance[:, 0].diag()
    return diagonal


def measurement_variance(model: Any, x: Tensor, posterior: Any) -> Tensor:
    """Variance of a measurement around the modeled score."""
    if isinstance(model, ExactGP):
        return model.noise.median()
    if hasattr(model, "likelihood") and not hasattr(model, "outcome_transform"):
        noise: Tensor = model.likelihood.noise.median()
        return noise
    try:
        noisy = model.posterior(x, observation_noise=True)
    except (NotImplementedError, TypeError):
        return torch.zeros(())
    variance: Tensor = (noisy.variance - posterior.variance).median().clamp_min(1e-9)
    return variance
