"""Overhead: what a proposal costs, in seconds and memory, as a record grows.

A campaign with so many told molecules goes on for a hundred calls in batches of ten, in a process
of its own, on one thread. Told are random molecules of ZINC250k with their values of PMO's
perindopril task, encoded as those of a record; nothing else was computed of them before, so the
first batch costs more and is given apart. For `rank`, where the time goes.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import molvae
from molvae.bo import get_strategy
from molvae.bo.evidence import Candidate, Evidence
from molvae.chem.objective import get_objective
from molvae.datasets import sample_molecules

TASK, BATCH, BATCHES = "pmo/perindopril_mpo", 10, 10
ENOUGH = 60
"""Seconds after which no further batch is begun."""
OBSERVATIONS = (100, 300, 1_000, 3_000, 10_000)
MOST = {"log-ei": 1_000, "thompson": 1_000, "turbo": 1_000, "gradient": 1_000}
"""Observations up to which a strategy is tried: beyond, fitting its surrogate takes minutes."""
STRATEGIES = ("rank", "log-ei", "thompson", "turbo", "gradient", "ga")
PARTS = {
    "molvae.bo.rank._tuned": "tuning the decoder",
    "molvae.bo.rank.graph_moves": "graph moves",
    "molvae.bo.rank.latent_moves": "latent moves, decoding",
    "molvae.bo.pool.encoded": "encoding",
    "molvae.bo.pool.features": "descriptors and counts",
    "molvae.bo.pool.molecule_gp": "surrogate",
    "botorch.models.SingleTaskGP.posterior": "surrogate",
}
"""Functions whose time is counted apart, and what they are called."""


def run(*, smoke: bool, jobs: int) -> dict[str, Any]:
    """Seconds a call and memory, by strategy and observations. One process at a time."""
    del jobs  # what runs beside would be measured as well
    sizes, batches = ((20,), 2) if smoke else (OBSERVATIONS, BATCHES)
    rows = []
    for name in ("rank", "ga") if smoke else STRATEGIES:
        for n in sizes:
            if n > MOST.get(name, n):
                continue
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                rows.append(pool.submit(measure, name, n, batches).result())
    return {"task": TASK, "batch": BATCH, "rows": rows}


def measure(name: str, n: int, batches: int) -> dict[str, Any]:
    """Batches of a strategy from `n` told molecules on, and the one before them apart."""
    space = molvae.load("zinc250k")
    drawn = sample_molecules("zinc250k", n + n // 50 + 20, seed=0)
    readable = space.readable(drawn)
    smiles = [m for m, ok in zip(drawn, readable, strict=True) if ok][:n]
    values = get_objective(TASK)(smiles)
    evidence = Evidence(
        smiles=tuple(smiles),
        z=space.encode(smiles),
        y=torch.tensor(values, dtype=torch.float64)[:, None],
        pending_z=torch.empty(0, space.dim, dtype=torch.float64),
        known=frozenset(smiles),
        bounds=space.bounds,
        origins=("start",) * n,
    )
    strategy = get_strategy(name)
    strategy.propose(first(evidence, min(n, 20)), space, 1, seed=0)  # imports, compilation
    began = time.monotonic()
    chosen = strategy.propose(evidence, space, BATCH, seed=1)
    opening = time.monotonic() - began
    parts: dict[str, float] = {}
    seconds: list[float] = []
    while len(seconds) < batches and opening + sum(seconds) < ENOUGH:
        evidence = told(evidence, name, chosen)
        with timed(parts):
            began = time.monotonic()
            chosen = strategy.propose(evidence, space, BATCH, seed=2 + len(seconds))
            seconds.append(time.monotonic() - began)
    return {
        "strategy": name,
        "observations": n,
        "seconds_per_call": round(sum(seconds) / len(seconds) / BATCH, 4) if seconds else None,
        "first": round(opening / BATCH, 4),
        "batches": len(seconds),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "parts": {part: round(spent / sum(seconds), 3) for part, spent in parts.items()},
    }


def first(evidence: Evidence, n: int) -> Evidence:
    """The first `n` told molecules."""
    return replace(
        evidence,
        smiles=evidence.smiles[:n],
        z=evidence.z[:n],
        y=evidence.y[:n],
        origins=evidence.origins[:n],
    )


def told(evidence: Evidence, name: str, chosen: Sequence[Candidate]) -> Evidence:
    """The campaign after a batch came back."""
    smiles = [candidate.smiles for candidate in chosen]
    values = torch.tensor(get_objective(TASK)(smiles), dtype=torch.float64)[:, None]
    return replace(
        evidence,
        smiles=(*evidence.smiles, *smiles),
        z=torch.cat([evidence.z, torch.stack([candidate.z for candidate in chosen])]),
        y=torch.cat([evidence.y, values]),
        known=evidence.known | set(smiles),
        origins=(*evidence.origins, *(f"{name} {candidate.made}".strip() for candidate in chosen)),
    )


@contextmanager
def timed(parts: dict[str, float]) -> Iterator[None]:
    """Add up the seconds spent in each of `PARTS`; what one part spends in another counts once."""
    inside: list[float] = []

    def wrap(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            inside.append(0.0)
            start = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.monotonic() - start
                parts[part] = parts.get(part, 0.0) + spent - inside.pop()
                if inside:
                    inside[-1] += spent

        return timing

    with ExitStack() as stack:
        for place, part in PARTS.items():
            owner, _, attribute = place.rpartition(".")
            target = _resolve(owner)
            stack.enter_context(
                patch.object(target, attribute, wrap(getattr(target, attribute), part))
            )
        yield


def _resolve(place: str) -> Any:
    """A module, or a class of one."""
    from pkgutil import resolve_name

    return resolve_name(place)


def readme_table(result: dict[str, Any]) -> str:
    """The README's section: seconds by observations, and the parts of `rank`."""
    rows = result["rows"]
    sizes = sorted({row["observations"] for row in rows})
    by = {(row["strategy"], row["observations"]): row for row in rows}
    lines = [
        "**What does a proposal cost?** Seconds per molecule with so many molecules told, mean "
        f"over {BATCHES} batches of {result['batch']} (fewer, in brackets, where these took longer "
        f"than {ENOUGH} s), and of the first batch, which looks at all of them; on one "
        "thread. The largest memory of the process: `python -m benchmarks overhead`.",
        "",
        f"| strategy | {' | '.join(f'{n:,}' for n in sizes)} | memory |",
        "|---" * (len(sizes) + 2) + "|",
    ]
    for name in dict.fromkeys(row["strategy"] for row in rows):
        cells = [_seconds(by[name, n]) if (name, n) in by else "" for n in sizes]
        memory = max(row["memory_mb"] for row in rows if row["strategy"] == name)
        lines.append(f"| `{name}` | {' | '.join(cells)} | {memory / 1000:.1f} GB |")
    middle = by["rank", 1_000 if ("rank", 1_000) in by else sizes[-1]]
    shares = sorted(middle["parts"].items(), key=lambda item: -item[1])
    spent = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares)
    lines += [
        "",
        f"With {middle['observations']:,} molecules told, the time of `rank` goes into: {spent}.",
        "",
        "![Seconds per call against observations](benchmarks/results/overhead.svg)",
    ]
    return "\n".join(lines)


def _seconds(row: dict[str, Any]) -> str:
    if row["seconds_per_call"] is None:
        return f"-; {row['first']:.2f}"
    few = f" ({row['batches']})" if row["batches"] < BATCHES else ""
    return f"{row['seconds_per_call']:.2f}{few}; {row['first']:.2f}"


def figures(result: dict[str, Any], folder: Path) -> None:
    """Seconds per call against observations."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
    for name in dict.fromkeys(row["strategy"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["strategy"] == name]
        axis.plot(
            [row["observations"] for row in own],
            [row["seconds_per_call"] or row["first"] for row in own],
            marker="o",
            markersize=3,
            linewidth=1.2,
            label=name,
        )
    axis.set(xscale="log", yscale="log", xlabel="molecules told", ylabel="seconds per call")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    with plt.rc_context({"svg.hashsalt": "molvae"}):
        figure.savefig(folder / "overhead.svg", metadata={"Date": None})
    plt.close(figure)


__all__ = ["figures", "readme_table", "run"]
