"""`Campaign`: create, run, ask, tell, retry, open, and its tables."""

from __future__ import annotations

import math
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molvae.bo.base import Candidate, Observations
from molvae.bo.strategies.log_ei import LogEI
from molvae.bo.strategies.rank import Rank
from molvae.campaign.campaign import Campaign
from molvae.campaign.schema import FORMAT
from molvae.campaign.trial import Trial
from molvae.config import CampaignConfig
from molvae.errors import (
    CampaignError,
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MachineError,
    MolvaeError,
    MolvaeWarning,
    ObjectiveError,
    UnknownNameError,
    UnknownTokenError,
)
from tests.toys import DenseToySpace, ToyObjective, ToySpace, begin

CHEAP = LogEI(num_restarts=2, raw_samples=16, max_iterations=10)
MOLECULES = ToySpace().molecules
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


def proposals(campaign: Campaign) -> list[tuple[int, str, bytes, dict[str, float]]]:
    return [(t.id, t.smiles, t.z_bytes, dict(t.values)) for t in campaign.trials]


def create_manual(path: Path) -> Campaign:
    return Campaign.create(
        path, ToySpace(), objective="manual:y", direction="maximize",
        start=[MOLECULES[0]], strategy="random",
    )  # fmt: skip


def proposals_without_interruption(folder: Path, budget: int, **settings: Any) -> list[Any]:
    with begin(folder / "uninterrupted.db", **settings) as campaign:
        campaign.run(budget)
        return proposals(campaign)


# --- the loop


def test_run_spends_the_budget_and_improves(path: Path) -> None:
    objective = ToyObjective()
    with begin(path, objective=objective, strategy=CHEAP) as campaign:
        campaign.run(24)
        assert len(campaign) == 24
        assert len(objective.calls) == len(set(objective.calls)) == 24
        start = max(t.values["hill"] for t in campaign.trials if t.origin == "start")
        assert campaign.best_value > start
        assert {t.origin for t in campaign.trials} == {"start", "log-ei"}


def test_run_budget_counts_initial_molecules_and_earlier_runs(path: Path) -> None:
    objective = ToyObjective()
    with begin(path, n=5, objective=objective) as campaign:
        campaign.run(3)  # fewer than the initial molecules
        assert len(objective.calls) == 3
        assert [t.status for t in campaign.trials] == ["complete"] * 3 + ["pending"] * 2
    with Campaign.open(path, ToySpace(), objective) as campaign:
        campaign.run(10)
        assert len(objective.calls) == 10
        campaign.run(10)
        campaign.run(4)
        assert len(objective.calls) == len(campaign) == 10


@pytest.mark.parametrize("budget", [-1, 0, 2.5, True])
def test_run_with_invalid_budget_raises(path: Path, budget: Any) -> None:
    with (
        begin(path) as campaign,
        pytest.raises(ConfigError, match=r"budget .* from 1"),
    ):
        campaign.run(budget)


def test_run_on_trial_is_called_once_per_written_outcome(path: Path) -> None:
    seen: list[int] = []

    def on_trial(trial: Trial) -> None:
        assert trial.status == "complete"
        with Campaign.open(path) as reader:
            assert reader.trials[trial.id - 1] == trial
        seen.append(trial.id)

    with begin(path, n=3) as campaign:
        campaign.run(9, on_trial=on_trial)
    assert seen == list(range(1, 10))


def test_ask_and_tell_complete_trials_once(path: Path) -> None:
    with begin(path, n=2) as campaign:
        start = {t.smiles for t in campaign.trials}
        campaign.tell(1, 0.1)
        asked = campaign.ask(3)
        assert [t.id for t in asked] == [3, 4, 5]
        assert not start & {t.smiles for t in asked}
        assert len({t.smiles for t in campaign.ask()} | {t.smiles for t in asked} | start) == 9
        told = campaign.tell(4, 0.5, "plate 1")
        assert (told.values, told.message, told.status) == ({"hill": 0.5}, "plate 1", "complete")
        with pytest.raises(CampaignError, match=r"trial 4 .*0\.5 \(hill\)"):
            campaign.tell(4, 0.6)
        with pytest.raises(CampaignError, match="has no trial 99"):
            campaign.tell(99, 0.6)


def test_ask_gives_initial_molecules_until_told(path: Path) -> None:
    with begin(path, n=3, strategy=CHEAP) as campaign:
        assert [t.id for t in campaign.ask(2)] == [1, 2]
        assert [t.id for t in campaign.ask(9)] == [1, 2, 3]
        assert len(campaign) == 3
        campaign.tell(1, 0.1)
        campaign.tell(2, 0.2)
        assert [t.id for t in campaign.ask(2)] == [4, 5]


