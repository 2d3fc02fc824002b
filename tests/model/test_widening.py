"""`widened`: a network with more dimensions of z keeps the weights of the smaller one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from molvae.errors import ConfigError
from molvae.model.config import ModelConfig
from molvae.model.vae import SequenceVAE
from molvae.model.widening import widened

OLD = ModelConfig(latent_dim=3, embedding_dim=5, encoder_dim=8, decoder_dim=12, position_dim=4)
ROWS = torch.tensor([[4, 5, 6, 2, 0], [6, 6, 4, 5, 2]])


@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {
            "residual_conditioning": False,
            "decoder": "transformer",
            "encoder": "transformer",
            "layers": 1,
        },
    ],
)
def test_widened_network_has_the_logits_of_the_smaller_network(kinds: dict[str, object]) -> None:
    old = dataclasses.replace(OLD, **kinds)  # type: ignore[arg-type]
    new = dataclasses.replace(old, latent_dim=7)
    torch.manual_seed(0)
    narrow, wide = (SequenceVAE(c, 9, 5, n_properties=2).eval() for c in (old, new))
    wide.load_state_dict(widened(narrow.state_dict(), old, new, wide.state_dict()))
    with torch.no_grad():
        for found, before in zip(wide.posterior(ROWS), narrow.posterior(ROWS), strict=True):
            torch.testing.assert_close(found[:, :3], before)
            assert found[:, 3:].std() > 0
        code = wide.encode(ROWS)
        level = torch.tensor([0.0, 0.5])
        torch.testing.assert_close(
            wide.logits(code, ROWS, noise=level), narrow.logits(code[:, :3], ROWS, noise=level)
        )
        torch.testing.assert_close(wide.properties(code), narrow.properties(code[:, :3]))
    loss = wide.logits(code, ROWS).square().sum()
    loss.backward()
    assert all(p.grad is not None for n, p in wide.decoder.named_parameters() if "noise" not in n)


def test_widened_to_fewer_dimensions_or_from_a_flow_raises() -> None:
    fewer = dataclasses.replace(OLD, latent_dim=2)
    flow = dataclasses.replace(OLD, posterior="flow")
    for old, new in ((OLD, fewer), (flow, dataclasses.replace(flow, latent_dim=9))):
        with pytest.raises(ConfigError):
            widened({}, old, new, {})
