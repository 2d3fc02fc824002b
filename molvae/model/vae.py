"""The sequence VAE: rows of integers to a distribution over codes, and codes back to rows.

Knows torch and integers; nothing of molecules, files or training. Rows of ids, `n x t`, end with
stop and are padded on the right; padding changes nothing. Shapes use n for the batch, t for the
length of the longest row (stop included), d for the latent dimension, p for the number of
conditions and v for the number of tokens, specials included. The decoder sees a code: z and then
the conditions, in standard deviations from the mean; without conditions a code is z.

References:
    Kingma and Welling (2013), arXiv:1312.6114 (VAE); Bowman et al. (2015), arXiv:1511.06349 (of
    sequences, word dropout); Gomez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572 (of
    molecules); Kang and Cho (2018), doi:10.1021/acs.jcim.8b00801 (of molecules, with conditions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.chem.vocabulary import BOS, PAD
from molvae.errors import lookup, require
from molvae.model.config import ModelConfig
from molvae.model.decoders import DECODERS, DecoderState, WholeRows
from molvae.model.encoders import ENCODERS
from molvae.model.posterior import Posterior, reparameterize

Noise = torch.Generator | Tensor | None
"""Source of random codes: a generator on the network's device; None for torch's global one; or
standard normal numbers, float32, `(n * n_samples) x code_dim`, laid out as codes."""


class EncoderOutput(NamedTuple):
    """Sampled codes, the `n_samples` of a row next to each other, and their log-density.

    Gradients reach the encoder through all of it.
    """

    code: Tensor  # `(n * n_samples) x code_dim`
    log_q: Tensor  # `n * n_samples`, nats: log q(z | x, y), plus log q(y | x) of sampled conditions
    # Mean of the Gaussian that each z was sampled from, before any flow, given the conditions of
    # its code; `(n * n_samples) x d`.
    mean: Tensor
    logvar: Tensor  # natural logarithm of its variance
    y_mean: Tensor  # mean of q(y | x), `n x p`
    y_logvar: Tensor  # natural logarithm of its variance
    # Of the forward encoder, `n x t x encoder_dim`: `logits` needs not read the rows again.
    states: Tensor | None = None


class SequenceVAE(nn.Module):
    """An encoder, a posterior over codes, and a decoder that sees the code at every step.

    With `noise_conditioning`, the decoder is told how much noise z holds, from 0, the z of one
    molecule, to 1, where z is ignored and the decoder is a language model. One network then is a
    family of generative models, p(z) p(x | z, noise): with little noise z determines a molecule but
    p(z) is hard to sample, with much noise the other way round.

    With conditions, numbers known of some molecules and not of others, the encoder guesses them,
    q(y | x), and z is to say the rest: q(z | x, y) is a Gaussian whose parameters have a term that
    is linear in y, and the decoder sees both.

    With a latent dimension of 0 a code holds no more than conditions, and without these the network
    is an autoregressive language model: it has no encoder, and the likelihood of a row is exact.

    Args:
        config: Sizes and kinds.
        n_tokens: Size of the vocabulary, specials included.
        max_length: Longest row, stop included.
        n_properties: How many numbers `properties` reads off codes.
        n_conditions: How many numbers of a code are conditions.

    Raises:
        UnknownNameError: No encoder or decoder has the name in `config`.
        ConfigError: Properties of a network whose codes hold nothing.
    """

    def __init__(
        self,
        config: ModelConfig,
        n_tokens: int,
        max_length: int,
        n_properties: int = 0,
        n_conditions: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.n_tokens, self.max_length = config, n_tokens, max_length
        self.n_conditions, self.code_dim = n_conditions, config.latent_dim + n_conditions
        # Here and elsewhere weights are one new tensor: filled in place, or multiplied, on the meta
        # device that models are loaded by, they would import torch's compiler, which takes seconds.
        start = torch.randn(n_tokens, config.embedding_dim)
        start[PAD] = 0
        self.embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
            start, freeze=False, padding_idx=PAD
        )
        q = Posterior(config, n_conditions)
        make_encoder = lookup("encoder", config.encoder, ENCODERS)
        make_decoder = lookup("decoder", config.decoder, DECODERS)
        self.encoder = make_encoder(config, max_length, q.width) if q.width else None
        read = getattr(self.encoder, "read", None) if config.residual_conditioning else None
        self.decoder = make_decoder(config, n_tokens, max_length, self.code_dim, read)
        require(
            self.code_dim > 0 or n_properties == 0,
            "there is nothing to read properties off with latent_dim = 0; leave them out",
        )
        # Linear, so that a property is a direction in the latent space.
        self.property_head = nn.Linear(self.code_dim, n_properties) if n_properties else None
        self.q = q

    def posterior(self, ids: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and natural logarithm of the variance of q(z | x, y), each `n x d`, float32.

        Before any flow. Where conditions `n x p` are NaN, and everywhere if y is None, the mean of
        q(y | x) stands in. The logarithm is minus infinity for a `point` posterior.
        """
        summary, _ = self._summary(ids)
        guess, _ = self.q.conditions(summary)
        return self.q.gaussian(summary, guess if y is None else torch.where(y.isnan(), guess, y))

    def conditions(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and natural logarithm of the variance of q(y | x), each `n x p`, float32."""
        return self.q.conditions(self._summary(ids)[0])

    def infer(
        self, ids: Tensor, y: Tensor | None = None, n_samples: int = 1, noise: Noise = None
    ) -> EncoderOutput:
        """Codes sampled from q(z, y | x), or q(z | x, y) where y is known, `n_samples` per row.

        Conditions `n x p` that are NaN are sampled from q(y | x); all of them if y is None.
        """
        summary, states = self._summary(ids)
        of_z, of_y = self._noise(len(ids) * n_samples, noise, summary)
        y_mean, y_logvar = self.q.conditions(summary)
        summary = repeat_rows(summary, n_samples)
        y_sampled, log_q_y = reparameterize(
            repeat_rows(y_mean, n_samples), repeat_rows(y_logvar, n_samples), of_y
        )
        if y is not None:
            known = repeat_rows(~y.isnan(), n_samples)
            y_sampled = torch.where(known, repeat_rows(y, n_samples), y_sampled)
            log_q_y = log_q_y.masked_fill(known, 0.0)
        mean, logvar = self.q.gaussian(summary, y_sampled)
        z, log_q = self.q.sample(summary, mean, logvar, of_z)
        log_q = log_q + log_q_y.sum(dim=1)
        code = torch.cat([z, y_sampled], dim=1)
        return EncoderOutput(code, log_q, mean, logvar, y_mean, y_logvar, states)

    def encode(self, ids: Tensor) -> Tensor:
        """One code per row, `n x code_dim`: means of q(z | x, y), after a flow, and of q(y | x)."""
        summary, _ = self._summary(ids)
        y_mean, _ = self.q.conditions(summary)
        z, _ = self.q.apply_flow(summary, self.q.gaussian(summary, y_mean)[0])
        return torch.cat([z, y_mean], dim=1)

    def properties(self, code: Tensor) -> Tensor:
        """Properties by the linear head; `n x code_dim` to `n x n_properties`."""
        if self.property_head is None:
            return code.new_zeros(len(code), 0)
        predicted: Tensor = self.property_head(code)
        return predicted

    def start(self, code: Tensor, noise: Tensor | None = None) -> DecoderState:
        """The decoder's state before its first step, given codes `n x code_dim`.

        Noise is the level of the noise in z, from 0 to 1, `n`; None for none. z with noise is
        `sqrt(1 - noise^2) * z + noise * N(0, I)`; see `corruption.add_noise`.
        """
        return self.decoder.start(code, noise)

    def step(
        self, token: Tensor, state: DecoderState, position: int
    ) -> tuple[Tensor, DecoderState]:
        """Logits of the token at a position, `n x v`, after the one before; and the next state."""
        return self.decoder.step(self.embedding(token), state, position)

    def logits(
        self,
        code: Tensor,
        ids: Tensor,
        *,
        noise: Tensor | None = None,
        word_dropout: float = 0.0,
        states: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Logits of every token of the rows, `n x t x v`, given codes and the tokens before it.

        Args:
            code: `n x code_dim`.
            ids: `n x t`, ended by stop, padded on the right.
            noise: See `start`.
            word_dropout: Share of the tokens that are hidden from the decoder, so that it must look
                at the code. With residual conditioning, the residual still tells of them.
            states: The forward encoder's states of these very rows, as `infer` gives them; computed
                if None.
            generator: Chooses the hidden tokens; None for torch's global generator.
        """
        before = functional.pad(ids[:, :-1], (1, 0), value=BOS)
        if word_dropout > 0:
            shown = torch.rand(before.shape, generator=generator, device=ids.device)
            before = before.masked_fill(shown < word_dropout, PAD)
        whole = WholeRows(self.embedding(before), self.embedding(ids), states)
        return self.decoder.logits(code, noise, whole)

    def _noise(self, n: int, noise: Noise, like: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal numbers: for z, `n x d`, and for conditions, `n x p`, sampled first."""
        d, p = self.config.latent_dim, self.n_conditions
        if isinstance(noise, Tensor):
            return noise[:, :d], noise[:, d:]
        of_y, of_z = (
            torch.randn(n, width, generator=noise, dtype=torch.float32, device=like.device)
            for width in (p, d)
        )
        return of_z, of_y

    def _summary(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """The encoder's summary of each row, `n x s`, float32, and its forward states."""
        if self.encoder is None:
            return torch.zeros(len(ids), 0, device=ids.device), None
        summary: tuple[Tensor, Tensor | None] = self.encoder(self.embedding(ids), ids != PAD)
        return summary


RENAMED_PREFIXES = {
    "forwards.": "encoder.forwards.",
    "backwards.": "encoder.backwards.",
    "posterior_head.": "encoder.summary.head.",
    "place.": "encoder.summary.place.",
    "place_head": "encoder.summary.place_head",
    "initial_state.": "decoder.initial_state.",
    "place_condition.": "decoder.placed.layer.",
    "said.": "decoder.said.",
    "said_head": "decoder.said_head",
    "noise.": "decoder.noise.",
    "decoder.": "decoder.cells.",
    "symbol_head.": "decoder.symbol_head.",
}
"""Beginnings of the names of weights of formats 1 and 2, and of format 3."""
RENAMED_PARTS = {
    "summary": "pooling",
    "place": "position_proj",
    "place_head": "position_head",
    "placed": "positional",
    "said": "explained",
    "said_head": "explained_head",
    "inward": "in_proj",
    "ask": "qkv",
    "answer": "proj",
    "each": "mlp",
    "symbol_head": "token_head",
}
"""Parts of the names of weights of format 3, and of today."""


def upgrade_state_dict(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any format under the names of today."""
    is_oldest, new = "symbol_head.weight" in tensors, {}
    for name, tensor in tensors.items():
        if is_oldest:
            old = next((old for old in RENAMED_PREFIXES if name.startswith(old)), "")
            name = RENAMED_PREFIXES.get(old, "") + name.removeprefix(old)
        new[".".join(RENAMED_PARTS.get(part, part) for part in name.split("."))] = tensor
    return new


def repeat_rows(x: Tensor, n_samples: int) -> Tensor:
    """Each row n times, next to each other."""
    return x if n_samples == 1 else x.repeat_interleave(n_samples, dim=0)
