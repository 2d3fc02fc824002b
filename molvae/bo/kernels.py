"""Kernels over molecules as rows `[z | descriptors | counts]`, by name and combined.

Each reads its columns through `active_dims`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gpytorch.kernels import (
    AdditiveKernel,
    Kernel,
    LinearKernel,
    MaternKernel,
    ProductKernel,
    ScaleKernel,
)
from torch import Tensor

from molvae.errors import UnknownNameError
from molvae.latent.protocol import BOX_WIDTH_IN_STDS


class MinMaxKernel(Kernel):  # type: ignore[misc]
    """MinMax similarity of counts: sum of minima over sum of maxima, in [0, 1], 1 on the diagonal.

    The Tanimoto kernel of counts, without a length scale.

    References:
        Ralaivola et al. (2005), doi:10.1016/j.neunet.2005.07.009; Tripp et al. (2023),
        arXiv:2306.14809.
    """

    has_lengthscale = False
    is_stationary = False

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Counts `... x n x f` and `... x m x f` to `... x n x m`, or `... x n` of the diagonal."""
        if diag:
            common = torch.minimum(x1, x2).sum(dim=-1)
            return _ratio(common, x1.sum(dim=-1), x2.sum(dim=-1))
        # min(x, y) is the number of levels that both reach, so the sum of minima is a product of
        # 0-1 matrices, exact in float32; few columns reach the higher levels.
        a, b, level = x1.float(), x2.float(), 1
        reached: list[tuple[Tensor, Tensor]] = []
        while True:
            shared = (a.flatten(0, -2).amax(0) >= level) & (b.flatten(0, -2).amax(0) >= level)
            if not bool(shared.any()):
                break
            a, b = a[..., shared], b[..., shared]
            reached.append((a >= level, b >= level))
            level += 1
        if not reached:
            common = x1.new_zeros(*x1.shape[:-1], x2.shape[-2])
        else:
            rows, columns = (torch.cat(side, dim=-1).float() for side in zip(*reached, strict=True))
            common = (rows @ columns.mT).to(x1.dtype)
        return _ratio(common, x1.sum(dim=-1)[..., :, None], x2.sum(dim=-1)[..., None, :])


def _ratio(common: Tensor, a: Tensor, b: Tensor) -> Tensor:
    either = (a + b).sub_(common)
    empty = either == 0  # a row of nothing is like another one
    return (common / either.clamp_min(1.0)).masked_fill_(empty, 1.0)


@dataclass(frozen=True)
class Columns:
    """Which columns of `[z | descriptors | counts]` are what, and the box of z, `2 x d`."""

    bounds: Tensor
    n_descriptors: int
    x: Tensor

    @property
    def z(self) -> tuple[int, ...]:
        """Columns of z."""
        return tuple(range(self.bounds.shape[1]))

    @property
    def described(self) -> tuple[int, ...]:
        """Columns of descriptors."""
        return tuple(range(len(self.z), len(self.z) + self.n_descriptors))

    @property
    def counts(self) -> tuple[int, ...]:
        """Columns of counts."""
        return tuple(range(len(self.z) + self.n_descriptors, self.x.shape[1]))

    @property
    def scale(self) -> Tensor:
        """Standard deviations of the encodings, `d`."""
        return (self.bounds[1] - self.bounds[0]) / BOX_WIDTH_IN_STDS


def _tanimoto(columns: Columns) -> Kernel:
    return MinMaxKernel(active_dims=columns.counts)


def _descriptors(columns: Columns) -> Kernel:
    kernel = MaternKernel(nu=2.5, active_dims=columns.described)
    kernel.lengthscale = 5.0
    return kernel


def _latent(columns: Columns) -> Kernel:
    kernel = MaternKernel(nu=2.5, ard_num_dims=len(columns.z), active_dims=columns.z)
    kernel.lengthscale = 2 * len(columns.z) ** 0.5 * columns.scale
    return kernel


def _linear(columns: Columns) -> Kernel:
    kernel = LinearKernel(ard_num_dims=len(columns.z), active_dims=columns.z)
    kernel.variance = (columns.scale**-2 / len(columns.z))[None]
    return kernel


KERNELS: dict[str, Callable[[Columns], Kernel]] = {
    "tanimoto": _tanimoto,
    "descriptors": _descriptors,
    "latent": _latent,
    "linear": _linear,
}
"""Kernels over `[z | descriptors | counts]` by name."""


def terms(name: str, columns: Columns) -> list[Kernel]:
    """The kernels of a sum such as `tanimoto*latent+descriptors`.

    Raises:
        UnknownNameError: A kernel is unknown.
    """
    factors = [[part.strip() for part in term.split("*")] for term in name.split("+")]
    for part in (part for term in factors for part in term):
        if part not in KERNELS:
            raise UnknownNameError("kernel", part, KERNELS)
    products = [[KERNELS[part](columns) for part in term] for term in factors]
    return [of[0] if len(of) == 1 else ProductKernel(*of) for of in products]


def weighted_sum(kernels: Sequence[Kernel], weights: Sequence[float]) -> Kernel:
    """A sum of kernels, each times its weight."""
    if len(kernels) == 1:
        return kernels[0]
    scaled = [ScaleKernel(kernel) for kernel in kernels]
    for kernel, weight in zip(scaled, weights, strict=True):
        kernel.outputscale = weight
    return AdditiveKernel(*scaled)


class GramMatrices:
    """Matrices of kernels between the same molecules; each is computed once.

    Args:
        columns: The molecules.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._found: dict[str, Tensor] = {}

    def weighted_sum(self, name: str, weights: Sequence[float]) -> Tensor:
        """The matrix of a sum of kernels, see `terms`, each times its weight, `n x n`."""
        parts = name.split("+")
        if len(parts) == 1:
            return self._matrix(name)
        total = self._matrix(parts[0]) * weights[0]
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            total += self._matrix(part) * weight
        return total

    def _matrix(self, part: str) -> Tensor:
        if part not in self._found:
            (kernel,) = terms(part, self.columns)
            self._found[part] = kernel(self.columns.x).to_dense()
        return self._found[part]
