"""From latent vectors to rows of integers: greedy and sampled decoding.

Knows the network's step function and nothing of molecules. Rows that finish early leave the batch,
so the cost is the sum of the lengths and not the longest length times the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from molvae.chem.vocabulary import BOS, EOS, PAD
from molvae.model.vae import SequenceVAE


class Decoded(NamedTuple):
    """Rows that the decoder wrote, and how likely it found them."""

    ids: Tensor
    """`n x max_length`, int64 on the model's device, without start, ended by stop and padded. A row
    that reaches the longest length has no stop."""
    log_prob: Tensor
    """Log-probability of the tokens of a row at temperature 1, stop included, `n`, nats."""


def decode(
    model: SequenceVAE,
    z: Tensor,
    *,
    noise: float = 0.0,
    temperature: float = 0.0,
    seed: int | None = None,
) -> Tensor:
    """Ids alone; see `decode_with_log_prob`."""
    return decode_with_log_prob(model, z, noise=noise, temperature=temperature, seed=seed).ids


@torch.inference_mode()
def decode_with_log_prob(
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
        if temperature > 0:
            p = torch.softmax(logits / temperature, dim=-1)
            token = torch.multinomial(p, 1, generator=generator)[:, 0]
        else:
            token = logits.argmax(dim=-1)
        nats = logits.gather(1, token[:, None])[:, 0] - torch.logsumexp(logits, dim=1)
        if prefix is not None and position < prefix.shape[1]:
            given = prefix[rows, position]
            token, nats = torch.where(given == PAD, token, given), nats * (given == PAD)
        ids[rows, position] = token
        total[rows] += nats
        running = token != EOS
        if not bool(running.all()):
            rows, token = rows[running], token[running]
            state = state.rows(running)
    return Decoded(ids, total)
