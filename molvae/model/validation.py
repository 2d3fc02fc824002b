"""Measures on held-out rows during a training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molvae.model.batches import trim_padding
from molvae.model.config import LossConfig
from molvae.model.decoding import decode
from molvae.model.losses import ConditionTargets, active_units, compute_loss, reconstruction
from molvae.model.vae import SequenceVAE

MAX_RECONSTRUCTED = 1000  # rows that are decoded in a validation, at most


@torch.inference_mode()
def validate(
    model: SequenceVAE,
    rows: Tensor,
    *,
    covariance: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 512,
) -> tuple[float, float, int]:
    """Reconstruction and KL (nats per molecule) and active units on rows, `n x max_length`.

    The same weights and seed give the same numbers. Conditions count as not known; their covariance
    is `p x p`, the unit matrix if None. The model's mode stays.
    """
    device, p = next(model.parameters()).device, model.n_conditions
    covariance = (torch.eye(p) if covariance is None else covariance).to(device)
    rec = kl = 0.0
    means = []
    generator = torch.Generator(device).manual_seed(seed)
    for batch in torch.split(rows, batch_size):
        ids = trim_padding(batch).to(device)
        inference = model.infer(ids, noise=generator)
        unknown = ConditionTargets(covariance.new_full((len(ids), p), torch.nan), covariance)
        loss = compute_loss(
            LossConfig(),
            1.0,
            inference,
            reconstruction(model.logits(inference.code, ids), ids),
            posterior=model.config.posterior,
            known=unknown if p else None,
        )
        rec += float(loss.reconstruction) * len(ids)
        kl += float(loss.kl) * len(ids)
        means.append(inference.mean)
    return rec / len(rows), kl / len(rows), active_units(torch.cat(means))


@torch.inference_mode()
def reconstruction_accuracy(
    model: SequenceVAE, rows: Tensor, *, batch_size: int = 512
) -> float | None:
    """Share of rows, evenly spaced if many, that their code decodes to greedily; None without z.

    The model's mode stays.
    """
    if model.config.latent_dim == 0:
        return None
    device, same = next(model.parameters()).device, 0
    some = rows[:: max(1, math.ceil(len(rows) / MAX_RECONSTRUCTED))]
    for batch in torch.split(some, batch_size):
        written = decode(model, model.encode(trim_padding(batch).to(device)).float()).ids
        same += int((written.cpu() == batch.long()).all(dim=1).sum())
    return same / max(1, len(some))
