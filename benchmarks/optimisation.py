"""Optimisation: which method finds the best molecules in so many objective calls?

Every call counts, the starting molecules included; for a task and seed all methods start from the
same random molecules of ZINC250k, from which the task's own targets are removed. Each run is a
record, or for mol-ga a JSON file, in `runs/optimisation`; what is there already is not run again,
and what was interrupted goes on.

    screening   random molecules of the data set
    mol-ga      the package's own loop and defaults, with as many offspring as there are in a batch
    others      strategies of molvae; settings after a colon, e.g. rank:latent=0,generations=1

AUC-top-k is the area under the mean of the k best values so far against calls, divided by the
budget: for scores from 0 to 1 a share of the largest possible. It is summed by trapezoids, as the
function `top_auc` of PMO's code does (Gao et al. 2022, arXiv:2206.12411); a failed call counts 0.
Two widths of the trapezoids are in use, which differ at small budgets:

    auc_top10       a hundredth of the budget
    pmo_auc_top10   100 calls, as in PMO; at its budget of 10,000 calls both are the same

Objectives that are minimised count with a minus sign. Where values are not within 0 and 1, an AUC
is no share but a mean over the calls, in the objective's unit; before the first call, and for a
failed one, the smallest value of the run stands in place of 0 if it is negative, so that no failure
ranks above a value. Such numbers compare methods on one task; sums over tasks mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.MolStandardize.rdMolStandardize import Uncharger

import molvae
from benchmarks.optimisation_report import figures, readme_table
from molvae.bo import get_strategy
from molvae.campaign import Campaign
from molvae.chem.guacamol import SUITES, targets
from molvae.chem.objective import get_objective
from molvae.chem.sets import filter_pass_rate, internal_diversity, property_statistics, validity
from molvae.datasets import read, sample_molecules
from molvae.latent import LatentSpace

RESULT = Path(__file__).parent / "results" / "optimisation.json"

SIX = tuple(
    f"pmo/{name}"
    for name in (
        "celecoxib_rediscovery",
        "median1",
        "osimertinib_mpo",
        "perindopril_mpo",
        "sitagliptin_mpo",
        "zaleplon_mpo",
    )
)
TEN = (
    *SIX,
    "pmo/albuterol_similarity",
    "pmo/fexofenadine_mpo",
    "pmo/scaffold_hop",
    "pmo/valsartan_smarts",
)
TWENTY = SUITES["pmo"]
FOLDER = Path("runs") / "optimisation"
PMO_STEP = 100
"""Calls between two points of PMO's curves."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One task, method and seed."""

    task: str
    method: str
    seed: int
    budget: int
    start: int
    batch: int
    folder: str

    def path(self, ending: str) -> Path:
        """Where its record, or its JSON, is."""
        name = f"{self.task}-{self.method}-{self.seed}-{self.start}-{self.batch}{ending}"
        return Path(self.folder) / name.replace("/", "_")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Methods on tasks, with one budget."""

    tasks: tuple[str, ...] = SIX
    methods: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: {"screening": (0,), "mol-ga": (0,), "rank": (0,)}
    )
    """The seeds of each."""
    fewer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tasks of the methods that are not run on all."""
    more: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Further seeds of some methods, on the six tasks."""
    budget: int = 1_000
    start: int = 100
    batch: int = 10

    def runs(self, folder: str) -> list[Run]:
        """Every task, method and seed."""
        return [
            Run(
                task=task,
                method=method,
                seed=seed,
                budget=self.budget,
                start=self.start,
                batch=self.batch,
                folder=folder,
            )
            for task in self.tasks
            for method, seeds in self.methods.items()
            if task in self.fewer.get(method, self.tasks)
            for seed in (*seeds, *(self.more.get(method, ()) if task in SIX else ()))
        ]


MORE = "rank:children=200"
"""Once the default, and what the parts were taken from; fewer children find as much in less time.
Batches of 100 have 1,000 children either way."""
STUDIES = {
    "thousand": Study(
        tasks=TWENTY,
        methods={
            "screening": (0,),
            "mol-ga": (0, 1, 2),
            "log-ei": (0,),
            "turbo": (0,),
            "rank": (0,),
            MORE: (0,),
        },
        fewer={"log-ei": SIX, "turbo": SIX},
        more={"rank": (1, 2), MORE: (1, 2)},
    ),
    "laboratory": Study(
        tasks=TEN,
        methods=dict.fromkeys(("screening", "mol-ga", "rank", MORE), (0, 1, 2)),
        budget=200,
        start=50,
    ),
    "ten-thousand": Study(
        # As in PMO's tables of 2022, with which the README compares.
        tasks=(
            "pmo/celecoxib_rediscovery",
            "pmo/perindopril_mpo",
            "pmo/sitagliptin_mpo_prev",
            "pmo/zaleplon_mpo_prev",
        ),
        methods={"mol-ga": (0,), "rank": (0,)},
        budget=10_000,
        batch=100,
    ),
    "parts": Study(
        methods=dict.fromkeys(
            (
                "rank",
                MORE,
                f"{MORE},surrogate=structure",
                f"{MORE},surrogate=latent",
                f"{MORE},surrogate=structure+latent",
                f"{MORE},surrogate=structure+descriptors+latent",
                f"{MORE},surrogate=auto",
                f"{MORE},latent=0",
                f"{MORE},latent=1",
                f"{MORE},radius=2",
                f"{MORE},window=0",
                f"{MORE},tune=0",
                "rank:generations=1,children=400",
            ),
            (0, 1),
        ),
        budget=400,
    ),
}
"""What the README shows: 1,000 calls, a laboratory's 200, 10,000, and what each part earns."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument(
        "--studies",
        nargs="+",
        choices=[*STUDIES, "own"],
        help="those to run (default: all, or with --tasks and so on: own, which these define)",
    )
    parser.add_argument("--tasks", nargs="+", help="names of objectives")
    parser.add_argument("--methods", nargs="+", help="with --studies: only these of them")
    parser.add_argument("--budget", type=int, help="objective calls of a run")
    parser.add_argument("--start", type=int, help="random molecules at the start")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seeds", nargs="+", type=int)


