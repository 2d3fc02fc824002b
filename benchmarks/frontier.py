"""What does beta, the weight of the KL term, buy and cost on ZINC250k?

The recipe of `zinc250k` is trained anew with each beta, for a fraction of its molecules, and
measured on validation molecules. Two further trainings leave out the property heads, and write
molecules as plain SMILES. Off: distance of the mean of the property that is furthest off from that
of the data, in standard deviations (std) of the data. Short trainings show the trade, not how good
the bundled model is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import molvae
from benchmarks.shared import plots
from benchmarks.shared.model_measures import of_molecules, reference_of
from benchmarks.shared.molecules import prepared, readable
from benchmarks.shared.run import ROOT, each, plainly
from benchmarks.shared.tables import at, columns
from molvae.analysis.model_metrics import generate, reconstruction_metrics, regression, smoothness
from molvae.chem.prepare import load_split
from molvae.config import build, read_toml
from molvae.latent.train import train
from molvae.model.config import ModelConfig, PriorConfig, TrainConfig

TITLE = "What beta buys and costs"
RECIPE = ROOT / "pipelines" / "zinc250k.toml"
BETAS = (0.05, 0.2, 0.8)
MOLECULES = 100_000  # seen in each training, of the recipe's three million
HELD_OUT, MOVED, DRAWN = 2_000, 500, 2_000
RADII = (0.1, 0.3, 0.5)
SMALL = ModelConfig(latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=16, position_dim=4)


def measure(*, quick: bool, jobs: int, folder: Path, molecules: int = MOLECULES) -> dict[str, Any]:
    """A row of measures for each training."""
    with prepared(["zinc250k"], 300 if quick else None) as place:
        data = place / "zinc250k"
        recipe = build(TrainConfig, read_toml(RECIPE), str(RECIPE))
        recipe = replace(recipe, threads=jobs, prior=PriorConfig(epochs=0), data=str(data))
        if quick:
            recipe, molecules = replace(recipe, bpe_merges=20, model=SMALL), 500
        recipe = replace(recipe, n_molecules=molecules, validate_every=molecules)
        variants = {
            f"beta {beta:g}": replace(recipe, loss=replace(recipe.loss, beta=beta))
            for beta in BETAS[: 2 if quick else None]
        }
        variants["no property heads"] = replace(recipe, properties=())
        variants["SMILES"] = replace(recipe, representation="smiles")
        configs = [replace(one, out=str(folder / name)) for name, one in variants.items()]
        found = each(measured, [(config, jobs) for config in configs], jobs=1, kept=folder)
        held_out = min(HELD_OUT, len(load_split(data, "valid")))
    rows = [
        {"variant": name, "beta": variants[name].loss.beta} | row
        for name, row in zip(variants, found, strict=True)
    ]
    about = {"molecules": molecules, "beta": recipe.loss.beta, "seed": recipe.seed}
    return about | {"held_out": held_out, "rows": rows}


def measured(config: TrainConfig, jobs: int) -> dict[str, Any]:
    """Train, and measure fidelity, smoothness, regression and the distance of properties.

    `prior_off` and `generated_off` are by how much the mean of the property that is furthest off
    differs from that of the validation molecules, in their standard deviations; `prior` decodes
    samples of the prior greedily, `generated` as `generate` does.
    """
    space = molvae.load(train(config, overwrite=True, workers=jobs))
    valid = load_split(Path(config.data), "valid")
    known = readable(space, valid)
    found: dict[str, Any] = dict(reconstruction_metrics(space, known[:HELD_OUT]))
    found |= smoothness(space, known[:MOVED], radii=RADII)
    found |= regression(space, known[:HELD_OUT], n_gp=200)
    drawn, reference = generate(space, min(DRAWN, len(valid))), reference_of(valid, jobs)
    for source in ("prior", "generated"):
        of = of_molecules(drawn[source], reference)
        found |= {f"{source}_{key}": of[key] for key in ("validity", "off")}
    return plainly(found)


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Three panels against beta: reconstruction, smoothness, distance of properties."""
    rows = [row for row in result["rows"] if row["variant"].startswith("beta")]
    beta = [row["beta"] for row in rows]
    figure, ((back, same, off),) = plots.panels(1, 3, (3.6, 3.2))
    curves = {
        back: {"reconstruction": "posterior mean", "posterior_reconstruction": "posterior draw"},
        same: {f"same_at_{r:g}": f"r = {r:g} std" for r in RADII},
        off: {"prior_off": "prior, greedy", "generated_off": "generated"},
    }
    back.set_title("reconstruction")
    same.set_title("same molecule after a move of z")
    off.set_title("worst property mean, std off")
    for axes, named in curves.items():
        plots.lines(axes, beta, {label: [row[key] for row in rows] for key, label in named.items()})
        axes.set(xscale="log", xlabel="beta", ylim=(0, None))
        axes.set_xticks(beta, [f"{b:g}" for b in beta])
        axes.minorticks_off()
    plots.save(figure, folder / "frontier.svg")


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each training."""
    return [
        f"{result['molecules']:,} molecules each, {result['held_out']:,} validation molecules; "
        f"beta {result['beta']:g} where it is not said.",
        "",
        *columns(result["rows"], {
            "training": lambda row: row["variant"],
            "reconstructed from: mean, sample":
                at("reconstruction posterior_reconstruction", ".1%"),
            "same after 0.3 std": at("same_at_0.3", ".1%"),
            "KL, nats": at("kl", ".1f"),
            "prior off": at("prior_off"),
            "generated off": at("generated_off"),
            "valid: prior, generated": at("prior_validity generated_validity", ".1%"),
            "R2 of logP, SAS, QED (ridge)": at("r2_ridge_*"),
        }),
    ]  # fmt: skip
