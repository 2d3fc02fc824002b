"""A space in which directions, walks, analogies and ascents have exact answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.toys import ToySpace


class Grid(ToySpace):
    """The toy space with a Gaussian prior of sd 3 around 0, and heads that read off its axes."""

    properties = ("a", "b", "distance")
    sd = 3.0

    def at(self, a: int, b: int, x: str) -> str:
        """The molecule HO-(CH2)a-X-(CH2)b-H; a and b from 1 to 9, X of `toys.FAMILIES`."""
        from molvae.chem.molecules import canonical

        return canonical("O" + "C" * a + x + "C" * b)

    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        return self.encode(smiles, skip_unknown=skip_unknown)

    def can_encode(self, smiles: Sequence[str]) -> list[bool]:
        return torch.isfinite(self.encode(smiles, skip_unknown=True)).all(dim=1).tolist()

    def property_head(self, z: Tensor) -> Tensor:
        """a, b, and the distance from (7, 2, S), where z is (2, -3, 1)."""
        return torch.cat([z[:, :2] + 5, super().property_head(z)], dim=1)

    def log_density(self, z: Tensor) -> Tensor:
        return -0.5 * (z / self.sd).square().sum(dim=1)

    def density_percentile(self, z: Tensor) -> Tensor:
        known = self.log_density(self._grid).sort().values
        return 100 * torch.searchsorted(known, self.log_density(z)).double() / len(known)


class Forgetful(Grid):
    """The same, but codes are those of molecules with one carbon more before X."""

    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        return self.encode(smiles, skip_unknown=skip_unknown) + torch.tensor([1.0, 0.0, 0.0])
