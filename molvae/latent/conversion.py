"""Convert molecules to ids and vectors, and vectors to tokens and molecules, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from molvae.chem.molecules import canonical, list_of_smiles
from molvae.chem.vocabulary import PAD
from molvae.errors import ConfigError, InvalidMoleculeError, TooLongError, UnknownTokenError, warn
from molvae.model.decoding import decode_with_log_prob

if TYPE_CHECKING:
    from molvae.chem.representations import Representation
    from molvae.latent.space import LatentSpace

BATCH = 512
"""Molecules that go through the network together."""


def map_molecules(
    space: LatentSpace,
    smiles: Sequence[str],
    work: Callable[[Tensor], Tensor],
    width: int,
    skip_unknown: bool,
) -> Tensor:
    """Apply a function of ids to molecules, `n x width`, float64; see `LatentSpace.encode`."""
    require_vectors(space)
    molecules = [canonical(text) for text in list_of_smiles(smiles)]
    rows = try_token_ids(space, molecules)
    if not skip_unknown and None in rows:
        space.token_ids(molecules[rows.index(None)])  # raises
    if skipped := rows.count(None):
        warn(
            f"{skipped} of {len(rows)} molecules skipped: {space.title} cannot read them; their "
            "vectors are NaN"
        )
    found = torch.full((len(rows), width), torch.nan, dtype=torch.float64)
    # Sorted by length, so that batches hold little padding.
    places = sorted((i for i, row in enumerate(rows) if row), key=lambda i: len(rows[i] or ()))
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        ids = pad_on_device(space, [rows[i] or () for i in part])
        with torch.inference_mode():
            made = work(ids)
        found[part] = made.double().cpu()
    return found


def try_token_ids(space: LatentSpace, molecules: Iterable[str]) -> list[tuple[int, ...] | None]:
    """Ids of each canonical SMILES; None for molecules that the model cannot read."""
    rows: list[tuple[int, ...] | None] = []
    for molecule in molecules:
        try:
            rows.append(space.token_ids(molecule))
        except (UnknownTokenError, TooLongError, InvalidMoleculeError):
            rows.append(None)
    return rows


def write_tokens(
    space: LatentSpace, z: Tensor, *, noise: float, temperature: float, seed: int | None
) -> tuple[list[list[str]], list[float]]:
    """The tokens that the decoder writes at each vector, and its confidence in them.

    See `LatentSpace.decode_with_confidence`.
    """
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"temperature must not be negative, got {temperature}")
    rows, confidence = list[list[str]](), list[float]()
    for part in torch.split(z, BATCH):
        code = part.float().to(space.device)
        decoded = decode_with_log_prob(
            space.model, code, noise=noise, temperature=temperature, seed=seed
        )
        written = [space.vocabulary.decode(row) for row in decoded.ids.tolist()]
        rows += written
        # A merged token counts for as many as it holds: few long tokens are no doubt.
        confidence += [
            nats / (len(tokens) + 1)
            for nats, tokens in zip(decoded.log_prob.tolist(), written, strict=True)
        ]
        seed = None if seed is None else seed + 1
    return rows, confidence


def to_molecule(representation: Representation, tokens: Sequence[str]) -> str | None:
    """Canonical SMILES of tokens; None where they are not a molecule."""
    try:
        return representation.detokenize(tokens)
    except InvalidMoleculeError:
        return None


def check_vectors(space: LatentSpace, z: Tensor, *, finite: bool = True) -> Tensor:
    """Vectors as `n x dim`, float64, on the CPU.

    Raises:
        ConfigError: Wrong shape, or numbers that are not finite where they have to be.
    """
    if not isinstance(z, Tensor):
        try:
            z = torch.from_numpy(np.array(z, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"z must be n x {space.dim} numbers ({error})") from error
    z = z.to("cpu", torch.float64)
    if z.is_inference() and not torch.is_inference_mode_enabled():
        z = z.clone()  # gradients do not flow through tensors of that mode
    z = z[None] if z.ndim == 1 else z
    if z.ndim != 2 or z.shape[1] != space.dim:
        raise ConfigError(f"z must be n x {space.dim}, got {' x '.join(map(str, z.shape))}")
    if finite and not bool(torch.isfinite(z).all()):
        raise ConfigError("z holds numbers that are not finite; leave those rows out")
    return z


def require_vectors(space: LatentSpace) -> None:
    """Refuse a language model.

    Raises:
        ConfigError: The model has no vectors.
    """
    if space.dim == 0:
        raise ConfigError(
            f"{space.title} is a language model: it generates molecules, and has no vectors to "
            "encode to or decode from; take a model with latent_dim above 0"
        )


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one int64 tensor, padded on the right."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


def pad_on_device(space: LatentSpace, rows: Sequence[Sequence[int]]) -> Tensor:
    """`pad` on the device of the network."""
    return pad(rows).to(space.device)


__all__ = [
    "BATCH",
    "check_vectors",
    "map_molecules",
    "pad",
    "pad_on_device",
    "require_vectors",
    "to_molecule",
    "try_token_ids",
    "write_tokens",
]
