"""What does a proposal cost, in seconds and memory, as a campaign grows?

A campaign with so many molecules that have values goes on for a hundred calls in batches of ten, in
a process of its own, on one thread. They are random molecules of ZINC250k with their values of
PMO's perindopril task, encoded as those of a record; nothing else was computed of them before, so
the first batch costs more and is given apart.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import molvae
from benchmarks.shared import plots, run
from benchmarks.shared.tables import markdown, number
from molvae.bo.base import Candidate, Observations
from molvae.bo.strategies.registry import get_strategy
from molvae.chem.datasets import sample_molecules

TITLE = "What a proposal costs"
TASK, BATCH, BATCHES = "pmo/perindopril_mpo", 10, 10
ENOUGH = 60
"""Seconds after which no further batch is begun."""
OBSERVATIONS = (100, 300, 1_000, 3_000, 10_000)
MOST = {"log-ei": 1_000, "thompson": 1_000, "turbo": 1_000, "gradient": 1_000}
"""Observations up to which a strategy is tried: beyond, fitting its surrogate takes minutes."""
STRATEGIES = ("rank", "log-ei", "thompson", "turbo", "gradient", "ga")


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """Seconds a call and memory, by strategy and observations. One process at a time."""
    del jobs  # what runs beside would be measured as well
    sizes, batches = ((20,), 2) if quick else (OBSERVATIONS, BATCHES)
    rows = [
        run.each(measured, [(name, n, batches)], jobs=1, kept=folder)[0]  # a process each: memory
        for name in (("rank", "ga") if quick else STRATEGIES)
        for n in sizes
        if n <= MOST.get(name, n)
    ]
    return {"task": TASK, "batch": BATCH, "rows": rows}


def measured(name: str, n: int, batches: int) -> dict[str, Any]:
    """Batches of a strategy from `n` molecules with values on, and the one before them apart."""
    space = molvae.load("zinc250k")
    drawn = sample_molecules("zinc250k", n + n // 50 + 20, seed=0)
    smiles = [m for m, ok in zip(drawn, space.can_encode(drawn), strict=True) if ok][:n]
    observations = Observations(
        smiles=tuple(smiles),
        z=space.encode(smiles),
        y=values_of(smiles),
        pending_z=torch.empty(0, space.dim, dtype=torch.float64),
        known=frozenset(smiles),
        bounds=space.bounds,
        origins=("start",) * n,
    )
    strategy = get_strategy(name)
    strategy.propose(first(observations, min(n, 20)), space, 1, seed=0)  # imports, compilation
    began = time.monotonic()
    chosen = strategy.propose(observations, space, BATCH, seed=1)
    opening = time.monotonic() - began
    seconds: list[float] = []
    while len(seconds) < batches and opening + sum(seconds) < ENOUGH:
        observations = with_values(observations, name, chosen)
        began = time.monotonic()
        chosen = strategy.propose(observations, space, BATCH, seed=2 + len(seconds))
        seconds.append(time.monotonic() - began)
    return {
        "strategy": name,
        "observations": n,
        "seconds_per_call": round(sum(seconds) / len(seconds) / BATCH, 4) if seconds else None,
        "first": round(opening / BATCH, 4),
        "batches": len(seconds),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def values_of(smiles: Sequence[str]) -> torch.Tensor:
    """Of the task, as a column."""
    values = molvae.get_objective(TASK)(smiles)
    return torch.tensor(values, dtype=torch.float64)[:, None]


def first(observations: Observations, n: int) -> Observations:
    """The first `n` molecules with values."""
    return replace(
        observations,
        smiles=observations.smiles[:n],
        z=observations.z[:n],
        y=observations.y[:n],
        origins=observations.origins[:n],
    )


def with_values(observations: Observations, name: str, chosen: Sequence[Candidate]) -> Observations:
    """The campaign after a batch came back."""
    smiles = [candidate.smiles for candidate in chosen]
    return replace(
        observations,
        smiles=(*observations.smiles, *smiles),
        z=torch.cat([observations.z, torch.stack([candidate.z for candidate in chosen])]),
        y=torch.cat([observations.y, values_of(smiles)]),
        known=observations.known | set(smiles),
        origins=(
            *observations.origins,
            *(f"{name} {candidate.operator}".strip() for candidate in chosen),
        ),
    )


def table(result: Mapping[str, Any]) -> list[str]:
    """Seconds by observations, and memory."""
    rows = result["rows"]
    sizes = sorted({row["observations"] for row in rows})
    by = {(row["strategy"], row["observations"]): row for row in rows}
    lines = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        cells = [_seconds(by[name, n]) if (name, n) in by else "" for n in sizes]
        memory = max(row["memory_mb"] for row in rows if row["strategy"] == name)
        lines.append([f"`{name}`", *cells, f"{memory / 1000:.1f} GB"])
    return [
        "Seconds per molecule with so many measured molecules, mean "
        f"over {BATCHES} batches of {result['batch']} (fewer, in brackets, where these took longer "
        f"than {ENOUGH} s), and of the first batch, which looks at all of them; on one thread. The "
        "largest memory of the process.",
        "",
        *markdown(("strategy", *(f"{n:,}" for n in sizes), "memory"), lines),
    ]


def _seconds(row: Mapping[str, Any]) -> str:
    few = f" ({row['batches']})" if 0 < row["batches"] < BATCHES else ""
    return f"{number(row['seconds_per_call'])}{few}; {number(row['first'])}"


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Seconds per call against observations."""
    figure, ((axes,),) = plots.panels(1, 1, (5, 3))
    for name in dict.fromkeys(row["strategy"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["strategy"] == name]
        seconds = [row["seconds_per_call"] or row["first"] for row in own]
        plots.lines(axes, [row["observations"] for row in own], {name: seconds})
    axes.set(xscale="log", yscale="log", xlabel="measured molecules", ylabel="seconds per call")
    plots.save(figure, folder / "overhead.svg")
