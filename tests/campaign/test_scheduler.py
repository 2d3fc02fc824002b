"""`Campaign.run`: failures, outages, retries, workers, executors and interrupts."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import pytest

from molvae.campaign.campaign import Campaign
from molvae.campaign.choice import Choice
from molvae.campaign.evaluation import NAN_MESSAGE, EvaluationResult, EvaluationTask, evaluate
from molvae.campaign.outages import OutageDetector, UnrecordedFailure, cause_of
from molvae.campaign.transport import NotLoadedError
from molvae.campaign.trial import Trial
from molvae.errors import (
    CampaignError,
    ConfigError,
    MolvaeWarning,
    ObjectiveError,
    ProcessDiedError,
)
from molvae.objectives import interrupts
from tests.processes import PATIENCE_SECONDS, until
from tests.toys import FaultyObjective, ToyObjective, ToySpace, begin

ROOT = Path(__file__).parents[2]


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


def test_run_of_a_failing_objective_stops_with_trials_pending(path: Path) -> None:
    objective = Breaks(*range(1, 100))
    with begin(path, objective=objective) as campaign:
        with pytest.raises(
            ObjectiveError, match=r"first 5 calls failed.*ValueError: call 1; no outcome"
        ):
            campaign.run(20)
        assert {t.status for t in campaign.trials} == {"pending"}
        with pytest.raises(ObjectiveError, match=r"first 2 calls failed"):
            campaign.run(2)
        objective.at = ()
        campaign.run(20)
        assert {t.status for t in campaign.trials} == {"complete"}


def test_run_writes_first_failures_after_a_success(path: Path) -> None:
    with begin(path, objective=Breaks(1, 2, 3, 4, 7)) as campaign:
        campaign.run(8)
        assert [t.status for t in campaign.trials] == (
            ["failed"] * 4 + ["complete"] * 2 + ["failed", "complete"]
        )
        assert campaign.trials[1].message == "ValueError: call 2"


def test_run_with_max_failure_rate_1_writes_all_failures(path: Path) -> None:
    with begin(path, objective=Breaks(*range(1, 100))) as campaign:
        campaign.run(8, max_failure_rate=1.0)
        assert {t.status for t in campaign.trials} == {"failed"}


def test_run_with_equal_failures_in_a_row_stops_with_trials_pending(path: Path) -> None:
    with begin(path, n=40, objective=Breaks(*range(11, 100))) as campaign:
        with pytest.raises(ObjectiveError, match=r"^5 calls failed one after .*ValueError"):
            campaign.run(40)
        assert [t.status for t in campaign.trials] == ["complete"] * 10 + ["pending"] * 30
        assert campaign.objective.n == 15  # type: ignore[attr-defined]
        with pytest.raises(ObjectiveError, match="12 calls failed"):
            campaign.run(40, failures_in_a_row=12)
        campaign.objective.at = ()  # type: ignore[attr-defined]
        campaign.run(40)
        assert {t.status for t in campaign.trials} == {"complete"}


def test_run_writes_failures_in_a_row_after_a_success(path: Path) -> None:
    broken = (3, 4, 5, 6, 8, 9, 10, 11)
    with begin(path, n=12, objective=Breaks(*broken)) as campaign:
        campaign.run(12)
        failed = [t.id for t in campaign.trials if t.status == "failed"]
        assert failed == list(broken)


def test_run_with_different_failures_in_a_row_writes_them(path: Path) -> None:
    reasons = iter(["no pocket", "no charges", "too large", "no licence", "broken ring", "no pose"])

    class Various(ToyObjective):
        def __call__(self, smiles: Sequence[str]) -> list[float]:
            if len(self.calls) == 2 and (reason := next(reasons, None)):
                raise ValueError(reason)
            return super().__call__(smiles)

    with begin(path, n=12, objective=Various()) as campaign:
        campaign.run(12)
        assert [t.status for t in campaign.trials] == (
            ["complete"] * 2 + ["failed"] * 6 + ["complete"] * 4
        )


def test_run_with_nan_values_in_a_row_writes_them_as_failed(path: Path) -> None:
    space = ToySpace()
    start = space.molecules[:12]
    with begin(path, objective=ToyObjective(fails=start[1:9]), start=start) as campaign:
        campaign.run(12)
        assert [t.id for t in campaign.trials if t.status == "failed"] == list(range(2, 10))


def test_run_with_failures_in_a_row_0_writes_all_failures(path: Path) -> None:
    with begin(path, objective=Breaks(*range(1, 100))) as campaign:
        campaign.run(8, failures_in_a_row=0)
        assert {t.status for t in campaign.trials} == {"failed"}


def test_run_with_a_high_failure_rate_stops_and_writes_failures(path: Path) -> None:
    broken = [n for n in range(2, 100) if n % 4]
    with begin(path, n=40, objective=Breaks(*broken)) as campaign:
        with pytest.raises(CampaignError, match=r"14 of the last 20 calls failed, most often: Val"):
            campaign.run(40)
        statuses = [t.status for t in campaign.trials]
        assert statuses[:20].count("failed") == 14
        assert statuses[20:] == ["pending"] * 20


def test_run_retries_count_as_one_call(path: Path) -> None:
    objective = Breaks(2, 5, 6)
    with begin(path, objective=objective) as campaign:
        campaign.run(8, retries=1)
        assert [t.status for t in campaign.trials] == ["complete"] * 3 + ["failed"] + [
            "complete"
        ] * 4
        assert campaign.trials[3].message == "ValueError: call 6 (tried 2 times)"
        assert objective.n == 10


def test_run_of_a_failing_batch_fails_only_the_culprit(path: Path) -> None:
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
        ({"max_failure_rate": 1.5}, r"max_failure_rate must lie in \[0, 1\]"),
        ({"failures_in_a_row": -1}, "failures_in_a_row must"),
        ({"workers": -1}, "workers must be a whole number from 0"),
        ({"executor": ThreadPoolExecutor(1)}, "workers says how many calls"),
    ],
)
def test_run_with_invalid_settings_raises(
    path: Path, settings: dict[str, Any], message: str
) -> None:
    with begin(path) as campaign, pytest.raises(ConfigError, match=message):
        campaign.run(8, **settings)


# --- what is trouble of the machine


class Scripted:
    """Calls that go as they are told: by exceptions, or by working."""

    def __init__(self, *results: BaseException | None, workers: int = 1) -> None:
        self.results, self.workers, self.seen = list(results), workers, list[list[str]]()
        self.aside = dict[str, str]()

    def capacity(self) -> int:
        return self.workers - len(self.aside)

    def set_aside(self, worker: str, reason: str) -> bool:
        if self.capacity() > 1:
            self.aside[worker] = reason
        return worker in self.aside

    def call(self, smiles: Sequence[str], _: str) -> Future[list[EvaluationResult]]:
        self.seen.append(list(smiles))
        future: Future[list[EvaluationResult]] = Future()
        result = self.results.pop(0) if self.results else None
        if result is None:
            future.set_result(
                [EvaluationResult(values={"hill": float(len(self.seen))}) for _ in smiles]
            )
        else:
            future.set_exception(result)
        return future


@pytest.fixture
def scripted(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A campaign whose calls go as they are told."""

    @contextlib.contextmanager
    def begun(caller: Scripted, **settings: Any) -> Iterator[Campaign]:
        monkeypatch.setattr(
            "molvae.campaign.running.make_executor", lambda *_: contextlib.nullcontext(caller)
        )
        with begin(path, **settings) as campaign:
            yield campaign

    return begun


