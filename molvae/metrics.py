"""How good is a model: is it faithful, can it be sampled, is z used?

Everything is measured on molecules that the caller gives; which ones (held out or not) is the
caller's to say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

from molvae.chem.fingerprints import morgan_bits, tanimoto_pairs
from molvae.chem.mol import canonical
from molvae.errors import DataError
from molvae.latent import LatentSpace
from molvae.model.objectives import active_units, kl_to_normal


def evaluate(
    space: LatentSpace,
    smiles: Sequence[str],
    *,
    n_samples: int = 10_000,
    seed: int = 0,
    training: Collection[str] | None = None,
) -> dict[str, float]:
    """Measure a latent space on molecules, and on samples from its prior.

    Args:
        space: What is measured.
        smiles: Molecules that the model has not been trained on; those that it cannot read count as
            not reconstructed.
        n_samples: Draws from the prior.
        seed: Of the draws from posterior and prior.
        training: Canonical SMILES of the training molecules, for novelty.

    Returns:
        `molecules`: how many were given. `unreadable`: how many of them the model cannot read.
        `reconstruction`: share that greedy decoding of the posterior mean gives back exactly
            (canonical SMILES).
        `posterior_reconstruction`: the same for one draw from the posterior.
        `posterior_tanimoto`: mean Tanimoto similarity (Morgan, radius 2, 2,048 bits) of a molecule
            to the one decoded from a draw from its posterior.
        `kl`: nats per molecule, mean. `active_units`: of `latent_dim`, variance of the mean above
            0.01.
        `validity`, `uniqueness` (of the valid), `novelty` (of the distinct; NaN without
            `training`): of the samples.

    Raises:
        DataError: No molecules.
        InvalidMoleculeError: A text that is not a molecule.
    """
    if len(smiles) == 0:
        raise DataError("no molecules to evaluate on; give at least one")
    molecules = [canonical(text) for text in smiles]
    readable = space.readable(molecules)
    kept = [m for m, ok in zip(molecules, readable, strict=True) if ok]
    result: dict[str, float] = {
        "molecules": len(molecules),
        "unreadable": len(molecules) - len(kept),
    }
    mean, std = space.posterior(kept)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed)).double()
    from_mean, from_draw = space.decode(mean), space.decode(mean + noise * std)
    result["reconstruction"] = _equal(from_mean, kept) / len(molecules)
    result["posterior_reconstruction"] = _equal(from_draw, kept) / len(molecules)
    result["posterior_tanimoto"] = _similarity(from_draw, kept)
    result["kl"] = float(kl_to_normal(mean, 2 * std.log()).sum(dim=1).mean())
    result["active_units"] = active_units(mean)
    result["latent_dim"] = space.dim
    return result | _of_samples(space, n_samples, seed, training)


def _of_samples(
    space: LatentSpace, n: int, seed: int, training: Collection[str] | None
) -> dict[str, float]:
    drawn = space.decode(space.sample(n, seed=seed))
    valid = [molecule for molecule in drawn if molecule is not None]
    distinct = set(valid)
    novel = np.nan
    if training is not None and distinct:
        known = training if isinstance(training, set | frozenset) else set(training)
        novel = len(distinct - known) / len(distinct)
    return {
        "samples": n,
        "validity": len(valid) / n if n else np.nan,
        "uniqueness": len(distinct) / len(valid) if valid else np.nan,
        "novelty": novel,
    }


def _equal(decoded: Sequence[str | None], molecules: Sequence[str]) -> int:
    return sum(a == b for a, b in zip(decoded, molecules, strict=True))


def _similarity(decoded: Sequence[str | None], molecules: Sequence[str]) -> float:
    """Mean Tanimoto similarity; a row that decodes to nothing is similar to nothing."""
    pairs = [(a, b) for a, b in zip(decoded, molecules, strict=True) if a is not None]
    if not pairs:
        return np.nan
    there, here = zip(*pairs, strict=True)
    return float(tanimoto_pairs(morgan_bits(there), morgan_bits(here)).sum()) / len(molecules)
