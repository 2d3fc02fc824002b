"""Spend a budget: hand molecules to workers, take in results, and stop at outages.

Without workers there is one call at a time, and results are reproducible. Lost workers and machine
trouble are no outcome: the molecules stay pending and are called again.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import InitVar, dataclass, field, replace
from itertools import count, islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from molvae.campaign.choice import Choice
from molvae.campaign.evaluation import EvaluationResult, LostCallError
from molvae.campaign.outages import OutageDetector, UnrecordedFailure, cause_of
from molvae.campaign.transport import NotLoadedError
from molvae.config import RunLimits
from molvae.errors import (
    CampaignError,
    MolvaeError,
    ObjectiveError,
    ProcessDiedError,
    described,
    message_of,
    shown,
    warn,
)
from molvae.objectives.interrupts import get

if TYPE_CHECKING:
    from molvae.campaign.executors import Caller, CallFuture
    from molvae.campaign.trial import Trial

N_RECENT = 20  # number of last calls for the failure rate
MAX_DEATHS = 3  # processes that die, each with this molecule alone, after which it has failed
MAX_LOST_CALLS = 3  # consecutive lost calls after which a run stops
CHOICE_MARGIN = 1.5
"""Factor on the time of a choice: calls may come back together, and choosing may take longer."""
IDLE_SECONDS = 0.2  # between two looks at a cluster without workers
LOOK_SECONDS = 0.5  # between two looks at workers, and at calls that may have taken too long


@dataclass(kw_only=True)
class _Running:
    """Molecules with a worker."""

    number: int
    trials: list[Trial]
    future: CallFuture
    submitted: float
    place: int  # calls that had begun or come back before it began
    came: int = 0  # the same before it came back
    tries: int

    @property
    def began(self) -> float | None:
        """When a worker began with it, None before; when it was submitted, if that is not known."""
        began: float | None = getattr(self.future, "began", self.submitted)
        return began


@dataclass(kw_only=True)
class Scheduler:
    """One run; its state is what is being called now.

    Args:
        choose: Reads the campaign file; the returned function chooses so many molecules, each at no
            more than a cost, in any thread.
        write: Writes chosen molecules into the campaign file.
        tell: Writes an outcome into the campaign file.
        caller: Scores molecules.
        limits: When the run gives up.
        budget: Cost of the outcomes in all, those in the campaign file included.
        cost: Cost of the evaluation of a trial; in most campaigns 1.
        cheapest: Smallest cost.
        batch_size: Molecules chosen together, if one worker goes through them.
        together: Molecules handed over in one call.
        n_values: Values that a trial needs; with fewer it has failed.
        trials: All of the campaign.
    """

    choose: Callable[[int, float], Callable[[], Any]]
    write: Callable[[Any], list[Trial]]
    tell: Callable[[Trial, EvaluationResult], None]
    caller: Caller
    limits: RunLimits
    budget: int
    cost: Callable[[Trial], float]
    cheapest: float
    batch_size: int
    together: int
    n_values: int
    trials: InitVar[Sequence[Trial]]

    pending: deque[Trial] = field(init=False)
    done: float = field(init=False)  # cost of the outcomes in the campaign file
    _running: dict[int, _Running] = field(default_factory=dict)  # calls in progress, by number
    # Numbers of calls that have come back; 0 stands for a choice.
    _results: SimpleQueue[int] = field(default_factory=SimpleQueue)
    _choice: Choice | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _places: Iterator[int] = field(default_factory=count)  # calls that have begun or come back
    _outages: OutageDetector = field(init=False)
    # Processes that died, by the id of the trial that they had.
    _deaths: Counter[int] = field(default_factory=Counter)
    _alone: set[int] = field(default_factory=set)  # ids of trials to be called alone
    _set_aside: set[str | None] = field(default_factory=set)  # workers that get no more calls
    _n_lost: int = 0  # calls lost since the last outcome
    # The last results that are failures; None for others.
    _recent: deque[UnrecordedFailure | None] = field(default_factory=lambda: deque(maxlen=N_RECENT))
    # Seconds that the last choice took, which hardly depends on the number of molecules.
    _choice_seconds: float = 3.0
    _call_seconds: float = math.inf  # seconds that a call takes, on average

    def __post_init__(self, trials: Sequence[Trial]) -> None:
        self.pending = deque(trial for trial in trials if trial.status == "pending")
        self.done = sum(self.cost(trial) for trial in trials if trial.status != "pending")
        worked = any(trial.status == "complete" for trial in trials)
        most = 0 if self.limits.max_failure_rate >= 1 else self.limits.failures_in_a_row
        self._outages = OutageDetector(most=most, worked=worked)

    def run(self) -> None:
        """Spend the budget; see `Campaign.run` for the errors that stop it."""
        try:
            while self._left >= self.cheapest or self._refuse(self._outages.last_suspects()):
                self._submit()
                self._choose()
                self._receive()
            self._write(self._outages.rest())
        finally:
            if self._choice is not None:
                self._choice.stop()
            for running in self._running.values():
                _cancel(running.future)

    @property
    def _left(self) -> float:
        spent = self.done + sum(self.cost(one.trial) for one in self._outages.all)
        return round(self.budget - spent, 9)  # sums of costs such as 0.1 are not exact

    @property
    def _room(self) -> float:
        running = (trial for one in self._running.values() for trial in one.trials)
        return round(self._left - sum(map(self.cost, running)), 9)

    def _affordable(self, most: int | None = None) -> list[Trial]:
        """The first pending trials that cost no more than what is left; the others stay pending.

        `most`: stop at so many, since there may be thousands of them.
        """
        room = self._room
        return list(islice((one for one in self.pending if self.cost(one) <= room), most))

    def _submit(self) -> None:
        """Hand pending molecules to free workers."""
        while len(self._running) < self.caller.capacity():
            if not (fit := self._affordable(self.together)):
                return
            first, *others = fit
            room, trials = self._room - self.cost(first), [first]
            for one in () if first.id in self._alone else others:
                room = round(room - self.cost(one), 9)
                same = one.fidelity == first.fidelity
                if room < 0 or one.id in self._alone or not same:
                    break
                trials.append(one)
            for one in trials:
                self.pending.remove(one)
            self._begin(trials)

    def _begin(self, trials: list[Trial], tries: int = 1) -> None:
        submitted = time.monotonic()
        try:
            future = self.caller.call([trial.smiles for trial in trials], trials[0].fidelity)
        except MolvaeError:
            raise
        except Exception as error:
            raise CampaignError(
                f"the executor takes no calls: {described(error)}; all outcomes so far are in the "
                "campaign file: start the executor again, then run the same command"
            ) from error
        running = _Running(
            number=next(self._numbers),
            trials=trials,
            future=future,
            submitted=submitted,
            place=next(self._places),
            tries=tries,
        )
        self._running[running.number] = running

        def came(_: object) -> None:
            self._results.put(running.number)

        if hasattr(future, "add_done_callback"):
            future.add_done_callback(came)
        else:
            threading.Thread(target=_wait, args=(future, came), daemon=True).start()

    def _choose(self) -> None:
        """Choose new molecules when workers are free, or soon will be."""
        capacity = self.caller.capacity()
        if self._choice is None and (n := self._short_of(capacity)) > 0:
            wanted = self._room - sum(map(self.cost, self._affordable()))
            if (most := int(round(wanted / self.cheapest, 9))) > 0:
                work = self.choose(min(n, most), wanted)
                self._choice = Choice(work, lambda: self._results.put(0))
                self._choice.start()  # when `run` can stop it
        if self._choice is not None and (capacity == 1 or self._choice.result.done()):
            choice = self._choice
            choice.wait()
            self._choice = None
            try:
                found, seconds = choice.result.result()
            except CampaignError:
                if not self._running:  # nothing that may still help is on its way
                    raise
                return
            self.pending += self.write(found)
            self._choice_seconds = seconds
            self._submit()

    def _short_of(self, capacity: int) -> int:
        """How many molecules to choose now."""
        if capacity <= 1:
            return 0 if self._running or self._affordable(1) else self.batch_size
        # Workers need this many while the next ones are being chosen; none if calls are long:
        # a late choice knows more.
        needed, most = 0, max(self.batch_size, capacity)
        if math.isfinite(self._call_seconds):
            taken = CHOICE_MARGIN * capacity * self._choice_seconds / max(self._call_seconds, 1e-9)
            needed = round(min(taken, most))
        free = capacity - len(self._running)
        enough = max(needed, free)
        if (n_pending := len(self._affordable(enough + 1))) > enough:
            return 0
        return min(free + 2 * needed - n_pending, most)

    def _receive(self) -> None:
        """Wait until a call comes back, or has taken too long."""
        if not self._running and self._choice is None:
            time.sleep(IDLE_SECONDS)  # the workers of a cluster are still to come
            return
        due = min(map(self._due, self._running.values()), default=math.inf) - time.monotonic()
        try:
            number = get(self._results, max(0.0, min(LOOK_SECONDS, due)))
        except Empty:
            self._give_up()
            return
        if number not in self._running:  # it was given up, or molecules were chosen
            return
        running = self._returned(number)
        seconds = time.monotonic() - (running.began or running.submitted)
        self._call_seconds = (
            seconds if math.isinf(self._call_seconds) else 0.8 * self._call_seconds + 0.2 * seconds
        )
        try:
            outcomes = running.future.result()
        except ProcessDiedError as error:
            self._on_worker_lost(running, error)
        except MolvaeError:
            raise
        except (SystemExit, GeneratorExit) as error:
            raise ObjectiveError(
                f"the objective ended the program ({described(error)}); its molecule stays "
                "pending. Let it raise an error or return NaN, or give it workers, which it may end"
            ) from error
        except Exception as error:
            # An executor may keep the timeout itself; one of the network has a number.
            over = isinstance(error, TimeoutError) and error.errno is None
            if over and self.limits.timeout is not None:
                self._no_answer(running)
            else:
                self._on_lost_call(running, error)
        else:
            _check_outcomes(outcomes, len(running.trials))
            for trial, scored in zip(running.trials, outcomes, strict=True):
                self._on_result(trial, scored, running)
            self._judge()

    def _returned(self, number: int) -> _Running:
        running = self._running.pop(number)
        running.came = next(self._places)
        return running

    def _due(self, running: _Running) -> float:
        """The time at which a call has taken too long."""
        began = running.began
        timeout = math.inf if began is None else self.limits.timeout or math.inf
        return (began or 0.0) + timeout * len(running.trials)

    def _late(self) -> list[int]:
        now = time.monotonic()
        return [number for number, one in self._running.items() if now >= self._due(one)]

    def _give_up(self) -> None:
        """Cancel the calls that have taken too long."""
        if self._late():
            self.caller.capacity()  # sees whether their workers are still there
        for number in self._late():
            running = self._returned(number)
            _cancel(running.future)
            self._no_answer(running)

    def _no_answer(self, running: _Running) -> None:
        """Take in a call that was too long."""
        if not self._one_by_one(running):
            message = f"no answer within {self.limits.timeout:g} s"
            scored = EvaluationResult(message=message, broke=True)
            self._on_result(running.trials[0], scored, running)
            self._judge()

    def _on_worker_lost(self, running: _Running, error: ProcessDiedError) -> None:
        """Take in the death of a process."""
        if self._one_by_one(running):
            return
        (trial,) = running.trials
        self._deaths[trial.id] += error.deaths
        tries = self._deaths[trial.id]
        if tries < max(MAX_DEATHS, self.limits.retries + 1):
            self.pending.appendleft(trial)
            return
        scored = EvaluationResult(message=f"{message_of(error)}, {tries} times")
        self._on_result(trial, scored, running)
        self._judge()

    def _one_by_one(self, running: _Running) -> bool:
        """Put several molecules back, each to be called alone: one may be to blame, or none."""
        self._alone |= {trial.id for trial in running.trials}
        if several := len(running.trials) > 1:
            self.pending.extendleft(reversed(running.trials))
        return several

    def _on_lost_call(self, running: _Running, error: BaseException) -> None:
        """Take in a call that was lost to trouble: its molecules are called again."""
        self.pending.extendleft(reversed(running.trials))
        if isinstance(error, NotLoadedError):  # a new worker, which is about to load them
            return
        self._n_lost += 1
        if self._n_lost >= MAX_LOST_CALLS:
            said = message_of(error) if isinstance(error, LostCallError) else described(error)
            raise CampaignError(
                f"the last {self._n_lost} calls were lost, which is no molecule's fault: {said}; "
                "the molecules stay pending: repair the machine or the workers, then run the same "
                "command"
            ) from error

    def _on_result(self, trial: Trial, scored: EvaluationResult, running: _Running) -> None:
        """Take in a result: a further try, an outcome, or a failure that is held back."""
        self._n_lost = 0
        if scored.broke and running.tries <= self.limits.retries:
            self._begin([trial], running.tries + 1)
            return
        worker: str | None = getattr(running.future, "worker", None)
        if len(scored.values) >= self.n_values:
            self._recent.append(None)
            self._write(self._outages.success(running.number, running.place, worker))
            self.tell(trial, scored)
            self.done += self.cost(trial)
        elif worker in self._set_aside:
            self.pending.appendleft(trial)
        else:
            cause = cause_of(scored.message, trial.smiles)
            if scored.broke and self.limits.retries:
                scored = replace(scored, message=f"{scored.message} (tried {running.tries} times)")
            failure = UnrecordedFailure(
                trial=trial,
                scored=scored,
                cause=cause,
                call=running.number,
                came=running.came,
                worker=worker,
            )
            self._recent.append(failure)
            self._write(self._outages.failed(failure))

    def _write(self, failures: list[UnrecordedFailure]) -> None:
        for one in failures:
            self.tell(one.trial, one.scored)
            self.done += self.cost(one.trial)

    def _refuse(self, suspects: list[UnrecordedFailure]) -> bool:
        """Set a worker aside (True) or stop for failures like trouble; none is recorded."""
        if not suspects:
            return False
        n, first = len(suspects), suspects[0]
        message, workers = first.scored.message, {one.worker for one in suspects}
        if not self._outages.worked:
            raise ObjectiveError(
                f"the first {n} calls failed, at once that of {first.trial.smiles}: {message}; "
                "no outcome was recorded. Fix the objective and run again, or let them fail "
                "(--failures-in-a-row 0)"
            )
        alone = first.worker if len(workers) == 1 < self.caller.capacity() else None
        if alone is not None and self.caller.set_aside(alone, message):
            self._set_aside.add(alone)
            self._recent.clear()
            self.pending.extendleft(one.trial for one in reversed(self._outages.drop(alone)))
            warn(f"{alone} gets no more molecules: {n} calls failed there: {message}")
            return True
        one_cause = len({one.cause for one in suspects}) == 1
        why = "for the same reason" if one_cause else "for one reason after another"
        where = why if alone is None else f"on {alone}"
        whose = "the machine" if alone is None else "that worker"
        raise ObjectiveError(
            f"{n} calls failed one after the other {where}, which looks like trouble of {whose}, "
            f"not of the molecules: {message}; they are not recorded, and their molecules stay "
            "pending. Fix it, then run the same command; if it is the molecules, let more of them "
            "fail in a row (--failures-in-a-row; 0: any number)"
        )

    def _judge(self) -> None:
        """Stop the run if its failures look like trouble, or are too many."""
        self._refuse(self._outages.suspects(int((self.budget - self.done) // self.cheapest)))
        failed = [one for one in self._recent if one is not None]
        if len(self._recent) == N_RECENT and len(failed) > self.limits.max_failure_rate * N_RECENT:
            self._write(self._outages.rest())
            (cause, _), *_ = Counter(one.cause for one in failed).most_common(1)
            reason = next(one.scored.message for one in failed if one.cause == cause)
            raise CampaignError(
                f"{len(failed)} of the last {N_RECENT} calls failed, most often: {reason}; they "
                "are recorded as failed. Fix the objective and go on (molvae retry puts them back) "
                "or let more fail (--max-failure-rate)"
            )


def _check_outcomes(outcomes: object, n: int) -> None:
    results = outcomes if isinstance(outcomes, list) else []
    if len(results) != n or not all(isinstance(one, EvaluationResult) for one in results):
        raise CampaignError(
            f"the executor's result is {shown(outcomes)}, not the result of the function that was "
            "submitted; repair the executor"
        )


def _wait(future: CallFuture, came: Callable[[object], None]) -> None:
    with contextlib.suppress(BaseException):  # who asks for the result gets it
        future.result()
    came(future)


def _cancel(future: CallFuture) -> None:
    getattr(future, "cancel", lambda: None)()
