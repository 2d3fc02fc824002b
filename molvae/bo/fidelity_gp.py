"""One Gaussian process over molecules and fidelities.

Fidelity 0 is the objective, the others are lower ones in the order of the campaign's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.optimize import minimize  # type: ignore[import-untyped]
from torch import Tensor

from molvae.bo.base import Observations
from molvae.bo.exact_gp import ExactGP, min_amplitude
from molvae.bo.kernel_weights import MAX_LEARNED, subsample_best_and_random, weights_of
from molvae.bo.kernels import Columns, GramMatrices, terms, weighted_sum
from molvae.bo.surrogate import MIN_NOISE_SHARE, WEIGHTED_KERNELS
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS

FIT_STEPS = 30  # steps of L-BFGS for the parameters of fidelities
PRIOR_LOGIT, PRIOR_LOGIT_SPREAD = 1.0, 1.5
"""Prior of the logit of a correlation with the objective: a median of 0.73."""
PRIOR_SCALE_SPREAD = 0.5
"""Prior of the logarithm of a scale around 0: scores of each fidelity have a spread near 1."""
PRIOR_NOISE, PRIOR_NOISE_SPREAD = math.log(0.05), 1.5
"""Prior of the logarithm of the noise, as a share of the amplitude."""


class FidelityKernel(Kernel):  # type: ignore[misc]
    """A kernel of molecules times a matrix of covariances between fidelities.

    The intrinsic coregionalization model: `k((x, i), (x', j)) = k(x, x') B[i, j]`. The last column
    of the features is the number of the fidelity.

    References:
        Bonilla et al. (2007), Multi-task Gaussian process prediction, NeurIPS 20.
    """

    has_lengthscale = False

    def __init__(self, molecules: Kernel, covariances: Tensor) -> None:
        super().__init__()
        self.molecules, self.covariances = molecules, covariances

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Features `n x (f + 1)` and `m x (f + 1)` to `n x m`, or `n` of the diagonal."""
        pairs = self.covariances[x1[:, -1].long()][:, x2[:, -1].long()]
        if diag:
            own: Tensor = self.molecules(x1, x2, diag=True) * pairs.diagonal()
            return own
        whole: Tensor = self.molecules(x1, x2).to_dense() * pairs
        return whole


