"""The protocol of a latent space: all that modules above this folder may use of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from molvae.errors import ConfigError
from molvae.latent.branching import Branch
from molvae.model.checkpoint import PriorSource

BOX_WIDTH_IN_STDS = 5.15
"""Width of a space's box in standard deviations of the encodings; 0.5 % are outside each end."""


class LatentSpaceProtocol(Protocol):
    """An encoder, a decoder and a density; `molvae.latent.space.LatentSpace` is one.

    Vectors are float64 on the CPU; order is kept, one for one. Strategies need the members down to
    `tuned`, and use `branch` if there is one; a space without the others can be searched, but not
    explored.
    """

    @property
    def name(self) -> str:
        """Name to load it by."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal weights: a campaign resumes only with the model it began with."""

    @property
    def dim(self) -> int:
        """Dimensions of a latent vector, `d`."""

    @property
    def bounds(self) -> Tensor:
        """Box that holds the training molecules, `2 x d`, lower row first."""

    @property
    def properties(self) -> Sequence[str]:
        """Names of the columns of `property_head`; empty without heads."""

    def property_head(self, z: Tensor) -> Tensor:
        """Properties at latent vectors, `n x len(properties)`, differentiable."""

    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """Encodings, `n x d`; unreadable molecules raise, or are rows of NaN if `skip_unknown`."""

    def decode(self, z: Tensor) -> list[str | None]:
        """Canonical SMILES, None where there is no molecule."""

    def sample_prior(self, n: int, seed: int = 0, *, source: PriorSource | None = None) -> Tensor:
        """Samples from the prior, `n x d`; from its density alone with `density`, in less time."""

    def tuned(
        self,
        smiles: Sequence[str],
        *,
        weights: Sequence[float] | None = None,
        steps: int | None = None,
    ) -> LatentSpaceProtocol:
        """A copy with a decoder fine-tuned on molecules; `weights` weigh them."""

    def branch(
        self, smiles: Sequence[str], z: Tensor | None = None, *, seed: int = 0
    ) -> Sequence[Branch]:
        """Molecules that begin as given ones and end as decoded at z."""
        ...

    def can_encode(self, smiles: Sequence[str]) -> list[bool]:
        """Whether each molecule can be encoded."""

    def lengths(self, smiles: Sequence[str]) -> list[int]:
        """Number of tokens of each molecule, EOS included."""

    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        """Vectors that decode to the molecules where possible, `n x d`."""

    def log_density(self, z: Tensor) -> Tensor:
        """Log-density of the prior, `n`, nats; differentiable."""

    def density_percentile(self, z: Tensor) -> Tensor:
        """Share of reference encodings that are less dense, `n`, from 0 to 100; NaN if unknown."""

    def outlier_score(self, smiles: Sequence[str], *, k: int = 64, seed: int = 0) -> Tensor:
        """Minus log p in nats per token, `n`; infinite for molecules that cannot be read."""


def check_space(space: object) -> None:
    """ConfigError for what is no latent space, such as the name of one."""
    if not hasattr(space, "decode"):
        raise ConfigError(
            f"a latent space is needed, got {space!r}; load one first, e.g. molvae.load('druglike')"
        )
