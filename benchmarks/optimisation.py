"""Optimisation: which method finds the best molecules in so many objective calls?

Every call counts, the starting molecules included; for a task and seed all methods start from the
same random molecules of ZINC250k, from which the task's own targets are removed. Each run is a
record, or for mol-ga a JSON file, in `runs/optimisation`; what is there already is not run again,
and what was interrupted goes on.

    screening   random molecules of the data set
    mol-ga      the package's own loop and defaults, with as many offspring as there are in a batch
    others      strategies of molvae; settings after a colon, e.g. rank:latent=0,generations=1

AUC-top-k is the area under the mean of the k best molecules against calls, as a share of the
largest possible, on a grid of 100 steps, as in PMO (Gao et al. 2022, arXiv:2206.12411).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from molvae.chem.guacamol import targets

import molvae
from molvae.bo import get_strategy
from molvae.campaign import Campaign
from molvae.chem.objective import get_objective
from molvae.datasets import sample_molecules
from molvae.latent import LatentSpace

TASKS = tuple(
    f"pmo/{name}"
    for name in (
        "celecoxib_rediscovery",
        "median1",
        "osimertinib_mpo",
        "perindopril_mpo",
        "sitagliptin_mpo",
        "zaleplon_mpo",
    )
)
METHODS = ("screening", "mol-ga", "log-ei", "rank")
FOLDER = Path("runs") / "optimisation"
STEPS = 100
"""Of the grid on which areas are computed."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One task, method and seed."""

    task: str
    method: str
    seed: int
    budget: int
    start: int
    batch: int
    folder: str

    @property
    def path(self) -> Path:
        """Record or JSON, without its ending."""
        name = f"{self.task}-{self.method}-{self.seed}-{self.start}-{self.batch}".replace("/", "_")
        return Path(self.folder) / name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="names of objectives")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--budget", type=int, default=1_000, help="objective calls of a run")
    parser.add_argument("--start", type=int, default=100, help="random molecules at the start")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])


def run(
    *,
    smoke: bool,
    jobs: int,
    tasks: Sequence[str] = TASKS,
    methods: Sequence[str] = METHODS,
    budget: int = 1_000,
    start: int = 100,
    batch: int = 10,
    seeds: Sequence[int] = (0,),
    folder: Path = FOLDER,
) -> dict[str, Any]:
    """Areas, best values and seconds of every run, and their sums over the tasks."""
    if smoke:
        tasks, budget, start, batch, seeds = tasks[:2], 16, 10, 3, (0,)
    folder.mkdir(parents=True, exist_ok=True)
    runs = [
        Run(
            task=task,
            method=method,
            seed=seed,
            budget=budget,
            start=start,
            batch=batch,
            folder=str(folder),
        )
        for seed in seeds
        for task in tasks
        for method in methods
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(row, runs))
    return {
        "budget": budget,
        "start": start,
        "batch": batch,
        "seeds": list(seeds),
        "rows": rows,
        "sums": {method: sums(rows, method) for method in methods},
    }


def row(run: Run) -> dict[str, Any]:
    """What one run found."""
    values, smiles, seconds = _mol_ga(run) if run.method == "mol-ga" else _campaign(run)
    y = np.nan_to_num(np.array(values[: run.budget]), nan=-np.inf)
    top = np.argsort(-y, kind="stable")[:10]
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "calls": len(y),
        "best": float(y.max()),
        "best_start": float(y[: run.start].max()),
        **{f"top{k}": float(np.sort(y)[::-1][:k].mean()) for k in (1, 10, 100)},
        **{f"auc_top{k}": auc(y, run.budget, k) for k in (1, 10, 100)},
        "seconds_per_call": round(seconds / max(1, len(y) - run.start), 3),
        "molecules": [smiles[i] for i in top],
    }