class FidelityGP(ExactGP):
    """A process of all fidelities; features without a fidelity, `n x f`, mean the objective.

    Its `noise` is that of the objective, `noises` of each fidelity.
    """

    noises: Tensor

    def posterior(self, X: Tensor, *arguments: Any, **settings: Any) -> Any:
        """The joint posterior of values, see `ExactGP`."""
        return super().posterior(self._placed(X), *arguments, **settings)

    def moments(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of values of the objective, see `ExactGP`."""
        return super().moments(self._placed(X))

    def _placed(self, x: Tensor) -> Tensor:
        return at_fidelity(x, 0) if x.shape[1] < self.x.shape[1] else x


def at_fidelity(x: Tensor, fidelity: int) -> Tensor:
    """Features of molecules, `n x f`, with the number of a fidelity in a further column."""
    return torch.cat([x, torch.full_like(x[:, :1], fidelity)], dim=1)


def multi_fidelity_gp(
    y: Tensor, fidelity: Tensor, gram: GramMatrices, *, kernel: str, n_fidelities: int
) -> FidelityGP:
    """A Gaussian process of scores at several fidelities.

    `B[i, j]` of `FidelityKernel` is `s_i s_j r_i r_j` between different fidelities, with positive
    correlations `r_i` with the objective and scales `s_i`; each fidelity has its own mean, by
    generalized least squares, since the molecules that are evaluated at the objective are a
    selection, and its own noise. All are at the maximum of the posterior; weights of the kernels
    are learned at the fidelity with most values.

    Args:
        y: Scores of `n` evaluations, each transformed by its own fidelity.
        fidelity: Numbers of their fidelities, and those of pending evaluations, `n + p`.
        gram: Of the features of the evaluated molecules, then of the pending ones, which count as
            measured at their predicted means.
        kernel: See `molecule_gp`.
        n_fidelities: Number of fidelities, the objective included.
    """
    x, n = gram.columns.x, len(y)
    if weighted := kernel == "weighted":
        kernel = "+".join(WEIGHTED_KERNELS)
    summands = terms(kernel, gram.columns)
    weights: Sequence[float] = [1 / len(summands)] * len(summands)
    with torch.no_grad():
        if weighted:
            often = int(torch.bincount(fidelity[:n]).argmax())
            rows = (fidelity[:n] == often).nonzero()[:, 0]
            weights, _ = weights_of(
                lambda x: torch.stack([one(x).to_dense() for one in summands]),
                kernel, x[rows], y[rows], None,
            )  # fmt: skip
        molecules = gram.weighted_sum(kernel, weights)
        covariances, shares = _learned(molecules[:n, :n], y, fidelity[:n], n_fidelities)
        matrix = molecules * covariances[fidelity][:, fidelity]
        matrix.diagonal().add_(shares[fidelity])
        factor = torch.linalg.cholesky(matrix[:n, :n])
        means, off = _centered(factor, y, fidelity[:n], n_fidelities)
        amplitude = off.square().mean().clamp_min(min_amplitude(y))
        y = (y - means[fidelity[:n]])[:, None]
        if len(fidelity) > n:
            y = torch.cat([y, matrix[n:, :n] @ torch.cholesky_solve(y, factor)])
            factor = torch.linalg.cholesky(matrix)
    features = torch.cat([x, fidelity[:, None].to(x)], dim=1)
    model = FidelityGP(
        FidelityKernel(weighted_sum(summands, weights), covariances),
        features,
        y + means[0],
        mean=means[0],
        amplitude=amplitude,
        noise=shares[0] * amplitude,
        factor=factor,
    )
    model.noises = shares * amplitude
    return model


def fidelity_gp(
    observations: Observations,
    scores: Tensor,
    train: Sequence[int],
    features: Callable[[Sequence[str], Tensor], Tensor],
    bounds: Tensor,
    *,
    kernel: str,
    max_observations: int,
    seed: int,
) -> FidelityGP:
    """`multi_fidelity_gp` of a campaign's data.

    Args:
        observations: The data.
        scores: Of the molecules evaluated at the objective, of which `train` are used, `n`.
        train: Indices of molecules.
        features: Features of molecules with their vectors.
        bounds: The box of z, `2 x d`.
        kernel: See `molecule_gp`.
        max_observations: Evaluations of each fidelity to use, at most.
        seed: Of their choice.
    """
    smiles, z, y = [observations.smiles[i] for i in train], observations.z[train], scores[train]
    data, values = [(0, smiles, z)], [y]
    for number, one in enumerate(observations.fidelities, 1):
        rows = subsample_best_and_random(one.y, max_observations, seed=seed)
        if rows:
            data.append((number, [one.smiles[i] for i in rows], one.z[rows]))
            values.append(ScoreTransform(one.y, "high", linear=False)(one.y)[rows])
    data.append((0, list(observations.pending_smiles), observations.pending_z))
    data += [
        (number, list(one.pending_smiles), one.pending_z)
        for number, one in enumerate(observations.fidelities, 1)
    ]
    data = [part for part in data if part[1]]
    x = torch.cat([features(smiles, z) for _, smiles, z in data])
    numbers = [number for number, smiles, _ in data for _ in smiles]
    return multi_fidelity_gp(
        torch.cat(values),
        torch.tensor(numbers),
        GramMatrices(Columns(bounds, len(DESCRIPTORS), x)),
        kernel=kernel,
        n_fidelities=1 + len(observations.fidelities),
    )


def _centered(factor: Tensor, y: Tensor, fidelity: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Means of the fidelities by generalized least squares, `n`, and whitened residuals."""
    one_hot = torch.nn.functional.one_hot(fidelity, n).to(y)
    design = torch.linalg.solve_triangular(factor, one_hot, upper=False)  # rows x fidelities
    white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
    ridge = 1e-6 * torch.eye(n, dtype=y.dtype)  # a fidelity may have no values
    means = torch.linalg.solve(design.mT @ design + ridge, design.mT @ white)
    return means[:, 0], (white - design @ means)[:, 0]


def _learned(
    molecules: Tensor, y: Tensor, fidelity: Tensor, n_fidelities: int
) -> tuple[Tensor, Tensor]:
    """Covariances between fidelities and shares of noise, at the maximum of the posterior."""
    rows = _subset(fidelity)
    molecules, y, fidelity = molecules[rows][:, rows], y[rows], fidelity[rows]
    lower = n_fidelities - 1

    def unpacked(theta: Tensor) -> tuple[Tensor, Tensor]:
        one = theta.new_ones(1)
        loading = torch.cat([one, theta[:lower].sigmoid()])
        scale = torch.cat([one, theta[lower : 2 * lower].exp()])
        between = torch.outer(loading, loading)
        between = between - torch.diag(between.diagonal()) + torch.eye(n_fidelities).to(theta)
        shares = (theta[2 * lower :].exp() + MIN_NOISE_SHARE) * scale.square()
        return between * torch.outer(scale, scale), shares

    def loss(values: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        theta = torch.tensor(values, dtype=y.dtype, requires_grad=True)
        with torch.enable_grad():
            covariances, shares = unpacked(theta)
            matrix = molecules * covariances[fidelity][:, fidelity] + torch.diag(shares[fidelity])
            factor = torch.linalg.cholesky(matrix)
            _, off = _centered(factor, y, fidelity, n_fidelities)
            total = factor.diagonal().log().sum() + len(y) / 2 * off.square().mean().log()
            total = total + (((theta - centers) / spreads).square() / 2).sum()
        total.backward()
        return float(total.detach()), theta.grad.numpy()  # type: ignore[union-attr]

    centers = torch.tensor(
        [PRIOR_LOGIT] * lower + [0.0] * lower + [PRIOR_NOISE] * n_fidelities, dtype=y.dtype
    )
    spreads = torch.tensor(
        [PRIOR_LOGIT_SPREAD] * lower
        + [PRIOR_SCALE_SPREAD] * lower
        + [PRIOR_NOISE_SPREAD] * n_fidelities,
        dtype=y.dtype,
    )
    bounds = [(float(c - 4 * s), float(c + 4 * s)) for c, s in zip(centers, spreads, strict=True)]
    found = minimize(
        loss, centers.numpy(), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": FIT_STEPS},
    )  # fmt: skip
    with torch.no_grad():
        return unpacked(torch.from_numpy(found.x).to(y))


def _subset(fidelity: Tensor) -> Tensor:
    """Rows to learn from, `MAX_LEARNED` at most: those of the objective before others."""
    if len(fidelity) <= MAX_LEARNED:
        return torch.arange(len(fidelity))
    mixed = torch.randperm(len(fidelity), generator=torch.Generator().manual_seed(0))
    first = mixed[fidelity[mixed] == 0][: MAX_LEARNED // 2]
    others = mixed[fidelity[mixed] != 0][: MAX_LEARNED - len(first)]
    return torch.cat([first, others]).sort().values