def run(
    *,
    smoke: bool,
    jobs: int,
    studies: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    folder: Path = FOLDER,
    **numbers: Any,
) -> dict[str, Any]:
    """Areas, best values and seconds of every run, by study.

    What the written result holds of other studies, and of a study's other methods, is kept.
    """
    given = {name: value for name, value in numbers.items() if value is not None}
    own = Study(
        tasks=tuple(tasks or SIX),
        methods={m: tuple(seeds or (0,)) for m in methods or Study().methods},
        **given,
    )
    chosen = dict(STUDIES)
    if studies:
        chosen = {name: _only(STUDIES.get(name, own), methods) for name in studies}
    elif tasks or methods or seeds or given:
        chosen = {"own": own}
    if smoke:
        methods = (
            "screening",
            "mol-ga",
            "log-ei:restarts=2,raw_samples=32,iterations=20",
            "turbo:vectors=128",
            "ga",
            "rank:generations=2,children=30",
        )
        tiny = replace(own, tasks=SIX[:2], budget=16, start=10, batch=3)
        chosen = {"own": replace(tiny, methods=dict.fromkeys(methods, (0,)))}
    # mol-ga goes through sets of texts, whose order Python draws anew for each process.
    os.environ["PYTHONHASHSEED"] = "0"
    folder.mkdir(parents=True, exist_ok=True)
    found = {} if smoke or not RESULT.exists() else json.loads(RESULT.read_text("utf-8"))["result"]
    done: dict[str, Any] = {
        name: s for name, s in found.get("studies", {}).items() if name != "own"
    }
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for name, study in chosen.items():
            rows = list(pool.map(row, study.runs(str(folder))))
            settings = {"budget": study.budget, "start": study.start, "batch": study.batch}
            done[name] = settings | {"rows": _together(name, done, rows)}
    done = {name: done[name] for name in (*STUDIES, "own") if name in done}
    tasks = sorted({row["task"] for study in done.values() for row in study["rows"]})
    return {"studies": done, "targets_in_zinc250k": targets_in_the_data_set(tasks)}


