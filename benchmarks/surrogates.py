"""Surrogates: which kernel foresees the values of molecules that a search will ask for next?

On what a genetic algorithm asked for, in its order: each surrogate learns the first molecules and
foretells the next hundred. Its own leave-one-out intervals say whether it is as sure as it may be.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr  # type: ignore[import-untyped]

import molvae
from benchmarks.optimisation import FOLDER, SIX, Run, mol_ga
from molvae.bo.pool import features
from molvae.bo.rank import Rank
from molvae.bo.surrogate import CHOICES, coverage, molecule_gp, reproducible
from molvae.bo.transforms import OutcomeTransform
from molvae.chem.descriptors import DESCRIPTORS

KINDS = ("structure", "descriptors", "latent", "linear", *CHOICES[3:])
LEARNED = (100, 300, 900)
"""Molecules that a surrogate knows when it foretells the next hundred."""
NEXT = 100


def run(*, smoke: bool, jobs: int, folder: Path = FOLDER) -> dict[str, Any]:
    """Means over tasks, seeds and numbers of learned molecules."""
    folder.mkdir(parents=True, exist_ok=True)
    learned = (20,) if smoke else LEARNED
    ahead = 10 if smoke else NEXT
    runs = [
        Run(
            task=task,
            method="mol-ga",
            seed=seed,
            budget=learned[-1] + ahead,
            start=10 if smoke else 100,
            batch=10,
            folder=str(folder),
        )
        for task in (SIX[:1] if smoke else SIX)
        for seed in ((0,) if smoke else (0, 1, 2))
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rows = [
            row
            for found in pool.map(partial(foretold, learned=learned, ahead=ahead), runs)
            for row in found
        ]
    keys = ("rank_correlation", "error", "log_density", "held_50", "held_80", "held_95")
    return {
        "learned": list(learned),
        "next": ahead,
        "tasks": len({run.task for run in runs}),
        "seeds": len({run.seed for run in runs}),
        "kernels": {
            kind: {
                key: round(statistics.mean(row[key] for row in rows if row["kind"] == kind), 3)
                for key in keys
            }
            for kind in KINDS
        },
    }


def foretold(run: Run, *, learned: Sequence[int], ahead: int) -> list[dict[str, Any]]:
    """How well each kernel foretold the values of one run."""
    values, smiles, _ = mol_ga(run)
    space = molvae.load("zinc250k")
    z = space.encode(smiles, skip_unknown=True)
    readable = torch.isfinite(z).all(dim=1)
    x = torch.cat([z, features(smiles, Rank().radius)], dim=1)[readable]
    y = torch.tensor(values, dtype=torch.float64)[readable]
    rows = []
    for n in learned:
        transform, truth = OutcomeTransform(y[:n], "high"), y[n : n + ahead]
        scores, spread = transform(truth), y[:n].max() - y[:n].min()
        for kind in KINDS:
            with reproducible(), torch.no_grad():
                gp = molecule_gp(
                    x[:n],
                    transform(y[:n])[:, None],
                    space.bounds,
                    kind=kind,
                    descriptors=len(DESCRIPTORS),
                )
                said = gp.posterior(x[n : n + ahead], observation_noise=True)
                mean, variance = said.mean[:, 0], said.variance[:, 0]
                held = coverage(gp)
            density = -0.5 * ((scores - mean) ** 2 / variance + (2 * np.pi * variance).log())
            rows.append(
                {
                    "kind": kind,
                    "rank_correlation": float(spearmanr(mean, truth).statistic),
                    "error": float(
                        (truth - transform.inverse(mean)).square().mean().sqrt() / spread
                    ),
                    "log_density": float(density.clamp_min(-10).mean()),
                    **{f"held_{round(100 * share)}": value for share, value in held.items()},
                }
            )
    return rows


def readme_table(result: dict[str, Any]) -> str:
    """The README's section, a table of kernels."""
    lines = [
        f"**Which surrogate foresees values?** On what mol-ga asked for in {result['tasks']} tasks "
        f"with {result['seeds']} seeds: after {', '.join(map(str, result['learned']))} molecules, "
        f"what is said of the next {result['next']}. Errors are shares of the range of values so "
        "far; the last columns are what leave-one-out intervals of 50, 80 and 95 % hold: "
        "`python -m benchmarks surrogates`.",
        "",
        "| kernel | rank correlation | error | log density | held by 50, 80, 95 % intervals |",
        "|---" * 5 + "|",
    ]
    for kind, row in result["kernels"].items():
        lines.append(
            f"| {kind} | {row['rank_correlation']:.2f} | {row['error']:.3f} "
            f"| {row['log_density']:.2f} | {100 * row['held_50']:.0f}, {100 * row['held_80']:.0f}, "
            f"{100 * row['held_95']:.0f} % |"
        )
    return "\n".join(lines)


__all__ = ["readme_table", "run"]
