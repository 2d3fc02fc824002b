"""Spending a budget: which molecule is scored where and when, and what if it never returns.

Each worker has a molecule; as soon as one is free it gets the next that waits, and where none waits
new ones are chosen, with those in progress taken into account. Outcomes are written as they come. A
campaign without workers of its own is the case of one worker that is never interrupted: then
nothing is left to chance, and the record is the same each time.

What goes wrong with workers and machines is no outcome: molecules in progress wait, and are called
again or, if it goes on, by the next run. A process that dies may have died of its molecule, which
has failed if that happens again and again. And failures that come one after the other with the same
reason are held back: an outage looks like that (see `Streak`).

Knows how calls are made and lost. Knows neither how molecules are chosen nor how outcomes are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import re
import threading
import time
import urllib.parse
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from molvae.campaign.evaluation import ANSWERED_NAN, EvaluationResult
from molvae.campaign.transport import NotLoadedError
from molvae.config import RunLimits
from molvae.errors import (
    CampaignError,
    MolvaeError,
    ObjectiveError,
    ProcessDiedError,
    described,
    message_of,
)
from molvae.objectives.interrupts import get

if TYPE_CHECKING:
    from molvae.campaign.executors import Caller, Pending
    from molvae.campaign.storage import Trial

RECENT = 20
"""Last calls, of which the share that failed is looked at."""


DEATHS = 3
"""Processes that die, each with this molecule alone, after which it has failed."""


TROUBLES = 3
"""Calls that are lost one after the other, with no outcome between, after which a run stops."""


MARGIN = 1.5
"""For calls that come back together, and choosing that takes longer than last time."""


IDLE_SECONDS = 0.2
"""Between two looks at a cluster without workers."""


LOOK_SECONDS = 0.5
"""Between two looks at workers, and at calls that may have taken too long."""


STOP_SECONDS = 5.0
"""Time that the choice of molecules is given to end when a run is interrupted."""


class Search(Protocol):
    """What a run needs of a campaign."""

    def choose(self, n: int) -> Callable[[], Any]:
        """Look at the record now; what is given back chooses molecules, in any thread."""
        ...

    def write(self, chosen: Any) -> list[Trial]:
        """Write what was chosen into the record."""
        ...

    def told(self, trial: Trial, scored: EvaluationResult) -> None:
        """Write an outcome into the record."""
        ...


@dataclass(kw_only=True)
class _Running:
    """Molecules with a worker."""

    trials: list[Trial]
    pending: Pending
    submitted: float
    place: int
    """Calls that had begun or come back before."""
    tries: int

    @property
    def began(self) -> float | None:
        """When a worker began with it, None before; when it was submitted, if that is not known."""
        began: float | None = getattr(self.pending, "began", self.submitted)
        return began


@dataclass(frozen=True, kw_only=True)
class Held:
    """A failure that is not written yet."""

    trial: Trial
    scored: EvaluationResult
    cause: str
    call: int
    came: int
    """Calls that had begun or come back before."""


@dataclass(kw_only=True)
class Streak:
    """Failures since a call last worked, some of them with one and the same cause.

    They may be an outage (a licence server, a full disk, a network) rather than the molecules'
    fault, and are held back: when `most` of them have one cause, the run stops, and they wait.
    Before anything has worked, whatever they say is one cause.

    A call that works settles it: failures before it were the molecules' fault. It must have begun
    after them, since one that began before an outage may well end during it.
    """

    most: int
    """0: nothing is held back."""
    worked: bool
    """A call has, ever."""
    held: list[Held] = field(default_factory=list)

    def failed(self, failure: Held) -> list[Held]:
        """Take in a failure; gives back what is not held, to be written."""
        # That it cannot score a molecule is an answer of an objective, and no trouble.
        answered = self.worked and failure.scored.message == ANSWERED_NAN
        if answered or not self.most:
            return [failure]
        self.held.append(failure)
        return []

    def success(self, call: int, began: int) -> list[Held]:
        """Take in that a call worked; gives back what is not held any more, to be written.

        Args:
            call: Its number.
            began: Calls that had begun or come back before it began.
        """
        self.worked = True
        kept = [one for one in self.held if one.came >= began and one.call != call]
        settled = [one for one in self.held if one not in kept]
        self.held = kept
        return settled

    def suspects(self, budget: int) -> list[Held]:
        """Failures that look like trouble of the machine or of the objective, if there are any.

        Args:
            budget: Calls that are left, those that are held included.
        """
        if not self.most:
            return []
        if not self.worked:
            return self.held if len(self.held) >= min(self.most, budget) else []
        causes = Counter(one.cause for one in self.held).most_common(1)
        return [h for c, n in causes if n >= self.most for h in self.held if h.cause == c]

    def rest(self) -> list[Held]:
        """Those that are held, which then are not any more."""
        rest, self.held = self.held, []
        return rest


@dataclass(kw_only=True)
class Scheduler:
    """One run; its state is what is being called now.

    Args:
        campaign: Chooses and writes.
        caller: Scores molecules.
        patience: What the run puts up with.
        budget: Outcomes in all, those in the record included.
        batch: Molecules chosen together, if one worker goes through them.
        together: Molecules handed over in one call.
        values: That a trial needs; with fewer it has failed.
        waiting: Molecules that were asked for and not told.
        done: Outcomes in the record.
        any_told: One of them is no failure.
    """

    campaign: Search
    caller: Caller
    patience: RunLimits
    budget: int
    batch: int
    together: int
    values: int = 1
    waiting: deque[Trial] = field(default_factory=deque)
    done: int = 0
    any_told: bool = False

    _running: dict[int, _Running] = field(default_factory=dict)
    _results: SimpleQueue[tuple[int, Pending]] = field(default_factory=SimpleQueue)
    _choice: _Choice | None = None
    _numbers: int = 0
    """Of calls; 0 stands for a choice."""
    _events: int = 0
    """Calls that have begun or come back."""
    _streak: Streak = field(init=False)
    _deaths: Counter[int] = field(default_factory=Counter)
    """Of processes, by the id of the trial that they had."""
    _troubles: int = 0
    """Calls lost since the last outcome."""
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    _reasons: Counter[str] = field(default_factory=Counter)
    """Causes of failures."""
    _messages: dict[str, str] = field(default_factory=dict)
    """The last message of each cause."""
    _choosing: float = 3.0
    """Seconds that choosing took last, of however many molecules: most of it does not depend on how
    many; a guess before the first time."""
    _calling: float = math.inf
    """Seconds that a call takes, on average."""

    def __post_init__(self) -> None:
        patience = self.patience
        most = 0 if patience.max_failure_rate >= 1 else patience.failures_in_a_row
        self._streak = Streak(most=most, worked=self.any_told)

    def run(self) -> None:
        """Until the budget is spent.

        Raises:
            ObjectiveError: Calls failed one after the other with the same reason, or the first ones
                with any; none of that is written.
            CampaignError: Too many failed, no molecules could be chosen, or workers are lost again
                and again.
        """
        try:
            while self._left > 0:
                self._submit()
                self._choose()
                self._receive()
            self._write(self._streak.rest())
        finally:
            if self._choice is not None:
                self._choice.stop()
            for running in self._running.values():
                _cancel(running.pending)

    @property
    def _left(self) -> int:
        return self.budget - self.done - len(self._streak.held)

    @property
    def _in_progress(self) -> int:
        return sum(len(running.trials) for running in self._running.values())

    def _submit(self) -> None:
        """Hand waiting molecules to free workers."""
        while self.waiting and len(self._running) < self.caller.capacity():
            n = min(self.together, self._left - self._in_progress)
            if n <= 0:
                return
            first = self.waiting.popleft()
            trials = [first]
            # One of which a process has died is called alone.
            while len(trials) < n and self.waiting and not self._deaths[first.id]:
                if self._deaths[self.waiting[0].id]:
                    break
                trials.append(self.waiting.popleft())
            self._begin(trials)

    def _begin(self, trials: list[Trial], tries: int = 1) -> None:
        number = self._numbers = self._numbers + 1
        submitted = time.monotonic()
        try:
            pending = self.caller.call([trial.smiles for trial in trials])
        except MolvaeError:
            raise
        except Exception as error:
            raise CampaignError(
                f"the executor takes no calls: {described(error)}; all that came back is in the "
                "record: start it again, then run the same command"
            ) from error
        self._running[number] = _Running(
            trials=trials, pending=pending, submitted=submitted, place=self._events, tries=tries
        )
        self._events += 1

        def came(_: object) -> None:
            self._results.put((number, pending))

        if hasattr(pending, "add_done_callback"):
            pending.add_done_callback(came)
        else:
            threading.Thread(target=_wait, args=(pending, came), daemon=True).start()

    def _choose(self) -> None:
        """Choose new molecules when workers are free, or soon will be."""
        capacity = self.caller.capacity()
        wanted = self._left - self._in_progress - len(self.waiting)
        if self._choice is None and wanted > 0 and (n := self._short_of(capacity)) > 0:
            work = self.campaign.choose(min(n, wanted))
            self._choice = _Choice(work, lambda: self._results.put((0, _nothing)))
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
            self.waiting += self.campaign.write(found)
            self._choosing = seconds
            self._submit()

    def _short_of(self, capacity: int) -> int:
        """How many molecules to choose now."""
        if capacity <= 1:
            return 0 if self.waiting or self._running else self.batch
        # As many wait as workers will take while the next ones are being chosen, none if calls are
        # long: what is chosen late knows more.
        needed, most = 0, max(self.batch, capacity)
        if math.isfinite(self._calling):
            taken = MARGIN * capacity * self._choosing / max(self._calling, 1e-9)
            needed = round(min(taken, most))
        free = capacity - len(self._running)
        if len(self.waiting) > max(needed, free):
            return 0
        return min(free + 2 * needed - len(self.waiting), most)

    def _receive(self) -> None:
        """Wait for a call to come back, or for one that has taken too long."""
        if not self._running and self._choice is None:
            time.sleep(IDLE_SECONDS)  # a cluster whose workers are still to come, or to come back
            return
        try:
            number, pending = get(self._results, self._until_next_look())
        except Empty:
            self._give_up()
            return
        if number not in self._running:  # it was given up, or molecules were chosen
            return
        running = self._running.pop(number)
        came, self._events = self._events, self._events + 1
        seconds = time.monotonic() - (running.began or running.submitted)
        self._calling = (
            seconds if math.isinf(self._calling) else 0.8 * self._calling + 0.2 * seconds
        )
        try:
            outcomes = pending.result()
        except ProcessDiedError as error:
            self._on_worker_lost(running, error)
        except MolvaeError:
            self.waiting.extendleft(reversed(running.trials))
            raise
        except TimeoutError:  # of an executor that has a timeout of its own
            self._no_answer(running, number, came)
        except Exception as error:
            self._trouble(running, error)
        else:
            for trial, scored in zip(running.trials, outcomes, strict=True):
                self._on_result(trial, scored, running, number, came)
            self._judge()

    def _until_next_look(self) -> float:
        """Seconds until a call may have taken too long, or workers have come and gone."""
        if self.patience.timeout is None:
            return LOOK_SECONDS
        now, limit = time.monotonic(), self.patience.timeout
        left = [
            began + limit * len(running.trials) - now
            for running in self._running.values()
            if (began := running.began) is not None
        ]
        return max(0.0, min([LOOK_SECONDS, *left]))

    def _give_up(self) -> None:
        """Take back the calls that have taken too long."""
        if self.patience.timeout is None:
            return
        if any(map(self._is_over, self._running.values())):
            self.caller.capacity()  # sees whether their workers are still there
        for number, running in list(self._running.items()):
            if self._is_over(running):
                del self._running[number]
                _cancel(running.pending)
                came, self._events = self._events, self._events + 1
                self._no_answer(running, number, came)

    def _is_over(self, running: _Running) -> bool:
        began, timeout = running.began, self.patience.timeout or math.inf
        return began is not None and time.monotonic() >= began + timeout * len(running.trials)

    def _no_answer(self, running: _Running, number: int, came: int) -> None:
        """A call that has taken too long. Of several molecules it may be the fault of one."""
        if len(running.trials) > 1:
            self._one_by_one(running)
            return
        limit = "" if self.patience.timeout is None else f" within {self.patience.timeout:g} s"
        scored = EvaluationResult(message=f"no answer{limit}", broke=True)
        self._on_result(running.trials[0], scored, running, number, came)
        self._judge()

    def _on_worker_lost(self, running: _Running, error: ProcessDiedError) -> None:
        """A process has died with molecules. Any of them may be to blame, or none."""
        if len(running.trials) > 1:
            self._one_by_one(running)
            return
        (trial,) = running.trials
        self._deaths[trial.id] += error.deaths
        tries = self._deaths[trial.id]
        if tries < max(DEATHS, self.patience.retries + 1):
            self.waiting.appendleft(trial)
            return
        came, self._events = self._events, self._events + 1
        scored = EvaluationResult(message=f"{message_of(error)}, {tries} times")
        self._on_result(trial, scored, running, self._numbers, came)
        self._judge()

    def _one_by_one(self, running: _Running) -> None:
        for trial in running.trials:
            self._begin([trial])

    def _trouble(self, running: _Running, error: BaseException) -> None:
        """A call was lost, for a reason that has nothing to do with its molecules.

        Raises:
            CampaignError: It goes on.
        """
        self.waiting.extendleft(reversed(running.trials))
        if isinstance(error, NotLoadedError):  # a worker that has just come: it will be given them
            return
        self._troubles += 1
        if self._troubles >= TROUBLES:
            raise CampaignError(
                f"the last {self._troubles} calls were lost by their workers: {described(error)}; "
                "the molecules wait: mend the workers, then run the same command"
            ) from error

    def _on_result(
        self, trial: Trial, scored: EvaluationResult, running: _Running, number: int, came: int
    ) -> None:
        """An outcome."""
        self._troubles = 0
        if scored.broke and running.tries <= self.patience.retries:
            self._begin([trial], running.tries + 1)
            return
        cause = cause_of(scored.message, trial.smiles)
        if scored.broke and self.patience.retries:
            scored = replace(scored, message=f"{scored.message} (tried {running.tries} times)")
        failed = len(scored.values) < self.values
        self._recent.append(failed)
        if failed:
            self._reasons[cause] += 1
            self._messages[cause] = scored.message
            held = Held(trial=trial, scored=scored, cause=cause, call=number, came=came)
            settled = self._streak.failed(held)
        else:
            settled = self._streak.success(number, running.place)
        self._write(settled)
        if not failed:
            self.campaign.told(trial, scored)
            self.done += 1

    def _write(self, failures: list[Held]) -> None:
        for one in failures:
            self.campaign.told(one.trial, one.scored)
            self.done += 1

    def _judge(self) -> None:
        """Stop if what failed looks like trouble of the machine, or of the objective.

        Raises:
            ObjectiveError: The last failures have one and the same reason, or nothing ever worked.
            CampaignError: Too many failed.
        """
        suspects = self._streak.suspects(self.budget - self.done)
        if suspects:
            n, trial, message = len(suspects), suspects[0].trial, suspects[0].scored.message
            if not self._streak.worked:
                raise ObjectiveError(
                    f"the first {n} calls failed, at once that of {trial.smiles}: {message}; "
                    "nothing was recorded. Mend the objective and go on, or let them fail "
                    "(--failures-in-a-row 0)"
                )
            raise ObjectiveError(
                f"{n} calls failed one after the other for the same reason, which looks like "
                f"trouble of the machine, not of the molecules: {message}; they are not recorded "
                "and wait. Mend it, then run the same command; if it is the molecules, let more of "
                "them fail in a row (--failures-in-a-row; 0: any number)"
            )
        failed = sum(self._recent)
        if len(self._recent) == RECENT and failed > self.patience.max_failure_rate * RECENT:
            self._write(self._streak.rest())
            (cause, _), *_ = self._reasons.most_common(1)
            reason = self._messages[cause]
            raise CampaignError(
                f"{failed} of the last {RECENT} calls failed, most often: {reason}; they are "
                "recorded as failed. Mend the objective and go on (molvae retry puts them back), "
                "or let more fail (--max-failure-rate)"
            )


class _Choice:
    """Molecules being chosen, in a thread of its own.

    Args:
        work: Chooses.
        done: Called when it has ended.
    """

    def __init__(self, work: Callable[[], Any], done: Callable[[], None]) -> None:
        self.result: Future[tuple[Any, float]] = Future()
        self._work, self._done, self._ended = work, done, SimpleQueue[None]()
        self._thread = threading.Thread(target=self._run, name="choosing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):  # which may come at any step, see `stop`
            try:
                self.result.set_result((self._work(), time.monotonic() - began))
            except BaseException as error:
                self.result.set_exception(error)
            self._ended.put(None)
            self._done()

    def wait(self) -> None:
        """Until it has ended; Ctrl-C interrupts."""
        get(self._ended)
        self._ended.put(None)

    def stop(self) -> None:
        """Interrupt it, which it notices at its next step in Python, and wait for that a little."""
        if self._thread.is_alive() and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
            self._thread.join(STOP_SECONDS)


def cause_of(message: str, smiles: str) -> str:
    """A failure's message without what differs from molecule to molecule and from time to time.

    >>> cause_of("no pose of 'CCO' in /tmp/x17 after 3.5 s", "CCO")
    "no pose of 'SMILES' in PATH after # s"
    """
    quoted = urllib.parse.quote(smiles), urllib.parse.quote(smiles, safe="")
    for text in (smiles, repr(smiles)[1:-1], *quoted):
        message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "SMILES", message)
    message = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][\w.+~-]+){2,}[/\\]?", "PATH", message)
    message = re.sub(r"\b0x[0-9a-fA-F]+\b|\b(?=\w*\d)[0-9a-fA-F]{6,}\b", "#", message)
    return re.sub(r"[+-]?\d+(?:[.,:]\d+)*(?:[eE][+-]?\d+)?", "#", message)


_nothing: Future[None] = Future()


def _wait(pending: Pending, came: Callable[[object], None]) -> None:
    with contextlib.suppress(BaseException):  # who asks for the result gets it
        pending.result()
    came(pending)


def _cancel(pending: Pending) -> None:
    if hasattr(pending, "cancel"):
        pending.cancel()


__all__ = ["Scheduler", "Search", "Streak", "cause_of"]
