"""Which method finds the best molecules in so many calls?

Goal-directed tasks of PMO and others; every call of the objective counts, the initial molecules
included: for a task and seed all methods start from the same random molecules of ZINC250k, without
the task's own targets, which are not in ZINC250k (stereochemistry and charges aside). So no
training molecule is one either.

    screening   random molecules of the data set
    mol-ga      the package's own loop and defaults, with as many offspring as there are in a batch
    others      strategies of molvae; settings after a colon, e.g. rank:latent_fraction=0;
                " plausibility=none" at the end turns the filter of implausible molecules off

AUC top-k is the area under the mean of the k best values so far against calls, divided by the
budget: for scores from 0 to 1 a share of the largest possible. It is summed by trapezoids, as by
the function `top_auc` of PMO's code (Gao et al. 2022, arXiv:2206.12411); a failed call counts 0.
Trapezoids are a hundredth of the budget wide, or, where it says *PMO's*, 100 calls as in PMO, which
gives less at small budgets (of 200 calls it sees two points) and the same at 10,000 calls. (Of runs
whose raw values were not kept, PMO's are from their curves, which hold four digits.)

Objectives to be minimized count with a minus sign. Where values are not within 0 and 1, an AUC is a
mean over the calls, in the objective's unit; the smallest value of the run, if negative, takes the
place of 0 before the first call and for a failed one, so that no failure ranks above a value. Such
numbers compare methods on one task; sums over tasks mean nothing.

Sums are over tasks, of means over seeds; in brackets the standard deviation over seeds of the sum
on the tasks with several, then the ratio to the sum of the method that the next but one column
names. Seconds are those of runs side by side; overhead is measured apart. Molecules *without
findings* have no structural alert, unstable group or unseen ring system (see *When molecules look
odd*), whatever the method avoids.

`rank` chooses from four generations of 200 offspring at 1,000 calls, where it has one seed; at 200
calls from four of 300 at most, and it proposed tropones and alkenes between two carbonyls there.
*Older* runs are from before rows had their commit.
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
from benchmarks.shared.molecules import starting
from benchmarks.shared.run import RESULTS, cached, commit, each
from benchmarks.shared.tables import columns, grouped, markdown, number, numbers
from molvae.analysis.set_metrics import distribution_metrics
from molvae.campaign.campaign import Campaign
from molvae.chem.datasets import sample_molecules
from molvae.chem.plausibility import Plausibility
from molvae.chem.precedents import of_model
from molvae.config import CampaignConfig
from molvae.errors import lookup
from molvae.latent.space import LatentSpace
from molvae.objectives.guacamol import SUITES, targets

TITLE = "Which method finds the best molecules in so many calls?"
PARTS = ("studies", "methods")
SIX = (
    "pmo/celecoxib_rediscovery",
    "pmo/median1",
    "pmo/osimertinib_mpo",
    "pmo/perindopril_mpo",
    "pmo/sitagliptin_mpo",
    "pmo/zaleplon_mpo",
)
TEN = (
    *SIX,
    "pmo/albuterol_similarity",
    "pmo/fexofenadine_mpo",
    "pmo/scaffold_hop",
    "pmo/valsartan_smarts",
)
PMO_STEP = 100  # calls between two points of PMO's curves
BASELINE = "mol-ga"
# AUC top-10 after 10,000 calls, means of five seeds; none counts its initial molecules alike.
PUBLISHED_TASKS = ("celecoxib_rediscovery", "perindopril_mpo", "sitagliptin_mpo_prev",
                   "zaleplon_mpo_prev")  # fmt: skip
PUBLISHED = {
    "mol-ga (arXiv:2310.09267)": (0.680, 0.547, 0.582, 0.519),
    "GP BO (arXiv:2206.12411)": (0.723, 0.493, 0.186, 0.221),
    "GP BO of Tripp (the same tables)": (0.860, 0.651, 0.474, 0.499),
    "Genetic GFN (arXiv:2402.05961)": (0.802, 0.595, 0.634, 0.552),
    "NF-BO, the best published latent method (arXiv:2504.14889)": (0.546, 0.586, 0.516, 0.504),
}


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
        """File of its campaign, or of its JSON."""
        name = f"{self.task}-{self.method}-{self.seed}-{self.start}-{self.batch}{ending}"
        return Path(self.folder) / name.replace("/", "_")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Methods on tasks, with one budget."""

    title: str = "As told on the command line"
    tasks: tuple[str, ...] = SIX
    methods: Mapping[str, Sequence[int]] = field(
        default_factory=lambda: dict.fromkeys(("screening", "mol-ga", "rank"), (0,))
    )
    """Methods with their seeds."""
    on_six: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Further seeds of some methods, on the six tasks."""
    budget: int = 1_000
    start: int = 100
    batch: int = 10

    def runs(self, folder: str) -> list[Run]:
        """Every task, method and seed."""
        sizes = {"budget": self.budget, "start": self.start, "batch": self.batch, "folder": folder}
        return [
            Run(task=task, method=method, seed=seed, **sizes)  # type: ignore[arg-type]
            for task in self.tasks
            for method, seeds in self.methods.items()
            for seed in (*seeds, *(self.on_six.get(method, ()) if task in SIX else ()))
        ]


WITHOUT = " plausibility=none"
LATENT = "rank:latent_fraction=1"
STUDIES = {
    "thousand": Study(
        title="1,000 calls",
        tasks=SUITES["pmo"],
        methods={"screening": (0,), "mol-ga": (0, 1, 2), "rank": (0, 1, 2), f"rank{WITHOUT}": (0,),
                 LATENT: (), "log-ei": (), "thompson": (), "turbo": ()},
        on_six={LATENT: (0,), "log-ei": (0,), "thompson": (0,), "turbo": (0,)},
    ),
    "laboratory": Study(
        title="A laboratory's 200 calls",
        tasks=TEN,
        methods=dict.fromkeys(
            ("screening", "mol-ga", "rank", LATENT, "log-ei", "thompson", "turbo"), (0, 1, 2)
        ),
        budget=200,
        start=50,
    ),
    "ten-thousand": Study(
        title="10,000 calls",
        tasks=tuple(f"pmo/{task}" for task in PUBLISHED_TASKS),
        methods={"mol-ga": (0,), "rank": (0,)},
        budget=10_000,
        batch=100,
    ),
    "ablation": Study(
        title="What each part of `rank` earns",
        methods=dict.fromkeys(
            (
                "rank",
                "rank:branch_fraction=0",
                "rank:latent_fraction=0",
                LATENT,
                "rank:screen_fraction=0",
                "rank:n_cautious=0",
                "rank:surrogate=tanimoto+descriptors",
                f"rank{WITHOUT}",
                "rank:n_offspring=1000",
                "rank:n_generations=2",
                "rank:n_offspring=150,n_generations=2",
            ),
            (0, 1, 2),
        ),
        budget=400,
    ),
}  # fmt: skip
QUICK = (
    "screening",
    "mol-ga",
    "log-ei:num_restarts=2,raw_samples=32,max_iterations=20",
    "turbo:n_candidates=128",
    "ga",
    "rank:n_generations=2,n_offspring=30",
)


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

    `studies` are names in `STUDIES` (default: all), of which `methods` selects methods, or `own`,
    which the other options define: `start` random molecules of the data set, then proposals in
    batches, until `budget` objective calls are made. Methods may be own ones, `module:Class`;
    beside them stand the committed results on the same tasks, seeds, budget and batch.
    """
    sizes = {"budget": budget, "start": start, "batch": batch}
    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    named = {method: tuple(seeds or (0,)) for method in methods or Study().methods}
    own = Study(tasks=tuple(tasks or (SUITES["pmo"] if methods else SIX)), methods=named, **given)
    chosen = {"own": own} if tasks or methods or seeds or given else STUDIES
    if studies:
        known = STUDIES | {"own": own}
        chosen = {name: _only(lookup("study", name, known), methods, seeds) for name in studies}
    if quick:
        few = dict.fromkeys(QUICK, (0,))
        chosen = {"own": Study(tasks=SIX[:2], methods=few, budget=16, start=10, batch=3)}
    return {
        "studies": {
            name: {key: getattr(study, key) for key in sizes}
            | {"rows": each(row, [(one,) for one in study.runs(str(folder))], jobs=jobs)}
            | ({"committed": beside(study)} if name == "own" or has_own(methods) else {})
            for name, study in chosen.items()
        }
    }


