"""Kernels over molecules as rows `[z | descriptors | counts]`."""

from __future__ import annotations

from typing import Any

import torch
from gpytorch.kernels import Kernel
from torch import Tensor


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
        common = x1.new_zeros(*x1.shape[:-1], x2.shape[-2])
        a, b, level = x1.float(), x2.float(), 1
        while True:
            # min(x, y) is the number of levels that both reach, so the sum of minima is a product
            # of 0-1 matrices per level, exact in float32; few columns reach the higher ones.
            shared = (a.flatten(0, -2).amax(0) >= level) & (b.flatten(0, -2).amax(0) >= level)
            if not bool(shared.any()):
                break
            a, b = a[..., shared], b[..., shared]
            common += ((a >= level).float() @ (b >= level).float().mT).to(common.dtype)
            level += 1
        return _ratio(common, x1.sum(dim=-1)[..., :, None], x2.sum(dim=-1)[..., None, :])


class PrecomputedKernel(Kernel):  # type: ignore[misc]
    """A kernel with a precomputed matrix for some points.

    Args:
        kernel: For other points.
        x: The points, `n x f`; compared by identity.
        matrix: Of the points, `n x n`.
    """

    def __init__(self, kernel: Kernel, x: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.kernel, self.x, self.matrix = kernel, x, matrix

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """The matrix, or that of the kernel."""
        if not diag and x1 is self.x and x2 is self.x:
            return self.matrix
        found = self.kernel(x1, x2, diag=diag, **params)
        return found if isinstance(found, Tensor) else found.to_dense()


def _ratio(common: Tensor, a: Tensor, b: Tensor) -> Tensor:
    either = a + b - common
    return torch.where(either > 0, common / either.clamp_min(1.0), torch.ones_like(common))


__all__ = ["MinMaxKernel", "PrecomputedKernel"]
