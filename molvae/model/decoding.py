"""From latent vectors to rows of integers: greedy and sampled decoding, branches of given rows.

Knows the network's step function and nothing of molecules. Rows that finish early leave the batch,
so the cost is the sum of the lengths and not the longest length times the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from molvae.chem.vocabulary import BOS, EOS, PAD
from molvae.model.vae import SequenceVAE


class Decoded(NamedTuple):
    """Rows that the decoder wrote, and how likely it found them."""

    ids: Tensor
    """Token ids, `n x max_length`, int64 on the model's device, without start, ended by stop and
    padded. A row that reaches the longest length has no stop."""
    log_prob: Tensor
    """Log-probability of the tokens of a row at temperature 1, stop included, `n`, nats."""


@torch.inference_mode()
def decode(
    model: SequenceVAE,
    z: Tensor,
    *,
    noise: float = 0.0,
    temperature: float = 0.0,
    seed: int | None = None,
    prefix: Tensor | None = None,
) -> Decoded:
    """Write one sequence for each latent vector; the model's mode (training or not) stays.

    Args:
        z: Latent vectors, `n x d`, on the model's device.
        noise: Noise level of z, from 0 to 1; above 0 it needs `noise_conditioning`.
        temperature: 0 takes the likeliest token at each step (greedy); above 0, tokens are sampled
            from the softmax of logits / temperature.
        seed: Seed of the samples; needed when `temperature` is above 0.
        prefix: Ids that each sequence begins with, `n x t`, padded; they do not count as likely or
            unlikely.
    """
    if temperature > 0 and seed is None:
        raise ValueError("sampled decoding needs a seed")
    generator = torch.Generator(z.device).manual_seed(seed or 0)

    def choose(logits: Tensor, rows: Tensor, position: int) -> tuple[Tensor, Tensor]:
        if temperature > 0:
            p = torch.softmax(logits / temperature, dim=-1)
            token = torch.multinomial(p, 1, generator=generator)[:, 0]
        else:
            token = logits.argmax(dim=-1)
        nats = logits.gather(1, token[:, None])[:, 0] - torch.logsumexp(logits, dim=1)
        if prefix is not None and position < prefix.shape[1]:
            given = prefix[rows, position]
            token, nats = torch.where(given == PAD, token, given), nats * (given == PAD)
        return token, nats

    return _written(model, z, noise, choose)


@torch.inference_mode()
def branch(
    model: SequenceVAE,
    z: Tensor,
    ids: Tensor,
    places: Tensor,
    *,
    noise: float,
    n_choices: int,
    temperature: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Write one row for each given row that leaves it at some place.

    At the place one of the likeliest tokens is sampled, the given row's own excepted; from there on
    the likeliest token is taken at each step.

    Args:
        model: The network; left in the mode (training or not) it is in.
        z: Latent vectors, `n x d`, on the model's device.
        ids: Given rows, `n x t`, ended by EOS, padded.
        places: Position of the first token that differs, `n`, from 0.
        noise: Noise level of z, from 0 to 1; above 0 it needs `noise_conditioning`.
        n_choices: Number of likeliest tokens to sample from.
        temperature: Temperature of the sample, above 0.

    Returns:
        Ids, `n x max_length`, as for `decode`; and the mean log-probability per token from the
        place on, `n`, nats.
    """
    generator = torch.Generator(z.device).manual_seed(seed)

    def choose(logits: Tensor, rows: Tensor, position: int) -> tuple[Tensor, Tensor]:
        token, new = logits.argmax(dim=-1), places[rows] <= position
        if position < ids.shape[1]:
            given, here = ids[rows, position], places[rows] == position
            if bool(here.any()):
                options = logits[here].scatter(1, given[here][:, None], -torch.inf)
                top, which = options.topk(min(n_choices, options.shape[1]), dim=-1)
                p = torch.softmax(top / temperature, dim=-1)
                sampled = torch.multinomial(p, 1, generator=generator)
                token[here] = which.gather(1, sampled)[:, 0]
            token = torch.where(new, token, given)
        nats = logits.log_softmax(dim=-1).gather(1, token[:, None])[:, 0]
        return token, new * nats

    found = _written(model, z, noise, choose)
    n_new = (found.ids != PAD).sum(dim=1) - places
    return found.ids, found.log_prob / n_new.clamp_min(1)


def _written(
    model: SequenceVAE,
    z: Tensor,
    noise: float,
    choose: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]],
) -> Decoded:
    """Rows of tokens that a function chooses, with their nats.

    It is given logits, `n x v`, the rows that they are of, and the position.
    """
    ids = torch.full((len(z), model.max_length), PAD, dtype=torch.long, device=z.device)
    total = torch.zeros(len(z), device=z.device)
    rows = torch.arange(len(z), device=z.device)  # where each running sequence belongs
    token = torch.full((len(z),), BOS, dtype=torch.long, device=z.device)
    state = model.start(z, z.new_full((len(z),), noise))
    for position in range(model.max_length):
        if len(rows) == 0:
            break
        logits, state = model.step(token, state, position)
        logits[:, (PAD, BOS)] = -torch.inf
        token, nats = choose(logits, rows, position)
        ids[rows, position] = token
        total[rows] += nats
        running = token != EOS
        if not bool(running.all()):
            rows, token, state = rows[running], token[running], state.rows(running)
    return Decoded(ids, total)
