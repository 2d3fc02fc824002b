"""From embedded tokens to one vector for each row: recurrent and transformer encoders.

Both end in the same summary: their states are averaged and, beside that, added up by a projection
that depends on the position. That projection is what makes the network learn fast: without it, all
that z is to say of the middle of a sequence must survive to an end state or an average. Shapes use
n for the batch, t for the length of the longest row and e for the numbers of an embedded token.

References:
    Vaswani et al. (2017), arXiv:1706.03762 (transformers).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from molvae.model.cells import make_cells, run_cells
from molvae.model.config import ModelConfig
from molvae.model.layers import Block


class Pooling(nn.Module):
    """One vector for a row's states: linear in end states, their average, and sums by position.

    The position weighs projections of the states, of `position_dim` numbers.
    """

    def __init__(
        self, ends: int, states: int, position_dim: int, max_length: int, width: int
    ) -> None:
        super().__init__()
        self.head = nn.Linear(ends + states, width)
        self.position_proj = nn.Linear(states, position_dim)
        head = torch.normal(0.0, 0.02, (max_length, position_dim, width))
        self.position_head = nn.Parameter(head)

    def forward(self, states: Tensor, inside: Tensor, ends: Tensor | None = None) -> Tensor:
        """Pool `n x t x states`, in the rows `n x t`, and `n x ends`, to `n x width`, float32."""
        states = states * inside[..., None]  # n x t x states
        average = 3 * states.sum(dim=1) / inside.sum(dim=1, keepdim=True)  # 3: about as end states
        if ends is not None:
            average = torch.cat([ends, average.to(ends.dtype)], dim=1)
        placed = self.position_proj(states).float() * inside[..., None]
        weights = self.position_head[: states.shape[1]]
        sums = torch.einsum("ntk,tkd->nd", placed, weights)  # n x width
        summary: Tensor = self.head(average).float() + sums
        return summary


class RecurrentEncoder(nn.Module):
    """Recurrent cells in both directions."""

    def __init__(self, config: ModelConfig, max_length: int, width: int) -> None:
        super().__init__()
        c = config
        self.forwards = make_cells(c, c.embedding_dim, c.encoder_dim)
        self.backwards = make_cells(c, c.embedding_dim, c.encoder_dim)
        both = 2 * c.encoder_dim
        self.pooling = Pooling(both, both, c.position_dim, max_length, width)

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor | None]:
        """Summaries of rows, `n x width`, float32, and the states that `read` gives.

        Args:
            x: Embedded tokens, `n x t x e`.
            inside: Whether each is a token, not padding, `n x t`; padding is on the right.
        """
        lengths = inside.sum(dim=1, keepdim=True)
        steps = torch.arange(x.shape[1], device=x.device)
        # Each row is reversed within its own length, so that padding stays behind both directions.
        reverse = torch.where(inside, lengths - 1 - steps, steps)

        def reversed_rows(x: Tensor) -> Tensor:
            return x.gather(1, reverse[..., None].expand_as(x))

        there, _ = self.forwards(x)
        back, _ = self.backwards(reversed_rows(x))
        both = torch.cat([there, reversed_rows(back)], dim=2)
        last = (lengths - 1)[..., None].expand(-1, 1, there.shape[2])
        ends = torch.cat([there.gather(1, last)[:, 0], back.gather(1, last)[:, 0]], dim=1)
        return self.pooling(both, inside, ends), there

    def read(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States of the forward direction, `n x t x encoder_dim`, and the cells' state after them.

        The cells' state before them is None at the beginning of a row.
        """
        return run_cells(self.forwards, x, state)


class TransformerEncoder(nn.Module):
    """Blocks of attention, in which every token sees every other one of its row."""

    def __init__(self, config: ModelConfig, max_length: int, width: int) -> None:
        super().__init__()
        c = config
        self.in_proj = nn.Linear(c.embedding_dim, c.encoder_dim)
        self.positions = nn.Parameter(torch.normal(0.0, 0.02, (max_length, c.encoder_dim)))
        self.blocks = nn.ModuleList(Block(c.encoder_dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.encoder_dim)
        self.pooling = Pooling(0, c.encoder_dim, c.position_dim, max_length, width)

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor | None]:
        """Summaries of rows as for `RecurrentEncoder`, without states."""
        x = self.in_proj(x) + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x, inside[:, None, None])
        return self.pooling(self.norm(x), inside), None


ENCODERS: dict[str, Callable[[ModelConfig, int, int], nn.Module]] = {
    "recurrent": RecurrentEncoder,
    "transformer": TransformerEncoder,
}
"""Encoders by the name in `ModelConfig.encoder`; arguments: sizes, longest row, summary's width."""