LOST = OSError("connection reset")
DIED = ProcessDiedError("the process died (SIGKILL)")


def test_run_repeats_lost_calls(scripted: Any) -> None:
    caller = Scripted(LOST, LOST, None, LOST, LOST)
    with scripted(caller) as campaign:
        campaign.run(8)
        assert {t.status for t in campaign.trials} == {"complete"}
        assert len(caller.seen) == 12
        first = campaign.trials[0].smiles
        assert caller.seen[:3] == [[first]] * 3


def test_run_with_repeatedly_lost_calls_stops_with_trials_pending(scripted: Any) -> None:
    with scripted(Scripted(None, *[LOST] * 9)) as campaign:
        with pytest.raises(CampaignError, match=r"last 3 calls were lost.*connection reset"):
            campaign.run(8)
        assert [t.status for t in campaign.trials] == ["complete"] + ["pending"] * 7


def test_run_with_a_network_timeout_repeats_the_call(scripted: Any) -> None:
    late = TimeoutError(errno.ETIMEDOUT, "timed out")
    with scripted(Scripted(None, late, None, TimeoutError(), None)) as campaign:
        campaign.run(8, timeout=60.0)
        failed = [t for t in campaign.trials if t.status == "failed"]
        assert [t.message for t in failed] == ["no answer within 60 s"]


