"""The sequence VAE: rows of integers to a Gaussian over z, and z back to rows of integers.

Knows torch and integers; nothing of molecules, files or training. Shapes use n for the batch, t for
the length of the longest row (stop included), d for the latent dimension and v for the number of
symbols, specials included.

References:
    Kingma and Welling (2013), arXiv:1312.6114 (VAE); Bowman et al. (2015), arXiv:1511.06349 (of
    sequences, word dropout); Gomez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572 (of
    molecules).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.chem.vocabulary import PAD, START
from molvae.config import ModelConfig

INITIAL_LOGVAR = -3.0
"""Posteriors start narrow, so that the decoder sees a signal in z from its first step."""


class DecoderState(NamedTuple):
    """What the decoder knows between two symbols; one row for each sequence."""

    left: Tensor
    """What of z has not been said yet, `n x d`; z itself without `explain`."""
    hidden: Tensor
    """Of the decoder, `n x decoder_dim`."""
    noise: Tensor
    """Level of the noise in z, `n x 1`."""
    prefix: Tensor
    """Of the forward encoder on the symbols so far, `n x encoder_dim`; of no columns without
    `explain`."""

    def rows(self, which: Tensor) -> DecoderState:
        """The state of some of the sequences."""
        return DecoderState(*(x[which] for x in self))


class SequenceVAE(nn.Module):
    """Recurrent encoder, Gaussian posterior, and a decoder that sees z at every step.

    Beside the textbook's end states, the encoder summarises its states by a projection that depends
    on the position, and by their average; the decoder is given, beside z, a vector that is linear
    in z and depends on the position. The encoder's projection is what makes the network learn fast:
    without it, all that z is to say of the middle of a sequence must survive to the end states.

    With `explain`, the decoder sees at each step not z but what is left of it: from z is taken away
    what the symbols so far account for, a sum over positions of projections of the forward
    encoder's states, as the encoder itself adds them up. What is left speaks of the symbols to
    come, where a recurrent decoder would have to learn to subtract.

    With `noise_levels`, the decoder is told how much noise z holds, from 0, the z of one molecule,
    to 1, where z says nothing and the decoder is a language model. One network then is a family of
    generative models, p(z) p(x | z, noise): with little noise z names a molecule but p(z) is hard
    to draw from, with much noise the other way round.

    Args:
        config: Sizes.
        n_symbols: Size of the vocabulary, specials included.
        max_length: Longest row, stop included.
        n_properties: How many numbers `properties` reads off z.
    """

    def __init__(
        self, config: ModelConfig, n_symbols: int, max_length: int, n_properties: int = 0
    ) -> None:
        super().__init__()
        self.config, self.n_symbols, self.max_length = config, n_symbols, max_length
        c = config
        self.embedding = nn.Embedding(n_symbols, c.embedding_dim, padding_idx=PAD)
        self.forwards = nn.GRU(c.embedding_dim, c.encoder_dim, batch_first=True)
        self.backwards = nn.GRU(c.embedding_dim, c.encoder_dim, batch_first=True)
        self.posterior_head = nn.Linear(4 * c.encoder_dim, 2 * c.latent_dim)
        self.place = nn.Linear(2 * c.encoder_dim, c.position_dim)
        self.place_head = nn.Parameter(
            0.02 * torch.randn(max_length, c.position_dim, 2 * c.latent_dim)
        )
        self.initial_state = nn.Linear(c.latent_dim, c.decoder_dim)
        self.place_condition = nn.Linear(c.latent_dim, max_length * c.position_dim)
        if c.explain:
            self.said = nn.Linear(c.encoder_dim, c.position_dim)
            self.said_head = nn.Parameter(
                0.02 * torch.randn(max_length, c.position_dim, c.latent_dim)
            )
        if c.noise_levels:
            self.noise = nn.Linear(1, c.decoder_dim + c.position_dim, bias=False)
        width = c.embedding_dim + c.latent_dim + c.position_dim
        self.decoder = nn.GRU(width, c.decoder_dim, batch_first=True)
        self.symbol_head = nn.Linear(c.decoder_dim, n_symbols)
        # Linear, so that a property is a direction in the latent space.
        self.property_head = nn.Linear(c.latent_dim, n_properties) if n_properties else None

    def posterior(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian q(z | x) of each row; padding changes nothing.

        Args:
            ids: `n x t`, ended by stop, padded on the right.

        Returns:
            Mean and natural logarithm of the variance, each `n x d`, float32.
        """
        lengths = (ids != PAD).sum(dim=1, keepdim=True)
        steps = torch.arange(ids.shape[1], device=ids.device)
        inside = steps < lengths
        # Each row is reversed within its own length, so that padding stays behind both directions.
        reverse = torch.where(inside, lengths - 1 - steps, steps)

        def reversed_rows(x: Tensor) -> Tensor:
            return x.gather(1, reverse[..., None].expand_as(x))

        x = self.embedding(ids)
        there, _ = self.forwards(x)
        back, _ = self.backwards(reversed_rows(x))
        both = torch.cat([there, reversed_rows(back)], dim=2) * inside[..., None]
        last = (lengths - 1)[..., None].expand(-1, 1, self.config.encoder_dim)
        ends = torch.cat([there.gather(1, last)[:, 0], back.gather(1, last)[:, 0]], dim=1)
        average = 3 * both.sum(dim=1) / lengths  # times 3: about the spread of the end states
        summary = self.posterior_head(torch.cat([ends, average.to(ends.dtype)], dim=1)).float()
        placed = self.place(both).float() * inside[..., None]
        summary = summary + torch.einsum("ntk,tkd->nd", placed, self.place_head[: ids.shape[1]])
        mean, logvar = summary.chunk(2, dim=1)
        return mean, logvar + INITIAL_LOGVAR

    def properties(self, z: Tensor) -> Tensor:
        """What a linear head reads off z; `n x d` to `n x n_properties`."""
        return z.new_zeros(len(z), 0) if self.property_head is None else self.property_head(z)

    def start(self, z: Tensor, noise: Tensor | None = None) -> DecoderState:
        """What the decoder knows before its first step.

        Args:
            z: `n x d`.
            noise: Level of the noise in z, from 0 to 1, `n`; None for none. What was drawn with
                noise is `sqrt(1 - noise^2) * z + noise * N(0, I)`.
        """
        noise = z.new_zeros(len(z), 1) if noise is None else noise[:, None]
        hidden = self.initial_state(z)
        if self.config.noise_levels:
            hidden = hidden + self.noise(noise)[:, : self.config.decoder_dim]
        width = self.config.encoder_dim if self.config.explain else 0
        return DecoderState(z, torch.tanh(hidden), noise, z.new_zeros(len(z), width))

    def step(
        self, symbol: Tensor, state: DecoderState, position: int
    ) -> tuple[Tensor, DecoderState]:
        """One step of the decoder.

        Args:
            symbol: The one before, `n`; start at position 0.
            state: From `start` or the step before.
            position: Of the symbol to come, 0 for the first.

        Returns:
            Logits of the symbol to come, `n x v`, and the next state.
        """
        left, hidden, noise, prefix = state
        embedded = self.embedding(symbol)
        if self.config.explain and position > 0:
            _, last = self.forwards(embedded[:, None], prefix[None].contiguous())
            prefix = last[0]
            left = left - self.said(prefix) @ self.said_head[position - 1]
        placed = self._placed(left[:, None], noise, position)[:, 0]
        x = torch.cat([embedded, left, placed], dim=1)
        out, last = self.decoder(x[:, None], hidden[None].contiguous())
        return self.symbol_head(out[:, 0]), DecoderState(left, last[0], noise, prefix)

    def logits(
        self,
        z: Tensor,
        ids: Tensor,
        *,
        noise: Tensor | None = None,
        word_dropout: float = 0.0,
    ) -> Tensor:
        """Logits of every symbol of the rows given z and the symbols before it.

        Args:
            z: `n x d`.
            ids: `n x t`, ended by stop, padded on the right.
            noise: See `start`.
            word_dropout: Share of the symbols that the decoder is not shown, so that it must look
                at z; drawn from torch's global generator. What is left of z still tells of them.

        Returns:
            `n x t x v`.
        """
        before = functional.pad(ids[:, :-1], (1, 0), value=START)
        if word_dropout > 0:
            hidden = torch.rand(before.shape, device=ids.device) < word_dropout
            before = before.masked_fill(hidden, PAD)
        _, first, noise, _ = self.start(z, noise)
        left = z[:, None].expand(-1, ids.shape[1], -1)
        if self.config.explain:
            prefix, _ = self.forwards(self.embedding(ids))
            said = torch.einsum(
                "ntk,tkd->ntd", self.said(prefix).float(), self.said_head[: ids.shape[1]]
            )
            left = left - functional.pad(said.cumsum(dim=1)[:, :-1], (0, 0, 1, 0))
        x = torch.cat([self.embedding(before), left, self._placed(left, noise, 0)], dim=2)
        out, _ = self.decoder(x, first[None])
        logits: Tensor = self.symbol_head(out)
        return logits

    def _placed(self, left: Tensor, noise: Tensor, position: int) -> Tensor:
        """The position-dependent view of `n x t x d` from a position on, `n x t x position_dim`."""
        layer, shape = self.place_condition, (self.max_length, self.config.position_dim)
        steps = slice(position, position + left.shape[1])
        placed = torch.einsum("ntd,tkd->ntk", left, layer.weight.view(*shape, -1)[steps])
        placed = placed + layer.bias.view(shape)[steps]
        if self.config.noise_levels:
            placed = placed + self.noise(noise)[:, None, self.config.decoder_dim :]
        return placed


def reparameterise(mean: Tensor, logvar: Tensor) -> Tensor:
    """Draw z from N(mean, exp(logvar)), gradients reach both; from torch's global generator."""
    return mean + torch.randn_like(mean) * (0.5 * logvar).exp()


def blur(z: Tensor, noise: Tensor) -> Tensor:
    """Add noise at a level from 0 to 1, one for each row, to z; from torch's global generator."""
    level = noise[:, None]
    return (1 - level.square()).sqrt() * z + level * torch.randn_like(z)
