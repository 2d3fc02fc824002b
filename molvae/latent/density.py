"""How typical molecules are of a space, and whether they may be proposed.

A log-density of 64 units says little by itself. A percentile among reference codes says more: those
of molecules that the space itself generates, encoded as any other molecule. (Samples from the prior
would not do: encodings are means of posteriors, which lie further inside, so that any molecule
would look more typical than 99 % of the samples.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from molvae.chem.molecules import canonical, has_radicals, list_of_smiles
from molvae.config import check_seed
from molvae.errors import CheckpointError, warn, without_warnings
from molvae.latent.conversion import pad, vector_count
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated
from molvae.model.losses import importance_bound
from molvae.model.priors import Prior

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

N_REFERENCE_MOLECULES, REFERENCE_SEED = 500, 0
"""Generated molecules whose codes others are compared with."""
FILE_NAME = "reference.safetensors"
"""Name of the file in a model folder that holds the log-densities of these codes."""
DENSITY_BATCH_SIZE = 4096  # vectors that go through the prior together


@isolated()
def log_prob(space: LatentSpace, smiles: Sequence[str], *, k: int = 64, seed: int = 0) -> Tensor:
    """Importance-weighted lower bound on log p(molecule), `n`, nats.

    The mean over k samples of p(molecule | z) p(z) / q(z | molecule), with the learned prior;
    tighter with larger k (Burda et al. 2015, arXiv:1509.00519). For representations other than
    canonical SMILES it bounds the probability of the one sequence that the molecule is written as.
    Results of a molecule do not depend on the others, up to rounding. Errors as of
    `LatentSpace.encode`; ConfigError if k is below 1.
    """
    k, seed = vector_count(k, "k", least=1), check_seed(seed)
    rows = [space.token_ids(canonical(text)) for text in list_of_smiles(smiles)]
    bounds = torch.zeros(len(rows), dtype=torch.float64)
    if order := sorted(range(len(rows)), key=lambda i: len(rows[i])):
        ids = pad([rows[i] for i in order], space.device)
        bounds[order] = importance_bound(space.model, space.prior, ids, n_samples=k, seed=seed)
    return bounds


@isolated()
def outlier_score(
    space: LatentSpace,
    smiles: Sequence[str],
    *,
    k: int = 64,
    seed: int = 0,
    skip_unknown: bool = False,
) -> Tensor:
    """`-log_prob` per token, EOS included: the larger, the less typical; `n`, nats.

    Per token, since log p falls with every token: by log p itself many drug-like molecules are as
    atypical as a small one of a kind that the model never saw. A k of 8 separates kinds of
    molecules about as well as 64. The limits of likelihoods: Nalisnick et al. (2019),
    arXiv:1810.09136. Molecules that the model cannot read have an infinite score; with
    `skip_unknown` NaN, and one warning with the count. Other errors as for `log_prob`.
    """
    molecules = [canonical(text) for text in list_of_smiles(smiles)]
    readable = space.can_encode(molecules)
    if skip_unknown and not all(readable):
        warn(
            f"{readable.count(False)} of {len(readable)} molecules skipped: {space.title} cannot"
            " read them; their scores are NaN"
        )
    worst = torch.nan if skip_unknown else torch.inf
    scores = torch.full((len(molecules),), worst, dtype=torch.float64)
    known = list(compress(molecules, readable))
    bounds = space.log_prob(known, k=k, seed=seed)
    there = torch.tensor(readable, dtype=torch.bool)
    scores[there] = -bounds / torch.tensor(space.lengths(known))
    return scores


def encode_generated_molecules(space: LatentSpace) -> Tensor:
    """The reference codes, `n x dim`; rows of NaN for molecules that the model cannot read."""
    made = [m for m in space.generate(N_REFERENCE_MOLECULES, REFERENCE_SEED) if m is not None]
    with without_warnings():  # rows of NaN are dropped
        return space.encode(made, skip_unknown=True)


def log_density(prior: Prior, z: Tensor) -> Tensor:
    """Log-density of a prior, `n`, nats, float64; NaN for a row that is not finite.

    Gradients reach z, `n x d`, float64.
    """
    finite = torch.isfinite(z).all(dim=1)
    rows = z[finite].float()
    # The weights of the prior would have gradients as well.
    with torch.set_grad_enabled(z.requires_grad and torch.is_grad_enabled()):
        # zuko's flows do not take batches without rows.
        batches = torch.split(rows, DENSITY_BATCH_SIZE) if len(rows) else ()
        parts = [z.new_zeros(0), *(prior.log_prob(part).double() for part in batches)]
        found = z.new_full((len(z),), torch.nan, dtype=torch.float64)
        return found.masked_scatter(finite, torch.cat(parts))


class Reference:
    """The log-densities of reference codes, `n x d`, computed when first needed and then kept.

    Args:
        codes: Computes the codes.
        log_densities: Sorted, if they are known: a model folder may hold them.
    """

    def __init__(
        self, prior: Prior, codes: Callable[[], Tensor], log_densities: Tensor | None = None
    ) -> None:
        self.prior, self._codes, self.log_densities = prior, codes, log_densities

    @torch.no_grad()
    def computed(self) -> Tensor:
        """The log-densities."""
        if self.log_densities is None:
            found = log_density(self.prior, self._codes())
            self.log_densities = found[~found.isnan()].sort().values
        return self.log_densities

    @torch.no_grad()
    def percentile(self, z: Tensor) -> Tensor:
        """See `LatentSpace.density_percentile`."""
        references, densities = self.computed(), log_density(self.prior, z)
        if not len(references):
            return torch.full_like(densities, torch.nan)
        shares = 100 * torch.searchsorted(references, densities).double() / len(references)
        return torch.where(densities.isnan(), torch.nan, shares)

    def save(self, folder: Path) -> None:
        """Write the log-densities, if they are known, to a file of a model folder."""
        if self.log_densities is not None:
            (folder / FILE_NAME).write_bytes(save({"log_densities": self.log_densities}))


def stored_log_densities(folder: Path) -> Tensor | None:
    """The log-densities of reference codes in a model folder; None if it holds none.

    Raises:
        CheckpointError: The file cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return load_file(path)["log_densities"]
    except Exception as error:
        raise CheckpointError(f"{path} holds no densities: {error}") from error


