"""Local moves that stay plausible: molecules that begin as a given one and end as decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from molvae.chem.molecules import canonical, list_of_smiles
from molvae.chem.representations import Representation
from molvae.config import check_seed, later_seed
from molvae.errors import ConfigError
from molvae.latent.conversion import BATCH_SIZE, check_vectors, pad, to_molecule
from molvae.model.decoding import branch as branch_rows
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

NOISE_LEVEL = 0.1  # noise level that the decoder is told; 0 for models without noise conditioning
N_CHOICES, TEMPERATURE = 6, 3.0
"""Likeliest tokens among which the new one is sampled, and the temperature of the sample."""


class Branch(NamedTuple):
    """A molecule that was made from another one."""

    smiles: str | None  # canonical SMILES; None where the tokens as written are not a molecule
    log_prob: float  # mean log-probability of the new tokens under the decoder, nats per token


@isolated()
def branch(
    space: LatentSpace, smiles: Sequence[str], z: Tensor | None = None, *, seed: int = 0
) -> list[Branch]:
    """One new molecule for each given one: another token at a random place, then greedy decoding.

    Tokens that are not a molecule are not repaired, as `LatentSpace.decode` does: of the molecules
    that repair makes of branches, 7 % pass the default check of plausibility, of the others 50 %.

    Args:
        smiles: SMILES in any form, with repeats for several branches of a molecule.
        z: Vectors under which the rest is decoded, `n x dim`: by default the encodings of the
            molecules; those of other molecules make a crossover of both.

    Raises:
        InvalidMoleculeError, UnknownTokenError, TooLongError: As for `LatentSpace.encode`.
        ConfigError: Not one vector for each molecule, or as for `LatentSpace.decode`.
    """
    molecules, seed = [canonical(text) for text in list_of_smiles(smiles)], check_seed(seed)
    rows = [space.token_ids(molecule) for molecule in molecules]
    z = space.encode(molecules) if z is None else check_vectors(space, z)
    if len(z) != len(rows):
        raise ConfigError(f"{len(rows)} molecules, but {len(z)} vectors; give one for each")
    u = torch.rand(len(rows), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    places = (u * torch.tensor([len(row) for row in rows], dtype=torch.float64)).long()
    found: list[Branch] = []
    for start in range(0, len(rows), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        ids, log_prob = branch_rows(
            space.model,
            z[part].float().to(space.device),
            pad(rows[part], space.device),
            places[part].to(space.device),
            noise=NOISE_LEVEL if space.config.noise_conditioning else 0.0,
            n_choices=N_CHOICES,
            temperature=TEMPERATURE,
            seed=later_seed(seed, start),
        )
        written = map(space.vocabulary.decode, ids.tolist())
        found += [
            Branch(_as_written(space.representation, tokens), nats)
            for tokens, nats in zip(written, log_prob.tolist(), strict=True)
        ]
    return found


def _as_written(representation: Representation, tokens: Sequence[str]) -> str | None:
    if not representation.is_valid_as_written(tokens):
        return None
    return to_molecule(representation, tokens)
