"""What a prior is, and the simplest one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class Prior(nn.Module, ABC):
    """A distribution over codes: z, or z and conditions."""

    kind: str
    dim: int
    """Numbers of a code."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Natural logarithm of the density at `n x dim`, float32; `n`."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n x dim`, float32; the same for the same state of the generator."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `make_prior` needs to build it without weights, ready for JSON."""


class Normal(Prior):
    """N(0, I)."""

    kind = "normal"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        return torch.randn(n, self.dim, generator=generator, dtype=torch.float32)

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        return {"kind": self.kind, "dim": self.dim}


__all__ = ["Normal", "Prior"]
