"""How usual a molecule is to a space: where its code lies, and how likely it is to be written.

A log-density of 64 units says little by itself. What says something is how many codes of molecules
are less dense: those of molecules that the space itself makes, encoded as any other molecule.
(Draws from the prior would not do: encodings are means of posteriors, which lie further inside, so
that any molecule would look more usual than 99 % of the draws.)

Knows priors and vectors; what makes molecules and encodes them is given.

References:
    Nalisnick et al. (2019), arXiv:1810.09136, on what likelihoods do not say of other data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple

import torch
from torch import Tensor

from molvae.chem.molecules import has_radicals
from molvae.errors import without_warnings
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated
from molvae.model.priors import Prior

REFERENCE = 500
"""Codes that others are compared with."""


SEED = 0
"""Of the molecules that these encode."""


AT_ONCE = 4096
"""Vectors that go through the prior together."""


def log_density(prior: Prior, z: Tensor) -> Tensor:
    """Natural logarithm of the prior's density; gradients reach z.

    Args:
        prior: On the CPU.
        z: `n x d`, float64.

    Returns:
        `n`, float64; NaN for a row that is not finite.
    """
    finite = torch.isfinite(z).all(dim=1)
    rows = z[finite].float()
    # The weights of the prior would have gradients as well.
    with torch.set_grad_enabled(z.requires_grad and torch.is_grad_enabled()):
        # zuko's flows do not take batches without rows.
        batches = torch.split(rows, AT_ONCE) if len(rows) else ()
        parts = [z.new_zeros(0), *(prior.log_prob(part).double() for part in batches)]
        found = z.new_full((len(z),), torch.nan, dtype=torch.float64)
        return found.masked_scatter(finite, torch.cat(parts))


class Reference:
    """The log-densities of known codes, computed when first needed and then kept.

    Args:
        prior: Whose density it is.
        known: Makes the codes, `n x d`, rows of NaN for what has none.
    """

    def __init__(self, prior: Prior, known: Callable[[], Tensor]) -> None:
        self.prior, self._known = prior, known
        self._sorted: Tensor | None = None

    @torch.no_grad()
    def percentile(self, z: Tensor) -> Tensor:
        """Share of the known codes that are less dense than z, from 0 to 100.

        Args:
            z: `n x d`, float64.

        Returns:
            `n`, float64; NaN for a row that is not finite, and everywhere without known codes.
        """
        if self._sorted is None:
            found = log_density(self.prior, self._known())
            self._sorted = found[~found.isnan()].sort().values
        densities = log_density(self.prior, z)
        if not len(self._sorted):
            return torch.full_like(densities, torch.nan)
        below = torch.searchsorted(self._sorted, densities)
        shares = 100 * below.double() / len(self._sorted)
        return torch.where(densities.isnan(), torch.nan, shares)


class TypicalityScores(NamedTuple):
    """What a space says of molecules, each `n`, float64."""

    log_prob: Tensor
    """Bound on log p(molecule), nats; minus infinity for what the model cannot read."""
    outlier_score: Tensor
    """The same per symbol, with the other sign: the larger, the stranger."""
    percentile: Tensor
    """Of the encoding's density, from 0 to 100; NaN for what the model cannot read."""


@isolated()
def typicality(
    space: LatentSpaceProtocol, smiles: Sequence[str], *, k: int = 64, seed: int = 0
) -> TypicalityScores:
    """How usual molecules are to a space.

    Args:
        space: Of which they may be molecules.
        smiles: SMILES in any form.
        k: Draws from each posterior, see `LatentSpace.log_prob`.
        seed: Of the draws.

    Raises:
        ConfigError: k is below 1.
        InvalidMoleculeError: A text is not a molecule.
    """
    scores = space.outlier_score(smiles, k=k, seed=seed)
    readable = space.can_encode(smiles)
    there, known = torch.tensor(readable, dtype=torch.bool), list(compress(smiles, readable))
    log_prob, percentile = -scores, torch.full_like(scores, torch.nan)
    log_prob[there] *= torch.tensor(space.lengths(known))
    percentile[there] = space.percentile(space.encode(known))
    return TypicalityScores(log_prob, scores, percentile)


def proposable(space: LatentSpaceProtocol, smiles: str | None) -> bool:
    """Whether there is a molecule, and one of a kind that may be proposed.

    Radicals are none, unless the space says by its attribute `radicals` that it learned from them.

    Args:
        space: Any.
        smiles: Canonical SMILES, or None.
    """
    if smiles is None:
        return False
    return bool(getattr(space, "radicals", False)) or not has_radicals(smiles)


def density_percentiles(
    space: LatentSpaceProtocol, smiles: Sequence[str], encodings: Tensor | None = None
) -> list[float | None]:
    """Percentiles of the densities of encodings, see `LatentSpace.percentile`.

    Of encodings, and not of the vectors that molecules were made from: these may lie anywhere, and
    what they are decoded to may be quite usual.

    Args:
        space: Any; one without a density can say nothing.
        smiles: Canonical SMILES.
        encodings: Of them, `n x d`, if they are at hand.

    Returns:
        From 0 to 100; None for what the space cannot read, and everywhere if it has no density.
    """
    if not hasattr(space, "percentile"):
        return [None] * len(smiles)
    if encodings is None:
        with without_warnings():  # None says it
            encodings = space.encode(smiles, skip_unknown=True)
    found = space.percentile(encodings).tolist()
    return [None if math.isnan(percentile) else percentile for percentile in found]


__all__ = [
    "REFERENCE",
    "SEED",
    "Reference",
    "TypicalityScores",
    "density_percentiles",
    "log_density",
    "proposable",
    "typicality",
]
