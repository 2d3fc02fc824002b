"""Convert molecules to ids and vectors, and vectors to tokens and molecules, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from molvae.chem.molecules import CANONICAL_CACHE_SIZE, canonical, list_of_smiles
from molvae.chem.representations import Representation
from molvae.chem.vocabulary import EOS, PAD, Vocabulary
from molvae.config import whole_number
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    TooLongError,
    UnknownTokenError,
    require,
    warn,
)
from molvae.model.decoding import decode
from molvae.model.isolation import spawn_seed

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

BATCH_SIZE = 512  # molecules that go through the network together
MAX_VECTORS = 10_000_000  # vectors of one call, for the memory that they take


def vector_count(n: Any, name: str, *, least: int = 0) -> int:
    """A number of vectors or molecules of one call.

    Raises:
        ConfigError: Not a whole number, or out of range; `name` begins the message.
    """
    return whole_number(n, name, least=least, most=MAX_VECTORS)


class TokenIds:
    """Ids of canonical SMILES, EOS included; cached, since campaigns ask for the same ones again.

    A pickled one has an empty cache.
    """

    def __init__(self, writer: Representation, vocabulary: Vocabulary, max_length: int) -> None:
        self._settings = writer, vocabulary, max_length
        self._cached = lru_cache(maxsize=CANONICAL_CACHE_SIZE)(self._ids)

    def __reduce__(self) -> tuple[type[TokenIds], tuple[Representation, Vocabulary, int]]:
        return TokenIds, self._settings

    def __call__(self, molecule: str) -> tuple[int, ...]:
        """See `LatentSpace`."""
        return self._cached(molecule)

    def _ids(self, molecule: str) -> tuple[int, ...]:
        writer, vocabulary, max_length = self._settings
        ids = vocabulary.encode(writer.tokenize(molecule), molecule)
        if len(ids) >= max_length:
            raise TooLongError(molecule, len(ids), max_length - 1)
        return (*ids, EOS)


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
    known = sorted(((i, row) for i, row in enumerate(rows) if row), key=lambda one: len(one[1]))
    for start in range(0, len(known), BATCH_SIZE):
        places, few = zip(*known[start : start + BATCH_SIZE], strict=True)
        ids = pad(few, space.device)
        with torch.inference_mode():
            made = work(ids)
        found[list(places)] = made.double().cpu()
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


def check_sampling(space: LatentSpace, noise: float, temperature: float) -> None:
    """ConfigError for a noise level or a temperature that the model cannot sample with."""
    for name, value in (("noise", noise), ("temperature", temperature)):
        require(isinstance(value, Real), f"{name} must be a number, got {value!r}")
    require(0 <= noise <= 1, f"noise must lie in [0, 1], got {noise}")
    require(
        noise == 0 or space.config.noise_conditioning,
        f"{space.title} was trained without noise levels; give noise=0",
    )
    require(0 <= temperature < math.inf, f"temperature must be a number from 0, got {temperature}")


def write_tokens(
    space: LatentSpace, z: Tensor, *, noise: float, temperature: float, seed: int | None
) -> tuple[list[list[str]], list[float]]:
    """The tokens that the decoder writes at each vector, and its confidence in them.

    See `LatentSpace.decode_with_confidence`.
    """
    check_sampling(space, noise, temperature)
    rows, confidence = list[list[str]](), list[float]()
    for batch, part in enumerate(torch.split(z, BATCH_SIZE)):
        own = None if seed is None else spawn_seed(seed, batch) if batch else seed
        code = part.float().to(space.device)
        decoded = decode(space.model, code, noise=noise, temperature=temperature, seed=own)
        written = [space.vocabulary.decode(row) for row in decoded.ids.tolist()]
        rows += written
        # A merged token counts for as many as it holds: few long tokens are no doubt.
        confidence += [
            nats / (len(tokens) + 1)
            for nats, tokens in zip(decoded.log_prob.tolist(), written, strict=True)
        ]
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
            z = torch.from_numpy(np.array(z, dtype=None if np.iscomplexobj(z) else np.float64))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"z must be n x {space.dim} numbers ({error})") from error
    require(not z.is_complex(), f"z must be n x {space.dim} real numbers, got complex ones")
    z = (z if z.layout == torch.strided else z.to_dense()).to("cpu", torch.float64)
    z = z.reshape(0, space.dim) if z.shape == (0,) else z  # an empty list
    if z.is_inference() and not torch.is_inference_mode_enabled():
        z = z.clone()  # gradients do not flow through tensors of that mode
    z = z[None] if z.ndim == 1 else z
    require(
        z.ndim == 2 and z.shape[1] == space.dim,
        f"z must be n x {space.dim}, got {' x '.join(map(str, z.shape)) or 'a single number'}",
    )
    require(
        not finite or bool(torch.isfinite(z).all()),
        "z holds numbers that are not finite; leave those rows out",
    )
    return z


def require_vectors(space: LatentSpace) -> None:
    """Refuse a language model, which has no vectors."""
    require(
        space.dim > 0,
        f"{space.title} is a language model: it generates molecules, and has no vectors to "
        "encode to or decode from; take a model with latent_dim above 0",
    )


def pad(rows: Sequence[Sequence[int]], device: torch.device | None = None) -> Tensor:
    """Rows of ids as one int64 tensor, padded on the right."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD).to(device)
