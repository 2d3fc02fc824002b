"""Is `rank` as sure of its next batch as it may be?

Each campaign keeps what it foresaw of a molecule when it proposed it; here that is compared with
what was measured then. Of what is proposed more is expected than of other molecules, so this is
harder than to be right about molecules left out at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.optimisation import Run, row
from benchmarks.shared import run
from benchmarks.shared.tables import markdown, number
from molvae.analysis.calibration import coverage_of
from molvae.campaign.campaign import Campaign

TITLE = "Calibration"
CAMPAIGNS = {
    "qed": (60, 150),
    "pmo/osimertinib_mpo": (60, 140),
    "pmo/celecoxib_rediscovery": (60, 140),
    "pmo/isomers_c9h10n2o2pf2cl": (100, 180),
}
"""Starting molecules and calls in all: values that are spread evenly, that crowd at one end, and
nearly all of which are 0."""
SHARES = ("held_50", "held_90", "above")


def measure(
    *, quick: bool, jobs: int, folder: Path, seeds: Sequence[int] = (0, 1)
) -> dict[str, Any]:
    """Shares of measured values in the intervals that were foreseen, by campaign."""
    runs = [
        Run(
            task=task,
            method="rank:n_generations=1,n_offspring=30" if quick else "rank",
            seed=seed,
            budget=16 if quick else budget,
            start=10 if quick else start,
            batch=3 if quick else 10,
            folder=str(folder),
        )
        for task, (start, budget) in list(CAMPAIGNS.items())[: 1 if quick else None]
        for seed in (seeds[:1] if quick else seeds)
    ]
    counts = run.each(counted, [(one,) for one in runs], jobs=jobs)
    campaigns = []
    for one in {one.task: one for one in runs}.values():
        own = [count for count in counts if count["task"] == one.task]
        measured = sum(count["measured"] for count in own)
        shares = {key: round(sum(c[key] for c in own) / measured, 3) for key in SHARES}
        sizes = {"start": one.start, "proposals": one.budget - one.start}
        campaigns.append(sizes | {"task": one.task, "measured": measured} | shares)
    return {
        "batch": runs[0].batch,
        "seeds": len({one.seed for one in runs}),
        "campaigns": campaigns,
    }


def counted(one: Run) -> dict[str, Any]:
    """How many values of one run lay where."""
    row(one)
    with Campaign.open(one.path(".db")) as campaign:
        everything = coverage_of(campaign.trials, campaign.name, batch=one.batch)[0]
    found = {key: getattr(everything, key) for key in ("measured", *SHARES)}
    return {"task": one.task, **found}


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each task."""
    rows = [
        [
            f"{row['task']} ({row['start']} + {row['proposals']})",
            *(number(row[key], ".0%") for key in SHARES),
        ]
        for row in result["campaigns"]
    ]
    return [
        "What `rank` foresaw of each molecule when it proposed it, in batches of "
        f"{result['batch']}, against what was measured then ({result['seeds']} seeds).",
        "",
        *markdown(
            ("campaign (start + proposals)", "in 50 % intervals", "in 90 % intervals",
             "above median"),
            rows,
        ),
    ]  # fmt: skip