def _together(
    name: str, done: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The rows of a study with those that were found before, in the study's order."""
    found = {(r["task"], r["method"], r["seed"]): r for r in done.get(name, {"rows": []})["rows"]}
    found |= {(r["task"], r["method"], r["seed"]): r for r in rows}
    if name not in STUDIES:
        return list(found.values())
    order = [(run.task, run.method, run.seed) for run in STUDIES[name].runs("")]
    return [found[key] for key in order if key in found]


def _only(study: Study, methods: Sequence[str] | None) -> Study:
    kept = {m: s for m, s in study.methods.items() if methods is None or m in methods}
    return replace(study, methods=kept)


def row(run: Run) -> dict[str, Any]:
    """What one run found."""
    values, smiles, seconds = mol_ga(run) if run.method == "mol-ga" else _campaign(run)
    sign = -1.0 if get_objective(run.task).direction == "minimise" else 1.0
    y = counted(sign * np.array(values[: run.budget]))
    top = np.argsort(-y, kind="stable")[:10]
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "calls": len(y),
        "best": float(y.max()),
        "best_start": float(y[: run.start].max()),
        **{f"top{k}": float(np.sort(y)[::-1][:k].mean()) for k in (1, 10, 100)},
        **{f"auc_top{k}": auc(y, run.budget, k) for k in (1, 10, 100)},
        **{f"pmo_auc_top{k}": auc(y, run.budget, k, PMO_STEP) for k in (1, 10, 100)},
        "seconds_per_call": round(seconds / max(1, len(y) - run.start), 3),
        **_quality([smiles[i] for i in np.argsort(-y, kind="stable")[:100]]),
        "curve": [round(value, 4) for value in curve(y, run.budget, 10)],
        "molecules": [smiles[i] for i in top],
    }


def _quality(molecules: Sequence[str]) -> dict[str, float]:
    """Whether a chemist would want them, and whether they are one molecule in many forms."""
    return {
        "sas": round(property_statistics(molecules, ["SAS"], workers=1)["SAS"].mean, 3),
        # Of all: a radical is no molecule that would pass.
        "filter_pass_rate": filter_pass_rate(molecules, workers=1) * validity(molecules),
        "internal_diversity": round(internal_diversity(molecules, workers=1), 3),
    }