@pytest.mark.parametrize("value", ["much", float("inf"), -float("inf"), [1.0, "high"]])
def test_tell_of_text_or_infinite_value_raises(path: Path, value: Any) -> None:
    with begin(path) as campaign:
        with pytest.raises(ConfigError, match="a value must be"):
            campaign.tell(1, value)
        assert campaign.trials[0].status == "pending"


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_ask_for_fewer_than_1_molecule_raises(path: Path, n: Any) -> None:
    with (
        begin(path) as campaign,
        pytest.raises(ConfigError, match=r"n .* from 1"),
    ):
        campaign.ask(n)


def test_ask_proposes_no_known_molecule(path: Path) -> None:
    space = ToySpace()
    with begin(path, start=space.molecules[:300], plausibility="none") as campaign:
        campaign.tell(1, 0.1)
        for _ in range(4):
            campaign.ask(2)
        smiles = [t.smiles for t in campaign.trials]
        assert len(set(smiles)) == len(smiles) == 308
        with pytest.raises(CampaignError, match="no new molecule"):
            campaign.ask(20)
        assert len(campaign) == 308


def test_ask_with_log_ei_and_too_few_values_raises(path: Path) -> None:
    with begin(path, strategy="log-ei") as campaign:
        campaign.tell(1, 0.1)
        with pytest.raises(CampaignError, match=r"has 1.*tell more"):
            campaign.ask(1)
        assert len(campaign) == 8


# --- failures


@dataclass
class Same:
    """A docking program that fails silently."""

    name: str = "same"
    direction: str = "maximize"
    calls: int = 0

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        self.calls += len(smiles)
        return [0.0] * len(smiles)


def test_run_of_a_constant_objective_stops(path: Path) -> None:
    objective = Same()
    with begin(
        path, n=30, objective=objective, strategy="rank:n_offspring=10", batch_size=3
    ) as campaign:
        for _ in range(2):  # now, and when it is tried again
            with pytest.raises(CampaignError, match=r"all 10 values of same are 0,.*constant"):
                campaign.run(40)
            assert objective.calls == 10
        campaign.run(33, allow_constant=True)
        assert objective.calls == 33
        with pytest.raises(CampaignError, match="all 33 values"):
            campaign.ask()
        assert len(campaign.ask(2, allow_constant=True)) == 2


def test_tell_of_replicates_gives_mean_and_standard_error(path: Path) -> None:
    with begin(path, n=4) as campaign:
        trial = campaign.tell(1, [1.0, math.nan, 2.0, 3.0])
        assert trial.values == {"hill": 2.0}
        assert trial.errors["hill"] == pytest.approx(1 / math.sqrt(3))
        assert trial.replicates == {"hill": [1.0, 2.0, 3.0]}
        assert campaign.tell(2, 5.0, error=0.5, notes={"plate": "7"}).errors == {"hill": 0.5}
        assert campaign.tell(3, [4.0]).errors == {}
        assert campaign.tell(4, [None, math.nan]).status == "failed"  # type: ignore[list-item]


@pytest.mark.parametrize(("value", "error"), [([1.0, 2.0], 0.1), (1.0, -0.1), (None, 0.1)])
def test_tell_with_invalid_standard_error_raises(path: Path, value: Any, error: float) -> None:
    with begin(path) as campaign:
        with pytest.raises(ConfigError, match="a standard error must be"):
            campaign.tell(1, value, error=error)
        assert campaign.trials[0].status == "pending"


@pytest.mark.parametrize("value", [[], {}, np.array([]), {"hill": []}, iter(())])
def test_tell_of_an_empty_value_raises(path: Path, value: Any) -> None:
    with begin(path) as campaign:
        for tell in (lambda: campaign.tell(1, value), lambda: campaign.tell_all({1: value})):
            with pytest.raises(ConfigError, match="there is no value"):
                tell()
        assert campaign.trials[0].status == "pending"


def test_tell_with_error_0_keeps_the_error(path: Path) -> None:
    with begin(path) as campaign:
        campaign.tell(1, 5.0, error=0.0)
        campaign.tell_all({2: 5.0, 3: 5.0}, errors={2: 0.0, 3: {"hill": 0.0}})
        assert [t.errors for t in campaign.trials[:3]] == [{"hill": 0.0}] * 3


