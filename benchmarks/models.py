"""The bundled models: `molvae.metrics.evaluate` on test molecules that they were not trained on."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import molvae
from benchmarks.property_report import NAMES, TITLES
from benchmarks.property_sources import some
from molvae.datasets import load_split, sample_molecules
from molvae.figures import draw_measures
from molvae.metrics import evaluate

HELD_OUT, SAMPLES, DRAWS = 5_000, 10_000, 500
SEED = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument("--data", nargs="+", default=[*TITLES], choices=[*TITLES])


def run(*, smoke: bool, jobs: int, data: Sequence[str] = tuple(TITLES)) -> dict[str, Any]:
    """All measures of each bundled model, by the name of its data set."""
    with ProcessPoolExecutor(min(jobs, len(data)), mp_context=get_context("spawn")) as pool:
        rows = pool.map(measured, data, [smoke] * len(data))
        return {"seed": SEED, "models": dict(zip(data, rows, strict=True))}


def measured(name: str, smoke: bool) -> dict[str, float | None]:
    """One model on its own data set, as prepared in `data/`; NaN becomes None."""
    space = molvae.load(name)
    if smoke:
        few = sample_molecules(name, 120, seed=SEED)
        found = evaluate(space, few[:60], n_samples=20, n_draws=5, training=few[60:])
    else:
        test, training = (load_split(Path("data") / name, part) for part in ("test", "train"))
        found = evaluate(
            space,
            some(test, HELD_OUT, SEED),
            n_samples=SAMPLES,
            n_draws=DRAWS,
            seed=SEED,
            training=set(training),
        )
    return {key: None if math.isnan(value) else value for key, value in found.items()}


def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Smoothness and properties of generated molecules, one picture for each model."""
    for name, found in result["models"].items():
        known = {key: math.nan if value is None else value for key, value in found.items()}
        draw_measures(known, folder / f"model-{name}.svg")


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's section: a column for each model."""
    models = result["models"]

    def share(key: str, digits: int = 1) -> list[str]:
        return [f"{100 * found[key]:.{digits}f} %" for found in models.values()]

    def numbers(keys: Sequence[str], form: str) -> list[str]:
        return [
            ", ".join("-" if (value := m.get(key)) is None else format(value, form) for key in keys)
            for m in models.values()
        ]

    def of_properties(before: str, after: str, form: str) -> list[str]:
        return numbers([f"{before}_{p}{after}" for p in NAMES], form)

    rows = {
        "molecules that come back exactly: greedy, from the posterior mean": share(
            "reconstruction"
        ),
        "the same, 10 draws of z x 10 draws of symbols each": share("stochastic_reconstruction"),
        "z moved by 0.3 sd of the encodings: still the same molecule": share("same_at_0.3"),
        "mean Tanimoto similarity to it (Morgan, radius 2, 2,048 bits)": numbers(
            ["tanimoto_at_0.3"], ".2f"
        ),
        "KL to N(0, I), nats; active units": [
            f"{m['kl']:.1f}; {m['active_units']} of {m['latent_dim']}" for m in models.values()
        ],
        "bound on log p, nats: ELBO, 64 importance-weighted draws": numbers(
            ["elbo", "iwae"], ".1f"
        ),
        "the latter per symbol": numbers(["iwae_per_symbol"], ".2f"),
        "R2 of logP, SAS, QED from z: trained head": of_properties("r2_head", "", ".2f"),
        "ridge regression on 4,000": of_properties("r2_ridge", "", ".2f"),
        "Gaussian process on 800": of_properties("r2_gp", "", ".2f"),
        "generated molecules: drawn again, since they had to be mended": share("generated_redrawn"),
        "valid": share("generated_validity", 0),
        "distinct": share("generated_uniqueness", 2),
        "not among the training molecules": share("generated_novelty"),
        "mean less held-out mean of logP, SAS, QED, in sd": of_properties(
            "generated", "_shift_in_sds", "+.2f"
        ),
        "sd over held-out sd": of_properties("generated", "_sd_ratio", ".2f"),
        "Fréchet ChemNet distance to held-out molecules; of training molecules": [
            "; ".join(
                f"{m[f'{source}_frechet_chemnet_distance']:.2f}"
                for source in ("generated", "training")
            )
            for m in models.values()
        ],
    }
    names = [TITLES[name] for name in models]
    lines = [
        f"**The bundled models**, on {HELD_OUT:,} test molecules that they were not trained on, "
        f"and {SAMPLES:,} molecules that each generated: `python -m benchmarks models`. Of the "
        "stochastic protocol, the second row, JT-VAE published 76.7 % and CVAE 44.6 % on ZINC250k.",
        "",
        f"| measure | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(f"| {label} | {' | '.join(cells)} |" for label, cells in rows.items()),
    ]
    return "\n".join(lines)
