"""Random numbers of a row of ids: the same whatever rows are around it.

What is computed for a molecule with these does not depend on the other molecules of a list, on
their order, or on how many go through the network together.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from molvae.chem.vocabulary import PAD


def row_generators(ids: Tensor, seed: int) -> list[torch.Generator]:
    """A generator on the CPU for each row, `n x t`, seeded by its ids and a seed below 2**63."""
    key = seed.to_bytes(8, "little")
    made = []
    for row in ids.cpu().to(torch.int32).numpy():
        tokens = row[row != PAD].astype("<i4").tobytes()
        digest = hashlib.blake2b(tokens, digest_size=8, key=key).digest()
        made.append(torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1))
    return made


def row_noise(ids: Tensor, n_samples: int, width: int, seed: int) -> Tensor:
    """Standard normal numbers of rows, `n x n_samples x width`, float32, on the ids' device."""
    noise = torch.empty(len(ids), n_samples, width, dtype=torch.float32, device="cpu")
    for row, generator in zip(noise, row_generators(ids, seed), strict=True):
        row.normal_(generator=generator)
    return noise.to(ids.device)