def test_run_without_timeout_repeats_calls_with_timeout_error(scripted: Any) -> None:
    with scripted(Scripted(None, TimeoutError(), None)) as campaign:
        campaign.run(8)
        assert "failed" not in {t.status for t in campaign.trials}


class Sick(Scripted):
    """Workers in turn, some of which fail at whatever they get."""

    def __init__(self, *sick: str, workers: int) -> None:
        super().__init__(workers=workers)
        self.sick = sick

    def call(self, smiles: Sequence[str], _: str) -> Future[list[EvaluationResult]]:
        future: Any = super().call(smiles, _)
        names = [f"worker {n}" for n in range(1, self.workers + 1)]
        names = [name for name in names if name not in self.aside]
        n = len(self.seen)
        future.worker = names[n % len(names)]
        if future.worker in self.sick and n > 1:
            failed = EvaluationResult(message=f"no licence: {'abcdefgh'[n % 8] * 3}", broke=True)
            future._result = [failed for _ in smiles]
        return future


@pytest.mark.parametrize("budget", [6, 24])
@pytest.mark.parametrize("n", [2, 3])
def test_run_sets_a_failing_worker_aside_and_moves_its_molecules(
    scripted: Any, budget: int, n: int
) -> None:
    caller = Sick("worker 1", workers=n)
    with scripted(caller) as campaign:
        with pytest.warns(MolvaeWarning, match=r"worker 1 gets no more molecules.*no licence"):
            campaign.run(budget)
        statuses = [t.status for t in campaign.trials]
        assert statuses[:budget] == ["complete"] * budget
    assert list(caller.aside) == ["worker 1"]


def test_run_with_all_workers_failing_stops(scripted: Any) -> None:
    with scripted(Sick("worker 1", "worker 2", workers=2), n=40) as campaign:
        with (
            pytest.warns(MolvaeWarning, match="gets no more molecules"),
            pytest.raises(ObjectiveError, match="no licence"),
        ):
            campaign.run(40)
        assert {t.status for t in campaign.trials} == {"complete", "pending"}


def test_run_with_a_failing_worker_not_set_aside_raises_with_its_name(scripted: Any) -> None:
    caller = Sick("worker 1", workers=2)
    caller.set_aside = lambda worker, reason: False  # type: ignore[method-assign]
    with scripted(caller) as campaign:
        with pytest.raises(ObjectiveError, match="on worker 1"):
            campaign.run(24)
        assert {t.status for t in campaign.trials} == {"complete", "pending"}


