"""What does a campaign of 300 calls of 5*qed-sas find, by strategy and seed?

Every call counts, the 100 random molecules of ZINC250k at the start included, which are the same
for all strategies with the same seed. The settings are those of `pipelines/qed-sas.toml`. Best
value found, mean ± standard deviation over the seeds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.shared.run import ROOT, each, trials_of
from benchmarks.shared.tables import by_seed, grouped, markdown, mean_std
from molvae.config import read_toml

TITLE = "The main job"
RECIPE = ROOT / "pipelines" / "qed-sas.toml"
STRATEGIES = ("random", "thompson", "log-ei", "rank")
SEEDS = (0, 1, 2)


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """Best of the start and best found, for each strategy and seed."""
    recipe = dict(read_toml(RECIPE)) | (
        {"start": 10, "budget": 16, "batch_size": 3} if quick else {}
    )
    cases = [(recipe, name, seed) for seed in SEEDS[: 1 if quick else None] for name in STRATEGIES]
    rows = each(campaign, cases, jobs=jobs, kept=folder)
    best = {
        name: mean_std([row["best"] for row in own])
        for name, own in grouped(rows, "strategy").items()
    }
    settings = {key: recipe[key] for key in ("objective", "budget", "start")}
    return {**settings, "batch": recipe["batch_size"], "best": best, "campaigns": rows}


def campaign(recipe: Mapping[str, Any], strategy: str, seed: int) -> dict[str, Any]:
    """One campaign."""
    began = time.monotonic()
    settings = {key: recipe[key] for key in ("objective", "start", "dataset", "batch_size")}
    trials = trials_of(recipe["space"], recipe["budget"], strategy=strategy, seed=seed, **settings)
    scored = [(*t.values.values(), t.origin, t.smiles) for t in trials if t.values]
    best, _, smiles = max(scored)
    return {
        "strategy": strategy,
        "seed": seed,
        "calls": len(trials),
        "best_start": round(max(value for value, origin, _ in scored if origin == "start"), 4),
        "best": round(best, 4),
        "smiles": smiles,
        "seconds": round(time.monotonic() - began),
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each strategy, and one for the start."""
    by = dict(reversed(grouped(result["campaigns"], "strategy").items()))
    rows = [[name, *by_seed([row["best"] for row in own])] for name, own in by.items()]
    alike = next(iter(by.values()))  # of all strategies
    started = by_seed([row["best_start"] for row in alike])
    rows.append([f"best of the {result['start']} at the start", *started])
    seeds = [f"seed {row['seed']}" for row in alike]
    return [
        f"{result['budget']} calls of `{result['objective']}` in batches of {result['batch']}.",
        "",
        *markdown(("strategy", f"best of {result['budget']}", *seeds), rows),
    ]
