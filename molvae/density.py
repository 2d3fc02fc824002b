"""How usual a point of a latent space is: its density under the prior, against known codes.

A log-density of 64 units says little by itself. What says something is how many codes of molecules
are less dense: those of molecules that the space itself makes, encoded as any other molecule.
(Draws from the prior would not do: encodings are means of posteriors, which lie further inside, so
that any molecule would look more usual than 99 % of the draws.)

Knows priors and vectors; what makes molecules and encodes them is given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
    parts = [prior.log_prob(part).double() for part in torch.split(rows, AT_ONCE)]
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


__all__ = ["REFERENCE", "SEED", "Reference", "log_density"]
