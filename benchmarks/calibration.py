"""Calibration: is `rank` as sure of its next batch as it may be?

Each campaign keeps what it foresaw of a molecule when it proposed it; here that is compared with
what was measured then. Of what is proposed more is expected than of other molecules, so this is
harder than to be right about molecules left out at random.

What is in `runs/calibration` already is not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.optimisation import Run, row
from molvae.campaign import Campaign
from molvae.report.calibration import coverage_of

FOLDER = Path("runs") / "calibration"
CAMPAIGNS = {
    "qed": (60, 150),
    "pmo/osimertinib_mpo": (60, 140),
    "pmo/celecoxib_rediscovery": (60, 140),
    "pmo/isomers_c9h10n2o2pf2cl": (100, 180),
}
"""Starting molecules and calls in all: values that are spread evenly, that crowd at one end, and
nearly all of which are 0."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])


def run(
    *, smoke: bool, jobs: int, seeds: Sequence[int] = (0, 1), folder: Path = FOLDER
) -> dict[str, Any]:
    """Shares of measured values in the intervals that were foreseen, by campaign."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = [
        Run(
            task=task,
            method="rank:generations=1,children=30" if smoke else "rank",
            seed=seed,
            budget=16 if smoke else budget,
            start=10 if smoke else start,
            batch=3 if smoke else 10,
            folder=str(folder),
        )
        for task, (start, budget) in list(CAMPAIGNS.items())[: 1 if smoke else None]
        for seed in (seeds[:1] if smoke else seeds)
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        counts = list(pool.map(counted, runs))
    return {
        "batch": runs[0].batch,
        "seeds": len({run.seed for run in runs}),
        "campaigns": [
            {"start": one.start, "proposals": one.budget - one.start}
            | _shares(one.task, [c for c in counts if c["task"] == one.task])
            for one in {run.task: run for run in runs}.values()
        ],
    }


def counted(run: Run) -> dict[str, Any]:
    """How many values of one run lay where."""
    row(run)
    with Campaign.open(run.path(".db")) as campaign:
        everything = coverage_of(campaign.trials, campaign.name, batch=run.batch)[0]
    return {
        "task": run.task,
        "measured": everything.measured,
        "held_50": everything.held_50,
        "held_90": everything.held_90,
        "above": everything.above,
    }


def _shares(task: str, counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    measured = sum(count["measured"] for count in counts)
    shares = {
        key: round(sum(count[key] for count in counts) / measured, 3)
        for key in ("held_50", "held_90", "above")
    }
    return {"task": task, "measured": measured} | shares


def readme_table(result: dict[str, Any]) -> str:
    """The README's section, a table of campaigns."""
    lines = [
        "**Is the surrogate as sure as it may be?** What `rank` foresaw of each molecule when it "
        f"proposed it, in batches of {result['batch']}, against what was measured then "
        f"({result['seeds']} seeds): `python -m benchmarks calibration`.",
        "",
        "| campaign (start + proposals) | in 50 % intervals | in 90 % intervals | above median |",
        "|---" * 4 + "|",
    ]
    lines += [
        f"| {row['task']} ({row['start']} + {row['proposals']}) | {100 * row['held_50']:.0f} % "
        f"| {100 * row['held_90']:.0f} % | {100 * row['above']:.0f} % |"
        for row in result["campaigns"]
    ]
    return "\n".join(lines)


__all__ = ["add_arguments", "readme_table", "run"]
