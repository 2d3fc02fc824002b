"""How `run-1/` and `record-1.db` were made. Not to be run again: old files must stay readable."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from molvae.campaign import Campaign
from molvae.chem.representation import get_representation
from molvae.config import ModelConfig
from molvae.latent import load
from molvae.model.checkpoint import Card, round_to_half, save_run
from molvae.model.vae import SequenceVAE

HERE = Path(__file__).parent
SIZES = ModelConfig(latent_dim=3, embedding_dim=4, encoder_dim=5, decoder_dim=6, position_dim=2)

if __name__ == "__main__":
    torch.manual_seed(0)
    model = SequenceVAE(SIZES, 7, 9)
    round_to_half(model)
    writer = get_representation("selfies")
    card = Card(
        model=SIZES,
        representation={"name": writer.name, "settings": writer.settings()},
        vocabulary=("[C]", "[O]", "[N]", "[=C]"),
        max_length=9,
        bounds=((-2.0,) * 3, (2.0,) * 3),
        about={"made": "untrained, for tests/test_formats.py"},
    )
    save_run(HERE / "run-1", model, card)
    record = HERE / "record-1.db"
    for part in HERE.glob("record-1.db*"):
        part.unlink()
    space = load(HERE / "run-1")
    space.name = "run-1"  # no path of the machine that made it
    with Campaign.create(
        record, space, objective="qed", strategy="random", start=["CCO", "CCN", "CO"], seed=0
    ) as c:
        c.run(3)
        first, second = c.ask(2)
        c.tell(first.id, None, "did not dissolve")
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