@pytest.mark.parametrize("value", [None, math.nan, "failed", "n.d."])
def test_tell_of_none_or_nan_fails_the_trial(path: Path, value: Any) -> None:
    with begin(path, n=3) as campaign:
        trial = campaign.tell(1, value, "docking broke")
        assert (trial.status, trial.values, trial.message) == ("failed", {}, "docking broke")
        campaign.tell(2, 1.5)
        observations = campaign.observations()
        assert observations.smiles == (campaign.trials[1].smiles,)
        assert observations.y.tolist() == [[1.5]]
        assert trial.smiles in observations.known
        assert trial.smiles not in observations.pending_smiles


def test_run_counts_failed_molecules_and_continues(path: Path) -> None:
    fails = ToySpace().molecules[0:40:5][:3]
    with begin(path, objective=ToyObjective(fails=fails), strategy=CHEAP) as campaign:
        campaign.run(12)
        failed = [t for t in campaign.trials if t.status == "failed"]
        assert [t.smiles for t in failed] == fails
        assert failed[0].message == "could not be scored"
        assert len(campaign) == 12


class Odd:
    """An objective that goes wrong in a given way at its third call."""

    name, direction = "hill", "maximize"

    def __init__(self, what: BaseException | Any) -> None:
        self.what, self.calls = what, 0

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        self.calls += 1
        if self.calls != 3:
            return ToyObjective()(smiles)
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ([], ObjectiveError, "0 values for 1 molecules"),
        (CampaignError("no licence"), CampaignError, "^no licence$"),
        (MachineError("no licence"), MachineError, "^no licence$"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (SystemExit(3), ObjectiveError, "SystemExit: 3"),
        (GeneratorExit(), ObjectiveError, "GeneratorExit"),
    ],
)
def test_run_stopped_by_an_objective_error_resumes_the_same(
    path: Path, tmp_path: Path, what: Any, error: type[BaseException], message: str | None
) -> None:
    with begin(path, objective=Odd(what)) as campaign:
        with pytest.raises(error, match=message):
            campaign.run(16)
        assert [t.status for t in campaign.trials] == ["complete"] * 2 + ["pending"] * 6
    with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
        campaign.run(16)
        assert proposals(campaign) == proposals_without_interruption(tmp_path, 16)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([None], "the objective returned None, not a number"),
        (["high"], "the objective returned 'high', not a number"),
        (
            [float("inf")],
            "the objective returned inf, which is infinite; what could not be scored is NaN, not a "
            "large number",
        ),
        ([{"hole": 1.0}], "the objective returned hole, no hill"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (ObjectiveError("'hill' broke"), "'hill' broke"),
        ([False], "the objective returned False, not a number"),
        ([True], "the objective returned True, not a number"),
        ([""], "the objective returned '', not a number"),
        (["0.5"], "the objective returned '0.5', not a number"),
        ([1j], "the objective returned 1j, not a number"),
        (RuntimeError("\udcff\n\ud800"), r"RuntimeError: \udcff \ud800"),
    ],
)
def test_run_with_a_value_other_than_a_number_fails_the_trial(
    path: Path, what: Any, message: str
) -> None:
    with begin(path, objective=Odd(what)) as campaign:
        campaign.run(4)
        assert campaign.trials[2].status == "failed"
        assert campaign.trials[2].message == message


def test_run_calls_the_objective_with_its_batch_size(path: Path) -> None:
    class Batched(ToyObjective):
        batch_size = 3
        sizes: list[int] = []  # noqa: RUF012

        def __call__(self, smiles: Sequence[str]) -> list[float]:
            self.sizes.append(len(smiles))
            return super().__call__(smiles)

    objective = Batched()
    with begin(path, objective=objective) as campaign:
        campaign.run(10)
    assert objective.sizes == [3, 3, 2, 2]


# --- going on


@pytest.mark.parametrize("strategy", ["random", CHEAP])
def test_run_stopped_at_every_trial_resumes_the_same(tmp_path: Path, strategy: Any) -> None:
    """A new process for each trial, as it were: the record is all that is carried over."""
    whole = proposals_without_interruption(tmp_path, 17, strategy=strategy)
    path = tmp_path / "c.db"
    begin(path, strategy=strategy).close()

    class StopError(Exception):
        pass

    def stop(_: Trial) -> None:
        raise StopError

    for _ in range(17):
        torch.manual_seed(random.randrange(2**31))
        with (
            Campaign.open(path, ToySpace(), ToyObjective()) as campaign,
            pytest.raises(StopError),
        ):
            campaign.run(17, on_trial=stop)
    with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
        campaign.run(17)
        assert proposals(campaign) == whole


@pytest.mark.parametrize("strategy", ["random", pytest.param("thompson", marks=pytest.mark.slow)])
def test_run_killed_loses_no_told_value(tmp_path: Path, strategy: str) -> None:
    run_killed(tmp_path, kills=2, strategy=strategy)


