"""From codes to tokens, one after the other: recurrent and transformer decoders.

Both see the code at every step, and beside it a vector that is linear in the code and depends on
the position. `logits` is for whole rows that are known, `step` for writing them; both say the same.
Shapes use n for the batch, t for the length of the longest row, c for the numbers of a code, e for
those of an embedded token and v for the number of tokens, specials included.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.errors import require
from molvae.model.cells import make_cells, memory, run_cells
from molvae.model.config import ModelConfig
from molvae.model.layers import Block

Read = Callable[..., tuple[Tensor, Tensor]]
"""The forward encoder: states of embedded tokens and what follows, see `RecurrentEncoder.read`."""


class DecoderState(NamedTuple):
    """The state of a decoder between two tokens."""

    parts: tuple[Tensor, ...]  # tensors with one row per sequence; each decoder has its own

    def rows(self, which: Tensor) -> DecoderState:
        """The state of some of the sequences."""
        return DecoderState(tuple(x[which] for x in self.parts))


class WholeRows(NamedTuple):
    """Known rows, of which a decoder gives the logits of every token at once."""

    before: Tensor  # the embedded previous tokens, hidden ones as zeros, `n x t x e`
    rows: Tensor  # the embedded rows themselves, `n x t x e`
    states: Tensor | None = None  # the forward encoder's states of these rows, if they are at hand


class Decoder(nn.Module, ABC):
    """Turns codes into logits.

    With noise conditioning, it is told how much noise the z of a code holds; see `SequenceVAE`.
    """

    @abstractmethod
    def start(self, code: Tensor, noise: Tensor | None) -> DecoderState:
        """The state before the first step, given codes `n x c` and noise levels of z, `n`."""

    @abstractmethod
    def step(self, x: Tensor, state: DecoderState, position: int) -> tuple[Tensor, DecoderState]:
        """Logits of the token at a position, `n x v`, and the next state.

        The embedded token before it is `n x e`; the first position is 0.
        """

    @abstractmethod
    def logits(self, code: Tensor, noise: Tensor | None, whole: WholeRows) -> Tensor:
        """Logits of every token of known rows, `n x t x v`; other arguments as for `start`."""


class PositionalProjection(nn.Module):
    """A linear projection of the code, another one at each position."""

    def __init__(self, code_dim: int, max_length: int, position_dim: int) -> None:
        super().__init__()
        self.shape = (max_length, position_dim)
        self.layer = affine(code_dim, max_length * position_dim)

    def forward(self, code: Tensor, position: int = 0) -> Tensor:
        """Project codes `n x t x c`, the first at a position, to `n x t x position_dim`."""
        steps = slice(position, position + code.shape[1])
        placed = torch.einsum(
            "ntd,tkd->ntk", code, self.layer.weight.view(*self.shape, code.shape[2])[steps]
        )
        return placed + self.layer.bias.view(self.shape)[steps]


class RecurrentDecoder(Decoder):
    """A layer of recurrent cells.

    With residual conditioning, each step sees the residual of the code: the code minus the part
    explained by the tokens so far, a sum over positions of projections of the forward encoder's
    states, as the encoder's pooling adds them up. The residual describes the tokens to come, which
    a recurrent decoder would otherwise have to learn to subtract.

    The parts of its state: the residual, `n x c`; its cells', see `run_cells`; the noise level, `n
    x 1`; with residual conditioning also the forward encoder's, which `read` gives, see
    `RecurrentEncoder.read`.
    """

    def __init__(
        self,
        config: ModelConfig,
        n_tokens: int,
        max_length: int,
        code_dim: int,
        read: Read | None = None,
    ) -> None:
        super().__init__()
        c = config
        self.config, self.read = config, read
        self.initial_state = affine(code_dim, c.decoder_dim)
        self.positional = PositionalProjection(code_dim, max_length, c.position_dim)
        if read is not None:
            self.explained = nn.Linear(c.encoder_dim, c.position_dim)
            self.explained_head = nn.Parameter(
                torch.normal(0.0, 0.02, (max_length, c.position_dim, code_dim))
            )
        if c.noise_conditioning:
            self.noise = nn.Linear(1, c.decoder_dim + c.position_dim, bias=False)
        width = c.embedding_dim + code_dim + c.position_dim
        self.cells = make_cells(c, width, c.decoder_dim)
        self.token_head = nn.Linear(c.decoder_dim, n_tokens)

    def start(self, code: Tensor, noise: Tensor | None) -> DecoderState:
        """See `Decoder`."""
        noise = code.new_zeros(len(code), 1) if noise is None else noise[:, None]
        hidden = self.initial_state(code)
        if self.config.noise_conditioning:
            hidden = hidden + self.noise(noise)[:, : self.config.decoder_dim]
        first = torch.tanh(hidden)
        if self.config.cell == "lstm":
            first = torch.cat([first, first], dim=1)
        width = 0 if self.read is None else memory(self.config, self.config.encoder_dim)
        return DecoderState((code, first, noise, code.new_zeros(len(code), width)))

    def step(self, x: Tensor, state: DecoderState, position: int) -> tuple[Tensor, DecoderState]:
        """See `Decoder`."""
        residual, hidden, noise, prefix = state.parts
        if self.read is not None and position > 0:
            states, prefix = self.read(x[:, None], prefix)
            residual = residual - self.explained(states[:, 0]) @ self.explained_head[position - 1]
        placed = self._placed(residual[:, None], noise, position)[:, 0]  # n x position_dim
        x = torch.cat([x, residual, placed], dim=1)
        out, hidden = run_cells(self.cells, x[:, None], hidden)
        return self.token_head(out[:, 0]), DecoderState((residual, hidden, noise, prefix))

    def logits(self, code: Tensor, noise: Tensor | None, whole: WholeRows) -> Tensor:
        """See `Decoder`."""
        x, rows, states = whole
        _, first, level, _ = self.start(code, noise).parts
        residual = code[:, None].expand(-1, x.shape[1], -1)  # n x t x c
        if self.read is not None:
            states = self.read(rows)[0] if states is None else states
            explained = torch.einsum(  # n x t x c
                "ntk,tkd->ntd", self.explained(states).float(), self.explained_head[: x.shape[1]]
            )
            # A step may only know the tokens before it: shifted by one.
            residual = residual - functional.pad(explained.cumsum(dim=1)[:, :-1], (0, 0, 1, 0))
        seen = torch.cat([x, residual, self._placed(residual, level, 0)], dim=2)
        out, _ = run_cells(self.cells, seen, first)
        logits: Tensor = self.token_head(out)
        return logits

    def _placed(self, residual: Tensor, noise: Tensor, position: int) -> Tensor:
        placed: Tensor = self.positional(residual, position)  # n x t x position_dim
        if self.config.noise_conditioning:
            placed = placed + self.noise(noise)[:, None, self.config.decoder_dim :]
        return placed


class TransformerDecoder(Decoder):
    """Blocks of attention, in which a token sees the code and the tokens before it.

    The parts of its state: the code, `n x c`; the level of the noise, `n x 1`; keys and values of
    each block for the tokens so far, `n x heads x t x (decoder_dim / heads)`.
    """

    def __init__(
        self,
        config: ModelConfig,
        n_tokens: int,
        max_length: int,
        code_dim: int,
        read: Read | None = None,
    ) -> None:
        super().__init__()
        c = config
        require(read is None, "residual_conditioning needs a recurrent decoder")
        self.config = config
        self.in_proj = nn.Linear(c.embedding_dim + code_dim + c.position_dim, c.decoder_dim)
        self.positional = PositionalProjection(code_dim, max_length, c.position_dim)
        self.positions = nn.Parameter(torch.normal(0.0, 0.02, (max_length, c.decoder_dim)))
        if c.noise_conditioning:
            self.noise = nn.Linear(1, c.decoder_dim + c.position_dim, bias=False)
        self.blocks = nn.ModuleList(Block(c.decoder_dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.decoder_dim)
        self.token_head = nn.Linear(c.decoder_dim, n_tokens)

    def start(self, code: Tensor, noise: Tensor | None) -> DecoderState:
        """See `Decoder`."""
        noise = code.new_zeros(len(code), 1) if noise is None else noise[:, None]
        c = self.config
        nothing = code.new_zeros(len(code), c.heads, 0, c.decoder_dim // c.heads)
        return DecoderState((code, noise, *[nothing] * (2 * c.layers)))

    def step(self, x: Tensor, state: DecoderState, position: int) -> tuple[Tensor, DecoderState]:
        """See `Decoder`."""
        code, noise, *seen = state.parts
        x = self._project_in(code[:, None], noise, x[:, None], position)
        kept: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, keys, values = block.step(x, *seen[2 * i : 2 * i + 2])
            kept += [keys, values]
        return self.token_head(self.norm(x[:, 0])), DecoderState((code, noise, *kept))

    def logits(self, code: Tensor, noise: Tensor | None, whole: WholeRows) -> Tensor:
        """See `Decoder`."""
        x, level = whole.before, self.start(code, noise).parts[1]
        x = self._project_in(code[:, None].expand(-1, x.shape[1], -1), level, x, 0)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.token_head(self.norm(x))
        return logits

    def _project_in(self, code: Tensor, noise: Tensor, x: Tensor, position: int) -> Tensor:
        """The first states from a position on: code and position join the tokens."""
        placed, width = self.positional(code, position), self.config.decoder_dim
        told = self.noise(noise)[:, None] if self.config.noise_conditioning else None
        if told is not None:
            placed = placed + told[..., width:]
        x = self.in_proj(torch.cat([x, code, placed], dim=2))
        x = x + self.positions[position : position + x.shape[1]]
        return x if told is None else x + told[..., :width]


DECODERS: dict[str, Callable[[ModelConfig, int, int, int, Read | None], Decoder]] = {
    "recurrent": RecurrentDecoder,
    "transformer": TransformerDecoder,
}
"""Decoders by the name in `ModelConfig.decoder`."""


def affine(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer; of no inputs, as a language model has them, its bias alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return nn.Linear(inputs, outputs)