@pytest.mark.parametrize("result", [None, 1.0, [], [None], [EvaluationResult()] * 2])
def test_run_with_an_executor_of_wrong_results_raises(path: Path, result: Any) -> None:
    class Other:
        def submit(self, *_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(result)
            return future

    with begin(path) as campaign, pytest.raises(CampaignError, match="executor's result"):
        campaign.run(8, executor=Other(), workers=1)


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit()])
@pytest.mark.parametrize("threads", [0, 2])
def test_run_of_an_objective_raising_system_exit_raises_objective_error(
    path: Path, error: BaseException, threads: int
) -> None:
    class Ends(ToyObjective):
        def __call__(self, smiles: Sequence[str]) -> list[float]:
            raise error

    pool: Any = {"executor": ThreadPoolExecutor(threads), "workers": threads} if threads else {}
    with begin(path, objective=Ends()) as campaign:
        with pytest.raises(ObjectiveError, match="ended the program"):
            campaign.run(8, **pool)
        assert {t.status for t in campaign.trials} == {"pending"}


def test_run_repeats_calls_of_workers_not_yet_loaded(scripted: Any) -> None:
    with scripted(Scripted(*[NotLoadedError("new")] * 9)) as campaign:
        campaign.run(8)
        assert {t.status for t in campaign.trials} == {"complete"}


def test_run_fails_a_molecule_after_three_process_deaths(scripted: Any) -> None:
    with scripted(Scripted(DIED, DIED, None, DIED, DIED, DIED)) as campaign:
        campaign.run(8)
        assert [t.status for t in campaign.trials] == ["complete", "failed"] + ["complete"] * 6
        assert campaign.trials[1].message == "the process died (SIGKILL), 3 times"


def test_run_on_a_cluster_takes_the_death_count_of_the_error(scripted: Any) -> None:
    died = ProcessDiedError("the process died, on each worker")
    died.deaths = 4
    with scripted(Scripted(died)) as campaign:
        campaign.run(8)
        assert campaign.trials[0].message == "the process died, on each worker, 4 times"


def test_run_with_processes_dying_of_every_molecule_stops(scripted: Any) -> None:
    with scripted(Scripted(None, *[DIED] * 99)) as campaign:
        with pytest.raises(ObjectiveError, match="5 calls failed"):
            campaign.run(8)
        assert [t.status for t in campaign.trials] == ["complete"] + ["pending"] * 7


def test_run_after_a_process_death_calls_each_molecule_alone(
    scripted: Any,
) -> None:
    class Together(ToyObjective):
        batch_size = 4

    caller = Scripted(DIED)
    with scripted(caller, objective=Together()) as campaign:
        campaign.run(8)
        assert [len(smiles) for smiles in caller.seen] == [4, 1, 1, 1, 1, 4]
        assert {t.status for t in campaign.trials} == {"complete"}


class Counting(Scripted):
    """The same, a moment later; counts the calls in progress."""

    most = now = 0

    def call(self, smiles: Sequence[str], fidelity: str) -> Future[list[EvaluationResult]]:
        done, future = super().call(smiles, fidelity), Future[list[EvaluationResult]]()
        self.now += 1
        self.most = max(self.most, self.now)

        def answer() -> None:
            self.now -= 1
            if error := done.exception():
                future.set_exception(error)
            else:
                future.set_result(done.result())

        threading.Timer(0.01, answer).start()
        return future


def test_run_after_a_late_call_of_several_begins_no_more_calls_than_there_are_workers(
    scripted: Any,
) -> None:
    class Together(ToyObjective):
        batch_size = 4

    caller = Counting(TimeoutError(), workers=2)
    with scripted(caller, objective=Together()) as campaign:
        campaign.run(8, timeout=60.0)
        assert {t.status for t in campaign.trials} == {"complete"}
    assert sorted(map(len, caller.seen)) == [1, 1, 1, 1, 4, 4]
    assert caller.most == 2


def unrecorded_failure(
    cause: str, *, call: int, came: int, message: str = "broke"
) -> UnrecordedFailure:
    return UnrecordedFailure(
        trial=call, scored=EvaluationResult(message=message), cause=cause, call=call, came=came
    )  # type: ignore[arg-type]


