"""How good are the bundled models, on test molecules that they were not trained on?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import molvae
from benchmarks.shared import run
from benchmarks.shared.molecules import some, splits
from benchmarks.shared.tables import NONE, TITLES, number, numbers, transposed
from molvae.analysis.model_figures import draw_measures
from molvae.analysis.model_metrics import evaluate
from molvae.chem.datasets import sample_molecules
from molvae.config import DEFAULT_PROPERTIES

TITLE = "The bundled models"
HELD_OUT, SAMPLES, DRAWS = 5_000, 10_000, 500
SEED = 0


def measure(
    *, quick: bool, jobs: int, folder: Path, data: Sequence[str] = tuple(TITLES)
) -> dict[str, Any]:
    """All measures of each bundled model, by the name of its data set."""
    rows = run.each(measured, [(name, quick) for name in data], jobs=jobs, kept=folder)
    return {"seed": SEED, "models": dict(zip(data, rows, strict=True))}


def measured(name: str, quick: bool) -> dict[str, float | None]:
    """One model on its own data set, as prepared in `data/`; NaN becomes None."""
    space = molvae.load(name)
    if quick:
        few = sample_molecules(name, 120, seed=SEED)
        found = evaluate(space, few[:60], n_samples=20, n_draws=5, training=few[60:])
    else:
        of = splits(name)
        test, training = some(of["test"], HELD_OUT, SEED), set(of["train"])
        found = evaluate(
            space, test, n_samples=SAMPLES, n_draws=DRAWS, seed=SEED, training=training
        )
    return {key: None if math.isnan(value) else value for key, value in found.items()}


def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Smoothness and properties of generated molecules, one picture for each model."""
    for name, found in result["models"].items():
        known = {key: math.nan if value is None else value for key, value in found.items()}
        file = folder / f"models-{name}.svg"
        file.unlink(missing_ok=True)
        draw_measures(known, file)


def table(result: Mapping[str, Any]) -> list[str]:
    """A column for each model."""
    models = list(result["models"].values())

    def row(*keys: str, form: str = ".2f") -> list[str]:
        return [numbers([m.get(key) for key in keys], form) for m in models]

    def of_properties(before: str, after: str = "", form: str = ".2f") -> list[str]:
        return row(*(f"{before}_{name}{after}" for name in DEFAULT_PROPERTIES), form=form)

    rows = {
        "molecules that come back exactly: greedy, from the posterior mean": row(
            "reconstruction", form=".1%"
        ),
        "the same, 10 samples of z x 10 samples of tokens each": row(
            "stochastic_reconstruction", form=".1%"
        ),
        "z moved by 0.3 sd of the encodings: still the same molecule": row(
            "same_at_0.3", form=".1%"
        ),
        "mean Tanimoto similarity to it (Morgan, radius 2, 2,048 bits)": row("tanimoto_at_0.3"),
        "KL to N(0, I), nats; active units": [
            f"{m['kl']:.1f}; {m['active_units']} of {m['latent_dim']}" for m in models
        ],
        "bound on log p, nats: ELBO, 64 importance-weighted samples": row(
            "elbo", "iwae", form=".1f"
        ),
        "the latter per token": row("iwae_per_symbol"),
        "R2 of logP, SAS, QED from z: trained head": of_properties("r2_head"),
        "ridge regression on 4,000": of_properties("r2_ridge"),
        "Gaussian process on 800": of_properties("r2_gp"),
        "generated molecules: sampled again, since they had to be repaired": row(
            "generated_redrawn", form=".1%"
        ),
        "valid": row("generated_validity", form=".0%"),
        "distinct": row("generated_uniqueness", form=".2%"),
        "not among the training molecules": row("generated_novelty", form=".1%"),
        "mean less held-out mean of logP, SAS, QED, in sd": of_properties(
            "generated", "_shift_in_sds", "+.2f"
        ),
        "sd over held-out sd": of_properties("generated", "_sd_ratio"),
        "Fréchet ChemNet distance to held-out molecules; of training molecules": [
            "; ".join(
                number(m.get(f"{source}_frechet_chemnet_distance"))
                for source in ("generated", "training")
            )
            for m in models
        ],
    }
    more = {
        "correlation of distances in z with Tanimoto similarities": row(
            "distance_tanimoto_correlation"
        ),
        "mean similarity of the nearest in z; of the most similar; of any": row(
            *(f"neighbor_tanimoto_{rank}" for rank in (1, "best", "random"))
        ),
        "trustworthiness of the five nearest in z": row("trustworthiness"),
        "mean similarity of changed molecules where half have changed": row(
            "changed_tanimoto_half"
        ),
        "R2 of ridge regression from z: 17 descriptors, 64 components of Morgan counts": row(
            "r2_ridge_descriptors", "r2_ridge_morgan"
        ),
        "the surest half of greedy samples of the prior: mean less held-out mean, in sd": (
            of_properties("confident", "_shift_in_sds", "+.2f")
        ),
        "radicals among greedy samples of the prior, and among generated": row(
            "prior_radicals", "generated_radicals", form=".1%"
        ),
    }
    # Results of before these were measured have none of them.
    rows |= {name: cells for name, cells in more.items() if set(cells) != {NONE}}
    return [
        f"On {models[0]['molecules']:,} test molecules that they were not trained on, and on "
        "molecules that each generated. Of the stochastic protocol, the second row, JT-VAE "
        "published 76.7 % and CVAE 44.6 % on ZINC250k.",
        "",
        *transposed("measure", rows, [TITLES[name] for name in result["models"]]),
    ]
