"""Faithful or smooth: what beta, the weight of the KL term, buys and costs on ZINC250k.

The bundled recipe is trained anew with each beta, for a fraction of its molecules, and measured on
validation molecules: reconstruction, KL, what moves of z do to molecules, and how far the
properties of generated molecules are from the data. Two trainings more leave out the property
heads, and write molecules as plain SMILES. Short trainings show the trade, not how good the bundled
run is.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import molvae
from molvae.chem.properties import score
from molvae.config import ModelConfig, PriorConfig, TrainConfig, build, read_toml
from molvae.datasets import load_split, prepare, sample_molecules
from molvae.latent import LatentSpace
from molvae.metrics import PROPERTIES, fidelity, generate, regression, smoothness
from molvae.recipe import train

RECIPE = Path(__file__).parents[1] / "pipelines" / "zinc250k.toml"
BETAS = (0.05, 0.2, 0.8)
MOLECULES = 100_000
"""Seen in each training, of the recipe's three million."""
HELD_OUT, MOVED, DRAWN = 2_000, 500, 2_000
"""Molecules that are reconstructed, moved, and generated."""
RADII = (0.1, 0.3, 0.5)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument("--molecules", type=int, default=MOLECULES, help="seen in each training")


def run(*, smoke: bool, jobs: int, molecules: int = MOLECULES) -> dict[str, Any]:
    """A row of measures for each training."""
    recipe = build(TrainConfig, read_toml(RECIPE), str(RECIPE))
    recipe = replace(
        recipe,
        molecules=molecules,
        threads=jobs,
        validate_every=molecules,
        prior=PriorConfig(passes=0),
    )
    with tempfile.TemporaryDirectory() as folder:
        recipe = replace(recipe, out=f"{folder}/run")
        betas: Sequence[float] = BETAS
        if smoke:
            few = Path(folder) / "few.smi"
            few.write_text("\n".join(sample_molecules("zinc250k", 300, seed=0)), "utf-8")
            prepare(few, Path(folder) / "few", workers=1)
            small = ModelConfig(
                latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=16, position_dim=4
            )
            recipe = replace(recipe, data=f"{folder}/few", merges=20, molecules=500, model=small)
            betas = BETAS[:2]
        valid = load_split(recipe.data, "valid")
        variants = {
            f"beta {beta:g}": replace(recipe, objective=replace(recipe.objective, beta=beta))
            for beta in betas
        }
        variants["no property heads"] = replace(recipe, properties=())
        variants["SMILES"] = replace(recipe, representation="smiles")
        rows = []
        for name, variant in variants.items():
            made = train(variant, overwrite=True, workers=jobs)
            about = {"variant": name, "beta": variant.objective.beta}
            rows.append(about | measure(molvae.load(made), valid, jobs))
            print(rows[-1], file=sys.stderr, flush=True)
    return {
        "molecules": recipe.molecules,
        "beta": recipe.objective.beta,
        "seed": recipe.seed,
        "held_out": min(HELD_OUT, len(valid)),
        "rows": rows,
    }


def measure(space: LatentSpace, valid: Sequence[str], jobs: int) -> dict[str, Any]:
    """Fidelity, smoothness, regression and the distance of properties, of one space.

    `prior_off` and `generated_off` are by how much the mean of the property that is furthest off
    differs from that of the validation molecules, in their standard deviations; `prior` writes
    vectors of `space.sample`, `generated` is `space.generate`.
    """
    readable = [m for m, ok in zip(valid, space.readable(valid), strict=True) if ok]
    found: dict[str, Any] = fidelity(space, readable[:HELD_OUT])
    found |= smoothness(space, readable[:MOVED], radii=RADII)
    found |= regression(space, readable[:HELD_OUT], n_gp=200)
    there = score(valid, PROPERTIES, workers=jobs)
    drawn = generate(space, min(DRAWN, len(valid)))
    for name in ("prior", "generated"):
        valid_ones = [m for m in drawn[name] if m is not None]
        found[f"{name}_validity"] = len(valid_ones) / len(drawn[name])
        shift = np.full(len(PROPERTIES), math.nan)
        if valid_ones:
            here = score(valid_ones, PROPERTIES, workers=jobs)
            shift = (here.mean(axis=0) - there.mean(axis=0)) / there.std(axis=0)
        found[f"{name}_off"] = float(np.abs(shift).max())
        found |= {f"{name}_{p}_off": float(s) for p, s in zip(PROPERTIES, shift, strict=True)}
    return {key: None if math.isnan(value) else value for key, value in found.items()}


def figures(result: dict[str, Any], folder: Path) -> None:
    """Three panels against beta: reconstruction, smoothness, distance of properties."""
    rows = [row for row in _known(result) if row["variant"].startswith("beta")]
    beta = [row["beta"] for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    panels = (
        (
            "molecules given back",
            [("reconstruction", "posterior mean"), ("posterior_reconstruction", "posterior draw")],
        ),
        ("same molecule after a move of z", [(f"same_at_{r:g}", f"r = {r:g} sd") for r in RADII]),
        (
            "worst property mean, sd off",
            [("prior_off", "prior, greedy"), ("generated_off", "generated")],
        ),
    )
    for axis, (title, lines) in zip(axes, panels, strict=True):
        for key, label in lines:
            axis.plot(beta, [row[key] for row in rows], marker="o", label=label)
        axis.set(xscale="log", xlabel="beta", title=title, ylim=(0, None))
        axis.set_xticks(beta, [f"{b:g}" for b in beta])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    with plt.rc_context({"svg.hashsalt": "molvae"}):
        figure.savefig(folder / "frontier.svg", metadata={"Date": None})
    plt.close(figure)


def readme_table(result: dict[str, Any]) -> str:
    """The README's section: a row for each training."""
    lines = [
        "**What beta buys and costs**: the recipe of `zinc250k` with other weights of the KL "
        f"term, without property heads, and as plain SMILES (beta {result['beta']:g}), "
        f"each for {result['molecules']:,} molecules only, "
        f"on {result['held_out']:,} validation molecules: `python -m benchmarks frontier`. "
        "Off: by how many sd the mean of the property that is furthest off differs from the data.",
        "",
        "| training | given back: mean, draw | same after 0.3 sd | KL, nats | prior off "
        "| generated off | valid: prior, generated | R2 of logP, SAS, QED (ridge) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in _known(result):
        cells = [
            row["variant"],
            f"{100 * row['reconstruction']:.1f} %, {100 * row['posterior_reconstruction']:.1f} %",
            f"{100 * row['same_at_0.3']:.1f} %",
            f"{row['kl']:.1f}",
            f"{row['prior_off']:.2f}",
            f"{row['generated_off']:.2f}",
            f"{100 * row['prior_validity']:.1f} %, {100 * row['generated_validity']:.1f} %",
            ", ".join(f"{row[f'r2_ridge_{name}']:.2f}" for name in PROPERTIES),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    picture = "![The same against beta](benchmarks/results/frontier.svg)"
    return "\n".join([*lines, "", picture])


def _known(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows with NaN where JSON has null: nothing to measure it on."""
    return [
        {key: math.nan if value is None else value for key, value in row.items()}
        for row in result["rows"]
    ]