def test_outage_detector_success_settles_earlier_failures_only() -> None:
    streak = OutageDetector(most=3, worked=True)
    first, second = (
        unrecorded_failure("a", call=1, came=10),
        unrecorded_failure("a", call=2, came=20),
    )
    assert streak.failed(first) == streak.failed(second) == []
    assert streak.success(call=3, began=5) == []
    assert streak.success(call=4, began=15) == [first]
    assert streak.held == [second]
    assert streak.success(call=2, began=5) == [second]  # of the same call, so at the same time


def test_outage_detector_finds_an_outage_with_two_messages() -> None:
    streak = OutageDetector(most=3, worked=True)
    for n in range(5):
        assert streak.suspects(100) == []
        streak.failed(unrecorded_failure("ab"[n % 2], call=n, came=n))
    assert [one.cause for one in streak.suspects(100)] == ["a"] * 3


def test_outage_detector_success_settles_failures_of_the_same_worker_only() -> None:
    streak = OutageDetector(most=3, worked=True)
    one, two = (replace(unrecorded_failure("a", call=n, came=n), worker="one") for n in (1, 2))
    streak.failed(one)
    assert streak.success(call=3, began=4, worker="two") == []
    assert len(streak.all) == 1
    assert streak.success(call=5, began=6, worker="one") == [one]
    streak.failed(two)
    assert streak.last_suspects() == []
    assert streak.rest() == [two]


def test_outage_detector_finds_an_outage_with_always_new_messages() -> None:
    streak = OutageDetector(most=3, worked=True)
    for n in range(6):
        assert streak.suspects(100) == []
        streak.failed(unrecorded_failure("abcdef"[n], call=n, came=n))
    assert len(streak.suspects(100)) == 6


def test_outage_detector_holds_nan_values_before_the_first_success_only() -> None:
    nan = unrecorded_failure(NAN_MESSAGE, call=1, came=1, message=NAN_MESSAGE)
    assert OutageDetector(most=3, worked=True).failed(nan) == [nan]
    assert OutageDetector(most=3, worked=False).failed(nan) == []
    assert OutageDetector(most=0, worked=False).failed(nan) == [nan]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no licence for CCO", "no licence for CCN"),
        ("HTTP 503: /score?smiles=C%3DC", "HTTP 503: /score?smiles=N%3DN"),
        ("timeout after 3.5 s (attempt 2)", "timeout after 12 s (attempt 3)"),
        ("<Socket at 0x7f01ab>: refused", "<Socket at 0x6e88cd>: refused"),
        ("ended with status 4 (see /a/b.calls/01ab)", "ended with status 4 (see /a/b.calls/ffe2)"),
        ("request 5f1c09aa-3b failed", "request 7e44d0bc-3b failed"),
        (
            "request abcdefab-dead-4bad-beef-cafecafecafe failed",
            "request 12345678-0a1b-4c2d-9e3f-0123456789ab failed",
        ),
        ("k3_x9..sock: connection refused", "pq7..sock: connection refused"),
        ("x" * 3000 + "CCO", "x" * 3000 + "CCN"),
    ],
)
def test_cause_of_ignores_molecule_time_and_place(one: str, other: str) -> None:
    pairs = {"CCO": "CCN", "C=C": "N=N"}
    smiles = next((s for s in pairs if s in one.replace("%3D", "=")), "O")
    assert cause_of(one, smiles) == cause_of(other, pairs.get(smiles, "S"))
    assert cause_of(one, smiles) != cause_of("no pocket", smiles)


