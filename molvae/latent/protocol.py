"""What may be asked of a latent space by everything above this folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class LatentSpaceProtocol(Protocol):
    """An encoder, a decoder, and what is known of the vectors of molecules.

    `molvae.latent.space.LatentSpace` is one. Vectors are float64 on the CPU; order is kept, one for
    one. Strategies ask for the part down to `tuned`; a space that lacks the rest can be searched,
    but not explored.
    """

    @property
    def name(self) -> str:
        """What to load it by."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for equal weights: a campaign goes on only with the model that it began with."""
        ...

    @property
    def dim(self) -> int:
        """Dimensions of a latent vector, `d`."""
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

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draws from the prior, `n x d`, the same for the same seed."""
        ...

    def tuned(self, smiles: Sequence[str], *, seed: int = 0) -> LatentSpaceProtocol:
        """A space with the same encoder, whose decoder has learned molecules, best ones first."""
        ...

    def can_encode(self, smiles: Sequence[str]) -> list[bool]:
        """Whether each molecule can be encoded."""
        ...

    def lengths(self, smiles: Sequence[str]) -> list[int]:
        """Symbols of each molecule, the stop symbol included."""
        ...

    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """`n x d`, which decode to the molecules as far as such vectors are found."""
        ...

    def log_density(self, z: Tensor) -> Tensor:
        """Of the prior, `n`, in nats; differentiable."""
        ...

    def percentile(self, z: Tensor) -> Tensor:
        """Share of known encodings that are less dense, `n`, from 0 to 100; NaN if not known."""
        ...

    def outlier_score(self, smiles: Sequence[str], *, k: int = 64, seed: int = 0) -> Tensor:
        """Minus log p in nats per symbol, `n`; infinite for what cannot be read."""
        ...


__all__ = ["LatentSpaceProtocol"]
