"""Campaigns with a cheap, less faithful evaluation beside the objective."""

from __future__ import annotations

import errno
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from molvae import Campaign
from molvae.analysis.plate import ask_columns, write_plate
from molvae.analysis.report import render
from molvae.analysis.reproduce import reproduction_command
from molvae.analysis.summary import summarize
from molvae.campaign.same_settings import check_same_settings
from molvae.campaign.trial import NewTrial
from molvae.cli.measurements import tell
from molvae.errors import CampaignError, ConfigError, DataError, ObjectiveError, UnknownNameError
from molvae.objectives.parsing import format_part, parse_objective
from molvae.objectives.problem import Objective, OptimizationProblem
from tests.toys import ToyObjective, ToySpace

SMALL = "rank:n_offspring=30,n_generations=1"


def fast(smiles: str) -> float:
    """The toy's hill, shifted, and wrong by the parity of the molecule's length."""
    (value,) = ToyObjective()([smiles])
    return 3.0 * value - 5.0 + 0.2 * (len(smiles) % 2)


FAST = {"objective": fast, "name": "fast", "cost": 1}


def create(path: Path, start: Any = 30, **settings: Any) -> Campaign:
    space = ToySpace()
    molecules = space.molecules[::7][:start] if isinstance(start, int) else start
    given = {"objective": ToyObjective(), "cost": 10.0, "fidelities": [FAST]} | settings
    return Campaign.create(
        path, space, start=molecules, strategy=SMALL, plausibility="none", batch_size=5, **given
    )


def spent_cost(campaign: Campaign) -> float:
    return sum(campaign.problem.cost(t.fidelity) for t in campaign.trials if t.status != "pending")


def asked_evaluations(campaign: Campaign) -> list[tuple[str, str]]:
    return [(trial.smiles, trial.fidelity) for trial in campaign.trials]


def test_create_with_fidelities_starts_cheap_with_some_molecules_at_both(tmp_path: Path) -> None:
    with create(tmp_path / "c.db") as c:
        fidelities = [trial.fidelity for trial in c.trials]
        assert fidelities == ["fast"] * 30 + [""] * 5
        assert [t.smiles for t in c.trials[:5]] == [t.smiles for t in c.trials[30:]]


def test_run_spends_a_budget_in_units_of_cost(tmp_path: Path) -> None:
    with create(tmp_path / "c.db") as c:
        c.run(budget=165)
        assert 155 < spent_cost(c) <= 165
        table = c.table()
        assert list(table.columns[:4]) == ["id", "smiles", "fidelity", c.name]
        low, high = (table[table["fidelity"] == name] for name in ("fast", c.name))
        assert low[c.name].isna().all()
        assert high["fast"].isna().all()
        assert not table.duplicated(["smiles", "fidelity"]).any()
        proposed = [t for t in c.trials if t.origin != "start"]
        assert {t.fidelity for t in proposed} == {"", "fast"}
        assert (c.best(len(c))["fidelity"] == c.name).all()
        assert c.best_value == high[c.name].max()
        assert len(summarize(c).ranked) == high[c.name].notna().sum()


def test_run_spends_a_budget_of_costs_that_are_not_exact(tmp_path: Path) -> None:
    fidelities = ({"objective": fast, "name": "fast", "cost": 0.1} for _ in range(1))
    with create(tmp_path / "c.db", start=5, cost=0.3, fidelities=fidelities) as c:
        c.run(budget=2)
        assert {trial.status for trial in c.trials} == {"complete"}
        assert spent_cost(c) == pytest.approx(2)
        assert len(c.config.fidelities) == 1


def test_run_with_a_budget_below_one_objective_evaluation_names_the_least(tmp_path: Path) -> None:
    with create(tmp_path / "c.db") as campaign:
        cheap = sum(bool(trial.fidelity) for trial in campaign.trials)
        least = campaign.problem.cost() + cheap * campaign.problem.cost("fast")
        with pytest.raises(ConfigError, match=f"give at least {least:g}"):
            campaign.run(math.ceil(least) - 1)
        assert all(trial.status == "pending" for trial in campaign.trials)
        campaign.run(math.ceil(least))
        assert any(t.status == "complete" and not t.fidelity for t in campaign.trials)
    with pytest.raises(ConfigError, match=f"give at least {least:g}"):
        create(tmp_path / "d.db", budget=math.ceil(least) - 1)
    assert not (tmp_path / "d.db").exists()


def test_run_with_workers_calls_the_function_of_each_fidelity(tmp_path: Path) -> None:
    with create(tmp_path / "c.db", start=8) as c:
        c.run(budget=70, workers=1)
        assert spent_cost(c) <= 70
        for trial in c.trials:
            if trial.status == "complete" and trial.fidelity:
                assert trial.values == {"fast": fast(trial.smiles)}


