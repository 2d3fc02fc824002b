"""Benchmarks run, in smoke size, and what is written about them is what was measured."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import rdBase

from benchmarks import (
    calibration,
    density,
    frontier,
    generative_models,
    latent_map,
    models,
    optimisation,
    overhead,
    scoring,
    several_goals,
    surrogates,
    workers,
)
from benchmarks.__main__ import BENCHMARKS, README, RESULTS, section, write_section
from benchmarks.language_model import LanguageModel, fitted, nll, sample, train, width_for
from benchmarks.main_job import STRATEGIES, run
from benchmarks.property_measures import summary
from benchmarks.property_report import COLOURS, ORDER, PUBLISHED, figures, readme_table
from benchmarks.property_sources import genetic, perturbed
from benchmarks.property_table import SMOKE, Settings, smoke_table, table
from molvae.chem.mol import canonical
from molvae.chem.vocabulary import PAD, STOP, Vocabulary
from molvae.config import TrainConfig
from molvae.errors import DataError
from molvae.latent import LatentSpace
from molvae.tokens import Tokens

ROOT = Path(__file__).parents[1]


def test_the_main_job_counts_every_call_and_starts_alike() -> None:
    result = run(smoke=True, jobs=1)
    assert {row["strategy"] for row in result["campaigns"]} == set(STRATEGIES)
    assert {row["calls"] for row in result["campaigns"]} == {16}
    assert len({row["best_start"] for row in result["campaigns"]}) == 1
    assert all(row["best"] >= row["best_start"] for row in result["campaigns"])


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_the_readme_says_what_was_measured(name: str) -> None:
    """Each section is made from the committed result; one without a result says so."""
    module = import_module(BENCHMARKS[name])
    text = README.read_text(encoding="utf-8")
    start, end = section(text, name)
    assert text.index("## Results") < start < text.index("## Assumptions")
    path = RESULTS / f"{name}.json"
    if not path.exists():
        assert "Not measured yet" in text[start:end]
        return
    result = json.loads(path.read_text(encoding="utf-8"))["result"]
    assert text[start:end] == module.readme_table(result), f"python -m benchmarks {name} --readme"


def test_several_goals_are_measured_by_what_keeps_the_limits() -> None:
    result = json.loads(json.dumps(several_goals.run(smoke=True, jobs=1), allow_nan=False))
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
    assert "| rank, measured |" in several_goals.readme_table(result)


def test_every_call_of_a_worker_is_seen() -> None:
    result = workers.run(smoke=True, jobs=1)
    assert result["calls"] == 14
    assert result["processes"] == 4
    assert 0 < result["busy"] <= 1
    assert f"{100 * result['busy']:.0f} % of the time" in workers.readme_table(result)


def test_overhead_says_where_the_time_goes() -> None:
    result = json.loads(json.dumps(overhead.run(smoke=True, jobs=1), allow_nan=False))
    rank, ga = result["rows"]
    assert (rank["strategy"], rank["observations"], ga["strategy"]) == ("rank", 20, "ga")
    # Few molecules are told: the decoder is not tuned on them.
    assert {*rank["parts"]} == set(overhead.PARTS.values()) - {"tuning the decoder"}
    assert rank["batches"] == ga["batches"] == 2
    assert 0.8 < sum(rank["parts"].values()) <= 1.001  # nothing is counted twice, little is left
    assert all(row["memory_mb"] > 100 for row in (rank, ga))
    assert "the time of `rank` goes into" in overhead.readme_table(result)


def test_surrogates_are_asked_about_what_they_do_not_know(tmp_path: Path) -> None:
    result = surrogates.run(smoke=True, jobs=1, folder=tmp_path)
    result = json.loads(json.dumps(result, allow_nan=False))
    assert set(result["kernels"]) == set(surrogates.KINDS)
    for row in result["kernels"].values():
        assert -1 <= row["rank_correlation"] <= 1
        assert 0 <= row["held_50"] <= row["held_80"] <= row["held_95"] <= 1
    assert "| structure+descriptors |" in surrogates.readme_table(result)


def test_calibration_compares_predictions_with_measurements(tmp_path: Path) -> None:
    result = calibration.run(smoke=True, jobs=1, folder=tmp_path)
    result = json.loads(json.dumps(result, allow_nan=False))
    (row,) = result["campaigns"]
    assert (row["task"], row["measured"]) == ("qed", 6)
    assert 0 <= row["held_50"] <= row["held_90"] <= 1
    assert "| qed (10 + 6) |" in calibration.readme_table(result)


def test_optimisers_start_alike_and_are_counted_alike(tmp_path: Path) -> None:
    result = optimisation.run(smoke=True, jobs=1, folder=tmp_path / "runs")
    result = json.loads(json.dumps(result, allow_nan=False))
    rows = result["studies"]["own"]["rows"]
    assert len(rows) == 2 * 6
    assert {row["calls"] for row in rows} == {16}
    for task in {row["task"] for row in rows}:
        assert len({row["best_start"] for row in rows if row["task"] == task}) == 1
    # What is there is read, and not run again.
    assert optimisation.run(smoke=True, jobs=1, folder=tmp_path / "runs") == result
    optimisation.figures(result, tmp_path)
    assert (tmp_path / "optimisation.svg").read_text().count("<svg") == 1
    table = optimisation.readme_table(result)
    assert table.count("| `") == 6 + 6  # a row each, and a column of the table of tasks
    assert table.count("celecoxib_rediscovery") == 1


FEW = ("autoencoder", "beta-vae", "noise-levels", "semi-supervised", "language-model")
TIMES = ("training", "per_second", "fit_seconds")


def without_times(found: Any) -> Any:
    if isinstance(found, dict):
        return {k: without_times(v) for k, v in found.items() if k not in TIMES}
    return [without_times(v) for v in found] if isinstance(found, list) else found


def test_generative_models_are_trained_once_and_measured_alike(tmp_path: Path) -> None:
    result = generative_models.run(smoke=True, jobs=1, variants=FEW, folder=tmp_path / "runs")
    result = json.loads(json.dumps(result, allow_nan=False))
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
    # What is there is read, and not made again; what is not is made anew, and is the same.
    gone, *kept = (next((tmp_path / "runs").glob(f"*/{name}")) for name in FEW)
    shutil.rmtree(gone)
    made = {path: path.stat().st_mtime_ns for folder in kept for path in folder.iterdir()}
    again = generative_models.run(smoke=True, jobs=1, variants=FEW, folder=tmp_path / "runs")
    assert without_times(json.loads(json.dumps(again))) == without_times(result)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert (gone / "model.safetensors").exists()
    generative_models.figures(result, tmp_path)
    assert (tmp_path / "generative-models.svg").read_text().count("<svg") == 1
    table = generative_models.readme_table(result)
    assert table.count("| language model |") == 3
    assert "| language model | - | -; - |" in table  # no codes, no numbers about them
    assert "logP = 2 |" in table


@pytest.mark.parametrize("name", sorted(generative_models.PLANS))
def test_every_variant_has_about_as_many_weights(name: str) -> None:
    plan = generative_models.PLANS[name]
    rows = torch.full((1, 30), 3, dtype=torch.uint8)
    letters = [chr(ord("A") + i) for i in range(200)]
    tokens = Tokens(
        train=rows,
        valid=rows,
        places=torch.zeros(1, dtype=torch.int32),
        vocabulary=Vocabulary(letters),
        representation={},
        left_out={},
    )
    found = {
        variant: generative_models.recipe(plan, variant, tokens)
        for variant in generative_models.VARIANTS
    }
    sizes = {variant: generative_models.weights(made, tokens) for variant, made in found.items()}
    base = sizes[generative_models.BASELINE]
    assert all(0.9 < size / base < 1.2 for size in sizes.values()), sizes
    assert {made.molecules for made in found.values()} == {plan.molecules}
    assert len({made.out for made in found.values()}) == len(found)


def test_the_verdict_of_generative_models_is_that_of_the_numbers() -> None:
    def row(variant: str, error: float, **more: Any) -> dict[str, Any]:
        asked = {"logP=2": {"in_sd": error, "validity": 1.0}}
        bounds = {"nats_1": -2.0, "nats_8": -1.5, "nats_64": -1.4, "spread": 0.1}
        codes = {"total_correlation": 1.0, "reconstruction": 0.9}
        outliers = {"bound_absurd": 0.97, "bound_absurd-even": 0.99}
        whole = {"asked": asked, "bounds": bounds, "codes": codes, "outliers": outliers}
        return {"variant": variant, **whole, **more}

    rows = [
        row("beta-vae", 0.0),
        row("noise-levels", 1.2),
        row("semi-supervised", 0.2),
        row("semi-supervised-5", 0.45),
        row("iwae", 0.0, bounds={"nats_1": -2.0, "nats_8": -2.1, "nats_64": -1.4, "spread": 0.1}),
    ]
    priors = [{"prior": "normal", "log_density": -3.0, "normal": -3.0}]
    priors.append({"prior": "flow", "log_density": -2.0, "normal": -3.0})
    held = generative_models.verdict({"rows": rows, "priors": priors})
    assert held["bounds_rise"] == {"holds": False, "not": ["iwae"]}
    assert held["priors"] == {"gains": {"normal": 0.0, "flow": 1.0}, "holds": True}
    assert held["conditional"]["worst_in_sd"] == 0.2
    assert held["conditional"]["lost"] == pytest.approx(0.25)
    assert held["conditional"]["few_hold"]
    assert held["outliers"]["holds"]
    assert "total_correlation" not in held  # was not measured
    for alike, given_back, holds in ((0.5, 0.95, True), (0.5, 0.8, False), (1.5, 0.95, False)):
        codes = {"total_correlation": alike, "reconstruction": given_back}
        pair = [rows[0], row("total-correlation", 0.0, codes=codes)]
        held = generative_models.verdict({"rows": pair, "priors": []})
        assert held["total_correlation"]["holds"] is holds
    assert generative_models.verdict({"rows": [], "priors": []}) == {}  # nothing holds of nothing
    # What was measured before of other variants is kept, with the same settings only.
    rows = [{**r, "changed": {}} for r in rows]
    changes = {r["variant"]: r["changed"] for r in rows}
    settings = {"settings": {"molecules": 1}, "floor": {}}
    before = {**settings, "rows": rows[:2], "priors": priors}
    now = {**settings, "rows": rows[4:], "priors": []}
    both = generative_models.together(before, now, changes)
    assert [r["variant"] for r in both["rows"]] == ["beta-vae", "iwae", "noise-levels"]
    assert both["priors"] == priors
    other = {**now, "settings": {"molecules": 2}}
    assert generative_models.together(before, other, changes)["rows"] == rows[4:]
    changes["beta-vae"] = {"objective": {"beta": 2.0}}
    left = generative_models.together(before, now, changes)
    assert [r["variant"] for r in left["rows"]] == ["iwae", "noise-levels"]


def test_every_run_has_a_file_of_its_own() -> None:
    run = optimisation.Study(methods={"rank:latent=0.3": (0, 1)}).runs("runs")
    assert len({r.path(".db") for r in run}) == len(run)
    assert all(r.path(".db").suffix == ".db" for r in run)


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
def test_auc_with_steps_of_100_calls_is_that_of_pmo(calls: int, budget: int, k: int) -> None:
    values = np.random.default_rng(0).beta(2, 5, calls).tolist()
    assert optimisation.auc(values, budget, k, 100) == pytest.approx(
        top_auc(values, budget, k, 100), abs=1e-12
    )


def test_auc_with_steps_of_a_hundredth_is_a_share_of_the_largest_possible() -> None:
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


def test_targets_are_no_starting_molecules(space: LatentSpace, monkeypatch: Any) -> None:
    run = optimisation.Study(start=3).runs("")[0]
    target = optimisation.targets(run.task)[0]
    monkeypatch.setattr(optimisation, "sample_molecules", lambda *_, **__: [target, "CCO", "CCN"])
    assert optimisation.starting(run, space) == ["CCO", "CCN"]


def test_scoring_compares_equal_numbers() -> None:
    result = scoring.run(smoke=True, jobs=1)
    assert result["molecules"] == 500
    assert result["different_numbers"] == 0


def test_the_frontier_has_a_row_for_each_training_and_draws_them(tmp_path: Path) -> None:
    result = json.loads(json.dumps(frontier.run(smoke=True, jobs=1), allow_nan=False))
    assert [row["beta"] for row in result["rows"]] == [0.05, 0.2, 0.2, 0.2]
    frontier.figures(result, tmp_path)
    assert (tmp_path / "frontier.svg").read_text().count("<svg") == 1
    assert frontier.readme_table(result).count(" nats |") == 1
    assert len(frontier.readme_table(result).splitlines()) == 4 + 4 + 2


def test_the_models_are_measured_and_the_table_has_a_column_for_each(tmp_path: Path) -> None:
    result = models.run(smoke=True, jobs=1, data=["zinc250k"])
    result = json.loads(json.dumps(result, allow_nan=False))
    models.figures(result, tmp_path)
    assert (tmp_path / "model-zinc250k.svg").exists()
    table = models.readme_table(result).splitlines()
    assert table[2] == "| measure | ZINC250k |"
    assert all(line.count("|") == 3 for line in table[2:])


def test_unusual_molecules_are_told_and_bounds_compared() -> None:
    result = density.run(smoke=True, jobs=1, data=["zinc250k"])
    result = json.loads(json.dumps(result, allow_nan=False))
    found = result["models"]["zinc250k"]
    assert list(found["sets"]) == ["absurd", "absurd-even"]
    assert all(0 <= row["readable"] <= 1 for row in found["sets"].values())
    assert found["sets"]["absurd"]["outlier_score"] > 0.9
    bounds = found["bounds"]
    assert bounds["draws"]["1"] < bounds["draws"]["8"] < 0
    assert bounds["annealed"] < 0
    table = density.readme_table(result).splitlines()
    assert [line.count("|") for line in table if line.startswith("|")] == [8] * 4 + [5] * 3


def test_the_map_is_measured_and_drawn(tmp_path: Path) -> None:
    result = latent_map.run(smoke=True, jobs=1, data=["zinc250k"])
    result = json.loads(json.dumps(result, allow_nan=False))
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
            assert one["predicted"] == sorted(one["predicted"])
            assert sum(one["ended"].values()) == latent_map.SMOKE.ascents
        kept = found["ascents"][head]["kept"]
        assert kept["left"] <= kept["outside"][0]  # only what began there is outside
    for way in found["ways"].values():
        assert way["molecules"] >= 2
    assert found["ways"]["density"]["log_density"] > found["ways"]["straight"]["log_density"]
    assert found["analogies"]["asked"] == latent_map.SMOKE.analogies
    latent_map.figures(result, tmp_path)
    drawn = (tmp_path / "latent-map.svg").read_bytes()
    latent_map.figures(result, tmp_path)
    assert (tmp_path / "latent-map.svg").read_bytes() == drawn
    table = latent_map.readme_table(result).splitlines()
    assert all(line.count("|") == 3 for line in table[2:-2])


def test_a_line_is_read_between_its_points() -> None:
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


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    """The property table, smaller than `--smoke`."""
    settings = replace(SMOKE, n=12, ga={"zinc250k": 8}, lm_molecules=64)
    result = smoke_table(settings, molecules=80, jobs=1)
    # What is written is what tables and figures are made from.
    return dict(json.loads(json.dumps(result, allow_nan=False)))


def test_the_property_table_has_a_row_for_every_source(small: dict[str, Any]) -> None:
    rows = {row["source"]: row for row in small["rows"]}
    assert set(rows) == {source for source in ORDER if not source.startswith("published")}
    assert rows["data"]["n"]["mean"] == 80
    for source in set(rows) - {"data"}:
        assert [draw["seed"] for draw in rows[source]["draws"]] == [0, 1]
    for source in ("train", "prior", "drawn", "perturbed", "language-model"):
        assert rows[source]["n"] == {"mean": 12, "sd": 0}
    for source in ("train", "prior", "drawn", "perturbed"):  # SELFIES
        assert rows[source]["valid"]["mean"] == 1
    assert rows["train"]["in_data"]["mean"] == 1
    assert rows["prior"]["in_data"]["mean"] == 0
    assert rows["data"]["logP"]["shift"] == {"mean": 0, "sd": None}
    models = small["models"]["zinc250k"]
    assert 0.98 < models["language_model"]["weights"] / models["space"]["weights"] <= 1
    assert models["language_model"]["nll_nats"] > 0
    assert {"score", "draw: prior", "language model"} <= set(small["seconds"])


def test_the_distance_is_measured_or_a_note_says_why_not(small: dict[str, Any]) -> None:
    drawn = [row for row in small["rows"] if row["source"] != "data"]
    if small["notes"]:
        assert "pip install" in small["notes"][0]
        assert all(row["fcd"]["mean"] is None for row in drawn)
        assert small["notes"][0] in readme_table(small)
    else:
        assert all(row["fcd"]["mean"] > 0 and row["fcd_floor"] > 0 for row in drawn)


def test_tables_and_figures_are_made_from_the_result(small: dict[str, Any], tmp_path: Path) -> None:
    text = readme_table(small)
    for label in ORDER.values():
        assert f"\n| {label} | " in text
    assert "| *VAE, published* | 8728 | - | - | - | 2.67 (1.46) | 3.18 (0.86) | 0.70 (0.14)" in text
    assert "| *VAE, published* | ZINC250k | +0.15 | +0.16 | -0.21 | 1.02 | 1.04 | 1.00 |" in text
    assert "QM9" not in text  # was not measured
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {10, 9}
    svg, png = figures(small, tmp_path)
    drawn = svg.read_bytes()
    assert b"<svg" in drawn
    assert png.read_bytes().startswith(b"\x89PNG")
    figures(small, tmp_path)
    assert svg.read_bytes() == drawn
    assert {row["source"] for row in small["rows"]} >= set(COLOURS)


def test_shift_and_ratio_are_in_standard_deviations_of_the_data() -> None:
    def draw(mean: float, sd: float) -> dict[str, Any]:
        shares = {"n": 5, "valid": 1.0, "unique": 0.5, "in_data": 0.0, "fcd": None}
        return shares | {name: {"mean": mean, "sd": sd} for name in ("logP", "SAS", "QED")}

    row = summary([draw(3.0, 2.2), draw(4.0, 1.8)], draw(2.5, 2.0))
    assert row["logP"]["shift"] == {"mean": 0.5, "sd": pytest.approx(0.353553)}
    assert row["logP"]["ratio"] == {"mean": 1.0, "sd": pytest.approx(0.141421)}
    assert row["fcd"] == {"mean": None, "sd": None}
    assert row["unique"] == {"mean": 0.5, "sd": 0}


def test_the_published_rows_are_those_of_the_paper() -> None:
    assert PUBLISHED["qm9"]["ga"] == {
        "n": "5470",
        "logP": (0.96, 1.53),
        "SAS": (4.47, 1.01),
        "QED": (0.53, 0.13),
    }
    assert PUBLISHED["zinc250k"]["data"]["logP"] == (2.46, 1.43)


def test_a_missing_data_set_is_named_with_the_way_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="molvae prepare zinc250k"):
        table(Settings(prepared=str(tmp_path)), jobs=1)


def test_the_genetic_algorithm_is_a_function_of_its_seed() -> None:
    parents = [canonical(s) for s in ("CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccccc1", "c1ccc2[nH]ccc2c1")]
    before = rdBase.LogStatus()
    drawn = genetic(parents, 10, seed=0)
    assert rdBase.LogStatus() == before
    valid = [smiles for smiles in drawn if smiles is not None]
    assert len(set(valid)) == 10
    assert valid == [canonical(smiles) for smiles in valid]
    assert drawn == genetic(parents, 10, seed=0)
    assert drawn != genetic(parents, 10, seed=1)


def test_an_unperturbed_encoding_decodes_as_it_is(space: Any) -> None:
    molecules = [canonical("CC(=O)Nc1ccc(O)cc1"), canonical("CCOc1ccccc1")]
    there = perturbed(space, molecules, 5, seed=0, radius=0.0)
    assert sorted(map(str, there)) == sorted(map(str, space.decode(space.encode(molecules))))
    assert len(perturbed(space, [*molecules, "[Xe]"], 5, seed=0, radius=1.0)) == 2


def rows_of(*words: str) -> torch.Tensor:
    """Rows over a, b, c (ids 3, 4, 5), ended by stop, padded to 6."""
    made = [[" abc".index(letter) + 2 for letter in word] + [STOP] for word in words]
    return torch.tensor([[*ids, *[PAD] * (6 - len(ids))] for ids in made], dtype=torch.uint8)


def test_a_language_model_learns_and_tells_likelihoods() -> None:
    torch.manual_seed(0)
    rows = rows_of(*["ab", "cc", "bca", "ab"] * 8)
    model = LanguageModel(n_symbols=6, max_length=6, width=16).eval()
    before = nll(model, rows)
    config = TrainConfig(
        data="",
        out="",
        molecules=5_000,
        batch_size=16,
        learning_rate=1e-2,
        precision="float32",
        device="cpu",
    )
    train(model, rows, config)
    # The entropy of the rows: half are "ab", a quarter each of the others.
    assert 1.5 * np.log(2) <= nll(model, rows) < 1.3 < before
    drawn = sample(model, 200, seed=0)
    assert torch.equal(drawn, sample(model, 200, seed=0))
    assert not torch.equal(drawn, sample(model, 200, seed=1))
    known = {tuple(row) for row in rows.tolist()}
    share = np.mean([tuple(row) in known for row in drawn.tolist()])
    assert share > 0.9
    # Padding changes nothing, and the steps of drawing are those of the likelihood.
    row = rows[:1]
    assert nll(model, row) == pytest.approx(nll(model, torch.cat([row, row])), rel=1e-5)
    logits = model.logits(row[:, :3].long())
    first, state = model.step(torch.tensor([1]), torch.zeros(1, 16))
    torch.testing.assert_close(first, logits[:, 0])
    torch.testing.assert_close(model.step(row[:, 0].long(), state)[0], logits[:, 1])


def test_a_language_model_is_as_large_as_asked_and_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = width_for(50_000, 6)
    sizes = [
        sum(p.numel() for p in LanguageModel(6, 6, w).parameters()) for w in (width, width + 1)
    ]
    assert sizes[0] <= 50_000 < sizes[1]
    rows = rows_of("ab", "cc")
    tokens = Tokens(
        train=rows,
        valid=rows,
        places=torch.arange(len(rows)),
        vocabulary=Vocabulary("abc"),
        representation={},
        left_out={},
    )
    config = TrainConfig(data="", out=str(tmp_path / "lm"), molecules=8, device="cpu")
    trained = fitted(tokens, 3_000, config)
    monkeypatch.setattr("benchmarks.language_model.train", None)
    again = fitted(tokens, 3_000, config)
    assert nll(again, rows) == nll(trained, rows)
    with pytest.raises(TypeError):  # another seed is another model: it would be trained
        fitted(tokens, 3_000, replace(config, seed=1))


def test_a_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n")
    write_section(file, "x", "new | table")
    assert file.read_text() == "a\n<!-- x -->\nnew | table\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="not found"):
        write_section(file, "y", "")
