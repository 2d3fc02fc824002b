"""Gaussian processes with given hyperparameters, from one Cholesky factorization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import Kernel
from linear_operator import to_linear_operator
from torch import Tensor

MIN_AMPLITUDE_SHARE = 1e-3
"""Smallest amplitude as a share of the squared range: nearly equal values may differ next time."""


def min_amplitude(y: Tensor) -> Tensor:
    """The smallest amplitude of a process with such values."""
    spread = (y.max() - y.min()).square()
    return MIN_AMPLITUDE_SHARE * torch.where(spread > 0, spread, torch.ones_like(spread))


class ExactGP(Model):
    """Values with a constant prior mean and a kernel, measured with noise.

    BoTorch's `SingleTaskGP` with the same kernel predicts the same, but keeps several matrices of
    all molecules, in reference cycles that only a full garbage collection frees.

    Args:
        kernel: Correlations of molecules, without the amplitude.
        x: Features, `n x f`.
        y: Values, `n x 1`.
        mean: Prior mean.
        amplitude: Prior variance.
        noise: Variance of the measurements, or `n` of them.
        factor: The lower Cholesky factor of the correlations plus `noise / amplitude`, `n x n`.
    """

    def __init__(
        self,
        kernel: Kernel,
        x: Tensor,
        y: Tensor,
        *,
        mean: Tensor,
        amplitude: Tensor,
        noise: Tensor,
        factor: Tensor,
    ) -> None:
        super().__init__()
        self.kernel, self.x, self.y = kernel, x, y
        self.mean, self.amplitude, self.noise, self.factor = mean, amplitude, noise, factor
        self.whitened = torch.linalg.solve_triangular(factor, y - mean, upper=False)  # n x 1
        self.weights = torch.linalg.solve_triangular(factor.mT, self.whitened, upper=True)  # n x 1

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the model: one value."""
        return 1

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> Any:
        """The joint posterior of the values of molecules, `m x f`; see BoTorch's `Model`."""
        del output_indices  # there is one
        with torch.no_grad():
            across = self.kernel(X, self.x).to_dense()  # m x n
            mean = self.mean + (across @ self.weights)[:, 0]
            solved = torch.linalg.solve_triangular(self.factor, across.mT, upper=False)  # n x m
            covariance = self.amplitude * (self.kernel(X).to_dense() - solved.mT @ solved)
            if observation_noise is not False:
                own = self.noise.median() if observation_noise is True else observation_noise
                covariance.diagonal().add_(own.flatten())
        posterior = GPyTorchPosterior(MultivariateNormal(mean, to_linear_operator(covariance)))
        return posterior if posterior_transform is None else posterior_transform(posterior, X=X)

    def moments(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the values of molecules, `m` each, without covariances.

        For many molecules, of which `posterior` would make an `m x m` matrix.
        """
        with torch.no_grad():
            across = self.kernel(X, self.x).to_dense()  # m x n
            solved = torch.linalg.solve_triangular(self.factor, across.mT, upper=False)  # n x m
            left = self.kernel(X, diag=True) - solved.square().sum(dim=0)
            std = (self.amplitude * left).clamp_min(0).sqrt()
            return self.mean + (across @ self.weights)[:, 0], std

    def leave_one_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """Leave-one-out predictions, in closed form.

        Returns:
            Mean, standard deviation (noise included) and log density, each `n`.

        References:
            Sundararajan and Keerthi (2001), doi:10.1162/08997660151134343.
        """
        y = self.y[:, 0]
        precision = torch.cholesky_inverse(self.factor).diagonal() / self.amplitude
        mean = y - self.weights[:, 0] / self.amplitude / precision
        std = precision.rsqrt()
        log_density = -0.5 * ((y - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi)
        return mean, std, log_density

    def predicted_from_first(self, y: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, noise included, of later molecules of the data.

        They are those of a model of the first molecules alone, with its prior mean and amplitude.

        Args:
            y: Values of the first molecules, which may differ from those of the model.
            rows: Molecules after these.
        """
        n, middle = len(y), y.quantile(0.5)
        off = (y - middle)[:, None]
        whitened = torch.linalg.solve_triangular(self.factor[:n, :n], off, upper=False)[:, 0]
        amplitude = min_amplitude(y).clamp_min(whitened.square().mean())
        across = self.factor[list(rows)]
        mean = middle + across[:, :n] @ whitened
        variance = amplitude * (across.square().sum(dim=1) - across[:, :n].square().sum(dim=1))
        return mean, variance.sqrt()

    def one_step_ahead_errors(self) -> Tensor:
        """Error of each value as predicted from its predecessors, in standard deviations, `n`.

        The hyperparameters are those of the whole data. With `K = L L'`, errors are `L^-1 (y - m)`.
        """
        errors: Tensor = self.whitened[:, 0] / self.amplitude.sqrt()
        return errors