def test_run_with_fidelities_interrupted_resumes_the_same(tmp_path: Path) -> None:
    with create(tmp_path / "whole.db") as whole:
        whole.run(budget=140)
        expected = asked_evaluations(whole)
    with create(tmp_path / "c.db") as c:
        seen = 0

        def stop(trial: object) -> None:
            nonlocal seen
            seen += 1
            if seen == 43:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            c.run(budget=140, on_trial=stop)
    with Campaign.open(tmp_path / "c.db", ToySpace(), [ToyObjective(), fast]) as c:
        c.run(budget=140)
        assert asked_evaluations(c) == expected


def test_ask_calls_the_cheap_function_until_a_measurement_is_due(tmp_path: Path) -> None:
    with create(tmp_path / "c.db", objective="manual:assay") as c:
        first = c.ask(5)
        assert [t.fidelity for t in first] == [""] * 5
        assert sum(t.status == "complete" for t in c.trials) == 30
        for trial in first:
            c.tell(trial.id, ToyObjective()([trial.smiles])[0])
        new = c.ask(3)
        assert [t.fidelity for t in new] == [""] * 3
        assert [t for t in c.trials if t.status == "pending"] == new
        with pytest.raises(CampaignError, match="ask and tell"):
            c.run(budget=500)


def test_tell_and_correct_at_both_measured_fidelities(tmp_path: Path) -> None:
    both = {"objective": "manual:assay", "fidelities": ["manual:quick, cost 1"]}
    with create(tmp_path / "c.db", start=6, **both) as c:
        first = c.ask(20)
        assert [t.fidelity for t in first] == ["quick"] * 6 + [""] * 5
        for trial in first:
            of = {"quick": fast(trial.smiles)} if trial.fidelity else ToyObjective()([trial.smiles])
            c.tell(trial.id, of if isinstance(of, dict) else of[0])
        assert {t.fidelity for t in c.ask(6)} <= {"", "quick"}
        with pytest.raises(UnknownNameError):
            c.tell(12, {"slow": 1.0})
        c.correct(1, 2.5, "typing error")
        assert c.trials[0].values == {"quick": 2.5}
        c.add_replicates(1, 3.5)
        assert c.trials[0].replicates == {"quick": [2.5, 3.5]}


def test_tell_of_a_plate_with_both_fidelities_reads_each_column(tmp_path: Path) -> None:
    both = {"objective": "manual:assay", "fidelities": ["manual:quick, cost 1"]}
    path, plate = tmp_path / "c.db", tmp_path / "plate.csv"
    with create(path, start=6, **both) as c:
        write_plate(c, c.ask(11), plate)
        assert ask_columns(c.problem)[:3] == ["id", "smiles", "fidelity"]
    table = pd.read_csv(plate)
    assert table["fidelity"].tolist() == ["quick"] * 6 + ["assay"] * 5
    for row, name in enumerate(table["fidelity"]):
        table.loc[row, name] = float(row)
    table.to_csv(plate, index=False)
    tell(path, file=plate)
    with Campaign.open(path, ToySpace()) as c:
        assert [t.values for t in c.trials[:7]] == [*({"quick": n} for n in range(6)), {"assay": 6}]
        assert not any(t.notes for t in c.trials)
        page = render(c)
        assert "<th>fidelity</th>" in page
        assert "<td>quick</td>" in page


def test_tell_of_a_value_in_the_column_of_another_fidelity_raises(tmp_path: Path) -> None:
    both = {"objective": "manual:assay", "fidelities": ["manual:quick, cost 1"]}
    with create(tmp_path / "c.db", start=6, **both) as c:
        c.ask(11)
        table = pd.DataFrame({"id": [1, 7], "quick": [None, 2.0], "assay": [5.1, 3.0]})
        with pytest.raises(DataError, match=r"assay is .*5\.1.*, but trial 1 measures quick"):
            c.tell_all(table)
        with pytest.raises(DataError, match="no column 'quick'"):
            c.tell_all(table[["id", "assay"]])
        assert c.tell_all(table.assign(quick=[5.1, None], assay=[None, 3.0])) == [1, 7]
        assert [c.trials[i].values for i in (0, 6)] == [{"quick": 5.1}, {"assay": 3.0}]
        assert c.tell_all(pd.DataFrame({"id": [8], "assay": [1.0]})) == [8]


def test_storage_ask_takes_a_molecule_once_per_fidelity(tmp_path: Path) -> None:
    with create(tmp_path / "c.db", start=6) as c:
        one = NewTrial(smiles=c.trials[5].smiles, z=[0.0] * 3, origin="x", fidelity="fast")
        with pytest.raises(CampaignError):
            c._storage.ask([one], expected=len(c))
        c._storage.ask([replace(one, fidelity="slow")], expected=len(c))
        assert c.trials[-1].fidelity == "slow"


