"""How much of their time do four asynchronous workers spend with a molecule?

The objective sleeps for 2 to 6 seconds, at random but the same for a molecule each time, and notes
when; `rank` chooses molecules meanwhile. Busy: seconds in calls over four times the seconds between
the beginning of the first call and the end of the last one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from molvae.campaign.campaign import Campaign

TITLE = "Workers"
WORKERS, START, BUDGET, BATCH = 4, 40, 160, 10
# Variables of the environment, which worker processes inherit.
LOG, SHORTEST, LONGEST = "MOLVAE_BENCHMARK_LOG", "MOLVAE_SHORTEST", "MOLVAE_LONGEST"


def slow(smiles: str) -> float:
    """A value that can be learned, after some seconds."""
    began = time.time()
    share = int(hashlib.sha256(smiles.encode()).hexdigest(), 16) % 10_000 / 10_000
    low, high = float(os.environ[SHORTEST]), float(os.environ[LONGEST])
    time.sleep(low + (high - low) * share)
    with open(os.environ[LOG], "a", encoding="utf-8") as log:  # one short line: written at once
        log.write(f"{os.getpid()} {began} {time.time()}\n")
    return float(smiles.count("c") - smiles.count("C"))


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """Share of the time that workers are busy."""
    del jobs, folder
    start, budget, low, high = (6, 14, 0.2, 0.4) if quick else (START, BUDGET, 2.0, 6.0)
    settings: dict[str, Any] = {"objective": "benchmarks.workers:slow", "start": start}
    with tempfile.TemporaryDirectory() as place:
        log, record = Path(place) / "calls.txt", Path(place) / "record.db"
        os.environ |= {LOG: str(log), SHORTEST: str(low), LONGEST: str(high)}
        with Campaign.create(record, "zinc250k", batch_size=BATCH, **settings) as campaign:
            campaign.run(budget, workers=WORKERS)
        calls = [line.split() for line in log.read_text("utf-8").splitlines()]
    began, ended = ([float(call[i]) for call in calls] for i in (1, 2))
    return {
        "workers": WORKERS,
        "processes": len({pid for pid, *_ in calls}),
        "calls": len(calls),
        "start": start,
        "seconds_of_a_call": [low, high],
        "busy": round((sum(ended) - sum(began)) / (WORKERS * (max(ended) - min(began))), 4),
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """A sentence."""
    low, high = result["seconds_of_a_call"]
    return [
        f"{result['workers']} processes were with a molecule for {100 * result['busy']:.0f} % of "
        f"the time of {result['calls']} calls that took {low:g} to {high:g} seconds each, while "
        f"`rank` chose all but the {result['start']} initial molecules on the same two cores."
    ]
