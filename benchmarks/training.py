"""How fast does a model learn, and how many molecules does it give back after how many minutes?

Each budget of minutes is a training of its own, from scratch, whose learning rate falls to its end.
With `--against`, short trainings of this code and of another checkout take turns on the same
machine, and their molecules a second are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.shared import plots
from benchmarks.shared.molecules import PREPARED, few_prepared, require_prepared, some
from benchmarks.shared.recipes import per_second
from benchmarks.shared.run import ROOT, cached
from benchmarks.shared.tables import markdown, number
from molvae.analysis.model_metrics import reconstruction_metrics
from molvae.chem.prepare import load_split
from molvae.config import build, current_names, read_toml
from molvae.errors import DataError
from molvae.latent.loading import load
from molvae.latent.train import train
from molvae.model.config import TrainConfig

TITLE = "Training"
DATA, HELD_OUT, SEED = "zinc250k", 1_000, 0
MINUTES = (1.0, 2.0, 5.0, 10.0)
ROUNDS, REPORTS = 3, 4  # turns of each checkout; reports of five seconds that are read in a turn
PATIENCE = 600.0  # seconds until a turn must have begun to report
RECIPE = ROOT / "pipelines" / "zinc250k.toml"


def measure(
    *,
    quick: bool,
    jobs: int,
    folder: Path,
    against: str | None = None,
    minutes: Sequence[float] = MINUTES,
) -> dict[str, Any]:
    """Reconstruction after minutes of training, and the speeds of two checkouts."""
    del jobs  # processes side by side would be measured as well
    with few_prepared(DATA, 400) if quick else nullcontext(PREPARED) as prepared:
        data = require_prepared(DATA, prepared)
        n, budgets = (600, [0.02]) if quick else (20_000, minutes)
        rate = learned(n, data, folder / "warm-up", quick)["per_second"]
        curve = [
            cached(
                folder / f"{budget:g}.json",
                partial(learned, max(300, int(60 * budget * rate)), data, folder / "run", quick),
            )
            for budget in budgets
        ]
        speeds = None if against is None else paired(Path(against), data, 1 if quick else ROUNDS)
    return {"data": DATA, "seed": SEED, "curve": curve, "speeds": speeds}


def learned(n: int, data: Path, out: Path, quick: bool) -> dict[str, Any]:
    """A training on so many molecules, and the share of test molecules that it reconstructs."""
    settings = current_names(TrainConfig, read_toml(RECIPE))
    settings |= {"data": str(data), "out": str(out), "n_molecules": n, "seed": SEED}
    settings |= {"prior": {"kind": "normal", "calibrate": False}, "validate_every": 10**9}
    if quick:
        settings |= {"model": {"latent_dim": 8, "decoder_dim": 32, "encoder_dim": 16}}
    marks = [(0, time.monotonic(), False)]
    train(
        build(TrainConfig, settings),
        overwrite=True,
        on_progress=lambda p: marks.append((p.molecules, time.monotonic(), p.valid_kl is not None)),
    )
    rate = per_second(marks) or float("nan")
    test = some(load_split(data, "test"), HELD_OUT, SEED)
    found = reconstruction_metrics(load(out), test, seed=SEED)
    return {
        "molecules": n,
        "per_second": round(rate, 1),
        "minutes": round(n / rate / 60, 3),
        "test": len(test),
        "reconstruction": round(found["reconstruction"], 4),
    }


def paired(against: Path, data: Path, rounds: int) -> dict[str, Any]:
    """Molecules a second of this code and of another checkout, in turns.

    Raises:
        DataError: There is no package in that folder, or a training ended before it reported.
    """
    if not (against / "molvae" / "__init__.py").is_file():
        raise DataError(f"{against} holds no folder molvae; give a checkout of another version")
    found: dict[str, list[float]] = {"this": [], "other": []}
    for _ in range(rounds):
        for name, place in (("this", ROOT), ("other", against.absolute())):
            found[name].append(round(speed(place, data), 1))
    return {
        **{name: {"turns": turns, "median": median(turns)} for name, turns in found.items()},
        "ratio": round(median(found["this"]) / median(found["other"]), 3),
    }


def speed(checkout: Path, data: Path) -> float:
    """Molecules a second of a training by a checkout, which is ended after some reports.

    Its first report, in which the network is made, is left out.
    """
    with tempfile.TemporaryDirectory() as out:
        # Flags that old versions have as well; new ones understand them.
        words = ["train", "--data", str(data), "--out", f"{out}/run", "--merges", "300"]
        process = subprocess.Popen(
            [sys.executable, "-m", "molvae", *words, "--molecules", "100000000"],
            cwd=out,
            env=os.environ | {"PYTHONPATH": str(checkout)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            began, rates = time.monotonic(), list[float]()
            while len(rates) <= REPORTS and time.monotonic() - began < PATIENCE:
                time.sleep(1)
                if process.poll() is not None:
                    break
                metrics = Path(out, "run", "metrics.jsonl")
                lines = metrics.read_text("utf-8").splitlines() if metrics.exists() else []
                rates = [json.loads(line)["rate"] for line in lines if line.endswith("}")]
        finally:
            process.kill()
            _, said = process.communicate()
    if len(rates) <= REPORTS:
        raise DataError(f"the training of {checkout} did not report: {said.strip()[-300:]}")
    return median(rates[1:])


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Reconstruction against minutes."""
    figure, [[axes]] = plots.panels(1, 1, (3.2, 2.4))
    curve = result["curve"]
    axes.plot([one["minutes"] for one in curve], [one["reconstruction"] for one in curve], "o-")
    axes.set(xlabel="minutes of training", ylabel="reconstruction of test molecules", ylim=(0, 1))
    plots.save(figure, folder / "training.svg")


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each budget, and a sentence on the other checkout."""
    rows = [
        [
            number(one["minutes"], ".1f"),
            f"{one['molecules']:,}",
            f"{one['per_second']:,.0f}",
            number(one["reconstruction"], ".1%"),
        ]
        for one in result["curve"]
    ]
    header = ["minutes", "molecules seen", "molecules a second", "reconstruction, greedy"]
    lines = [
        f"The recipe of the bundled model of ZINC250k, from scratch, on "
        f"{result['curve'][0]['test']:,} test molecules.",
        "",
        *markdown(header, rows),
    ]
    if speeds := result["speeds"]:
        lines += [
            "",
            f"In turns with another checkout: {speeds['this']['median']:,.0f} molecules a second "
            f"against {speeds['other']['median']:,.0f}, {speeds['ratio']:.2f} times as many.",
        ]
    return lines
