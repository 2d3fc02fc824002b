"""How `run-1/` and `record-1.db` to `record-5.db` were made, each with the molvae of its time.

Not to be run again: old files must stay readable.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from molvae.campaign.campaign import Campaign
from molvae.chem.representations import get_representation
from molvae.latent.loading import load
from molvae.model.checkpoint import ModelCard, round_to_half, save_run
from molvae.model.config import ModelConfig
from molvae.model.vae import SequenceVAE

HERE = Path(__file__).parent
SIZES = ModelConfig(latent_dim=3, embedding_dim=4, encoder_dim=5, decoder_dim=6, position_dim=2)


def first() -> None:
    torch.manual_seed(0)
    model = SequenceVAE(SIZES, 7, 9)
    round_to_half(model)
    writer = get_representation("selfies")
    card = ModelCard(
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
        c.tell(c.ask(2)[0].id, None, "did not dissolve")


def second() -> None:
    record = HERE / "record-2.db"
    for part in HERE.glob("record-2.db*"):
        part.unlink()
    space = load(HERE / "run-1")
    space.name = "run-1"
    start = ["CCO", "CCN", "CO"]
    with Campaign.create(
        record, space, objective="by-hand:pIC50", strategy="random", start=start, seed=0
    ) as c:
        c.tell(1, [6.1, 6.4], notes={"well": "B7"})
        c.tell(2, 5.5, error=0.2)
        c.tell(3, None, "did not dissolve")
        c.ask(2)


def third() -> None:
    record = HERE / "record-3.db"
    for part in HERE.glob("record-3.db*"):
        part.unlink()
    space = load(HERE / "run-1")
    space.name = "run-1"
    start = ["CCO", "CCN", "CO"]
    with Campaign.create(
        record, space, objective="by-hand:pIC50", strategy="random", start=start, seed=0
    ) as c:
        c.tell(2, [6.1, 6.4], notes={"well": "B7"})
        c.tell(1, None, "did not dissolve", notes={"well": "B8"})
        c.ask(2)


def fourth() -> None:
    record = HERE / "record-4.db"
    for part in HERE.glob("record-4.db*"):
        part.unlink()
    space = load(HERE / "run-1")
    space.name = "run-1"
    with Campaign.create(
        record,
        space,
        objective=["maximise by-hand:pIC50", "logp in -1..3"],
        limits=["logp <= 3", "other-elements:C+N+O <= 0"],
        strategy="rank:children=20,generations=1",
        start=["CCO", "CCN", "CO", "CCCO"],
        seed=0,
    ) as c:
        c.tell(2, [6.1, 6.4], notes={"well": "B7"})
        c.tell(1, None, "did not dissolve", notes={"well": "B8"})
        c.retry()
        c.tell(3, 5.2, error=0.1)
        c.tell(4, 5.9)
        c.ask(2)


def fifth() -> None:
    record = HERE / "record-5.db"
    for part in HERE.glob("record-5.db*"):
        part.unlink()
    space = load(HERE / "run-1")
    space.name = "run-1"
    with Campaign.create(
        record,
        space,
        objective=["maximize manual:pIC50", "minimize logp"],
        constraints=["mw <= 400"],
        strategy="rank:n_offspring=20,n_generations=1",
        start=["CCO", "CCN", "CO", "CCCO"],
        plausibility="none",
        seed=0,
    ) as c:
        c.tell(2, [6.1, 6.4], notes={"well": "B7"})
        c.tell(1, None, "did not dissolve", notes={"well": "B8"})
        c.correct(1, 5.4, "dissolved at last")
        c.tell(3, "<5")
        c.tell(4, 5.9)
        c.add_replicates(4, 6.1, "measured again")
        first, second = c.ask(2)
        c.tell(first.id, ">7.5")
        c.add(["CCCN", second.smiles], [6.6, 5.7], message="from another project")
        c.ask(1)


def sixth() -> None:
    record = HERE / "record-6.db"
    for part in HERE.glob("record-6.db*"):
        part.unlink()
    space = load(HERE / "run-1")
    space.name = "run-1"
    with Campaign.create(
        record,
        space,
        objective="maximize manual:pIC50",
        cost=20.0,
        fidelities=["minimize manual:vina, cost 1"],
        strategy="rank:n_offspring=20,n_generations=1",
        start=["CCO", "CCN", "CO", "CCCO", "CCCN", "CCOC"],
        plausibility="none",
        seed=0,
    ) as c:
        for trial in c.trials:
            if trial.status == "pending":
                c.tell(trial.id, -trial.id / 10 if trial.fidelity else 5 + trial.id / 10)
        c.ask(2)


if __name__ == "__main__":
    first()
    second()
    third()
    fourth()
    fifth()
    sixth()
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