def counted(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Values as areas count them: what failed is 0, or the smallest value if that is negative."""
    y = np.asarray(values, dtype=np.float64)
    there = np.isfinite(y)
    return np.where(there, y, min(0.0, y[there].min(initial=0.0)))


def curve(values: Sequence[float] | NDArray[np.float64], budget: int, k: int) -> list[float]:
    """Mean of the k best after each hundredth of the budget; a run that ends early stays there."""
    points = np.rint(np.linspace(0, budget, 101))[1:]
    return [float(height) for height in _means(counted(values), points, k)]


def auc(
    values: Sequence[float] | NDArray[np.float64], budget: int, k: int, step: float | None = None
) -> float:
    """Area under the mean of the k best, divided by the budget.

    Args:
        values: Of the calls in their order, to be maximised; NaN or infinite where one failed.
        budget: Calls that might have been made. A run that ends early stays where it is.
        k: As many count; of fewer, those that are there.
        step: Calls between two points of the curve, the last of which may be nearer: by default a
            hundredth of the budget.
    """
    y = counted(values)[:budget]
    if not len(y):
        return 0.0
    points = np.unique(np.rint(np.arange(0, len(y), step or budget / 100)))
    calls = np.array([*points[points < len(y)], len(y)])
    heights = np.array([min(0.0, y.min()), *_means(y, calls[1:], k)])
    area = np.trapezoid(heights, calls) + (budget - len(y)) * heights[-1]
    return float(area / budget)


def _means(y: NDArray[np.float64], calls: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Mean of the k best values up to each number of calls, from 1."""
    return np.array([np.sort(y[: max(1, int(n))])[::-1][:k].mean() for n in calls])


def starting(run: Run, space: LatentSpace) -> list[str]:
    """The same for every method: random, readable by the space, none a target of the task."""
    drawn = sample_molecules("zinc250k", run.start + 50, seed=run.seed)
    forbidden = set(targets(run.task)) if "/" in run.task else set[str]()
    readable = space.readable(drawn)
    kept = [m for m, ok in zip(drawn, readable, strict=True) if ok and m not in forbidden]
    return kept[: run.start]


def targets_in_the_data_set(tasks: Sequence[str]) -> dict[str, list[str]]:
    """Of the targets of tasks, those that ZINC250k holds, stereochemistry and charges aside.

    They are no starting molecules, but the model may have seen them: 9 of 10 molecules of the data
    set are training molecules.
    """
    wanted = {t: [_flat(m) for m in targets(t)] for t in tasks if "/" in t}
    atoms = {_atoms(m) for of in wanted.values() for m in of}
    there = {_flat(text) for _, text in read("zinc250k") if _atoms(text) in atoms}
    return {t: [m for m in of if m in there] for t, of in wanted.items() if there.intersection(of)}


def _flat(smiles: str) -> str:
    neutral = Uncharger().uncharge(Chem.MolFromSmiles(smiles))
    return str(Chem.MolToSmiles(neutral, isomericSmiles=False))


def _atoms(smiles: str) -> str:
    """The heavy atoms as letters: the same for all texts of a molecule, and fast."""
    return "".join(sorted(re.findall("CL|BR|[A-GI-Z]", smiles.upper().replace("@", ""))))


def _campaign(run: Run) -> tuple[list[float], list[str], float]:
    """Of a strategy, or of screening: a campaign whose record stays."""
    path = run.path(".db")
    space = molvae.load("zinc250k")
    if run.method == "screening":
        objective = get_objective(run.task)
        first = starting(run, space)
        rest = [
            m
            for m in sample_molecules("zinc250k", run.budget + run.start + 50, seed=run.seed + 1)
            if m not in set(first)
        ]
        smiles = [*first, *rest][: run.budget]
        return list(objective(smiles)), smiles, 0.0
    strategy = get_strategy(run.method)
    if path.exists():
        made = Campaign.open(path, space=space)
    else:
        made = Campaign.create(
            path,
            space,
            objective=run.task,
            strategy=strategy,
            seed=run.seed,
            start=starting(run, space),
            batch=run.batch,
        )
    with made as campaign:
        campaign.run(run.budget, allow_equal=True)  # as mol-ga does: most valsartan scores are 0
        told = campaign.trials
    at = [datetime.fromisoformat(t.told_at) for t in told if t.told_at]
    seconds = (max(at) - min(at)).total_seconds() if at else 0.0
    return [t.values.get(made.name, np.nan) for t in told], [t.smiles for t in told], seconds


def mol_ga(run: Run) -> tuple[list[float], list[str], float]:
    """The package's own loop; its scoring function stops it when the budget is spent."""
    from mol_ga import default_ga
    from rdkit import rdBase

    path = run.path(".json")
    if path.exists():
        content = json.loads(path.read_text("utf-8"))
        if len(content["values"]) >= run.budget:
            return content["values"], content["smiles"], content["seconds"]
    objective = get_objective(run.task)
    found: dict[str, float] = {}

    class SpentError(Exception):
        """All calls were made."""

    def score(smiles: list[str]) -> list[float]:
        for molecule in smiles:
            if molecule not in found:
                if len(found) == run.budget:
                    raise SpentError
                found[molecule] = float(np.nan_to_num(objective([molecule])[0], nan=0.0))
        return [found[molecule] for molecule in smiles]

    began = time.monotonic()
    first = starting(run, molvae.load("zinc250k"))
    score(first)
    with rdBase.BlockLogs(), suppress(SpentError):
        default_ga(
            starting_population_smiles=first,
            scoring_function=score,
            max_generations=100 * run.budget,
            offspring_size=run.batch,
            rng=random.Random(run.seed),
        )
    seconds = time.monotonic() - began
    content = {"values": list(found.values()), "smiles": list(found), "seconds": seconds}
    beside = run.path(f".{os.getpid()}")
    beside.write_text(json.dumps(content), "utf-8")
    beside.replace(path)
    return content["values"], content["smiles"], seconds


__all__ = ["add_arguments", "figures", "readme_table", "run"]