class TypicalityScores(NamedTuple):
    """How typical molecules are of a space, each `n`, float64."""

    log_prob: Tensor
    """Bound on log p(molecule), nats; minus infinity for molecules that the model cannot read."""
    outlier_score: Tensor
    """`-log_prob` per token: the larger, the less typical."""
    percentile: Tensor
    """Density percentile of the encoding, from 0 to 100; NaN for unreadable molecules."""


@isolated()
def typicality(
    space: LatentSpaceProtocol, smiles: Sequence[str], *, k: int = 64, seed: int = 0
) -> TypicalityScores:
    """How typical molecules are of any space with a density.

    Args:
        smiles: SMILES in any form.
        k: Samples from each posterior, see `LatentSpace.log_prob`.

    Raises:
        ConfigError: k is below 1.
        InvalidMoleculeError: A text is not a molecule.
    """
    scores = space.outlier_score(smiles, k=k, seed=seed)
    readable = space.can_encode(smiles)
    there, known = torch.tensor(readable, dtype=torch.bool), list(compress(smiles, readable))
    log_prob, percentile = -scores, torch.full_like(scores, torch.nan)
    log_prob[there] *= torch.tensor(space.lengths(known))
    percentile[there] = space.density_percentile(space.encode(known))
    return TypicalityScores(log_prob, scores, percentile)


def proposable(space: LatentSpaceProtocol, smiles: str | None) -> bool:
    """Whether a molecule may be proposed: not None, and no radical unless `space.radicals`."""
    return smiles is not None and (getattr(space, "radicals", False) or not has_radicals(smiles))


def density_percentiles(
    space: LatentSpaceProtocol, smiles: Sequence[str], encodings: Tensor | None = None
) -> list[float | None]:
    """Density percentiles of the encodings of molecules, from 0 to 100.

    Of encodings, not of the vectors that molecules were decoded from: those may lie anywhere, while
    the molecules are typical.

    Args:
        space: Any; without a density all percentiles are None.
        smiles: Canonical SMILES.
        encodings: Encodings of the molecules, `n x d`, if they are at hand.

    Returns:
        None for molecules that the space cannot read.
    """
    if not hasattr(space, "density_percentile"):
        return [None] * len(smiles)
    if encodings is None:
        with without_warnings():  # None says it
            encodings = space.encode(smiles, skip_unknown=True)
    found = space.density_percentile(encodings).tolist()
    return [None if math.isnan(percentile) else percentile for percentile in found]
