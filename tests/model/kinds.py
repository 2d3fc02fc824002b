"""Every kind of network, in small, and rows to try them on."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from molvae.chem.vocabulary import EOS, PAD
from molvae.model.config import ModelConfig
from molvae.model.vae import SequenceVAE

N_SYMBOLS, MAX_LENGTH = 9, 12
SMALL = ModelConfig(
    latent_dim=4, embedding_dim=5, encoder_dim=6, decoder_dim=8, position_dim=3, layers=2, heads=2
)
PLAIN = dataclasses.replace(SMALL, residual_conditioning=False)
KINDS = {
    "recurrent": SMALL,
    "recurrent without explaining": PLAIN,
    "long short-term memory": dataclasses.replace(SMALL, cell="lstm"),
    "recurrent without noise": dataclasses.replace(SMALL, noise_conditioning=False),
    "transformer": dataclasses.replace(PLAIN, encoder="transformer", decoder="transformer"),
    "transformer to recurrent": dataclasses.replace(PLAIN, encoder="transformer"),
    "recurrent to transformer without noise": dataclasses.replace(
        PLAIN, decoder="transformer", noise_conditioning=False
    ),
    "flow": dataclasses.replace(SMALL, posterior="flow"),
    "point": dataclasses.replace(SMALL, posterior="point"),
    "language": dataclasses.replace(PLAIN, latent_dim=0, noise_conditioning=False),
    "transformer language": dataclasses.replace(
        PLAIN, latent_dim=0, noise_conditioning=False, decoder="transformer"
    ),
}


def make(kind: str, *, conditions: int = 0, properties: int = 0) -> SequenceVAE:
    """An untrained network, in evaluation mode; its flow, if any, is no longer the identity."""
    torch.manual_seed(0)
    model = SequenceVAE(KINDS[kind], N_SYMBOLS, MAX_LENGTH, properties, conditions).eval()
    if KINDS[kind].posterior == "flow":
        with torch.no_grad():
            for parameter in model.q.flow.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def random_rows(lengths: list[int], width: int, seed: int = 0) -> Tensor:
    """Rows of random symbols, ended by stop, of these lengths, stop included, padded."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.full((len(lengths), width), PAD)
    for row, length in zip(rows, lengths, strict=True):
        row[: length - 1] = torch.randint(3, N_SYMBOLS, (length - 1,), generator=generator)
        row[length - 1] = EOS
    return rows
