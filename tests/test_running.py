from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from molvae.campaign import Campaign, Trial
from molvae.errors import CampaignError, ConfigError, ObjectiveError
from tests.toys import FaultyObjective, ToyObjective, ToySpace, begin

ROOT = Path(__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


class Breaks(ToyObjective):
    """Raises at some calls, counted from 1."""

    def __init__(self, *at: int) -> None:
        super().__init__()
        self.at, self.n = at, 0

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        self.n += 1
        if self.n in self.at:
            raise ValueError(f"call {self.n}")
        return super().__call__(smiles)


# --- what is the molecules' fault, and what is the objective's


def test_an_objective_that_never_works_stops_the_run_and_costs_nothing(path: Path) -> None:
    objective = Breaks(*range(1, 100))
    with begin(path, objective=objective) as campaign:
        with pytest.raises(ObjectiveError, match=r"first 5 calls failed.*ValueError: call 1; noth"):
            campaign.run(20)
        assert {t.status for t in campaign.trials} == {"asked"}
        with pytest.raises(ObjectiveError, match=r"first 2 calls failed"):
            campaign.run(2)
        objective.at = ()
        campaign.run(20)
        assert {t.status for t in campaign.trials} == {"told"}


def test_first_failures_are_written_when_a_call_has_worked(path: Path) -> None:
    with begin(path, objective=Breaks(1, 2, 3, 4, 7)) as campaign:
        campaign.run(8)
        assert [t.status for t in campaign.trials] == (
            ["failed"] * 4 + ["told"] * 2 + ["failed", "told"]
        )
        assert campaign.trials[1].message == "ValueError: call 2"


def test_most_failed_1_writes_whatever_comes(path: Path) -> None:
    with begin(path, objective=Breaks(*range(1, 100))) as campaign:
        campaign.run(8, most_failed=1.0)
        assert {t.status for t in campaign.trials} == {"failed"}


def test_failures_for_one_reason_in_a_row_stop_the_run_and_wait(path: Path) -> None:
    with begin(path, n=40, objective=Breaks(*range(11, 100))) as campaign:
        with pytest.raises(ObjectiveError, match=r"^5 calls failed one after .*ValueError"):
            campaign.run(40)
        assert [t.status for t in campaign.trials] == ["told"] * 10 + ["asked"] * 30
        assert campaign.objective.n == 15  # type: ignore[attr-defined]
        with pytest.raises(ObjectiveError, match="12 calls failed"):
            campaign.run(40, failures_in_a_row=12)
        campaign.objective.at = ()  # type: ignore[attr-defined]
        campaign.run(40)
        assert {t.status for t in campaign.trials} == {"told"}


def test_a_call_that_works_settles_the_failures_before_it(path: Path) -> None:
    broken = (3, 4, 5, 6, 8, 9, 10, 11)
    with begin(path, n=12, objective=Breaks(*broken)) as campaign:
        campaign.run(12)
        failed = [t.id for t in campaign.trials if t.status == "failed"]
        assert failed == list(broken)


def test_failures_for_several_reasons_in_a_row_are_the_molecules(path: Path) -> None:
    reasons = iter(["no pocket", "no charges", "too large", "no licence", "broken ring", "no pose"])

    class Various(ToyObjective):
        def __call__(self, smiles: Sequence[str]) -> list[float]:
            if len(self.calls) == 2 and (reason := next(reasons, None)):
                raise ValueError(reason)
            return super().__call__(smiles)

    with begin(path, n=12, objective=Various()) as campaign:
        campaign.run(12)
        assert [t.status for t in campaign.trials] == (["told"] * 2 + ["failed"] * 6 + ["told"] * 4)


def test_nan_in_a_row_is_an_answer_and_no_trouble(path: Path) -> None:
    space = ToySpace()
    start = space.molecules[:12]
    with begin(path, objective=ToyObjective(fails=start[1:9]), start=start) as campaign:
        campaign.run(12)
        assert [t.id for t in campaign.trials if t.status == "failed"] == list(range(2, 10))


def test_failures_in_a_row_0_writes_whatever_comes(path: Path) -> None:
    with begin(path, objective=Breaks(*range(1, 100))) as campaign:
        campaign.run(8, failures_in_a_row=0)
        assert {t.status for t in campaign.trials} == {"failed"}


def test_too_many_failures_between_successes_stop_the_run_and_are_written(path: Path) -> None:
    broken = [n for n in range(2, 100) if n % 4]
    with begin(path, n=40, objective=Breaks(*broken)) as campaign:
        with pytest.raises(CampaignError, match=r"14 of the last 20 calls failed, most often: Val"):
            campaign.run(40)
        statuses = [t.status for t in campaign.trials]
        assert statuses[:20].count("failed") == 14
        assert statuses[20:] == ["asked"] * 20


def test_retries_are_counted_as_one_call(path: Path) -> None:
    objective = Breaks(2, 5, 6)
    with begin(path, objective=objective) as campaign:
        campaign.run(8, retries=1)
        assert [t.status for t in campaign.trials] == ["told"] * 3 + ["failed"] + ["told"] * 4
        assert campaign.trials[3].message == "ValueError: call 6 (tried 2 times)"
        assert objective.n == 10


def test_of_many_at_once_only_the_culprit_fails(path: Path) -> None:
    class Together(ToyObjective):
        batch_size = 4

        def __call__(self, smiles: Sequence[str]) -> list[float]:
            if any(molecule == culprit for molecule in smiles):
                raise ValueError("this one")
            return super().__call__(smiles)

    with begin(path, objective=Together()) as campaign:
        culprit = campaign.trials[2].smiles
        campaign.run(8)
        assert [t.id for t in campaign.trials if t.status == "failed"] == [3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": 0.0}, "timeout must be a positive"),
        ({"retries": -1}, "retries must be a whole number from 0"),
        ({"most_failed": 1.5}, r"most_failed must lie in \[0, 1\]"),
        ({"failures_in_a_row": -1}, "failures_in_a_row must"),
        ({"workers": -1}, "workers must be a whole number from 0"),
        ({"executor": ThreadPoolExecutor(1)}, "workers says how many calls"),
    ],
)
def test_settings_are_checked(path: Path, settings: dict[str, Any], message: str) -> None:
    with begin(path) as campaign, pytest.raises(ConfigError, match=message):
        campaign.run(8, **settings)


