"""The block that transformers are made of, over whole rows or one token at a time.

References:
    Vaswani et al. (2017), arXiv:1706.03762; Xiong et al. (2020), arXiv:2002.04745 (normalised
    before each part, which trains without much warm-up).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MLP_FACTOR = 4  # how much wider than a state the hidden layer of a block is


class Block(nn.Module):
    """Attention between the tokens of a row, then a layer for each token; both are added on."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, MLP_FACTOR * width),
            nn.GELU(),
            nn.Linear(MLP_FACTOR * width, width),
        )

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """The next states of whole rows, `n x t x width`.

        Which tokens are seen is broadcast to `n x heads x t x t`, the seen ones last; None for the
        tokens up to each one.
        """
        found = functional.scaled_dot_product_attention(
            *self._split(x), attn_mask=seen, is_causal=seen is None
        )
        return self._added(x, found)

    def step(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next state of the newest token, `n x 1 x width`, and keys and values with its own.

        Keys and values of the tokens before are `n x heads x t x (width / heads)`.
        """
        queries, key, value = self._split(x)
        keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
        found = functional.scaled_dot_product_attention(queries, keys, values)
        return self._added(x, found), keys, values

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each `n x heads x t x (width / heads)`."""
        qkv = self.qkv(self.norm(x)).unflatten(2, (3, self.heads, -1))  # n x t x 3 x heads x w
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # n x heads x t x w, each
        return queries, keys, values

    def _added(self, x: Tensor, found: Tensor) -> Tensor:
        x = x + self.proj(found.transpose(1, 2).flatten(2))  # n x t x width
        out: Tensor = x + self.mlp(x)
        return out
