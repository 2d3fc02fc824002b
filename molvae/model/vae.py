"""The sequence VAE: rows of integers to a Gaussian over z, and z back to rows of integers.

Knows torch and integers; nothing of molecules, files or training. Shapes use n for the batch, t for
the length of the longest row (stop included), d for the latent dimension, p for the number of
conditions and v for the number of symbols, specials included. What the decoder sees is a code, z
and then the conditions in standard deviations from the mean; without conditions a code is z.

References:
    Kingma and Welling (2013), arXiv:1312.6114 (VAE); Bowman et al. (2015), arXiv:1511.06349 (of
    sequences, word dropout); Gomez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572 (of
    molecules); Kang and Cho (2018), doi:10.1021/acs.jcim.8b00801 (of molecules, with conditions).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.chem.vocabulary import PAD, START
from molvae.config import ModelConfig

INITIAL_LOGVAR = -3.0
"""Posteriors start narrow, so that the decoder sees a signal in z from its first step."""


CONDITION_UNITS = 64
"""Numbers of the encoder's summary that the conditions are read off."""


class Inference(NamedTuple):
    """Codes drawn for rows, `draws` of each next to each other, and how likely it was to draw them.

    Gradients reach the encoder through all of it.
    """

    code: Tensor
    """`(n * draws) x code_dim`: z, then the conditions in standard deviations from the mean."""
    log_q: Tensor
    """`n * draws`, nats: log q(z | x, y) of the drawn z, plus log q(y | x) of drawn conditions."""
    mean: Tensor
    """Of the Gaussian that each z was drawn from, given the conditions of its code;
    `(n * draws) x d`."""
    logvar: Tensor
    """Likewise, natural logarithm of the variance."""
    y_mean: Tensor
    """Of q(y | x), `n x p`."""
    y_logvar: Tensor
    """Likewise, natural logarithm of the variance."""


