"""What do batches that keep a distance, and a limit for each scaffold, cost?

Campaigns of `rank` from random molecules of ZINC250k, the same for all settings with the same seed.
*Nearest in a batch* is the least Tanimoto distance of two molecules of a batch of proposals, *most
of a scaffold* the largest number of trials with the same Bemis-Murcko scaffold, over all seeds.
AUC is that of the mean of the ten best, see *Which method finds the best molecules in so many
calls?*
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import molvae
from benchmarks.optimisation import auc
from benchmarks.shared.molecules import starting
from benchmarks.shared.run import each, trials_of
from benchmarks.shared.tables import columns, grouped, number, spread
from molvae.chem.diversity import murcko_scaffold
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.config import CampaignConfig

TITLE = "Batches of unlike molecules"
TASKS = ("pmo/perindopril_mpo", "pmo/celecoxib_rediscovery")
SETTINGS: dict[str, dict[str, Any]] = {
    "neither": {},
    "`--batch-distance 0.3`": {"batch_distance": 0.3},
    "`--per-scaffold 5`": {"per_scaffold": 5},
}
START, BATCH, TOP = 50, 10, 10


def measure(
    *, quick: bool, jobs: int, folder: Path, budget: int = 200, seeds: Sequence[int] = (0, 1, 2)
) -> dict[str, Any]:
    """Areas, best values and what was kept, by task, setting and seed."""
    tasks: Sequence[str] = TASKS
    start = START
    if quick:
        start, budget, tasks, seeds = 10, 20, TASKS[:1], seeds[:1]
    cases = [
        (task, setting, seed, start, budget)
        for task in tasks
        for seed in seeds
        for setting in SETTINGS
    ]
    rows = each(campaign, cases, jobs=jobs, kept=None if quick else folder)
    return {"budget": budget, "start": start, "batch": BATCH, "rows": rows}


def campaign(task: str, setting: str, seed: int, start: int, budget: int) -> dict[str, Any]:
    """One campaign."""
    space = molvae.load(CampaignConfig.space)
    trials = trials_of(
        space, budget, objective=task, start=starting(space, start, seed), batch_size=BATCH,
        seed=seed, **SETTINGS[setting],
    )  # fmt: skip
    smiles = [trial.smiles for trial in trials]
    values = np.array(molvae.get_objective(task)(smiles), dtype=np.float64)
    scaffolds = Counter(murcko_scaffold(one)[0] for one in smiles)
    del scaffolds[""]  # molecules without rings
    return {
        "task": task, "setting": setting, "seed": seed, "calls": len(trials),
        "auc_top10": auc(values.tolist(), budget, TOP),
        "top10": float(np.sort(values)[-TOP:].mean()),
        "nearest": min(nearest(smiles[i : i + BATCH]) for i in range(start, len(smiles), BATCH)),
        "of_a_scaffold": max(scaffolds.values()),
        "scaffolds": len(scaffolds),
    }  # fmt: skip


def nearest(smiles: Sequence[str]) -> float:
    """The least Tanimoto distance of two molecules; 1 where there is no other one."""
    bits = morgan_bits(smiles)
    alike = np.array(tanimoto(bits, bits), dtype=np.float64)
    np.fill_diagonal(alike, 0.0)
    return float(1 - alike.max())


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each task and setting; differences to the first setting are paired by seed."""
    found = grouped(result["rows"], "task", "setting")

    def of(key: tuple[str, str], name: str) -> Any:
        return np.array([row[name] for row in found[key]])

    def cost(key: tuple[str, str]) -> str:
        if key[1] == next(iter(SETTINGS)):
            return ""
        change = of(key, "auc_top10") - of((key[0], next(iter(SETTINGS))), "auc_top10")
        std = float(change.std(ddof=1)) if len(change) > 1 else None
        return spread(float(change.mean()), std, "+.3f")

    seeds = len({row["seed"] for row in result["rows"]})
    return [
        f"{result['budget']} calls in batches of {result['batch']}, {result['start']} molecules at "
        f"the start; means over {seeds} seeds, changes ± standard deviation.",
        "",
        *columns(found, {
            "task": lambda key: key[0],
            "setting": lambda key: key[1],
            "AUC top-10": lambda key: number(of(key, "auc_top10").mean(), ".3f"),
            "change": cost,
            "mean of the 10 best": lambda key: number(of(key, "top10").mean(), ".3f"),
            "nearest in a batch": lambda key: number(of(key, "nearest").min()),
            "most of a scaffold": lambda key: number(of(key, "of_a_scaffold").max(), ".0f"),
            "scaffolds": lambda key: number(of(key, "scaffolds").mean(), ".0f"),
        }),
    ]  # fmt: skip
