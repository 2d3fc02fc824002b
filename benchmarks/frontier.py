"""What does beta, the weight of the KL term, buy and cost on ZINC250k?

The bundled recipe is trained anew with each beta, for a fraction of its molecules, and measured on
validation molecules: reconstruction, KL, what moves of z do to molecules, and how far the
properties of generated molecules are from the data. Two trainings more leave out the property
heads, and write molecules as plain SMILES. Short trainings show the trade, not how good the bundled
run is.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import molvae
from benchmarks.shared import plots, run
from benchmarks.shared.molecules import few_prepared, require_prepared
from benchmarks.shared.tables import markdown, number, pick
from molvae.analysis.model_metrics import generate, reconstruction_metrics, regression, smoothness
from molvae.chem.prepare import load_split
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES, build, read_toml
from molvae.latent.space import LatentSpace
from molvae.latent.train import train
from molvae.model.config import ModelConfig, PriorConfig, TrainConfig

TITLE = "What beta buys and costs"
RECIPE = run.ROOT / "pipelines" / "zinc250k.toml"
BETAS = (0.05, 0.2, 0.8)
MOLECULES = 100_000
"""Seen in each training, of the recipe's three million."""
HELD_OUT, MOVED, DRAWN = 2_000, 500, 2_000
"""Molecules that are reconstructed, moved, and generated."""
RADII = (0.1, 0.3, 0.5)
SMALL = ModelConfig(latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=16, position_dim=4)


def measure(*, quick: bool, jobs: int, folder: Path, molecules: int = MOLECULES) -> dict[str, Any]:
    """A row of measures for each training."""
    del folder
    recipe = build(TrainConfig, read_toml(RECIPE), str(RECIPE))
    recipe = replace(recipe, threads=jobs, prior=PriorConfig(epochs=0))
    betas: Sequence[float] = BETAS
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = run.ROOT / recipe.data
        if quick:
            data = stack.enter_context(few_prepared("zinc250k", 300)) / "zinc250k"
            recipe, molecules, betas = replace(recipe, bpe_merges=20, model=SMALL), 500, BETAS[:2]
        else:
            require_prepared(data.name, data.parent)
        recipe = replace(recipe, data=str(data), out=str(place / "run"))
        recipe = replace(recipe, n_molecules=molecules, validate_every=molecules)
        valid = load_split(data, "valid")
        variants = {
            f"beta {beta:g}": replace(recipe, loss=replace(recipe.loss, beta=beta))
            for beta in betas
        }
        variants["no property heads"] = replace(recipe, properties=())
        variants["SMILES"] = replace(recipe, representation="smiles")
        rows = []
        for name, variant in variants.items():
            made = train(variant, overwrite=True, workers=jobs)
            about = {"variant": name, "beta": variant.loss.beta}
            rows.append(about | measured(molvae.load(made), valid, jobs))
            print(rows[-1], file=sys.stderr, flush=True)
    return {
        "molecules": molecules,
        "beta": recipe.loss.beta,
        "seed": recipe.seed,
        "held_out": min(HELD_OUT, len(valid)),
        "rows": rows,
    }


def measured(space: LatentSpace, valid: Sequence[str], jobs: int) -> dict[str, Any]:
    """Fidelity, smoothness, regression and the distance of properties, of one space.

    `prior_off` and `generated_off` are by how much the mean of the property that is furthest off
    differs from that of the validation molecules, in their standard deviations; `prior` writes
    draws from the prior greedily, `generated` as `generate` does.
    """
    readable = [m for m, ok in zip(valid, space.can_encode(valid), strict=True) if ok]
    found: dict[str, float] = dict(reconstruction_metrics(space, readable[:HELD_OUT]))
    found |= smoothness(space, readable[:MOVED], radii=RADII)
    found |= regression(space, readable[:HELD_OUT], n_gp=200)
    there = score(valid, DEFAULT_PROPERTIES, workers=jobs)
    drawn = generate(space, min(DRAWN, len(valid)))
    for name in ("prior", "generated"):
        valid_ones = [m for m in drawn[name] if m is not None]
        found[f"{name}_validity"] = len(valid_ones) / len(drawn[name])
        shift = np.full(len(DEFAULT_PROPERTIES), np.nan)
        if valid_ones:
            here = score(valid_ones, DEFAULT_PROPERTIES, workers=jobs)
            shift = (here.mean(axis=0) - there.mean(axis=0)) / there.std(axis=0)
        found[f"{name}_off"] = float(np.abs(shift).max())
        found |= {
            f"{name}_{p}_off": float(s) for p, s in zip(DEFAULT_PROPERTIES, shift, strict=True)
        }
    return run.plainly(found)


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Three panels against beta: reconstruction, smoothness, distance of properties."""
    rows = [row for row in result["rows"] if row["variant"].startswith("beta")]
    beta = [row["beta"] for row in rows]
    figure, ((back, same, off),) = plots.panels(1, 3, (3.6, 3.2))
    curves = {
        back: {"reconstruction": "posterior mean", "posterior_reconstruction": "posterior draw"},
        same: {f"same_at_{r:g}": f"r = {r:g} sd" for r in RADII},
        off: {"prior_off": "prior, greedy", "generated_off": "generated"},
    }
    back.set_title("reconstruction")
    same.set_title("same molecule after a move of z")
    off.set_title("worst property mean, sd off")
    for axes, named in curves.items():
        plots.lines(axes, beta, {label: [row[key] for row in rows] for key, label in named.items()})
        axes.set(xscale="log", xlabel="beta", ylim=(0, None))
        axes.set_xticks(beta, [f"{b:g}" for b in beta])
        axes.minorticks_off()
    plots.save(figure, folder / "frontier.svg")


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each training."""
    rows = [
        [
            row["variant"],
            pick(row, ("reconstruction", "posterior_reconstruction"), ".1%"),
            pick(row, ("same_at_0.3",), ".1%"),
            number(row["kl"], ".1f"),
            number(row["prior_off"]),
            number(row["generated_off"]),
            pick(row, ("prior_validity", "generated_validity"), ".1%"),
            pick(row, [f"r2_ridge_{name}" for name in DEFAULT_PROPERTIES]),
        ]
        for row in result["rows"]
    ]
    return [
        "The recipe of `zinc250k` with other weights of the KL term, without property heads, and "
        f"as plain SMILES (beta {result['beta']:g}), each for {result['molecules']:,} molecules "
        f"only, on {result['held_out']:,} validation molecules. Off: by how many sd the mean of "
        "the property that is furthest off differs from the data.",
        "",
        *markdown(
            ("training", "reconstructed from: mean, sample", "same after 0.3 sd", "KL, nats",
             "prior off", "generated off", "valid: prior, generated",
             "R2 of logP, SAS, QED (ridge)"),
            rows,
        ),
    ]  # fmt: skip