@pytest.mark.slow
def test_run_killed_with_workers_loses_no_told_value(tmp_path: Path) -> None:
    run_killed(tmp_path, kills=1, strategy="random", workers=2)


@pytest.mark.stress
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_run_killed_100_times_loses_no_told_value(tmp_path: Path, workers: int) -> None:
    """Ten campaigns of ten kills each."""
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run_killed(folder, kills=10, strategy="random", workers=workers, seed=seed)


def run_killed(folder: Path, *, kills: int, strategy: str, workers: int = 0, seed: int = 0) -> None:
    """SIGKILL at random moments: in the objective, before its value is told, while choosing."""
    path = folder / "c.db"
    moments = random.Random(f"{strategy} {workers} {seed}")
    told: dict[str, tuple[str, str]] = {}
    for _ in range(kills):
        with start_work(path, 200, strategy, workers) as process:  # more than it will come to
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready")
            said = [process.stdout.readline() for _ in range(moments.randrange(0, 12))]
            time.sleep(moments.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            said += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        for line in said:
            if line.endswith("\n"):  # whole
                id_, value, smiles = line.split()
                told[id_] = (value, smiles)
        with Campaign.open(path) as campaign:
            trials = campaign.trials
            record = {
                str(t.id): (t.values["hill"].hex(), t.smiles)
                for t in trials
                if t.status == "complete"
            }
            assert len({t.smiles for t in trials}) == len(trials)
            assert all(t.status in ("pending", "complete") for t in trials)
        assert told.items() <= record.items()
        assert len(record) <= len(told) + 1  # the last line may have been lost, its value not
        told = record
    with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
        budget = len(campaign) + 8
        campaign.run(budget)
        assert len(campaign) == budget
        assert all(t.status == "complete" for t in campaign.trials)
        if workers <= 1:
            assert proposals(campaign) == proposals_without_interruption(
                folder, budget, strategy=strategy
            )


def start_work(path: Path, budget: int, strategy: str, workers: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.toys", str(path), str(budget), strategy, str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_ask_is_reproducible_by_seed(tmp_path: Path) -> None:
    def smiles(name: str, seed: int) -> list[str]:
        with begin(tmp_path / name, seed=seed) as campaign:
            campaign.tell(1, 0.1)
            return [t.smiles for t in campaign.ask(6)]

    assert smiles("a.db", 3) == smiles("b.db", 3) != smiles("c.db", 4)


def test_open_with_another_model_objective_or_strategy_raises(path: Path) -> None:
    begin(path).close()
    with pytest.raises(CampaignError, match=r"made with the model 'toy' .*got 'other'"):
        Campaign.open(path, ToySpace("other"))
    other = ToyObjective()
    other.name = "valley"  # type: ignore[misc]
    with pytest.raises(CampaignError, match="asks for 'hill', got the objective 'valley'"):
        Campaign.open(path, ToySpace(), other)
    with pytest.raises(CampaignError, match="a campaign keeps its strategy"):
        Campaign.open(path, ToySpace(), strategy=CHEAP)


def test_run_of_a_reopened_campaign_without_its_objective_object_raises(path: Path) -> None:
    begin(path).close()
    with (
        Campaign.open(path, ToySpace()) as campaign,
        pytest.raises(CampaignError, match="was given as an object; give it again"),
    ):
        campaign.run(10)


def test_open_keeps_the_strategy_and_its_settings(path: Path) -> None:
    begin(path, strategy=CHEAP).close()
    with Campaign.open(path) as campaign:
        assert campaign.strategy == CHEAP
        assert campaign.metadata["strategy"]["settings"]["raw_samples"] == 16


@dataclass(frozen=True)
class First:
    """A strategy of a user that ranks decoded molecules: the shortest new ones."""

    name: str = "first"
    repeat: bool = False

    def propose(
        self, observations: Observations, space: Any, n: int, *, seed: int
    ) -> list[Candidate]:
        pool = space.decode(space.sample_prior(200, seed=seed))
        new = {m for m in pool if m is not None and m not in observations.known}
        ranked = sorted(new, key=lambda m: (len(m), m))[:n]
        if self.repeat:
            ranked[0] = observations.smiles[0]
        return [Candidate(m, z) for m, z in zip(ranked, space.encode(ranked), strict=True)]


def test_open_without_the_strategy_object_cannot_ask(path: Path) -> None:
    with begin(path, strategy=First()) as campaign:
        campaign.run(12)
        assert campaign.trials[-1].origin == "first"
    with (
        Campaign.open(path, ToySpace()) as campaign,
        pytest.raises(CampaignError, match=r"'first'.*give it again"),
    ):
        campaign.ask(1)
    with Campaign.open(path, ToySpace(), strategy=First()) as campaign:
        assert len(campaign.ask(2)) == 2


def test_ask_with_a_strategy_repeating_molecules_raises(path: Path) -> None:
    with begin(path, strategy=First(repeat=True)) as campaign:
        campaign.tell(1, 1.0)
        with pytest.raises(CampaignError, match="did not give 2 distinct new molecules"):
            campaign.ask(2)
        assert len(campaign) == 8


# --- direction, tables


def test_minimization_negates_observations_only(path: Path) -> None:
    with begin(path, n=3, direction="minimize") as campaign:
        for id_, value in ((1, 5.0), (2, -1.0), (3, 2.0)):
            campaign.tell(id_, value)
        assert campaign.observations().y.flatten().tolist() == [-5.0, 1.0, -2.0]
        assert campaign.table()["hill"].tolist() == [5.0, -1.0, 2.0]
        assert campaign.best(2)["hill"].tolist() == [-1.0, 2.0]
        assert campaign.best_value == -1.0
    with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
        assert campaign.direction == "minimize"


def test_table_and_best_list_trials_and_values(path: Path) -> None:
    with begin(path, n=4) as campaign:
        assert campaign.best_value is None
        assert campaign.best().empty
        campaign.tell(1, 0.1)
        campaign.tell(2, None, "broke")
        campaign.tell(3, 0.7)
        table = campaign.table()
        assert list(table.columns) == [
            "id", "smiles", "hill", "status", "origin", "percentile", "message", "asked_at",
            "told_at",
        ]  # fmt: skip
        assert table["percentile"].isna().all()  # the toy has no density
        assert table["id"].tolist() == [1, 2, 3, 4]
        assert table["status"].tolist() == ["complete", "failed", "complete", "pending"]
        assert table["hill"].isna().tolist() == [False, True, False, True]
        assert table["message"][1] == "broke"
        assert campaign.best(5)["id"].tolist() == [3, 1]
        assert campaign.best_value == 0.7


class Elsewhere:
    """Proposes molecules with vectors that are not their encodings."""

    name = "elsewhere"

    def propose(
        self, observations: Observations, space: Any, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        new = [m for m in ToySpace().molecules if m not in observations.known][:n]
        return [Candidate(m, torch.full((3,), 9.0).double()) for m in new]


def test_trials_have_the_density_percentile_of_their_encoding(path: Path) -> None:
    """Of its encoding, whatever vector it was made from."""
    space = DenseToySpace()
    settings: dict[str, Any] = {"objective": "manual:y", "start": space.molecules[:5]}
    with Campaign.create(path, space, strategy=Elsewhere(), **settings) as campaign:
        campaign.tell(1, 0.5)
        campaign.ask(3)
        trials = campaign.trials
        expected = space.density_percentile(space.encode([t.smiles for t in trials])).tolist()
        assert [t.percentile for t in trials] == expected
        assert len(set(expected)) > 3
        assert campaign.table()["percentile"].tolist() == expected


@pytest.mark.parametrize(
    ("goals", "name"),
    [
        (["manual:percentile"], "percentile"),
        (["manual:smiles"], "smiles"),
        (["manual:status"], "status"),
        (["qed", "manual:pareto_rank"], "pareto_rank"),
        (["manual:a", "manual:a_error"], "a_error"),
        (["manual:a", "manual:a_low"], "a_low"),
        (["manual:similarity"], "similarity"),
        (["manual:ID"], "ID"),
        (["manual:Error"], "Error"),
        (["manual:operator"], "operator"),
        (["manual:structure"], "structure"),
        (["manual:Message (text)"], r"Message \(text\)"),
        (["manual:a", "manual:A"], "a' and 'A"),
    ],
)
def test_create_with_an_objective_named_as_a_column_raises(
    path: Path, goals: list[str], name: str
) -> None:
    with pytest.raises(ConfigError, match=f"cannot be called '{name}': .*columns? of"):
        begin(path, objective=goals)
    with pytest.raises(ConfigError, match="cannot be called 'origin'"):
        begin(path, objective="qed", name="origin")
    assert not path.exists()


def test_metadata_has_the_settings_and_versions_of_creation(path: Path) -> None:
    begin(path, seed=7).close()
    with Campaign.open(path) as campaign:
        settings, config = campaign.metadata, campaign.config
    (goal,) = settings["objectives"]
    assert (goal["name"], goal["direction"], goal["spec"]) == ("hill", "maximize", None)
    assert (config.seed, config.batch_size, settings["format"]) == (7, 4, FORMAT)
    assert config.start == "8 given molecules"
    assert settings["config"]["objective"] == ["maximize <hill: an object of Python>"]
    assert settings["space"] == {"name": "toy", "fingerprint": ToySpace().fingerprint, "dim": 3}
    assert {"molvae", "torch", "botorch", "rdkit", "python"} <= set(settings["versions"])
    assert settings["created"].endswith("Z")


def test_open_of_a_file_without_settings_raises(path: Path) -> None:
    from molvae.campaign.storage import Storage

    Storage.create(path, {"seed": 1}).close()
    with pytest.raises(CampaignError, match="lacks settings"):
        Campaign.open(path)


# --- creating


def test_create_over_an_existing_file_raises(path: Path) -> None:
    begin(path).close()
    with pytest.raises(CampaignError, match="exists"):
        begin(path)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"strategy": "log_ei"}, UnknownNameError, "did you mean 'log-ei'"),
        ({"objective": "qde"}, UnknownNameError, "did you mean 'qed'"),
        ({"objective": 3}, ConfigError, "an objective is a name"),
        ({"objective": "manual:"}, ConfigError, "lacks a name"),
        ({"direction": "up"}, ConfigError, "direction must be one of"),
        ({"seed": -1}, ConfigError, "seed must be"),
        ({"batch_size": 0}, ConfigError, "batch_size must be a whole number from 1"),
        ({"start": -1}, ConfigError, "start must be"),
        ({"start": ["CCO", "C1CC"]}, InvalidMoleculeError, "^initial molecule 2: .*C1CC"),
        ({"start": ["OCOC", "c1ccccc1"]}, UnknownTokenError, "c1ccccc1"),
        ({"start": ["C1CC"], "skip_invalid": True}, DataError, "none of 1 initial molecules"),
        ({"start": "no-such-file.smi"}, MolvaeError, "no-such-file.smi"),
        ({"start": "zinc250k"}, ConfigError, "dataset='zinc250k'"),
    ],
)
def test_create_with_invalid_settings_raises_and_writes_no_file(
    path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        begin(path, **settings)
    assert list(path.parent.iterdir()) == []


def test_create_makes_initial_molecules_canonical_distinct_and_counts_them(path: Path) -> None:
    start = ["C(O)OC", "COCO", "C1CC", "OCOCC", "c1ccccc1"]
    said = "2 initial molecules left out.*3: 'C1CC'.*5: 'c1ccccc1'"
    with pytest.warns(MolvaeWarning, match=said):
        begin(path, start=start, skip_invalid=True).close()
    with Campaign.open(path) as campaign:
        assert [t.smiles for t in campaign.trials] == ["COCO", "CCOCO"]
        assert (campaign.skipped, campaign.duplicates) == (2, 1)
        z = torch.stack([t.z for t in campaign.trials])
        assert torch.equal(z, ToySpace().encode(["COCO", "CCOCO"]))


def test_run_without_initial_molecules_spends_the_budget(path: Path) -> None:
    with begin(path, start=0) as campaign:
        campaign.run(5)
        assert len(campaign) == 5


def test_create_from_a_file_with_values_tells_them(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "start.csv"
    file.write_text("smiles,value\nCOCO,1.5\nCCOCO,\nCOCO,9\nCCCOCO,NaN\n")
    with begin(path, start=file) as campaign:
        assert [t.status for t in campaign.trials] == ["complete", "pending", "failed"]
        assert campaign.trials[0].values == {"hill": 5.25}
        assert campaign.trials[0].replicates == {"hill": [1.5, 9.0]}
        assert campaign.duplicates == 1
        objective: Any = campaign.objective
        campaign.run(4)
        assert len(objective.calls) == 2  # two of four were known


def test_create_prefers_the_column_named_as_the_objective(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "start.csv"
    file.write_text("smiles,value,hill\nCOCO,1.5,2.5\n")
    with begin(path, start=str(file)) as campaign:
        assert campaign.trials[0].values == {"hill": 2.5}


def test_create_from_a_file_without_values_leaves_trials_pending(
    path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "start.smi"
    file.write_text("COCO\nCCOCO\n")
    with begin(path, start=file) as campaign:
        assert [t.status for t in campaign.trials] == ["pending", "pending"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("smiles,value\nCOCO,much\n", DataError, "line 2: value: 'much' is not a number"),
        ("smiles,value\nCOCO,inf\n", DataError, "line 2: value: 'inf' is not finite"),
        ("smiles,value\nCOCO,1\nC1CC,2\n", InvalidMoleculeError, "line 3: .*C1CC"),
        ("name,value\nCOCO,1\n", DataError, "name"),
        ("", DataError, "empty"),
    ],
)
def test_create_from_a_bad_file_raises_with_the_line(
    path: Path, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    file = tmp_path / "start.csv"
    file.write_text(text)
    with pytest.raises(error, match=message):
        begin(path, start=file)
    assert not path.exists()


def test_create_replaces_random_molecules_the_space_cannot_encode(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import molvae.chem.datasets

    molecules = [*ToySpace().molecules[:50], "c1ccccc1", "CC", "C", "CCC", "CCCC", "CCCCC"]

    def drawn(source: str, n: int, seed: int) -> list[str]:
        assert source == "zinc250k"
        return random.Random(seed).sample(molecules, n)

    monkeypatch.setattr(molvae.chem.datasets, "sample_molecules", drawn)
    with begin(path, start=48) as campaign:
        smiles = [t.smiles for t in campaign.trials]
        assert len(set(smiles)) == 48
        assert set(smiles) < set(ToySpace().molecules)
        assert campaign.skipped == 0
        assert campaign.config.dataset == "zinc250k"
    again = path.with_name("again.db")
    with begin(again, start=48) as campaign:
        assert [t.smiles for t in campaign.trials] == smiles
    with pytest.raises(DataError, match="only 50 of 54 random molecules"):
        begin(path.with_name("more.db"), start=54)


@pytest.mark.parametrize("given", [None, "moses"])
def test_create_draws_molecules_of_the_data_set_that_the_model_was_trained_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    import molvae.chem.datasets

    space, asked = ToySpace(), list[str]()
    space.about = {"data": {"source": "qm9"}}  # type: ignore[attr-defined]

    def drawn(source: str, n: int, seed: int) -> list[str]:
        asked.append(source)
        return space.molecules[:n]

    monkeypatch.setattr(molvae.chem.datasets, "sample_molecules", drawn)
    settings = {"dataset": given} if given else {}
    with Campaign.create(path, space, objective="qed", start=4, **settings) as campaign:  # type: ignore[arg-type]
        assert asked == [campaign.config.dataset] == [given or "qm9"]


def test_open_makes_an_objective_by_name_again(path: Path) -> None:
    with begin(path, n=3, objective="qed") as campaign:
        campaign.run(4)
    with Campaign.open(path, ToySpace()) as campaign:
        campaign.run(6)
        assert campaign.name == "qed"
        assert all(0 < t.values["qed"] < 1 for t in campaign.trials)


def test_open_with_a_manual_objective_allows_tell_only(path: Path) -> None:
    with begin(path, objective="manual:pIC50", direction="minimize") as campaign:
        assert (campaign.name, campaign.direction) == ("pIC50", "minimize")
        assert campaign.tell(1, 7.2).values == {"pIC50": 7.2}
    with (
        Campaign.open(path, ToySpace()) as campaign,
        pytest.raises(CampaignError, match="measured by people: use ask and tell"),
    ):
        campaign.run(20)


def test_open_loads_the_space_by_name_and_compares_its_fingerprint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import molvae.latent.loading

    monkeypatch.setattr(molvae.latent.loading, "load", lambda name: ToySpace(str(name)))
    start, objective = ToySpace().molecules[:4], ToyObjective()
    with Campaign.create(
        path, "mine", objective=objective, start=start, strategy="random"
    ) as campaign:
        assert campaign.metadata["space"]["name"] == "mine"
    with Campaign.open(path) as campaign:
        campaign.tell(1, 0.1)
        assert len(campaign.ask(2)) == 2
    monkeypatch.setattr(molvae.latent.loading, "load", lambda name: ToySpace("retrained"))
    with (
        Campaign.open(path) as campaign,
        pytest.raises(CampaignError, match="made with the model 'mine'"),
    ):
        campaign.ask(2)


def test_open_and_tell_import_neither_torch_nor_rdkit(path: Path) -> None:
    begin(path).close()
    code = (
        "import sys; from molvae import Campaign\n"
        "with Campaign.open(sys.argv[1]) as c: c.tell(1, 0.5); print(c.best_value)\n"
        "assert not {'torch', 'rdkit', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout == "0.5\n"


def test_open_of_a_truncated_file_raises(path: Path) -> None:
    begin(path).close()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CampaignError, match="is damaged"):
        Campaign.open(path)


def test_campaign_file_is_readable_by_sql(path: Path) -> None:
    """The format is the interface: two lines of SQL answer a question."""
    with begin(path) as campaign:
        campaign.run(10)
        best = campaign.best(1)["smiles"][0]
    connection = sqlite3.connect(path)
    row = connection.execute(
        "SELECT smiles FROM trial JOIN outcome ON outcome.trial = trial.id "
        "JOIN value ON value.outcome = outcome.id ORDER BY value DESC"
    ).fetchone()
    connection.close()
    assert row == (best,)


# --- failed trials, put back


def campaign_with_failures(path: Path) -> Campaign:
    """Trials 1 and 3 failed, for two reasons; 2 was told; the others wait."""
    campaign = begin(path, n=5)
    campaign.tell(1, None, "License server\nis down")
    campaign.tell(2, 1.0)
    campaign.tell(3, None, "no pocket")
    return campaign


def test_retry_puts_all_failed_trials_back_to_be_scored_again(path: Path) -> None:
    with campaign_with_failures(path) as campaign:
        assert [trial.id for trial in campaign.retry()] == [1, 3]
        assert campaign.retry() == []
        assert campaign.observations().smiles == (campaign.trials[1].smiles,)
        campaign.run(6)
        assert [trial.status for trial in campaign.trials] == ["complete"] * 6
        table = campaign.table()
        assert table["earlier_failures"][0].startswith("License server\nis down (2")
        assert table["earlier_failures"].notna().tolist() == [True, False, True] + [False] * 3


def test_retry_with_a_message_takes_matching_failures(path: Path) -> None:
    with campaign_with_failures(path) as campaign:
        assert [trial.id for trial in campaign.retry(message="license SERVER")] == [1]
        with pytest.raises(CampaignError, match=r"none of 1 failures says 'licence'.*no pocket"):
            campaign.retry(message="licence")
        assert campaign.trials[2].status == "failed"
        assert "earlier_failures" in campaign.table()


def test_retry_of_a_complete_or_unknown_trial_raises(path: Path) -> None:
    with campaign_with_failures(path) as campaign:
        for ids, fault in (([2], "2 has not failed"), ([99], "there is no trial 99")):
            with pytest.raises(CampaignError, match=f"{fault}; failed are: 1, 3"):
                campaign.retry(ids)
        assert [trial.id for trial in campaign.retry([3])] == [3]
        assert campaign.tell(3, 2.5).values == {campaign.name: 2.5}


@pytest.mark.parametrize(
    "start",
    [{MOLECULES[0]: 5.1}, np.array([[MOLECULES[0], "5.1"]])],
    ids=["dict", "array"],
)
def test_create_from_a_dict_or_array_with_values_raises(path: Path, start: Any) -> None:
    with pytest.raises(ConfigError, match="list of SMILES"):
        Campaign.create(path, ToySpace(), objective="manual:y", start=start, strategy="random")
    assert not path.exists()


@pytest.mark.parametrize("value", [True, np.bool_(False), "1_000", "5,1,2", "x", [1.0, True]])
def test_tell_of_booleans_or_ambiguous_text_raises(path: Path, value: Any) -> None:
    with create_manual(path) as campaign, pytest.raises(ConfigError):
        campaign.tell(1, value)


@pytest.mark.parametrize(
    "beside",
    [{"message": 5}, {"message": None}, {"notes": ["x"]}, {"notes": {"a": 5}}, {"error": True}],
)
def test_tell_with_message_notes_or_error_of_wrong_type_raises(
    path: Path, beside: dict[str, Any]
) -> None:
    with create_manual(path) as campaign:
        with pytest.raises(ConfigError):
            campaign.tell(1, 5.0, **beside)
        assert campaign.trials[0].status == "pending"


def test_tell_all_without_ids_raises(path: Path) -> None:
    with create_manual(path) as campaign, pytest.raises(ConfigError, match="ids of trials"):
        campaign.tell_all([1.0])  # type: ignore[arg-type]


def test_create_without_a_space_takes_the_default_space(path: Path) -> None:
    with Campaign.create(path, objective="logp", start=["CCO", "CCCO"]) as campaign:
        assert campaign.config.space == CampaignConfig.space
    config = CampaignConfig(space="qm9", objective=("logp",))
    with Campaign.create(path.with_name("b.db"), config=config, start=["CCO"]) as campaign:
        assert campaign.config.space == "qm9"


def test_calibration_of_predictions_does_not_depend_on_how_many_are_asked_for(path: Path) -> None:
    strategy = Rank(n_offspring=30, n_generations=1)
    with begin(path, n=12, strategy=strategy, batch_size=4) as campaign:
        campaign.run(24)
        observations, found = campaign.observations(), []
        for n in (1, 4, 96):
            acquisition = strategy._acquisition(observations, n, np.random.default_rng(0))
            made = strategy.predictor(observations, campaign.space, acquisition, seed=0)
            found.append(made.inflation)
    assert found[0] == found[1] == found[2] != [1.0]
