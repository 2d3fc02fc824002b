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

MAX_RECONSTRUCTED = 1000
"""Rows that are decoded in a validation, at most."""


@torch.inference_mode()
def validate(
    model: SequenceVAE,
    rows: Tensor,
    *,
    covariance: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 512,
) -> tuple[float, float, int]:
    """Reconstruction and KL (nats per molecule) and active units on held-out rows.

    The same weights give the same numbers.

    Args:
        model: Left in the mode it is in.
        rows: Ids, `n x max_length`; conditions are taken as not known.
        covariance: Of conditions, `p x p`; they are unrelated if it is None.
        seed: Of the one draw for each row.
        batch_size: Rows that go through the network together.
    """
    device = next(model.parameters()).device
    if covariance is None:
        covariance = torch.eye(model.n_conditions)
    rec = kl = 0.0
    means = []
    generator = torch.Generator(device).manual_seed(seed)
    for batch in torch.split(rows, batch_size):
        ids = trim_padding(batch).to(device)
        inference = model.infer(ids, noise=generator)
        loss = compute_loss(
            LossConfig(),
            1.0,
            inference,
            reconstruction(model.logits(inference.code, ids), ids),
            posterior=model.config.posterior,
            known=_nothing_known(model, len(ids), covariance),
        )
        rec += float(loss.reconstruction) * len(ids)
        kl += float(loss.kl) * len(ids)
        means.append(inference.mean)
    return rec / len(rows), kl / len(rows), active_units(torch.cat(means))


@torch.inference_mode()
def reconstruction_accuracy(
    model: SequenceVAE, rows: Tensor, *, batch_size: int = 512
) -> float | None:
    """Share of rows that greedy decoding of their code gives exactly; None without z.

    Args:
        model: Left in the mode it is in.
        rows: Ids, `n x max_length`; evenly spaced ones are taken if there are many.
        batch_size: Rows that go through the network together.
    """
    if model.config.latent_dim == 0:
        return None
    device = next(model.parameters()).device
    same = 0
    some = rows[:: max(1, math.ceil(len(rows) / MAX_RECONSTRUCTED))]
    for batch in torch.split(some, batch_size):
        written = decode(model, model.encode(trim_padding(batch).to(device)).float())
        same += int((written.cpu() == batch.long()).all(dim=1).sum())
    return same / max(1, len(some))


def _nothing_known(model: SequenceVAE, n: int, covariance: Tensor) -> ConditionTargets | None:
    if not model.n_conditions:
        return None
    covariance = covariance.to(next(model.parameters()).device)
    return ConditionTargets(covariance.new_full((n, model.n_conditions), torch.nan), covariance)


__all__ = ["reconstruction_accuracy", "validate"]
