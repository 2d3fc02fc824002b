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


__all__ = ["corrupted"]
