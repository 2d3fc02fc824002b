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

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.chem.vocabulary import PAD, START
from molvae.config import ModelConfig

INITIAL_LOGVAR = -3.0
"""Posteriors start narrow, so that the decoder sees a signal in z from its first step."""


class SequenceVAE(nn.Module):
    """Recurrent encoder, Gaussian posterior, and a decoder that sees z at every step.

    Beside the textbook's end states, the encoder summarises its states by a projection that depends
    on the position, and by their average; the decoder is given, beside z, a vector that is linear
    in z and depends on the position. The encoder's projection is what makes the network learn fast:
    without it, all that z is to say of the middle of a sequence must survive to the end states.

    Args:
        config: Sizes.
        n_symbols: Size of the vocabulary, specials included.
        max_length: Longest row, stop included.
    """

    def __init__(self, config: ModelConfig, n_symbols: int, max_length: int) -> None:
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
        width = c.embedding_dim + c.latent_dim + c.position_dim
        self.decoder = nn.GRU(width, c.decoder_dim, batch_first=True)
        self.symbol_head = nn.Linear(c.decoder_dim, n_symbols)

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

    def start(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder knows before its first step.

        Args:
            z: `n x d`.

        Returns:
            The condition, `n x max_length x (d + position_dim)`, and the first state, `1 x n x
            decoder_dim`.
        """
        placed = self.place_condition(z).view(len(z), self.max_length, self.config.position_dim)
        everywhere = z[:, None].expand(-1, self.max_length, -1)
        condition = torch.cat([everywhere.to(placed.dtype), placed], dim=2)
        return condition, torch.tanh(self.initial_state(z))[None]

    def step(
        self, symbol: Tensor, condition: Tensor, state: Tensor, position: int
    ) -> tuple[Tensor, Tensor]:
        """One step of the decoder.

        Args:
            symbol: The one before, `n`.
            condition: From `start`.
            state: `1 x n x decoder_dim`.
            position: Of the symbol to come, 0 for the first.

        Returns:
            Logits of the symbol to come, `n x v`, and the next state.
        """
        x = torch.cat([self.embedding(symbol), condition[:, position]], dim=1)
        out, state = self.decoder(x[:, None], state)
        return self.symbol_head(out[:, 0]), state

    def logits(self, z: Tensor, ids: Tensor, *, word_dropout: float = 0.0) -> Tensor:
        """Logits of every symbol of the rows given z and the symbols before it.

        Args:
            z: `n x d`.
            ids: `n x t`, ended by stop, padded on the right.
            word_dropout: Share of the symbols that the decoder is not shown, so that it must look
                at z; drawn from torch's global generator.

        Returns:
            `n x t x v`.
        """
        before = functional.pad(ids[:, :-1], (1, 0), value=START)
        if word_dropout > 0:
            hidden = torch.rand(before.shape, device=ids.device) < word_dropout
            before = before.masked_fill(hidden, PAD)
        condition, state = self.start(z)
        x = torch.cat([self.embedding(before), condition[:, : ids.shape[1]]], dim=2)
        out, _ = self.decoder(x, state)
        logits: Tensor = self.symbol_head(out)
        return logits


def reparameterise(mean: Tensor, logvar: Tensor) -> Tensor:
    """Draw z from N(mean, exp(logvar)), gradients reach both; from torch's global generator."""
    return mean + torch.randn_like(mean) * (0.5 * logvar).exp()