def test_run_with_a_breaking_executor_leaves_trials_pending(path: Path) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        begin(path, objective=Deadly(), start=ToySpace().molecules[:4]) as campaign,
        pytest.raises(CampaignError, match="the executor takes no calls: BrokenProcessPool"),
    ):
        campaign.run(4, executor=pool, workers=1)
    with Campaign.open(path, ToySpace(), ToyObjective()) as campaign:
        assert [t.status for t in campaign.trials] == ["complete", "pending", "pending", "pending"]


class Deadly(ToyObjective):
    """Ends its process at the second call there."""

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        Deadly.n = getattr(Deadly, "n", 0) + 1
        if Deadly.n == 2:
            os._exit(1)
        return super().__call__(smiles)


@pytest.mark.usefixtures("interruptible")
def test_run_interrupted_during_a_choice_stops_the_choice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    monkeypatch.setattr(interrupts, "take_back", waits.set)  # called in each wait

    class Slow(ToyStrategy):
        def propose(self, *_: Any, **__: Any) -> Any:
            waits.clear()
            waits.wait()
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                time.sleep(0.01)

    with begin(path, n=2, strategy=Slow()) as campaign:
        with pytest.raises(KeyboardInterrupt):
            campaign.run(4)
        assert [t.status for t in campaign.trials] == ["complete", "complete"]
    until(lambda: "choosing" not in {thread.name for thread in threading.enumerate()})


def test_choice_stopped_before_start_does_not_run() -> None:
    chosen = list[int]()
    choice = Choice(lambda: chosen.append(1), lambda: None)
    choice.stop()
    choice.start()
    choice.join(PATIENCE_SECONDS)
    assert not choice.is_alive()
    assert chosen == []


def test_run_interrupted_at_the_start_of_a_choice_stops_the_choice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_thread = Choice.start

    def interrupted(choice: Choice) -> None:
        begin_thread(choice)
        raise KeyboardInterrupt

    class Endless(ToyStrategy):
        def propose(self, *_: Any, **__: Any) -> Any:
            while True:
                time.sleep(0.01)

    monkeypatch.setattr(Choice, "start", interrupted)
    with begin(path, n=2, strategy=Endless()) as campaign, pytest.raises(KeyboardInterrupt):
        campaign.run(4)
    until(lambda: "choosing" not in {thread.name for thread in threading.enumerate()})


@dataclass(frozen=True)
class ToyStrategy:
    name: ClassVar[str] = "toy"


# --- workers


def assert_outcomes_match_faults(campaign: Campaign) -> None:
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
        assert trial.status == ("failed" if fault else "complete"), trial
        assert re.match(expected.get(fault, "^$"), trial.message), trial


@pytest.mark.slow
def test_run_with_faulty_workers_accounts_for_the_budget(path: Path) -> None:
    space = ToySpace()
    kinds: dict[str, list[str]] = {}
    for molecule in space.molecules:
        kinds.setdefault(FaultyObjective.fault(molecule), []).append(molecule)
    start = [m for kind, some in kinds.items() for m in some[: 1 if kind else 4]]
    with begin(path, objective=FaultyObjective(), start=start) as campaign:
        campaign.run(10, workers=2, timeout=4.0, max_failure_rate=1.0)
        assert len(campaign) == 10
        assert {FaultyObjective.fault(t.smiles) for t in campaign.trials} == set(kinds)
        assert_outcomes_match_faults(campaign)


@pytest.mark.slow
def test_run_without_workers_stops_a_hanging_call_at_the_timeout(path: Path) -> None:
    """With a timeout, an objective is called in a process of its own."""
    space = ToySpace()
    hangs = [m for m in space.molecules if FaultyObjective.fault(m) == "hangs"][:1]
    fine = [m for m in space.molecules if not FaultyObjective.fault(m)][:2]
    with begin(path, objective=FaultyObjective(), start=[*hangs, *fine]) as campaign:
        campaign.run(3, timeout=4.0)
        assert [t.status for t in campaign.trials] == ["failed", "complete", "complete"]


