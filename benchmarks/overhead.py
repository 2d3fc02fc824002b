"""What does a proposal cost, in seconds and memory, as a campaign grows?

A campaign with so many measured molecules goes on for a hundred calls in batches of ten, in a
process of its own, on one thread, in the default space and with the default check of plausibility.
The molecules are random ones of ZINC250k with their values of PMO's perindopril task. Seconds per
molecule are means over ten batches (fewer, in brackets, where these took longer than a minute);
behind them is the first batch, which looks at all molecules for the first time. Memory is the
largest of the process.

The table is still of the space `zinc250k` without that check, which takes less time.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import molvae
from benchmarks.shared import plots
from benchmarks.shared.molecules import starting
from benchmarks.shared.run import each
from benchmarks.shared.tables import columns, grouped, number
from molvae.bo.base import Candidate, Observations
from molvae.bo.strategies.registry import get_strategy
from molvae.chem.plausibility import Plausibility
from molvae.chem.precedents import of_model
from molvae.config import CampaignConfig

TITLE = "What a proposal costs"
TASK, BATCH, BATCHES = "pmo/perindopril_mpo", 10, 10
ENOUGH = 60  # seconds after which no further batch is begun
OBSERVATIONS = (100, 300, 1_000, 3_000, 10_000)
# Beyond 1,000 observations, fitting the surrogate of most strategies takes minutes.
MOST = dict.fromkeys(("log-ei", "thompson", "turbo", "gradient"), 1_000)
STRATEGIES = ("rank", "log-ei", "thompson", "turbo", "gradient", "ga")


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """Seconds a call and memory, by strategy and observations. One process at a time."""
    del jobs  # processes side by side would be measured as well
    sizes, batches = ((20,), 2) if quick else (OBSERVATIONS, BATCHES)
    cases = [
        (name, n, batches)
        for name in (("rank", "ga") if quick else STRATEGIES)
        for n in sizes
        if n <= MOST.get(name, n)
    ]
    # A process each, whose memory is measured.
    rows = [each(measured, [case], jobs=1, kept=folder, apart=True)[0] for case in cases]
    return {"task": TASK, "batch": BATCH, "rows": rows}


def measured(name: str, n: int, batches: int) -> dict[str, Any]:
    """Batches of a strategy from `n` molecules with values on, and the one before them apart."""
    space, strategy = molvae.load(CampaignConfig.space), get_strategy(name)
    precedents = of_model(CampaignConfig.space)
    assert precedents is not None
    plausibility = Plausibility(precedents=precedents, heavy_atoms=precedents.heavy_atoms)
    smiles, origins = starting(space, n, seed=0), ["start"] * n
    z, y = space.encode(smiles), values_of(smiles)

    def propose(k: int, size: int, seed: int) -> Sequence[Candidate]:
        observations = Observations(
            smiles=tuple(smiles[:k]),
            z=z[:k],
            y=y[:k],
            pending_z=torch.empty(0, space.dim, dtype=torch.float64),
            known=frozenset(smiles),
            bounds=space.bounds,
            origins=tuple(origins[:k]),
            plausibility=plausibility,
        )
        return strategy.propose(observations, space, size, seed=seed)

    propose(min(n, 20), 1, 0)  # imports, compilation
    seconds: list[float] = []
    while len(seconds) <= batches and sum(seconds) < ENOUGH:
        began = time.monotonic()
        chosen = propose(len(smiles), BATCH, 1 + len(seconds))
        seconds.append(time.monotonic() - began)
        new = [candidate.smiles for candidate in chosen]
        z = torch.cat([z, torch.stack([candidate.z for candidate in chosen])])
        y, smiles = torch.cat([y, values_of(new)]), smiles + new
        origins += [f"{name} {candidate.operator}".strip() for candidate in chosen]
    first, *rest = seconds
    return {
        "strategy": name,
        "observations": n,
        "seconds_per_call": round(sum(rest) / len(rest) / BATCH, 4) if rest else None,
        "first": round(first / BATCH, 4),
        "batches": len(rest),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def values_of(smiles: Sequence[str]) -> torch.Tensor:
    """Values of the task, `n x 1`."""
    values = molvae.get_objective(TASK)(smiles)
    return torch.tensor(values, dtype=torch.float64)[:, None]


def table(result: Mapping[str, Any]) -> list[str]:
    """Seconds by observations, and memory."""
    by = grouped(result["rows"], "strategy")

    def seconds(name: str, n: int) -> str:
        row = next((row for row in by[name] if row["observations"] == n), None)
        if row is None:
            return ""
        few = f" ({row['batches']})" if 0 < row["batches"] < BATCHES else ""
        return f"{number(row['seconds_per_call'])}{few}; {number(row['first'])}"

    def memory(name: str) -> str:
        return f"{max(row['memory_mb'] for row in by[name]) / 1000:.1f} GB"

    sizes = sorted({row["observations"] for row in result["rows"]})
    at = {f"{n:,}": partial(seconds, n=n) for n in sizes}
    return columns(by, {"strategy": lambda name: f"`{name}`", **at, "memory": memory})


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Seconds per call against observations."""
    figure, ((axes,),) = plots.panels(1, 1, (5, 3))
    for name, own in grouped(result["rows"], "strategy").items():
        seconds = [row["seconds_per_call"] or row["first"] for row in own]
        plots.lines(axes, [row["observations"] for row in own], {name: seconds})
    axes.set(xscale="log", yscale="log", xlabel="measured molecules", ylabel="seconds per call")
    plots.save(figure, folder / "overhead.svg")
