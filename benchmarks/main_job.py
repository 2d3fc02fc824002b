"""The main job: 300 calls of 5*qed-sas from 100 random ZINC250k molecules, by strategy and seed.

Every call counts, the starting molecules included; all strategies start from the same molecules for
the same seed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from molvae.config import CampaignConfig, build, read_toml

RECIPE = Path(__file__).parents[1] / "pipelines" / "qed-sas.toml"
STRATEGIES = ("random", "thompson", "log-ei", "rank")
SEEDS = (0, 1, 2)


def run(*, smoke: bool, jobs: int) -> dict[str, Any]:
    """Best of the start and best found, for each strategy and seed."""
    recipe = build(CampaignConfig, read_toml(RECIPE), str(RECIPE))
    if smoke:
        recipe = replace(recipe, start=10, budget=16, batch=3)
    seeds = SEEDS[:1] if smoke else SEEDS
    tasks = [(recipe, strategy, seed) for seed in seeds for strategy in STRATEGIES]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(campaign, tasks))
    summary = {}
    for strategy in STRATEGIES:
        best = [row["best"] for row in rows if row["strategy"] == strategy]
        summary[strategy] = {
            "mean": round(statistics.mean(best), 4),
            "sd": round(statistics.stdev(best), 4) if len(best) > 1 else None,
        }
    settings = {"budget": recipe.budget, "start": recipe.start, "batch": recipe.batch}
    return {"objective": recipe.objective, **settings, "best": summary, "campaigns": rows}


def campaign(task: tuple[CampaignConfig, str, int]) -> dict[str, Any]:
    """One campaign in a record that is thrown away."""
    from molvae.campaign import Campaign

    recipe, strategy, seed = task
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        made = Campaign.create(
            Path(folder) / "record.db",
            recipe.space,
            objective=recipe.objective or recipe.goals,
            strategy=strategy,
            seed=seed,
            start=recipe.start,
            dataset=recipe.dataset,
            batch=recipe.batch,
        )
        with made as c:
            c.run(recipe.budget)
            told = [(t.values[c.name], t.origin, t.smiles) for t in c.trials if t.status == "told"]
            calls = len(c)
    best = max(told)
    return {
        "strategy": strategy,
        "seed": seed,
        "calls": calls,
        "best_start": round(max(value for value, origin, _ in told if origin == "start"), 4),
        "best": round(best[0], 4),
        "smiles": best[2],
        "seconds": round(time.monotonic() - began),
    }


def readme_table(result: dict[str, Any]) -> str:
    """The README's section: a row for each strategy, and one for the start."""
    campaigns = result["campaigns"]
    seeds = sorted({row["seed"] for row in campaigns})

    def line(name: str, values: list[float]) -> str:
        mean, sd = statistics.mean(values), statistics.stdev(values)
        return (
            f"| {name} | {mean:.2f} ± {sd:.2f} | " + " | ".join(f"{v:.2f}" for v in values) + " |"
        )

    lines = [
        f"**The main job**, {result['budget']} calls of `{result['objective']}`, the "
        f"{result['start']} random molecules of ZINC250k that it starts from included, in batches "
        f"of {result['batch']}: `python -m benchmarks main-job`. Best value found, mean ± standard "
        "deviation over the seeds.",
        "",
        f"| strategy | best of {result['budget']} | "
        + " | ".join(f"seed {seed}" for seed in seeds)
        + " |",
        "|---|---|" + "---|" * len(seeds),
    ]
    for strategy in reversed(STRATEGIES):
        own = {row["seed"]: row["best"] for row in campaigns if row["strategy"] == strategy}
        if not own:  # a result from before there was this strategy
            continue
        lines.append(line(strategy, [own[seed] for seed in seeds]))
    first = {row["seed"]: row["best_start"] for row in campaigns}
    start = [first[seed] for seed in seeds]
    lines.append(line(f"best of the {result['start']} at the start", start))
    return "\n".join(lines)
