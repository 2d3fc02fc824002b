"""More units for z: the weights of a network with fewer, and new ones beside them.

What the network knows is kept: it writes what it wrote before, and has new units to learn with.

References:
    Chen et al. (2016), arXiv:1511.05641 (networks that start from smaller ones).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from molvae.errors import require
from molvae.model.config import ModelConfig

Z_READERS = (
    "decoder.initial_state.",
    "decoder.positional.layer.",
    "decoder.cells.",
    "decoder.in_proj.",
    "property_head.",
)
"""Parts that read z, by the beginning of their names: new units tell them nothing at first."""


def widened(
    weights: Mapping[str, Tensor], old: ModelConfig, new: ModelConfig, fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Weights of a network whose z has more units than another one's.

    Args:
        weights: Weights of the smaller network, with a Gaussian posterior and without conditions.
        old: Sizes of the network.
        new: The same sizes but for `latent_dim`, which is larger.
        fresh: Weights of the larger network as initialized, which the new units' encoder keeps.

    Raises:
        ConfigError: Something else than `latent_dim` differs, or the posterior is no Gaussian.
    """
    require(
        old.posterior == new.posterior == "gaussian" and old.latent_dim <= new.latent_dim,
        "only networks with posterior = 'gaussian' can be given more units, got "
        f"{old.posterior!r} with {old.latent_dim} and {new.latent_dim} units",
    )
    d, more = old.latent_dim, new.latent_dim
    made = {}
    for name, tensor in fresh.items():
        was = weights[name]
        made[name] = grown = tensor.clone()
        if tensor.shape == was.shape:
            grown.copy_(was)
        elif name.startswith(Z_READERS):
            # Input columns: those of tokens, of z, and of what else there is.
            before = new.embedding_dim if name.startswith(Z_READERS[2:4]) else 0
            grown[:, :before] = was[:, :before]
            grown[:, before : before + d] = was[:, before : before + d]
            grown[:, before + d : before + more] = 0
            grown[:, before + more :] = was[:, before + d :]
        elif name == "decoder.explained_head":
            grown[..., :d] = was
        else:  # of the encoder's summary: means, then logarithms of variances
            axis = 0 if name.endswith(("head.weight", "head.bias")) else 2
            parts = zip(torch.split(grown, more, axis), torch.split(was, d, axis), strict=True)
            for wide, narrow in parts:
                wide.narrow(axis, 0, d).copy_(narrow)
    return made
