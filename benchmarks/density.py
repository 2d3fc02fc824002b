"""How well are unusual molecules told from others, and how tight is the bound on log p?

Area under the ROC curve of telling molecules from test molecules of a model's own data set: those
of other sets, and absurd ones with the same numbers of SELFIES symbols. What the model cannot read
counts as recognised by `LatentSpace.outlier_score`; the columns behind are of the others alone, by
three scores. Bounds on log p, nats, are means over a few test molecules, with more and more draws,
beside annealed importance sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

import molvae
from benchmarks.shared.annealing import annealed_bound
from benchmarks.shared.model_measures import auroc
from benchmarks.shared.molecules import absurd
from benchmarks.shared.run import each, plainly
from benchmarks.shared.tables import TITLES, at, columns
from molvae.chem.datasets import sample_molecules
from molvae.chem.molecules import canonical_or_none
from molvae.chem.prepare import split_of
from molvae.chem.vocabulary import EOS
from molvae.latent.conversion import pad
from molvae.latent.density import TypicalityScores, typicality
from molvae.latent.space import LatentSpace

TITLE = "Unusual molecules"
MOLECULES, ANNEALED = 300, 10
DRAWS = (1, 8, 64, 512)
CHAINS, STEPS = 8, 100
SEED = 5
SETS = {
    "qm9": "QM9",
    "zinc250k": "ZINC250k",
    "moses-test": "MOSES",
    "absurd": "absurd, symbols as frequent as in the data",
    "absurd-even": "absurd, all symbols of the data equally frequent",
}


def measure(
    *, quick: bool, jobs: int, folder: Path, data: Sequence[str] | None = None
) -> dict[str, Any]:
    """Areas under ROC curves, and bounds, of each bundled model; quickly, of one."""
    data = data or (("zinc250k",) if quick else tuple(TITLES))
    rows = each(measured, [(name, quick) for name in data], jobs=jobs, kept=folder)
    molecules = 30 if quick else MOLECULES
    return {"seed": SEED, "molecules": molecules, "models": dict(zip(data, rows, strict=True))}


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One model."""
    space, n, k = molvae.load(name), *((30, 2) if quick else (MOLECULES, 64))
    # A few in a hundred are for testing.
    own = [m for m in sample_molecules(name, 80 * n, seed=SEED) if split_of(m) == "test"][:n]
    sets = absurd(own, SEED)
    # Data sets that come with packages of their own are left out of a quick run.
    for other in () if quick else set(SETS) - {name, *sets}:
        texts = sample_molecules(other, n, seed=SEED)
        sets[other] = [m for text in texts if (m := canonical_or_none(text))]
    usual = typicality(space, own, k=k, seed=SEED)
    rows = {
        other: recognised(usual, typicality(space, sets[other], k=k, seed=SEED))
        for other in SETS
        if other in sets
    }
    few = own[: 2 if quick else ANNEALED]
    return {"molecules": len(own), "sets": rows, "bounds": bounds(space, few, quick)}


def recognised(usual: TypicalityScores, strange: TypicalityScores) -> dict[str, float | None]:
    """Areas by each score, of all molecules and of readable ones, and the share of these."""
    there = torch.isfinite(strange.outlier_score)
    found = {
        "molecules": float(len(there)),
        "readable": float(there.double().mean()),
        "outlier_score": auroc(usual.outlier_score, strange.outlier_score),
        "outlier_score_readable": auroc(usual.outlier_score, strange.outlier_score[there]),
        "log_prob_readable": auroc(-usual.log_prob, -strange.log_prob[there]),
        "percentile_readable": auroc(-usual.percentile, -strange.percentile[there]),
    }
    return plainly(found)


def bounds(space: LatentSpace, molecules: Sequence[str], quick: bool) -> dict[str, Any]:
    """Bounds on log p in nats, means over molecules."""
    symbols = map(space.representation.tokenize, molecules)
    ids = pad([[*space.vocabulary.encode(split), EOS] for split in symbols])
    draws = {
        # Small k are noisy: the mean of as many as the largest k has draws.
        str(k): float(
            np.mean([space.log_prob(molecules, k=k, seed=seed) for seed in range(max(1, 64 // k))])
        )
        for k in (DRAWS[:2] if quick else DRAWS)
    }
    chains, steps = (2, 2) if quick else (CHAINS, STEPS)
    annealed = annealed_bound(space.model, space.prior, ids, chains=chains, steps=steps, seed=SEED)
    return {"molecules": len(molecules), "draws": draws, "annealed": float(annealed.mean())}


def table(result: Mapping[str, Any]) -> list[str]:
    """A table of areas, and one of bounds."""
    models = result["models"]
    areas = [
        {"model": TITLES[name], "other": SETS[other]} | row
        for name, found in models.items()
        for other, row in found["sets"].items()
    ]
    draws = next(iter(models.values()))["bounds"]["draws"]
    bounds = [
        {"model": TITLES[name], "annealed": of["bounds"]["annealed"]} | of["bounds"]["draws"]
        for name, of in models.items()
    ]
    return [
        f"{result.get('molecules', MOLECULES)} molecules of each kind.",
        "",
        *columns(areas, {
            "model": itemgetter("model"),
            "distinguished from its test molecules": itemgetter("other"),
            "outlier score": at("outlier_score", ".3f"),
            "readable": at("readable", ".0%"),
            "of those: outlier score": at("outlier_score_readable", ".3f"),
            "-log p": at("log_prob_readable", ".3f"),
            "percentile": at("percentile_readable", ".3f"),
        }),
        "",
        *columns(bounds, {
            "model": itemgetter("model"),
            **{f"k = {k}": at(k, ".1f") for k in draws},
            "annealed": at("annealed", ".1f"),
        }),
    ]  # fmt: skip
