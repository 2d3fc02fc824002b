"""Corrupted inputs of the encoder and noise on z: similar texts get similar codes.

References:
    Shen et al. (2020), arXiv:1905.12777 (denoising adversarial autoencoders of text).
"""

from __future__ import annotations

import torch
from torch import Tensor

from molvae.chem.vocabulary import EOS, PAD, SPECIALS


def corrupted(
    ids: Tensor, share: float, n_tokens: int, generator: torch.Generator | None = None
) -> Tensor:
    """Rows `n x t`, in which a share of the tokens is left out or replaced, half of it each.

    A row keeps its stop; it may lose all other tokens. A generator of None is torch's global one.
    """
    if share == 0:
        return ids
    inside = (ids != PAD) & (ids != EOS)
    u = torch.rand(ids.shape, generator=generator, device=ids.device)
    others = torch.randint(
        len(SPECIALS), n_tokens, ids.shape, generator=generator, device=ids.device
    )
    ids = torch.where(inside & (u < share / 2), others, ids)
    gone = inside & (u >= share / 2) & (u < share)
    # A stable sort moves what stays to the left, in order.
    order = gone.to(torch.uint8).sort(dim=1, stable=True).indices
    return ids.masked_fill(gone, PAD).gather(1, order)


def add_noise(
    code: Tensor,
    noise: Tensor,
    latent_dim: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add noise at levels from 0 to 1, `n`, to z, the first `latent_dim` numbers of codes `n x c`.

    Conditions stay as they are. The generator is on the code's device; None for torch's global one.
    """
    d = code.shape[1] if latent_dim is None else latent_dim
    z, y, level = code[:, :d], code[:, d:], noise[:, None]
    more = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    return torch.cat([(1 - level.square()).sqrt() * z + level * more, y], dim=1)


def noise_some(
    code: Tensor,
    share: float,
    latent_dim: int | None = None,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    among: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Add noise to a share of the rows, at levels sampled uniformly from 0 to 1; codes and levels.

    The `n_samples` codes of a row lie next to each other and get the same level. With `among`, `n`
    booleans, the other rows stay as they are. The other arguments are as for `add_noise`.
    """
    if share == 0:
        return code, code.new_zeros(len(code))
    n, device = len(code) // n_samples, code.device
    level, chosen = (
        torch.rand(n, generator=generator, dtype=torch.float32, device=device) for _ in range(2)
    )
    noised = chosen < share if among is None else (chosen < share) & among
    level = (level * noised).repeat_interleave(n_samples)
    return add_noise(code, level, latent_dim, generator), level
