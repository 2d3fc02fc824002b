"""Rows that follow a given one up to a place, take another token there, and end as decoded."""

from __future__ import annotations

import torch
from torch import Tensor

from molvae.chem.vocabulary import BOS, EOS, PAD
from molvae.model.vae import SequenceVAE


@torch.inference_mode()
def branch(
    model: SequenceVAE,
    z: Tensor,
    ids: Tensor,
    places: Tensor,
    *,
    noise: float = 0.0,
    n_choices: int = 6,
    temperature: float = 3.0,
    seed: int = 0,
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
        temperature: Of the sample, above 0.

    Returns:
        Ids, `n x max_length`, as for `molvae.model.decoding.decode`; and the mean log-probability
        per token from the place on, `n`, nats.
    """
    generator = torch.Generator(z.device).manual_seed(seed)
    n = len(z)
    found = torch.full((n, model.max_length), PAD, dtype=torch.long, device=z.device)
    nats, lengths = torch.zeros(n, device=z.device), torch.zeros(n, device=z.device)
    rows = torch.arange(n, device=z.device)  # where each running row belongs
    token = torch.full((n,), BOS, dtype=torch.long, device=z.device)
    state = model.start(z, z.new_full((n,), noise))
    for position in range(model.max_length):
        if len(rows) == 0:
            break
        logits, state = model.step(token, state, position)  # n x v
        logits[:, (PAD, BOS)] = -torch.inf
        token = logits.argmax(dim=-1)
        if position < ids.shape[1]:
            given, before = ids[rows, position], places[rows] > position
            here = places[rows] == position
            if bool(here.any()):
                options = logits[here].scatter(1, given[here][:, None], -torch.inf)
                top, which = options.topk(min(n_choices, options.shape[1]), dim=-1)
                p = torch.softmax(top / temperature, dim=-1)
                sampled = torch.multinomial(p, 1, generator=generator)
                token[here] = which.gather(1, sampled)[:, 0]
            token = torch.where(before, given, token)
            new = (~before).float()
        else:
            new = torch.ones(len(rows), device=z.device)
        nats[rows] += new * logits.log_softmax(dim=-1).gather(1, token[:, None])[:, 0]
        lengths[rows] += new
        found[rows, position] = token
        running = token != EOS
        if not bool(running.all()):
            rows, token, state = rows[running], token[running], state.rows(running)
    return found, nats / lengths.clamp_min(1)