def _only(study: Study, methods: Sequence[str] | None, seeds: Sequence[int] | None) -> Study:
    if methods is None:
        return study
    kept = {method: study.methods.get(method, tuple(seeds or (0,))) for method in methods}
    return replace(study, methods=kept)


def has_own(methods: Sequence[str] | None) -> bool:
    """Whether some methods are in no study."""
    return not {*(methods or ())} <= {method for one in STUDIES.values() for method in one.methods}


def is_part(studies: Sequence[str] | None, methods: Sequence[str] | None, **_: Any) -> bool:
    """Whether results with these options belong to the committed ones."""
    return (methods is None or bool(studies)) and not has_own(methods)


def beside(study: Study) -> list[dict[str, Any]]:
    """Committed results on the same tasks, seeds, budget and batch, of other methods."""
    target, sizes = RESULTS / "optimisation.json", ("budget", "start", "batch")
    found = json.loads(target.read_text("utf-8"))["result"] if target.exists() else {"studies": {}}
    seeds = {seed for of in study.methods.values() for seed in of}
    rows = {
        (row["task"], row["method"], row["seed"]): row
        for other in found["studies"].values()
        if all(other[name] == getattr(study, name) for name in sizes)
        for row in other["rows"]
        if row["task"] in study.tasks and row["method"] not in study.methods
    }
    return [row for (_, _, seed), row in rows.items() if seed in seeds]


