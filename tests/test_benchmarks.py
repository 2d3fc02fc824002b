"""Benchmarks run, in smoke size, and what is written about them is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.main_job import STRATEGIES, run

ROOT = Path(__file__).parents[1]


def test_the_main_job_counts_every_call_and_starts_alike() -> None:
    result = run(smoke=True, jobs=1)
    assert {row["strategy"] for row in result["campaigns"]} == set(STRATEGIES)
    assert {row["calls"] for row in result["campaigns"]} == {16}
    assert len({row["best_start"] for row in result["campaigns"]}) == 1
    assert all(row["best"] >= row["best_start"] for row in result["campaigns"])


def test_the_numbers_in_the_readme_are_those_of_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text()
    result = json.loads((ROOT / "benchmarks" / "results" / "main-job.json").read_text())["result"]
    for strategy, best in result["best"].items():
        assert f"| {strategy} | {best['mean']:.2f} ± {best['sd']:.2f} |" in readme
    model = json.loads((ROOT / "benchmarks" / "results" / "zinc250k-model.json").read_text())
    for name, digits in (("reconstruction", 1), ("validity", 0), ("uniqueness", 2), ("novelty", 2)):
        assert f"| {100 * model[name]:.{digits}f} % |" in readme
    assert f"| {model['posterior_tanimoto']:.2f} |" in readme