def test_create_with_given_values_adds_no_initial_objective_evaluations(tmp_path: Path) -> None:
    molecules = ToySpace().molecules[:6]
    start = pd.DataFrame({"smiles": molecules, "value": [1.0, 2.0, 3.0, None, None, None]})
    with create(tmp_path / "c.db", start=start) as c:
        found = [(t.fidelity, t.status) for t in c.trials]
        assert found == [("", "complete")] * 3 + [("fast", "pending")] * 6


def test_failed_lower_fidelity_leaves_the_molecule_for_the_objective(tmp_path: Path) -> None:
    with create(tmp_path / "c.db", objective="manual:assay") as c:
        c.tell(1, None, "no pose")
        assert (c.trials[0].status, c.trials[0].fidelity) == ("failed", "fast")
        assert c.trials[0].smiles in c.observations().fidelities[0].known
        assert c.trials[5].smiles not in c.observations().known
        assert [t.id for t in c.retry()] == [1]


def test_open_keeps_fidelities_and_costs(tmp_path: Path) -> None:
    spec = "minimize fast: sas, cost 0.5"
    with create(tmp_path / "c.db", objective="qed", fidelities=[spec]) as c:
        kept = c.problem
    with Campaign.open(tmp_path / "c.db", ToySpace()) as c:
        assert c.problem == kept
        assert (kept.cost(), kept.cost("fast")) == (10.0, 0.5)
        check_same_settings(c, {"objective": ("qed",), "cost": 10.0, "fidelities": (spec,)})
        for other in ({"fidelities": ("minimize fast: sas, cost 2",)}, {"cost": 5.0}):
            with pytest.raises(CampaignError):
                check_same_settings(c, other)
        command = reproduction_command(c, 5).command
        assert f"--fidelity '{spec}'" in command
        assert "--cost 10.0" in command


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"cost": 1.0}, ConfigError),  # not more than the lower fidelity
        ({"cost": -3.0}, ConfigError),
        ({"fidelities": []}, ConfigError),  # a cost alone compares nothing
        ({"cost": math.inf}, ConfigError),
        ({"fidelities": ["fast: qed, cost 1", "fast: sas, cost 2"]}, ConfigError),
        ({"fidelities": ["logp in 1..3, cost 1"]}, ConfigError),
        ({"fidelities": ["no-such-thing, cost 1"]}, UnknownNameError),
        ({"constraints": ["logp <= 5"]}, ConfigError),
        ({"objective": ["qed", "sas"], "cost": None}, ConfigError),
        ({"per_scaffold": 2}, ConfigError),
        ({"batch_distance": 0.2}, ConfigError),
    ],
)
def test_create_with_invalid_fidelities_raises(
    tmp_path: Path, settings: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        create(tmp_path / "c.db", **settings)
    assert not (tmp_path / "c.db").exists()


@pytest.mark.parametrize("strategy", ["random", "log-ei", "ga", "rank:surrogate=auto"])
def test_create_with_a_strategy_without_fidelities_raises(tmp_path: Path, strategy: str) -> None:
    with pytest.raises(ConfigError):
        Campaign.create(
            tmp_path / "c.db", ToySpace(), objective=ToyObjective(), cost=10.0, start=["CCO"],
            fidelities=[FAST], strategy=strategy,
        )  # fmt: skip


def test_cost_is_parsed_and_formatted() -> None:
    assert parse_objective("minimize vina: sas, cost 0.5")["cost"] == 0.5
    assert format_part(Objective("sas", spec="sas", cost=20.0)) == "maximize sas, cost 20"


def test_problem_at_unknown_fidelity_raises() -> None:
    problem = OptimizationProblem(
        objectives=(Objective("y", cost=5.0),), fidelities=(Objective("x"),)
    )
    assert problem.at("x").names == ("x",)
    with pytest.raises(UnknownNameError):
        problem.at("z")


def test_ask_with_a_broken_cheap_function_writes_nothing(tmp_path: Path) -> None:
    def broken(smiles: str) -> float:
        if is_broken:
            raise RuntimeError("no license")
        return fast(smiles)

    is_broken = True
    given = {"objective": broken, "name": "fast", "cost": 1}
    with create(tmp_path / "c.db", objective="manual:assay", fidelities=[given]) as c:
        with pytest.raises(ObjectiveError, match="no license"):
            c.ask(5)
        assert {t.status for t in c.trials} == {"pending"}
        is_broken = False
        assert [t.fidelity for t in c.ask(5)] == [""] * 5
        assert sum(t.status == "complete" for t in c.trials) == 30


def test_ask_with_trouble_of_the_machine_raises_a_campaign_error(tmp_path: Path) -> None:
    def unreachable(smiles: str) -> float:
        raise OSError(errno.ECONNREFUSED, "no server")

    given = {"objective": unreachable, "name": "fast", "cost": 1}
    with create(tmp_path / "c.db", objective="manual:assay", fidelities=[given]) as c:
        with pytest.raises(CampaignError, match="no server"):
            c.ask(5)
        assert {t.status for t in c.trials} == {"pending"}