# --- workers


def faults(campaign: Campaign) -> None:
    """Every outcome is what `FaultyObjective` does with the molecule."""
    expected = {
        "raises": "ValueError: no pocket",
        "hangs": "no answer within",
        "dies": "the process died|KilledWorker|killed",
        "nan": "could not be scored",
    }
    import re

    for trial in campaign.trials:
        fault = FaultyObjective.fault(trial.smiles)
        assert trial.status == ("failed" if fault else "told"), trial
        assert re.match(expected.get(fault, "^$"), trial.message), trial


def test_whatever_goes_wrong_with_workers_the_budget_is_accounted_for(path: Path) -> None:
    space = ToySpace()
    kinds: dict[str, list[str]] = {}
    for molecule in space.molecules:
        kinds.setdefault(FaultyObjective.fault(molecule), []).append(molecule)
    start = [m for kind, some in kinds.items() for m in some[: 2 if kind else 8]]
    with begin(path, objective=FaultyObjective(), start=start) as campaign:
        campaign.run(24, workers=4, timeout=4.0, most_failed=1.0)
        assert len(campaign) == 24
        assert {FaultyObjective.fault(t.smiles) for t in campaign.trials} == set(kinds)
        faults(campaign)


def test_what_hangs_here_is_stopped_as_well(path: Path) -> None:
    """With a timeout, an objective is called in a process of its own."""
    space = ToySpace()
    hangs = [m for m in space.molecules if FaultyObjective.fault(m) == "hangs"][:1]
    fine = [m for m in space.molecules if not FaultyObjective.fault(m)][:2]
    with begin(path, objective=FaultyObjective(), start=[*hangs, *fine]) as campaign:
        campaign.run(3, timeout=4.0)
        assert [t.status for t in campaign.trials] == ["failed", "told", "told"]


class OnlyResult:
    """What every executor's pending call can do, and nothing else."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self) -> Any:
        return self._future.result()


class Threads:
    """The least that an executor has to do. Counts how many calls are in progress."""

    def __init__(self, workers: int, *, plain: bool) -> None:
        self.pool, self.plain = ThreadPoolExecutor(workers), plain
        self.now, self.most, self.lock = 0, 0, threading.Lock()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        def counted() -> Any:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            try:
                return function(*arguments)
            finally:
                with self.lock:
                    self.now -= 1

        future = self.pool.submit(counted)
        return OnlyResult(future) if self.plain else future


@pytest.mark.parametrize("plain", [False, True])
def test_an_executor_of_ones_own(path: Path, plain: bool) -> None:
    executor = Threads(3, plain=plain)
    seen: list[Trial] = []
    with begin(path, objective=ToyObjective(seconds=0.02)) as campaign:
        campaign.run(24, executor=executor, workers=3, on_trial=seen.append)
        assert len(campaign) == len(seen) == 24
        assert {t.status for t in campaign.trials} == {"told"}
        assert executor.most == 3


def test_what_is_in_progress_is_taken_into_account(path: Path) -> None:
    """With four workers molecules are chosen while others are scored: pending, not forgotten."""
    pending: list[int] = []

    class Watching(type(begin(path.with_name("other.db"), strategy="random").strategy)):  # type: ignore[misc]
        def propose(self, evidence: Any, space: Any, n: int, *, seed: int) -> Any:
            pending.append(len(evidence.pending_smiles))
            return super().propose(evidence, space, n, seed=seed)

    with begin(path, objective=ToyObjective(seconds=0.02), strategy=Watching()) as campaign:
        campaign.run(30, executor=Threads(4, plain=False), workers=4)
        assert len(campaign) == 30
    assert max(pending) >= 2


def test_an_executor_that_is_gone(path: Path) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with begin(path) as campaign:
        with pytest.raises(CampaignError, match="takes no calls: RuntimeError"):
            campaign.run(8, executor=pool, workers=1)
        campaign.run(8)


def test_interrupted_with_workers_it_goes_on(path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(trial: Trial) -> None:
        if trial.id > 3:
            raise StopError

    with begin(path, objective=ToyObjective()) as campaign:
        with pytest.raises(StopError):
            campaign.run(20, executor=Threads(4, plain=False), workers=4, on_trial=stop)
        assert sum(t.status == "told" for t in campaign.trials) >= 1
        campaign.run(20)
        assert [t.status for t in campaign.trials] == ["told"] * 20


# --- one writer


def test_two_writers_are_refused_and_readers_are_not(path: Path) -> None:
    begin(path).close()
    hold = (
        "import sys, pathlib; from molvae.bo.store import Store\n"
        f"with Store.open({str(path)!r}).writing('run'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
            assert len(campaign.table()) == 8
            by = rf"being written by another process \(run, pid {other.pid} on .*, since 20"
            with pytest.raises(CampaignError, match=by):
                campaign.run(8)
            with pytest.raises(CampaignError, match=by):
                campaign.tell(1, 0.5)
            other.kill()  # what a dead process held is free
            other.wait()
            campaign.run(8)
    assert sorted(p.name for p in path.parent.iterdir() if p.name.endswith("-lock")) == []