def merge(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Results of now, and of before where now has none; each row has its commit."""

    def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return row["task"], row["method"], row["seed"]

    done: dict[str, Any] = {}
    for name, plan in STUDIES.items():
        both = [result["studies"][name] for result in (before, now) if name in result["studies"]]
        found = {key(row): row for study in both for row in study["rows"]}
        order = [key(vars(one)) for one in plan.runs("")]
        if both:
            done[name] = both[-1] | {"rows": [found[one] for one in order if one in found]}
    return {"studies": done}


def row(run: Run) -> dict[str, Any]:
    """Measures of one run."""
    values, smiles, seconds = mol_ga(run) if run.method == "mol-ga" else _campaign(run)
    sign = -1.0 if molvae.get_objective(run.task).direction == "minimize" else 1.0
    y = counted(sign * np.array(values[: run.budget]))
    order = np.argsort(-y, kind="stable")
    best = [smiles[i] for i in order[:100]]
    found = distribution_metrics(best, names=["SAS"], workers=1)
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "commit": commit(),
        "calls": len(y),
        "best": float(y.max()),
        "best_start": float(y[: run.start].max()),
        **{f"top{k}": float(y[order[:k]].mean()) for k in (1, 10, 100)},
        **{f"auc_top{k}": auc(y, run.budget, k) for k in (1, 10, 100)},
        **{f"pmo_auc_top{k}": auc(y, run.budget, k, PMO_STEP) for k in (1, 10, 100)},
        "seconds_per_call": round(seconds / max(1, len(y) - run.start), 3),
        "sas": round(found["SAS_mean"], 3),
        "plausible": round(_plausible(best), 3),
        "internal_diversity": round(found["internal_diversity"], 3),
        "curve": [round(value, 4) for value in curve(y, run.budget, 10)],
        "molecules": [smiles[i] for i in order[:10]],
    }


def _plausible(smiles: Sequence[str]) -> float:
    """Share of molecules without a structural alert, an unstable group or an unseen ring system."""
    check = Plausibility(precedents=of_model(CampaignConfig.space))
    findings = [check.findings(molecule) for molecule in smiles]
    faults = [[f for f in some if not f.startswith("unseen environment")] for some in findings]
    return faults.count([]) / len(faults)


def counted(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Values as areas count them: a failure is 0, or the smallest value if that is negative."""
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
        values: Values of the calls in order, to be maximized; NaN or infinite where one failed.
        budget: Possible calls. A run that ends early keeps its last value.
        k: How many values count; of fewer, all of them.
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


def first_of(run: Run, space: LatentSpace) -> list[str]:
    """Initial molecules, the same for every method: random, readable, none a target of the task."""
    forbidden = set(targets(run.task)) if "/" in run.task else set[str]()
    return starting(space, run.start, run.seed, without=forbidden)


def _campaign(run: Run) -> tuple[list[float], list[str], float]:
    """A campaign of a strategy, or of screening, whose file stays."""
    path, space = run.path(".db"), molvae.load(CampaignConfig.space)
    if run.method == "screening":
        first = first_of(run, space)
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
            start=first_of(run, space),
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
    kept = cached(run.path(f"-{run.budget}.json"), lambda: _mol_ga(run))
    values = [np.nan if value is None else value for value in kept["values"]]
    return values, kept["smiles"], kept["seconds"]


def _mol_ga(run: Run) -> dict[str, Any]:
    from mol_ga import default_ga
    from rdkit import rdBase

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
    first = first_of(run, molvae.load("zinc250k"))
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
    known = [value if np.isfinite(value) else None for value in found.values()]
    return {"values": known, "smiles": list(found), "seconds": seconds}


def table(result: Mapping[str, Any]) -> list[str]:
    """For each study a table of methods, and one of all tasks."""
    lines = list[str]()
    for name, study in result["studies"].items():
        lines += [f"### {STUDIES.get(name, Study()).title}", "", *_study(study), ""]
    return lines[:-1]


Rows = Sequence[Mapping[str, Any]]


def by_task(rows: Rows, method: str, key: str = "auc_top10") -> dict[str, float]:
    """Means over the seeds of a method, by task."""
    found = grouped((row for row in rows if row["method"] == method), "task")
    return {task: statistics.mean(row[key] for row in own) for task, own in found.items()}


def _study(study: Mapping[str, Any]) -> list[str]:
    rows = [*study["rows"], *study.get("committed", ())]
    own = grouped(rows, "method")
    reference = BASELINE if BASELINE in own else next(iter(own))

    def total(method: str, key: str = "auc_top10") -> float:
        return sum(by_task(rows, method, key).values())

    def mean(method: str, key: str) -> float | None:
        values = [row[key] for row in own[method] if key in row]
        return statistics.mean(values) if values else None

    def compared(method: str) -> tuple[str, str]:
        """The ratio to the reference, and on how many tasks it is better, where it has all."""
        ours, others = by_task(rows, method), by_task(rows, reference)
        if method == reference or ours.keys() - others.keys():
            return "", ""
        rival = sum(others[task] for task in ours)
        better = sum(value > others[task] for task, value in ours.items())
        return f", {total(method) / rival:.2f} x" if rival else "", f"{better} of {len(ours)}"

    tasks = list(dict.fromkeys(row["task"] for row in study["rows"]))
    areas = {method: by_task(rows, method) for method in own}
    lines = [
        f"Batches of {study['batch']}, {study['start']} molecules at the start.",
        "",
        *columns(own, {
            "method": lambda m: f"`{m}`",
            "tasks, runs": lambda m: f"{len(areas[m])}, {len(own[m])}",
            "sum of AUC top-10": lambda m: f"{total(m):.3f}{_spread(own[m])}{compared(m)[0]}",
            "PMO's": lambda m: number(total(m, "pmo_auc_top10"), ".3f"),
            f"better than `{reference}`": lambda m: compared(m)[1],
            "AUC top-1, top-100":
                lambda m: numbers([total(m, key) for key in ("auc_top1", "auc_top100")], ".3f"),
            "mean of the 10 best": lambda m: number(total(m, "top10") / len(areas[m]), ".3f"),
            "of the 100 best without findings": lambda m: number(mean(m, "plausible"), ".0%"),
            "their SAS, diversity":
                lambda m: numbers([mean(m, key) for key in ("sas", "internal_diversity")]),
            "s per call": lambda m: number(mean(m, "seconds_per_call")),
            "commit": lambda m: ", ".join({row.get("commit", "older"): 0 for row in own[m]}),
        }),
        "",
        "AUC top-10 of each task, steps of a hundredth of the budget:",
        "",
        *markdown(
            ["task", *(f"`{method}`" for method in own)],
            [[_short(t), *(number(of.get(t), ".3f") for of in areas.values())] for t in tasks],
        ),
    ]  # fmt: skip
    if tuple(map(_short, tasks)) == PUBLISHED_TASKS:
        by_method = [f"{name} {numbers(values, '.3f')}" for name, values in PUBLISHED.items()]
        said = "Published values, in the order of the tasks above"
        lines += ["", f"{said}: {'; '.join(by_method)}."]
    return lines


def _short(task: str) -> str:
    return task.partition("/")[2] or task


def _spread(rows: Rows) -> str:
    """Standard deviation over seeds of the sum over the tasks with every seed."""
    by_seeds = grouped(rows, "seed")
    several = [own for own in grouped(rows, "task").values() if len(own) == len(by_seeds)]
    if len(by_seeds) < 2:
        return ""
    tasks = {row["task"] for own in several for row in own}
    sums = [sum(r["auc_top10"] for r in own if r["task"] in tasks) for own in by_seeds.values()]
    return f" ({statistics.stdev(sums):.3f} on {len(several)})"


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Mean of the ten best against calls: a panel for each task of the first study."""
    study = next(iter(result["studies"].values()))
    curves = grouped(study["rows"], "task")
    colors = dict(zip(grouped(study["rows"], "method"), plots.COLORS, strict=False))
    columns = min(5, len(curves))
    figure, grid = plots.panels(-(-len(curves) // columns), columns, (2.6, 2.1))
    axes = [panel for line in grid for panel in line]
    for panel in axes[len(curves) :]:
        panel.set_axis_off()
    calls = np.linspace(0, study["budget"], 101)[1:]
    for panel, (task, rows) in zip(axes, curves.items(), strict=False):
        by_method = grouped(rows, "method")
        for method, color in colors.items():
            if method in by_method:
                heights = np.mean([row["curve"] for row in by_method[method]], axis=0)
                panel.plot(calls, heights, color=color, label=method)
        panel.set_title(_short(task))
    plots.legend(figure, axes[0], len(colors))
    figure.supxlabel("objective calls")
    figure.supylabel("mean of the 10 best")
    plots.save(figure, folder / "optimisation.svg")
