"""Is `rank` as sure of its next batch as it may be?

Each campaign keeps the prediction of a molecule from when it was proposed; here it is compared with
the measured value. Proposed molecules have high predictions, so this is harder than to predict
molecules left out at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.optimisation import Run, Study, row
from benchmarks.shared.run import each
from benchmarks.shared.tables import at, columns, grouped
from molvae.analysis.calibration import coverage_of
from molvae.campaign.campaign import Campaign

TITLE = "Calibration"
# Starting molecules and calls in all: values that are spread evenly, that crowd at one end, and
# nearly all of which are 0.
CAMPAIGNS = {
    "qed": (60, 150),
    "pmo/osimertinib_mpo": (60, 140),
    "pmo/celecoxib_rediscovery": (60, 140),
    "pmo/isomers_c9h10n2o2pf2cl": (100, 180),
}
SHARES = ("held_50", "held_90", "above")


def measure(
    *, quick: bool, jobs: int, folder: Path, seeds: Sequence[int] = (0, 1, 2, 3, 4)
) -> dict[str, Any]:
    """Shares of measured values in the predicted intervals, by campaign."""
    runs = [
        one
        for task, (start, budget) in CAMPAIGNS.items()
        for one in Study(tasks=(task,), methods={"rank": seeds}, start=start, budget=budget).runs(
            str(folder)
        )
    ]
    if quick:
        tiny = "rank:n_generations=1,n_offspring=30"
        runs = [replace(runs[0], method=tiny, budget=16, start=10, batch=3)]
    counts = grouped(each(counted, [(one,) for one in runs], jobs=jobs), "task")
    campaigns = []
    for one in {one.task: one for one in runs}.values():
        own = counts[one.task]
        measured = sum(count["measured"] for count in own)
        shares = {key: round(sum(c[key] for c in own) / measured, 3) for key in SHARES}
        sizes = {"start": one.start, "proposals": one.budget - one.start}
        campaigns.append(sizes | {"task": one.task, "measured": measured} | shares)
    n_seeds = len({one.seed for one in runs})
    return {"batch": runs[0].batch, "seeds": n_seeds, "campaigns": campaigns}


def counted(one: Run) -> dict[str, Any]:
    """Numbers of values in the intervals of one run."""
    row(one)
    with Campaign.open(one.path(".db")) as campaign:
        found = coverage_of(campaign.trials, campaign.name, batch=one.batch)[0]
    return {"task": one.task, **{key: getattr(found, key) for key in ("measured", *SHARES)}}


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each task."""
    return [
        f"Batches of {result['batch']}, {result['seeds']} seeds.",
        "",
        *columns(result["campaigns"], {
            "campaign (start + proposals)":
                lambda row: f"{row['task']} ({row['start']} + {row['proposals']})",
            "in 50 % intervals": at("held_50", ".0%"),
            "in 90 % intervals": at("held_90", ".0%"),
            "above median": at("above", ".0%"),
        }),
    ]  # fmt: skip