def auc(values: Sequence[float] | np.ndarray[Any, Any], budget: int, k: int) -> float:
    """Area under the mean of the k best against calls, as a share of `budget`.

    A run that ends early keeps its last value.
    """
    y = np.asarray(values, dtype=np.float64)
    step = max(1, budget // STEPS)
    area = last = 0.0
    for calls in range(step, budget + 1, step):
        now = float(np.sort(y[:calls])[::-1][:k].mean())
        area += step * (now + last) / 2
        last = now
    return area / (step * (budget // step))


def sums(rows: Sequence[dict[str, Any]], method: str) -> dict[str, float]:
    """Over the tasks, of the means over the seeds."""
    own = [r for r in rows if r["method"] == method]
    tasks = sorted({r["task"] for r in own})
    keys = ("auc_top1", "auc_top10", "auc_top100", "top1", "top10")
    return {
        key: sum(statistics.mean(r[key] for r in own if r["task"] == task) for task in tasks)
        for key in keys
    }


def starting(run: Run, space: LatentSpace) -> list[str]:
    """The same for every method: random, readable by the space, none a target of the task."""
    drawn = sample_molecules("zinc250k", run.start + 50, seed=run.seed)
    forbidden = set(targets(run.task)) if "/" in run.task else set()
    readable = space.readable(drawn)
    kept = [m for m, ok in zip(drawn, readable, strict=True) if ok and m not in forbidden]
    return kept[: run.start]


def _campaign(run: Run) -> tuple[list[float], list[str], float]:
    """Of a strategy, or of screening: a campaign whose record stays."""
    path = run.path.with_suffix(".db")
    space = molvae.load("zinc250k")
    if run.method == "screening":
        objective = get_objective(run.task)
        first = starting(run, space)
        rest = [
            m
            for m in sample_molecules("zinc250k", run.budget + run.start + 50, seed=run.seed + 1)
            if m not in set(first)
        ]
        smiles = [*first, *rest][: run.budget]
        return list(objective(smiles)), smiles, 0.0
    name, _, settings = run.method.partition(":")
    strategy = get_strategy(name, **_settings(settings))
    if path.exists():
        made = Campaign.open(path, space=space)
    else:
        made = Campaign.create(
            path,
            space,
            objective=run.task,
            strategy=strategy,
            seed=run.seed,
            start=starting(run, space),
            batch=run.batch,
        )
    with made as campaign:
        campaign.run(run.budget)
        told = campaign.trials
    at = [datetime.fromisoformat(t.told_at) for t in told if t.told_at]
    seconds = (max(at) - min(at)).total_seconds() if at else 0.0
    return [t.values.get(made.name, np.nan) for t in told], [t.smiles for t in told], seconds


def _settings(text: str) -> dict[str, Any]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _mol_ga(run: Run) -> tuple[list[float], list[str], float]:
    """The package's own loop; its scoring function stops it when the budget is spent."""
    from mol_ga import default_ga
    from rdkit import rdBase

    path = run.path.with_suffix(".json")
    if path.exists():
        content = json.loads(path.read_text())
        if len(content["values"]) >= run.budget:
            return content["values"], content["smiles"], content["seconds"]
    objective = get_objective(run.task)
    found: dict[str, float] = {}

    class SpentError(Exception):
        """All calls were made."""

    def score(smiles: list[str]) -> list[float]:
        for molecule in smiles:
            if molecule not in found:
                if len(found) == run.budget:
                    raise SpentError
                found[molecule] = float(np.nan_to_num(objective([molecule])[0], nan=0.0))
        return [found[molecule] for molecule in smiles]

    began = time.monotonic()
    first = starting(run, molvae.load("zinc250k"))
    score(first)
    with rdBase.BlockLogs(), suppress(SpentError):
        default_ga(
            starting_population_smiles=first,
            scoring_function=score,
            max_generations=100 * run.budget,
            offspring_size=run.batch,
            rng=random.Random(run.seed),
        )
    seconds = time.monotonic() - began
    content = {"values": list(found.values()), "smiles": list(found), "seconds": seconds}
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(content))
    beside.replace(path)
    return content["values"], content["smiles"], seconds