class DecoderState(NamedTuple):
    """What the decoder knows between two symbols; one row for each sequence."""

    left: Tensor
    """What of the code has not been said yet, `n x code_dim`; all of it without `explain`."""
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

    With conditions, numbers known of some molecules and not of others, the encoder guesses them,
    q(y | x), and z is to say the rest: q(z | x, y) is a Gaussian whose parameters have a term that
    is linear in y, and the decoder sees both.

    Args:
        config: Sizes.
        n_symbols: Size of the vocabulary, specials included.
        max_length: Longest row, stop included.
        n_properties: How many numbers `properties` reads off codes.
        n_conditions: How many numbers of a code are conditions.
    """

    def __init__(
        self,
        config: ModelConfig,
        n_symbols: int,
        max_length: int,
        n_properties: int = 0,
        n_conditions: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.n_symbols, self.max_length = config, n_symbols, max_length
        self.n_conditions, self.code_dim = n_conditions, config.latent_dim + n_conditions
        c, code_dim = config, config.latent_dim + n_conditions
        summary = 2 * c.latent_dim + (CONDITION_UNITS if n_conditions else 0)
        self.embedding = nn.Embedding(n_symbols, c.embedding_dim, padding_idx=PAD)
        self.forwards = nn.GRU(c.embedding_dim, c.encoder_dim, batch_first=True)
        self.backwards = nn.GRU(c.embedding_dim, c.encoder_dim, batch_first=True)
        self.posterior_head = nn.Linear(4 * c.encoder_dim, summary)
        self.place = nn.Linear(2 * c.encoder_dim, c.position_dim)
        self.place_head = nn.Parameter(0.02 * torch.randn(max_length, c.position_dim, summary))
        self.initial_state = nn.Linear(code_dim, c.decoder_dim)
        self.place_condition = nn.Linear(code_dim, max_length * c.position_dim)
        if c.explain:
            self.said = nn.Linear(c.encoder_dim, c.position_dim)
            self.said_head = nn.Parameter(0.02 * torch.randn(max_length, c.position_dim, code_dim))
        if c.noise_levels:
            self.noise = nn.Linear(1, c.decoder_dim + c.position_dim, bias=False)
        width = c.embedding_dim + code_dim + c.position_dim
        self.decoder = nn.GRU(width, c.decoder_dim, batch_first=True)
        self.symbol_head = nn.Linear(c.decoder_dim, n_symbols)
        # Linear, so that a property is a direction in the latent space.
        self.property_head = nn.Linear(code_dim, n_properties) if n_properties else None
        if n_conditions:
            self.condition_head = nn.Linear(CONDITION_UNITS, 2 * n_conditions)
            self.given_conditions = nn.Linear(n_conditions, 2 * c.latent_dim, bias=False)
            nn.init.normal_(self.given_conditions.weight, std=0.02)

    def posterior(self, ids: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The Gaussian q(z | x, y) of each row; padding changes nothing.

        Args:
            ids: `n x t`, ended by stop, padded on the right.
            y: Conditions, `n x p`, in standard deviations from the mean; where they are NaN, and
                everywhere if it is None, the mean of q(y | x) stands in.

        Returns:
            Mean and natural logarithm of the variance, each `n x d`, float32.
        """
        summary = self._summary(ids)
        guess, _ = self._conditions(summary)
        return self._gaussian(summary, guess if y is None else torch.where(y.isnan(), guess, y))

    def conditions(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian q(y | x) of each row's conditions, in standard deviations from the mean.

        Args:
            ids: `n x t`, ended by stop, padded on the right.

        Returns:
            Mean and natural logarithm of the variance, each `n x p`, float32.
        """
        return self._conditions(self._summary(ids))

    def infer(self, ids: Tensor, y: Tensor | None = None, draws: int = 1) -> Inference:
        """Draw codes from q(z, y | x), or from q(z | x, y) where y is known.

        Draws come from torch's global generator: conditions first, where any is drawn, then z.

        Args:
            ids: `n x t`, ended by stop, padded on the right.
            y: Conditions, `n x p`, in standard deviations from the mean. Those that are NaN are
                drawn from q(y | x); None: all of them.
            draws: For each row.
        """
        summary = self._summary(ids)
        y_mean, y_logvar = self._conditions(summary)
        drawn, log_q_y = draw(*(_repeated(x, draws) for x in (y_mean, y_logvar)))
        if y is not None:
            known = _repeated(~y.isnan(), draws)
            drawn = torch.where(known, _repeated(y, draws), drawn)
            log_q_y = log_q_y.masked_fill(known, 0.0)
        mean, logvar = self._gaussian(_repeated(summary, draws), drawn)
        z, log_q_z = draw(mean, logvar)
        log_q = log_q_z.sum(dim=1) + log_q_y.sum(dim=1)
        return Inference(torch.cat([z, drawn], dim=1), log_q, mean, logvar, y_mean, y_logvar)

    def encode(self, ids: Tensor) -> Tensor:
        """The one code of each row, `n x code_dim`: the means of q(z | x, y) and of q(y | x)."""
        summary = self._summary(ids)
        y_mean, _ = self._conditions(summary)
        return torch.cat([self._gaussian(summary, y_mean)[0], y_mean], dim=1)

    def _gaussian(self, summary: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of q(z | x, y)."""
        both = summary[:, : 2 * self.config.latent_dim]
        if self.n_conditions:
            both = both + self.given_conditions(y).float()
        mean, logvar = both.chunk(2, dim=1)
        return mean, logvar + INITIAL_LOGVAR

    def _conditions(self, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of q(y | x); `n x 0` without conditions."""
        hidden = summary[:, 2 * self.config.latent_dim :]
        if not self.n_conditions:
            return hidden, hidden
        mean, logvar = self.condition_head(functional.gelu(hidden)).float().chunk(2, dim=1)
        return mean, logvar

    def _summary(self, ids: Tensor) -> Tensor:
        """What the encoder says of each row, float32."""
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
        sums = torch.einsum("ntk,tkd->nd", placed, self.place_head[: ids.shape[1]])
        said: Tensor = summary + sums
        return said

    def properties(self, code: Tensor) -> Tensor:
        """What a linear head reads off codes; `n x code_dim` to `n x n_properties`."""
        return (
            code.new_zeros(len(code), 0) if self.property_head is None else self.property_head(code)
        )

    def start(self, code: Tensor, noise: Tensor | None = None) -> DecoderState:
        """What the decoder knows before its first step.

        Args:
            code: `n x code_dim`.
            noise: Level of the noise in z, from 0 to 1, `n`; None for none. What was drawn with
                noise is `sqrt(1 - noise^2) * z + noise * N(0, I)`.
        """
        noise = code.new_zeros(len(code), 1) if noise is None else noise[:, None]
        hidden = self.initial_state(code)
        if self.config.noise_levels:
            hidden = hidden + self.noise(noise)[:, : self.config.decoder_dim]
        width = self.config.encoder_dim if self.config.explain else 0
        return DecoderState(code, torch.tanh(hidden), noise, code.new_zeros(len(code), width))

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
        code: Tensor,
        ids: Tensor,
        *,
        noise: Tensor | None = None,
        word_dropout: float = 0.0,
    ) -> Tensor:
        """Logits of every symbol of the rows given codes and the symbols before it.

        Args:
            code: `n x code_dim`.
            ids: `n x t`, ended by stop, padded on the right.
            noise: See `start`.
            word_dropout: Share of the symbols that the decoder is not shown, so that it must look
                at the code; drawn from torch's global generator. What is left of the code still
                tells of them.

        Returns:
            `n x t x v`.
        """
        before = functional.pad(ids[:, :-1], (1, 0), value=START)
        if word_dropout > 0:
            hidden = torch.rand(before.shape, device=ids.device) < word_dropout
            before = before.masked_fill(hidden, PAD)
        _, first, noise, _ = self.start(code, noise)
        left = code[:, None].expand(-1, ids.shape[1], -1)
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
        """The position-dependent view of `n x t x code_dim`, `n x t x position_dim`."""
        layer, shape = self.place_condition, (self.max_length, self.config.position_dim)
        steps = slice(position, position + left.shape[1])
        placed = torch.einsum("ntd,tkd->ntk", left, layer.weight.view(*shape, -1)[steps])
        placed = placed + layer.bias.view(shape)[steps]
        if self.config.noise_levels:
            placed = placed + self.noise(noise)[:, None, self.config.decoder_dim :]
        return placed


def draw(mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """Draw from N(mean, exp(logvar)); from torch's global generator.

    Returns:
        The draws, which gradients reach both through, and the logarithm of their density, unit by
        unit, in nats; of the arguments' shape.
    """
    noise = torch.randn_like(mean)
    log_density = -0.5 * (noise.square() + logvar + math.log(2 * math.pi))
    return mean + noise * (0.5 * logvar).exp(), log_density


def reparameterise(mean: Tensor, logvar: Tensor) -> Tensor:
    """Draw z from N(mean, exp(logvar)), gradients reach both; from torch's global generator."""
    return draw(mean, logvar)[0]


def blur(code: Tensor, noise: Tensor, latent_dim: int | None = None) -> Tensor:
    """Add noise at a level from 0 to 1, one for each row, to z; from torch's global generator.

    Args:
        code: `n x code_dim`.
        noise: Levels, `n`.
        latent_dim: How many numbers of the code are z; conditions stay as they are. None: all.
    """
    d = code.shape[1] if latent_dim is None else latent_dim
    z, y, level = code[:, :d], code[:, d:], noise[:, None]
    return torch.cat([(1 - level.square()).sqrt() * z + level * torch.randn_like(z), y], dim=1)


def _repeated(x: Tensor, draws: int) -> Tensor:
    """Each row so many times, next to each other."""
    return x if draws == 1 else x.repeat_interleave(draws, dim=0)
