"""What the encoder reads may be less than the truth, so that near texts come to lie near.

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
    """Rows in which a share of the symbols is left out or replaced, half of it each.

    A row keeps its stop; one may lose all other symbols.

    Args:
        ids: `n x t`, ended by stop, padded on the right.
        share: Of the symbols, from 0 to 1.
        n_tokens: Size of the vocabulary, specials included.
        generator: Of the draws; torch's global one if it is None.
    """
    if share == 0:
        return ids
    inside = (ids != PAD) & (ids != EOS)
    draw = torch.rand(ids.shape, generator=generator, device=ids.device)
    others = torch.randint(
        len(SPECIALS), n_tokens, ids.shape, generator=generator, device=ids.device
    )
    ids = torch.where(inside & (draw < share / 2), others, ids)
    gone = inside & (draw >= share / 2) & (draw < share)
    # A stable sort moves what stays to the left, in order.
    order = gone.to(torch.uint8).sort(dim=1, stable=True).indices
    return ids.masked_fill(gone, PAD).gather(1, order)


def add_noise(
    code: Tensor,
    noise: Tensor,
    latent_dim: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add noise at a level from 0 to 1, one for each row, to z.

    Args:
        code: `n x code_dim`.
        noise: Levels, `n`.
        latent_dim: How many numbers of the code are z; conditions stay as they are. None: all.
        generator: Of the noise, on the code's device; None for torch's global generator.
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
) -> tuple[Tensor, Tensor]:
    """Noise at a level drawn evenly from 0 to 1 in the z of a share of the rows; and the levels.

    Args:
        code: `n * n_samples` codes; those of a row lie next to each other and get the same level.
        share: Of the rows.
        latent_dim: See `add_noise`.
        n_samples: Of each row.
        generator: Of levels and noise, on the code's device; None for torch's global generator.
    """
    if share == 0:
        return code, code.new_zeros(len(code))
    level, chosen = (
        torch.rand(
            len(code) // n_samples, generator=generator, dtype=torch.float32, device=code.device
        )
        for _ in range(2)
    )
    level = level * (chosen < share)
    level = level.repeat_interleave(n_samples) if n_samples > 1 else level
    return add_noise(code, level, latent_dim, generator), level


__all__ = ["add_noise", "corrupted", "noise_some"]
