"""A decoder that goes on learning: rows which it has not seen, without forgetting the others.

The encoder stays as it is, so that a vector means the same before and after.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from molvae.chem.vocabulary import PAD
from molvae.model.batches import trim_padding
from molvae.model.corruption import noise_some
from molvae.model.losses import reconstruction
from molvae.model.vae import SequenceVAE

FROZEN_WEIGHTS = ("explained.", "explained_head")
"""Weights of the decoder that say what the encoder meant: they stay, as it does."""


def finetune_decoder(
    model: SequenceVAE,
    rows: Tensor,
    weights: Tensor,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    noise: float,
    seed: int,
) -> SequenceVAE:
    """A copy of the network whose decoder has learned rows, `n x t`, ended by stop, padded.

    Each row is sampled as often as its weight says; steps are Adam's, at a constant rate. `noise`
    is the share of rows decoded from z with noise, see `TrainConfig.noised_fraction`. Tripp et al.
    (2020), arXiv:2006.09191.
    """
    new = copy.deepcopy(model).train()
    new.requires_grad_(False)
    learned = [
        parameter.requires_grad_(True)
        for name, parameter in new.decoder.named_parameters()
        if not name.startswith(FROZEN_WEIGHTS)
    ]
    optimizer = torch.optim.Adam(learned, lr=learning_rate, betas=(0.9, 0.99))
    generator, weights = torch.Generator(rows.device).manual_seed(seed), weights.to(rows.device)
    for _ in range(steps):
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        ids = trim_padding(rows[chosen])
        with torch.no_grad():
            code = new.infer(ids, noise=generator).code
            code, level = noise_some(code, noise, new.config.latent_dim, generator=generator)
        with torch.enable_grad():
            nats = reconstruction(new.logits(code, ids, noise=level), ids)
            optimizer.zero_grad(set_to_none=True)
            (nats.sum() / int((ids != PAD).sum())).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
    return new.eval()
