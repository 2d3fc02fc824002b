"""How good are the bundled models, on test molecules that they were not trained on?

Of the stochastic protocol, the second row, JT-VAE published 76.7 % and CVAE 44.6 % on ZINC250k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import molvae
from benchmarks.shared.molecules import require_prepared, some
from benchmarks.shared.run import each
from benchmarks.shared.tables import TITLES, at, transposed
from molvae.analysis.model_figures import draw_measures
from molvae.analysis.model_metrics import evaluate
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import load_split

TITLE = "The bundled models"
MODELS = {"druglike": "zinc250k", "zinc250k": "zinc250k", "qm9-v2": "qm9", "qm9": "qm9"}
"""The data set that each bundled model is measured on."""
PARTS = ("models",)
HELD_OUT, SAMPLES, DRAWS = 5_000, 10_000, 500
SEED = 0


def measure(
    *, quick: bool, jobs: int, folder: Path, models: Sequence[str] | None = None
) -> dict[str, Any]:
    """All measures of each bundled model; quickly, of the default one."""
    models = models or (("druglike",) if quick else tuple(MODELS))
    rows = each(measured, [(name, quick) for name in models], jobs=jobs, kept=folder)
    return {"seed": SEED, "models": dict(zip(models, rows, strict=True))}


def merge(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Results of now, and of before for models that were not measured now."""
    found = {**before["models"], **now["models"]}
    return {**now, "models": {name: found[name] for name in MODELS if name in found}}


def measured(name: str, quick: bool) -> dict[str, float | None]:
    """One model on its data set, as prepared in `data/`; NaN becomes None."""
    sizes = (20, 5) if quick else (SAMPLES, DRAWS)
    if quick:
        few = sample_molecules(MODELS[name], 120, seed=SEED)
        test, training = few[:60], set(few[60:])
    else:
        data = require_prepared(MODELS[name])
        test = some(load_split(data, "test"), HELD_OUT, SEED)
        training = set(load_split(data, "train"))
    found = evaluate(
        molvae.load(name),
        test,
        n_samples=sizes[0],
        n_posteriors=sizes[1],
        seed=SEED,
        training=training,
    )
    return {key: None if math.isnan(value) else value for key, value in found.items()}


def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Smoothness and properties of generated molecules, a picture for each model."""
    for name, found in result["models"].items():
        known = {key: math.nan if value is None else value for key, value in found.items()}
        file = folder / f"models-{name}.svg"
        file.unlink(missing_ok=True)
        draw_measures(known, file)


# Label, measures (`*` stands for each property) and format of a number.
ROWS = (
    ("molecules that come back exactly: greedy, from the posterior mean", "reconstruction", ".1%"),
    ("the same, 10 samples of z x 10 samples of tokens each", "stochastic_reconstruction", ".1%"),
    ("z moved by 0.3 std of the encodings: still the same molecule", "same_at_0.3", ".1%"),
    ("mean Tanimoto similarity to it (Morgan, radius 2, 2,048 bits)", "tanimoto_at_0.3", ".2f"),
    ("KL to N(0, I), nats; active units", "", ""),
    ("bound on log p, nats: ELBO, 64 importance-weighted samples", "elbo iwae", ".1f"),
    ("the latter per token", "iwae_per_symbol", ".2f"),
    ("R2 of logP, SAS, QED from z: trained head", "r2_head_*", ".2f"),
    ("ridge regression on 4,000", "r2_ridge_*", ".2f"),
    ("Gaussian process on 800", "r2_gp_*", ".2f"),
    ("generated molecules: sampled again, since they had to be repaired or were not accepted",
     "generated_redrawn", ".1%"),
    ("valid", "generated_validity", ".0%"),
    ("distinct", "generated_uniqueness", ".2%"),
    ("not among the training molecules", "generated_novelty", ".1%"),
    ("mean less held-out mean of logP, SAS, QED, in std", "generated_*_shift_in_stds", "+.2f"),
    ("std over held-out std", "generated_*_std_ratio", ".2f"),
    ("Fréchet ChemNet distance to held-out molecules; of training molecules",
     "generated_frechet_chemnet_distance training_frechet_chemnet_distance", ".2f;"),
    ("correlation of distances in z with Tanimoto similarities", "distance_tanimoto_correlation",
     ".2f"),
    ("mean similarity of the nearest in z; of the most similar; of any",
     "neighbor_tanimoto_1 neighbor_tanimoto_best neighbor_tanimoto_random", ".2f"),
    ("trustworthiness of the five nearest in z", "trustworthiness", ".2f"),
    ("mean similarity of changed molecules where half have changed", "changed_tanimoto_half",
     ".2f"),
    ("R2 of ridge regression from z: 17 descriptors, 64 components of Morgan counts",
     "r2_ridge_descriptors r2_ridge_morgan", ".2f"),
    ("the surest half of greedy samples of the prior: mean less held-out mean, in std",
     "confident_*_shift_in_stds", "+.2f"),
    ("radicals among greedy samples of the prior, and among generated",
     "prior_radicals generated_radicals", ".1%"),
)  # fmt: skip


def table(result: Mapping[str, Any]) -> list[str]:
    """A column for each model; without rows of measures that a result is too old for."""
    models = {f"`{name}` on {TITLES[MODELS[name]]}": of for name, of in result["models"].items()}
    cells = {label: partial(_cell, keys=keys, form=form) for label, keys, form in ROWS}
    tested = next(iter(models.values()))["molecules"]
    return [
        f"On {tested:,} test molecules, and on molecules that each model generated.",
        "",
        *transposed(models, cells),
    ]


def _cell(found: Mapping[str, Any], keys: str, form: str) -> str:
    if not keys:
        return f"{found['kl']:.1f}; {found['active_units']} of {found['latent_dim']}"
    text = at(keys, form.rstrip(";"))(found)
    return text.replace(",", ";") if form.endswith(";") else text
