"""How well are several goals met? QED up, SAS down, logP within 1 to 3, similar to a lead.

Feasible are molecules with a logP of 1 to 3 and a similarity of at least 0.4 to celecoxib. What
counts is their hypervolume, as a share of the largest possible: QED from 0 to 1, SAS from 10 to 1;
mean ± standard deviation over the seeds. Every call counts; for a seed all methods start from the
same molecules: celecoxib, and random ones of ZINC250k.

    random          samples from the prior, whatever the constraints
    ga              mol-ga on the product of the desirabilities of all four
    rank            a Pareto search; RDKit computes the four values of every candidate before a
                    call is spent on it
    rank, measured  the same, as if only a call could bring any of the values: a surrogate for each
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from numpy.typing import NDArray

import molvae
from benchmarks.shared.molecules import starting
from benchmarks.shared.run import each, trials_of
from benchmarks.shared.tables import by_seed, grouped, markdown

TITLE = "Several goals"
LEAD = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"  # celecoxib
START, BUDGET, BATCH, SEEDS = 50, 300, 10, (0, 1, 2)
NAMES = {"qed": "qed", "sas": "sas", "logp": "logp", "similarity": f"similarity:{LEAD}"}
GOALS = ("qed", "minimize sas")
LIMITS = ("logp >= 1", "logp <= 3", f"{NAMES['similarity']} >= 0.4")
PRODUCT = ("qed", "minimize sas", "logp in 1..3", f"{NAMES['similarity']}, worst 0, best 0.4")


def values_of(name: str, smiles: Sequence[str]) -> NDArray[np.float64]:
    """Values of an objective."""
    return np.array(molvae.get_objective(NAMES[name])(smiles), dtype=np.float64)


def measured(name: str) -> Callable[[str], float]:
    """An objective as a function of a molecule, whose values no strategy can compute."""
    return lambda smiles: float(values_of(name, [smiles])[0])


qed, sas, logp, similarity = map(measured, NAMES)
HERE = "benchmarks.several_goals"
METHODS: dict[str, dict[str, Any]] = {
    "random": {"objective": GOALS, "constraints": LIMITS, "strategy": "random"},
    "ga": {"objective": PRODUCT, "combine": "desirability", "strategy": "ga"},
    "rank": {"objective": GOALS, "constraints": LIMITS, "strategy": "rank"},
    "rank, measured": {
        "objective": (f"{HERE}:qed", f"minimize {HERE}:sas"),
        "constraints": (f"{HERE}:logp >= 1", f"{HERE}:logp <= 3", f"{HERE}:similarity >= 0.4"),
        "strategy": "rank",
    },
}


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """The growth of the hypervolume, for each method and seed."""
    start, budget = (6, 16) if quick else (START, BUDGET)
    seeds = SEEDS[: 1 if quick else None]
    cases = [(method, seed, start, budget) for seed in seeds for method in METHODS]
    rows = each(campaign, cases, jobs=jobs, kept=folder)
    return {"lead": LEAD, "start": start, "budget": budget, "batch": BATCH, "rows": rows}


def campaign(method: str, seed: int, start: int, budget: int) -> dict[str, Any]:
    """One campaign."""
    space = molvae.load("zinc250k")
    first = [LEAD, *starting(space, start - 1, seed, without=[LEAD])]
    trials = trials_of(space, budget, start=first, batch_size=BATCH, seed=seed, **METHODS[method])
    values = columns([trial.smiles for trial in trials])
    curve = [round(hypervolume(values[:n]), 4) for n in (*range(10, budget, 10), budget)]
    return {
        "method": method,
        "seed": seed,
        "calls": len(trials),
        "at_the_start": round(hypervolume(values[:start]), 4),
        "at_the_end": curve[-1],
        "feasible": int(np.isfinite(values).all(axis=1).sum()),
        "curve": curve,
    }


def columns(smiles: Sequence[str]) -> NDArray[np.float64]:
    """QED and negative SAS of each molecule; NaN where it breaks a limit, whoever proposed it."""
    qed, sas, logp, like = (values_of(name, smiles) for name in NAMES)
    feasible = (logp >= 1) & (logp <= 3) & (like >= 0.4)
    return np.where(feasible[:, None], np.stack([qed, -sas], axis=1), np.nan)


def hypervolume(values: NDArray[np.float64]) -> float:
    """Hypervolume of rows without NaN, as a share of that of QED 1 and SAS 1."""
    good = torch.from_numpy(values[np.isfinite(values).all(axis=1)])
    if not len(good):
        return 0.0
    volume = Hypervolume(ref_point=torch.tensor([0.0, -10.0], dtype=torch.float64))
    return float(volume.compute(good[is_non_dominated(good)])) / 9.0


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each method."""
    by_method, rows = grouped(result["rows"], "method"), []
    for method, own in by_method.items():
        kept = statistics.mean(row["feasible"] for row in own)
        ends = by_seed([row["at_the_end"] for row in own], ".3f")
        rows.append([method, *ends, f"{kept:.0f} of {result['budget']}"])
    first = by_seed([row["at_the_start"] for row in by_method["random"]], ".3f")
    rows.append(["the initial molecules", first[0].partition(" ±")[0], *first[1:], ""])
    seeds = [f"seed {row['seed']}" for row in by_method["random"]]
    return [
        f"{result['budget']} calls in batches of {result['batch']}, {result['start']} initial "
        "molecules among them.",
        "",
        *markdown(("method", "hypervolume", *seeds, "feasible"), rows),
    ]
