"""Molecules to vectors and back: what every use of a latent space needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Codec(Protocol):
    """An encoder and a decoder; `molvae.latent.LatentSpace` is one.

    Vectors are float64 on the CPU; order is kept, one for one.
    """

    @property
    def name(self) -> str:
        """What to load it by."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in a latent vector, `d`."""
        ...

    @property
    def bounds(self) -> Tensor:
        """Box that holds the training molecules, `2 x d`, lower row first."""
        ...

    @property
    def properties(self) -> Sequence[str]:
        """What `predict` reads off vectors; empty if nothing."""
        ...

    def predict(self, z: Tensor) -> Tensor:
        """`n x len(properties)`, differentiable."""
        ...

    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """`n x d`; a molecule it cannot encode raises, or is a row of NaN if `skip_unknown`."""
        ...

    def decode(self, z: Tensor) -> list[str | None]:
        """Canonical SMILES, None where there is no molecule."""
        ...


__all__ = ["Codec"]