class OnlyResult:
    """What every executor's pending call can do, and nothing else."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self) -> Any:
        return self._future.result()


class Threads:
    """The least that an executor has to do. Counts how many calls are in progress."""

    def __init__(self, workers: int, *, plain: bool) -> None:
        self.pool, self.is_single_objective = ThreadPoolExecutor(workers), plain
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
        return OnlyResult(future) if self.is_single_objective else future


class Together(ToyObjective):
    """Calls of `group` return when as many of them are in progress; all others at once."""

    group: ClassVar = range(0)
    turns: ClassVar = count()
    barrier: ClassVar = threading.Barrier(1)

    @classmethod
    def starting(cls, group: range) -> Together:
        cls.group, cls.turns = group, count()
        cls.barrier = threading.Barrier(len(group), timeout=PATIENCE_SECONDS)
        return cls()

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        if next(self.turns) in self.group:
            self.barrier.wait()
        return super().__call__(smiles)


@pytest.mark.parametrize("plain", [False, True])
def test_run_with_an_executor_of_a_user_uses_all_its_threads(path: Path, plain: bool) -> None:
    executor = Threads(3, plain=plain)
    seen: list[Trial] = []
    with begin(path, objective=Together.starting(range(3))) as campaign:
        campaign.run(24, executor=executor, workers=3, on_trial=seen.append)
        assert len(campaign) == len(seen) == 24
        assert {t.status for t in campaign.trials} == {"complete"}
        assert executor.most == 3


def test_run_with_workers_proposes_with_pending_molecules(path: Path) -> None:
    """With four workers molecules are chosen while others are scored: pending, not forgotten."""
    pending: list[int] = []

    class Watching(type(begin(path.with_name("other.db"), strategy="random").strategy)):  # type: ignore[misc]
        def propose(self, observations: Any, space: Any, n: int, *, seed: int) -> Any:
            pending.append(len(observations.pending_smiles))
            return super().propose(observations, space, n, seed=seed)

    together = Together.starting(range(8, 12))  # after the 8 molecules of the start
    with begin(path, objective=together, strategy=Watching()) as campaign:
        campaign.run(30, executor=Threads(4, plain=False), workers=4)
        assert len(campaign) == 30
    assert max(pending) >= 2


def test_run_with_a_shut_down_executor_raises(path: Path) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with begin(path) as campaign:
        with pytest.raises(CampaignError, match="RuntimeError"):
            campaign.run(8, executor=pool, workers=1)
        campaign.run(8)


def test_run_with_workers_interrupted_resumes(path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(trial: Trial) -> None:
        if trial.id > 3:
            raise StopError

    with begin(path, objective=ToyObjective()) as campaign:
        with pytest.raises(StopError):
            campaign.run(20, executor=Threads(4, plain=False), workers=4, on_trial=stop)
        assert sum(t.status == "complete" for t in campaign.trials) >= 1
        campaign.run(20)
        assert [t.status for t in campaign.trials] == ["complete"] * 20


# --- one writer


def test_campaign_file_takes_one_writer_and_any_readers(path: Path) -> None:
    begin(path).close()
    hold = (
        "import sys, pathlib; from molvae.campaign.storage import Storage\n"
        f"with Storage.open({str(path)!r}).writing('run'):\n"
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


@pytest.mark.parametrize("answer", [float("nan"), {"a": float("nan"), "b": float("nan")}])
def test_evaluate_of_nan_for_several_values_is_an_answer(answer: object) -> None:
    class Two(ToyObjective):
        def __call__(self, smiles: Sequence[str]) -> list[Any]:
            return [answer] * len(smiles)

    tasks = [EvaluationTask(objective=Two(), names=("a", "b"))]
    (scored,) = evaluate(tasks, ["CCO"])
    assert (scored.values, scored.message) == ({}, NAN_MESSAGE)
    (scored,) = evaluate([*tasks, tasks[0]], ["CCO"])
    assert scored.message == NAN_MESSAGE
