"""Several goals: QED up and SAS down, logP within 1 to 3, similar to a lead, in 300 calls.

What counts is the hypervolume of the told molecules that keep the limits, as a share of the largest
possible: QED from 0 to 1, SAS from 10 to 1. Every call counts; for a seed all methods start from
the same molecules: the lead, celecoxib, and random ones of ZINC250k.

    random         draws from the prior, whatever the limits
    ga             mol-ga on the product of the desirabilities of all four
    rank           a Pareto search; RDKit computes the values, so that nothing has to be guessed
    rank, measured the same, as if only a call could bring any of the values
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume

import molvae
from molvae.bo.goals import nondominated
from molvae.campaign import Campaign
from molvae.chem.objective import get_objective
from molvae.datasets import sample_molecules

LEAD = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
"""Celecoxib."""
START, BUDGET, BATCH, SEEDS = 50, 300, 10, (0, 1, 2)
GOALS = ("qed", "minimise sas")
LIMITS = ("logp >= 1", "logp <= 3", f"similarity:{LEAD} >= 0.4")
PRODUCT = ("qed", "minimise sas", "logp in 1..3", f"similarity:{LEAD}, worst 0, best 0.4")
METHODS = ("random", "ga", "rank", "rank, measured")


def qed(smiles: str) -> float:
    """A call like any other: no strategy knows what is in it."""
    return _value("qed", smiles)


def sas(smiles: str) -> float:
    """See `qed`."""
    return _value("sas", smiles)


def logp(smiles: str) -> float:
    """See `qed`."""
    return _value("logp", smiles)


def similarity(smiles: str) -> float:
    """See `qed`."""
    return _value(f"similarity:{LEAD}", smiles)


def _value(name: str, smiles: str) -> float:
    return float(get_objective(name)([smiles])[0])


HERE = "benchmarks.several_goals"
SETTINGS: dict[str, dict[str, Any]] = {
    "random": {"objective": GOALS, "limits": LIMITS, "strategy": "random"},
    "ga": {"objective": PRODUCT, "combine": "product", "strategy": "ga"},
    "rank": {"objective": GOALS, "limits": LIMITS, "strategy": "rank"},
    "rank, measured": {
        "objective": (f"{HERE}:qed", f"minimise {HERE}:sas"),
        "limits": (
            f"{HERE}:logp >= 1",
            f"{HERE}:logp <= 3",
            f"{HERE}:similarity >= 0.4",
        ),
        "strategy": "rank",
    },
}


def run(*, smoke: bool, jobs: int) -> dict[str, Any]:
    """Hypervolume at the start and at the end, for each method and seed."""
    start, budget = (8, 16) if smoke else (START, BUDGET)
    tasks = [(m, seed, start, budget) for seed in SEEDS[: 1 if smoke else 3] for m in METHODS]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(campaign, tasks))
    return {"lead": LEAD, "start": start, "budget": budget, "batch": BATCH, "rows": rows}


def campaign(task: tuple[str, int, int, int]) -> dict[str, Any]:
    """One campaign in a record that is thrown away."""
    method, seed, start, budget = task
    space = molvae.load("zinc250k")
    drawn = sample_molecules("zinc250k", start + 20, seed=seed)
    readable = [m for m, ok in zip(drawn, space.readable(drawn), strict=True) if ok]
    with tempfile.TemporaryDirectory() as folder:
        made = Campaign.create(
            Path(folder) / "record.db",
            space,
            start=[LEAD, *(m for m in readable if m != LEAD)][:start],
            batch=BATCH,
            seed=seed,
            **SETTINGS[method],
        )
        with made as c:
            c.run(budget)
            smiles = [trial.smiles for trial in c.trials]
    steps = [*range(10, budget, 10), budget]
    values = columns(smiles)
    curve = [hypervolume(values[:n]) for n in steps]
    return {
        "method": method,
        "seed": seed,
        "calls": len(smiles),
        "at_the_start": round(hypervolume(values[:start]), 4),
        "at_the_end": round(curve[-1], 4),
        "within_limits": int(np.isfinite(values).all(axis=1).sum()),
        "curve": [round(value, 4) for value in curve],
    }


def columns(smiles: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """QED and negative SAS of each molecule; NaN where it breaks a limit, whoever proposed it."""
    found = {name: get_objective(name)(smiles) for name in ("qed", "sas", "logp")}
    like = np.array(get_objective(f"similarity:{LEAD}")(smiles))
    logp = np.array(found["logp"])
    kept = (logp >= 1) & (logp <= 3) & (like >= 0.4)
    both = np.stack([np.array(found["qed"]), -np.array(found["sas"])], axis=1)
    both[~kept] = np.nan
    return both


def hypervolume(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Of rows without NaN, as a share of that of QED 1 and SAS 1."""
    good = values[np.isfinite(values).all(axis=1)]
    if not len(good):
        return 0.0
    front = torch.from_numpy(good[nondominated(good)])
    volume = Hypervolume(ref_point=torch.tensor([0.0, -10.0], dtype=torch.float64))
    return float(volume.compute(front)) / 9.0


def readme_table(result: dict[str, Any]) -> str:
    """The README's section: a row for each method."""
    seeds = sorted({row["seed"] for row in result["rows"]})
    head = " | ".join(f"seed {seed}" for seed in seeds)
    lines = [
        f"**Several goals**, {result['budget']} calls: QED up and SAS down, logP within 1 to 3 and "
        "a similarity of at least 0.4 to celecoxib, which is among the "
        f"{result['start']} starting molecules, batches of {result['batch']}: `python -m "
        "benchmarks several-goals`. Hypervolume of what keeps the limits, as a share of the "
        "largest possible, mean ± standard deviation over the seeds.",
        "",
        f"| method | hypervolume | {head} | keep the limits |",
        "|---|---|" + "---|" * (len(seeds) + 1),
    ]
    for method in METHODS:
        rows = [row for row in result["rows"] if row["method"] == method]
        ends = [row["at_the_end"] for row in rows]
        spread = f" ± {statistics.stdev(ends):.3f}" if len(ends) > 1 else ""
        kept = statistics.mean(row["within_limits"] for row in rows)
        lines.append(
            f"| {method} | {statistics.mean(ends):.3f}{spread} | "
            + " | ".join(f"{end:.3f}" for end in ends)
            + f" | {kept:.0f} of {result['budget']} |"
        )
    first = [row["at_the_start"] for row in result["rows"] if row["method"] == METHODS[0]]
    lines.append(
        f"| the starting molecules | {statistics.mean(first):.3f} | "
        + " | ".join(f"{value:.3f}" for value in first)
        + " | |"
    )
    lines += [
        "",
        "`rank` computes QED, SAS, logP and similarity of every candidate before it spends a call "
        "on it; *measured* may not, and has a surrogate for each. `ga` maximises the product of "
        "the four desirabilities, `random` draws from the prior, whatever the limits.",
    ]
    return "\n".join(lines)
