"""Unusual molecules: how well models tell them, and how tight the bound on log p is.

Test molecules of a model's own data set against those of others, and against absurd ones, which
have the same numbers of SELFIES symbols; and bounds with more and more draws against annealed
importance sampling.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

import molvae
from benchmarks.property_report import TITLES
from molvae.chem.mol import canonical_or_none
from molvae.chem.representation import Selfies, random_selfies
from molvae.datasets import sample_molecules, split_of
from molvae.density import Unusual, auroc, describe
from molvae.errors import InvalidMoleculeError
from molvae.latent import LatentSpace, pad
from molvae.model.annealing import annealed_bound

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
"""What is told from test molecules, and its name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument("--data", nargs="+", default=[*TITLES], choices=[*TITLES])


def run(*, smoke: bool, jobs: int, data: Sequence[str] = tuple(TITLES)) -> dict[str, Any]:
    """Areas under ROC curves, and bounds, of each bundled model."""
    with ProcessPoolExecutor(min(jobs, len(data)), mp_context=get_context("spawn")) as pool:
        rows = pool.map(measured, data, [smoke] * len(data))
        return {"seed": SEED, "models": dict(zip(data, rows, strict=True))}


def measured(name: str, smoke: bool) -> dict[str, Any]:
    """One model."""
    space, n = molvae.load(name), 30 if smoke else MOLECULES
    # A few in a hundred are for testing.
    own = [m for m in sample_molecules(name, 80 * n, seed=SEED) if split_of(m) == "test"][:n]
    k = 2 if smoke else 64
    usual = describe(space, own, k=k, seed=SEED)
    # Data sets that come with packages of their own are not asked for by a test.
    others = [] if smoke else [o for o in SETS if "absurd" not in o and o != name]
    sets = absurd(own) | {other: _molecules(other, n) for other in others}
    rows = {
        other: recognised(usual, describe(space, sets[other], k=k, seed=SEED))
        for other in SETS
        if other in sets
    }
    few = own[: 2 if smoke else ANNEALED]
    return {"molecules": len(own), "sets": rows, "bounds": bounds(space, few, smoke)}


def _molecules(name: str, n: int) -> list[str]:
    found = map(canonical_or_none, sample_molecules(name, n, seed=SEED))
    return [molecule for molecule in found if molecule is not None]


def absurd(molecules: Sequence[str]) -> dict[str, list[str]]:
    """Molecules of the same numbers of SELFIES symbols, drawn blindly from theirs."""
    written = []
    for molecule in molecules:
        try:
            written.append(Selfies().split(molecule))
        except InvalidMoleculeError:  # a few of QM9 have bonds that SELFIES lacks
            continue
    lengths = [len(symbols) for symbols in written]
    drawn = [symbol for symbols in written for symbol in symbols]
    return {
        "absurd": random_selfies(lengths, SEED, symbols=drawn),
        "absurd-even": random_selfies(lengths, SEED, symbols=sorted(set(drawn))),
    }


def recognised(usual: Unusual, strange: Unusual) -> dict[str, float | None]:
    """How well each score tells strange molecules, and how many of these can be read."""
    there = torch.isfinite(strange.outlier_score)
    found = {
        "molecules": len(there),
        "readable": float(there.double().mean()),
        "outlier_score": auroc(usual.outlier_score, strange.outlier_score),
        "outlier_score_readable": auroc(usual.outlier_score, strange.outlier_score[there]),
        "log_prob_readable": auroc(-usual.log_prob, -strange.log_prob[there]),
        "percentile_readable": auroc(-usual.percentile, -strange.percentile[there]),
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def bounds(space: LatentSpace, molecules: Sequence[str], smoke: bool) -> dict[str, Any]:
    """Bounds on log p in nats, means over molecules."""
    ids = pad([space._ids(molecule) for molecule in molecules])
    draws = {
        # Small k are noisy: the mean of as many as the largest k has draws.
        str(k): float(
            torch.stack(
                [space.log_prob(molecules, k=k, seed=seed) for seed in range(max(1, 64 // k))]
            ).mean()
        )
        for k in (DRAWS[:2] if smoke else DRAWS)
    }
    annealed = annealed_bound(
        space.model,
        space.prior,
        ids,
        chains=2 if smoke else CHAINS,
        steps=2 if smoke else STEPS,
        seed=SEED,
    )
    return {"molecules": len(molecules), "draws": draws, "annealed": float(annealed.mean())}


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's section."""
    lines = [
        "**Unusual molecules**: area under the ROC curve of telling them from "
        f"{MOLECULES} test molecules by `LatentSpace.outlier_score`; what the model cannot read "
        "counts as recognised, the columns behind are of the others alone, by three scores: "
        "`python -m benchmarks density`.",
        "",
        "| model | told from its test molecules | outlier score | readable | of those: outlier "
        "score | -log p | percentile |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in result["models"].items():
        for other, row in found["sets"].items():
            cells = [
                "-" if row[key] is None else f"{row[key]:.3f}"
                for key in ("outlier_score_readable", "log_prob_readable", "percentile_readable")
            ]
            lines.append(
                f"| {TITLES[name]} | {SETS[other]} | {row['outlier_score']:.3f} | "
                f"{100 * row['readable']:.0f} % | {' | '.join(cells)} |"
            )
    lines += ["", "Bounds on log p, nats, means over a few test molecules:", ""]
    columns = list(next(iter(result["models"].values()))["bounds"]["draws"])
    lines += [
        f"| model | {' | '.join(f'k = {k}' for k in columns)} | annealed |",
        f"|---|{'---|' * (len(columns) + 1)}",
    ]
    for name, found in result["models"].items():
        of = found["bounds"]
        cells = [f"{of['draws'][k]:.1f}" for k in columns] + [f"{of['annealed']:.1f}"]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)
