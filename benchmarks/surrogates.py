"""Which surrogate foresees the values of molecules that a search will ask for next?

On what a genetic algorithm asked for, in its order: each surrogate learns the first molecules and
foretells the next hundred. Its own leave-one-out intervals say whether it is as sure as it may be.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from botorch.models import SingleTaskGP
from scipy.stats import spearmanr  # type: ignore[import-untyped]

import molvae
from benchmarks.optimisation import SIX, Run, mol_ga
from benchmarks.shared import run
from benchmarks.shared.tables import markdown, number, pick
from molvae.bo.pool import features
from molvae.bo.strategies.rank import Rank
from molvae.bo.surrogate import AUTO_KERNELS, leave_one_out, molecule_gp, reproducible
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS
from molvae.errors import DataError

TITLE = "Surrogates"
KINDS = ("tanimoto", "descriptors", "latent", "linear", *AUTO_KERNELS[3:])
LEARNED = (100, 300, 900)
"""Molecules that a surrogate knows when it foretells the next hundred."""
NEXT = 100
RESERVE = 600
"""Molecules that a run has beyond these: the space cannot read all of them."""


def coverage(model: SingleTaskGP, shares: Sequence[float] = (0.5, 0.8, 0.95)) -> dict[float, float]:
    """Share of the values inside central leave-one-out intervals, for each nominal share.

    More than the nominal share is underconfident, less overconfident.
    """
    mean, std, _ = leave_one_out(model)
    error = ((model.train_targets - mean) / std).abs()
    needed = torch.erf(error / math.sqrt(2))  # the smallest central interval with the value
    return {share: float((needed <= share).double().mean()) for share in shares}


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """Means over tasks, seeds and numbers of learned molecules."""
    learned, ahead = ((20,), 10) if quick else (LEARNED, NEXT)
    runs = [
        Run(
            task=task,
            method="mol-ga",
            seed=seed,
            budget=learned[-1] + ahead + (0 if quick else RESERVE),
            start=10 if quick else 100,
            batch=10,
            folder=str(folder),
        )
        for task in SIX[: 1 if quick else None]
        for seed in (0, 1, 2)[: 1 if quick else None]
    ]
    parts = run.each(foretold, runs, [learned] * len(runs), [ahead] * len(runs), jobs=jobs)
    rows = [row for part in parts for row in part]
    keys = ("rank_correlation", "error", "log_density", "held_50", "held_80", "held_95")
    return {
        "learned": list(learned),
        "next": ahead,
        "tasks": len({one.task for one in runs}),
        "seeds": len({one.seed for one in runs}),
        "kernels": {
            kind: {
                key: round(statistics.mean(row[key] for row in rows if row["kind"] == kind), 3)
                for key in keys
            }
            for kind in KINDS
        },
    }


def foretold(task: Run, learned: Sequence[int], ahead: int) -> list[dict[str, Any]]:
    """How well each kernel foretold the values of one run."""
    values, smiles, _ = mol_ga(task)
    space = molvae.load("zinc250k")
    z = space.encode(smiles, skip_unknown=True)
    readable = torch.isfinite(z).all(dim=1)
    x = torch.cat([z, features(smiles, Rank().fingerprint_radius)], dim=1)[readable]
    y = torch.tensor(values, dtype=torch.float64)[readable]
    if len(y) < learned[-1] + ahead:
        raise DataError(
            f"the space can read {len(y)} of the {len(smiles)} molecules that mol-ga asked for on "
            f"{task.task}; {learned[-1] + ahead} are needed: raise RESERVE"
        )
    rows = []
    for n in learned:
        transform, truth = ScoreTransform(y[:n], "high"), y[n : n + ahead]
        scores, spread = transform(truth), y[:n].max() - y[:n].min()
        for kind in KINDS:
            with reproducible(), torch.no_grad():
                gp = molecule_gp(
                    x[:n],
                    transform(y[:n])[:, None],
                    space.bounds,
                    kernel=kind,
                    n_descriptors=len(DESCRIPTORS),
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


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each kernel."""
    rows = [
        [
            kind,
            number(row["rank_correlation"]),
            number(row["error"], ".3f"),
            number(row["log_density"]),
            pick(row, ("held_50", "held_80", "held_95"), ".0%"),
        ]
        for kind, row in result["kernels"].items()
    ]
    return [
        f"On what mol-ga asked for in {result['tasks']} tasks with {result['seeds']} seeds: after "
        f"{', '.join(map(str, result['learned']))} molecules, what is said of the next "
        f"{result['next']}. Errors are shares of the range of values so far; the last columns are "
        "what leave-one-out intervals of 50, 80 and 95 % hold.",
        "",
        *markdown(
            (
                "kernel",
                "rank correlation",
                "error",
                "log density",
                "held by 50, 80, 95 % intervals",
            ),
            rows,
        ),
    ]
