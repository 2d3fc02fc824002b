"""Spending a budget: which molecule is scored where and when, and what if it never returns.

Each worker has a molecule; as soon as one is free it gets the next that waits, and where none waits
new ones are chosen, with those in progress taken into account. Outcomes are written as they come. A
campaign without workers of its own is the case of one worker that is never interrupted: then
nothing is left to chance, and the record is the same each time.

Knows how calls are made and lost. Knows neither how molecules are chosen nor how outcomes are kept.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from molvae.config import Patience
from molvae.errors import CampaignError, MolvaeError, ObjectiveError
from molvae.evaluate import Call, Scored, evaluate

if TYPE_CHECKING:
    from molvae.bo.store import Trial
    from molvae.workers import Executor, Pending

FIRST = 5
"""Calls that fail before any succeeds, after which a run stops: the objective itself is wrong."""
RECENT = 20
"""Last calls, of which the share that failed is looked at."""
MARGIN = 1.5
"""For calls that come back together, and choosing that takes longer than last time."""
IDLE = 0.2
"""Seconds between two looks at a cluster without workers."""


class Searching(Protocol):
    """What a run needs of a campaign."""

    def choose(self, n: int) -> Callable[[], Any]:
        """Look at the record now; what is given back chooses molecules, in any thread."""
        ...

    def write(self, chosen: Any) -> list[Trial]:
        """Write what was chosen into the record."""
        ...

    def told(self, trial: Trial, scored: Scored) -> None:
        """Write an outcome into the record."""
        ...


@dataclass(kw_only=True)
class _Running:
    """Molecules with a worker."""

    trials: list[Trial]
    pending: Pending
    began: float
    ends: float
    """When it is given up, unless the executor sees to that."""
    tries: int


@dataclass(kw_only=True)
class Run:
    """One run; its state is what is being called now.

    Args:
        campaign: Chooses and writes.
        calls: What is called for each molecule.
        executor: Takes calls.
        capacity: How many at once, now.
        patience: What the run puts up with.
        budget: Outcomes in all, those in the record included.
        batch: Molecules chosen together, if one worker goes through them.
        together: Molecules handed over in one call.
        values: That a trial needs; with fewer it has failed.
        waiting: Molecules that were asked for and not told.
        done: Outcomes in the record.
        any_told: One of them is no failure.
    """

    campaign: Searching
    calls: Sequence[Call]
    executor: Executor
    capacity: Callable[[], int]
    patience: Patience
    budget: int
    batch: int
    together: int
    values: int = 1
    waiting: deque[Trial] = field(default_factory=deque)
    done: int = 0
    any_told: bool = False

    _running: dict[int, _Running] = field(default_factory=dict)
    _results: SimpleQueue[tuple[int, Pending]] = field(default_factory=SimpleQueue)
    _chosen: Future[Any] | None = None
    _numbers: int = 0
    _held: list[tuple[Trial, Scored]] = field(default_factory=list)
    """The first failures: not written as long as it may be the objective that is wrong."""
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    _reasons: Counter[str] = field(default_factory=Counter)
    _choosing: float = 3.0
    """Seconds that choosing took last, of however many molecules: most of it does not depend on how
    many; a guess before the first time."""
    _calling: float = math.inf
    """Seconds that a call takes, on average."""

    def go(self) -> None:
        """Until the budget is spent.

        Raises:
            ObjectiveError: The first calls all failed; none of that is written.
            CampaignError: Too many failed, no molecules could be chosen, or the executor is gone.
        """
        with ThreadPoolExecutor(1, "choosing") as thread:
            try:
                while self._left > 0:
                    self._submit()
                    self._choose(thread)
                    self._receive()
            finally:
                for running in self._running.values():
                    _cancel(running.pending)

    @property
    def _left(self) -> int:
        return self.budget - self.done - len(self._held)

    @property
    def _in_progress(self) -> int:
        return sum(len(running.trials) for running in self._running.values())

    def _submit(self) -> None:
        """Hand waiting molecules to free workers."""
        while self.waiting and len(self._running) < self.capacity():
            n = min(self.together, self._left - self._in_progress)
            if n <= 0:
                return
            self._begin([self.waiting.popleft() for _ in range(min(n, len(self.waiting)))])

    def _begin(self, trials: list[Trial], tries: int = 1) -> None:
        number = self._numbers = self._numbers + 1
        smiles = [trial.smiles for trial in trials]
        within = getattr(self.executor, "submit_within", None)
        try:
            if within is not None and self.patience.timeout is not None:
                pending = within(self.patience.timeout * len(trials), evaluate, self.calls, smiles)
            else:
                pending = self.executor.submit(evaluate, self.calls, smiles)
        except MolvaeError:
            raise
        except Exception as error:
            raise CampaignError(
                f"the executor takes no calls: {_said(error)}; all that came back is in the "
                "record: start it again, then run the same command"
            ) from error
        ends = math.inf
        if within is None and self.patience.timeout is not None:
            grace = getattr(self.executor, "grace", 0.0)
            ends = time.monotonic() + self.patience.timeout * len(trials) + grace
        self._running[number] = _Running(
            trials=trials, pending=pending, began=time.monotonic(), ends=ends, tries=tries
        )

        def came(_: object) -> None:
            self._results.put((number, pending))

        if hasattr(pending, "add_done_callback"):
            pending.add_done_callback(came)
        else:
            Thread(target=_wait, args=(pending, came), daemon=True).start()

    def _choose(self, thread: ThreadPoolExecutor) -> None:
        """Choose new molecules when workers are free, or soon will be."""
        capacity = self.capacity()
        wanted = self._left - self._in_progress - len(self.waiting)
        if self._chosen is None and wanted > 0 and (n := self._short_of(capacity)) > 0:
            work = self.campaign.choose(min(n, wanted))
            self._chosen = thread.submit(_timed, work)
            if capacity > 1:
                self._chosen.add_done_callback(lambda _: self._results.put((0, _nothing)))
        if self._chosen is not None and (capacity == 1 or self._chosen.done()):
            chosen, self._chosen = self._chosen, None
            try:
                found, seconds = chosen.result()
            except CampaignError:
                if not self._running:  # nothing that may still help is on its way
                    raise
                return
            self.waiting += self.campaign.write(found)
            self._choosing = seconds
            self._submit()

    def _short_of(self, capacity: int) -> int:
        """How many molecules to choose now."""
        if capacity == 1:
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
        if not self._running and self._chosen is None:
            time.sleep(IDLE)  # a cluster whose workers are still to come, or to come back
            return
        try:
            number, pending = self._results.get(timeout=self._until_next_deadline())
        except Empty:
            self._give_up()
            return
        if number not in self._running:  # it was given up, or molecules were chosen
            return
        running = self._running.pop(number)
        seconds = time.monotonic() - running.began
        self._calling = (
            seconds if math.isinf(self._calling) else 0.8 * self._calling + 0.2 * seconds
        )
        try:
            outcomes = pending.result()
        except MolvaeError:
            raise
        except TimeoutError:
            self._lost(running, self._no_answer)
            return
        except Exception as error:
            self._lost(running, _said(error))
            return
        for trial, scored in zip(running.trials, outcomes, strict=True):
            self._came(trial, scored, running.tries)

    def _until_next_deadline(self) -> float | None:
        ends = min((running.ends for running in self._running.values()), default=math.inf)
        return None if math.isinf(ends) else max(0.0, ends - time.monotonic())

    def _give_up(self) -> None:
        """Take back the calls that have taken too long."""
        for number, running in list(self._running.items()):
            if time.monotonic() >= running.ends:
                del self._running[number]
                _cancel(running.pending)
                self._lost(running, self._no_answer)

    @property
    def _no_answer(self) -> str:
        return f"no answer within {self.patience.timeout:g} s"

    def _lost(self, running: _Running, reason: str) -> None:
        """A call that brought nothing at all. Of several molecules it may be the fault of one."""
        if len(running.trials) > 1:
            for trial in running.trials:
                self._begin([trial])
            return
        self._came(running.trials[0], Scored(message=reason, broke=True), running.tries)

    def _came(self, trial: Trial, scored: Scored, tries: int) -> None:
        if scored.broke and tries <= self.patience.retries:
            self._begin([trial], tries + 1)
            return
        if scored.broke and self.patience.retries:
            scored = replace(scored, message=f"{scored.message} (tried {tries} times)")
        failed = len(scored.values) < self.values
        self._recent.append(failed)
        if failed:
            self._reasons[scored.message] += 1
        if failed and not self.any_told and self.patience.most_failed < 1:
            self._held.append((trial, scored))
            if len(self._held) >= min(FIRST, self.budget - self.done):
                self._refuse()
            return
        self._release()
        self.any_told = self.any_told or not failed
        self._write(trial, scored)
        n = sum(self._recent)
        if len(self._recent) == RECENT and n > self.patience.most_failed * RECENT:
            (reason, _), *_ = self._reasons.most_common(1)
            raise CampaignError(
                f"{n} of the last {RECENT} calls failed, most often: {reason}; they are recorded "
                "as failed. Mend the objective and go on, or let more fail (--most-failed)"
            )

    def _refuse(self) -> None:
        trial, scored = self._held[0]
        raise ObjectiveError(
            f"the first {len(self._held)} calls failed, at once that of {trial.smiles}: "
            f"{scored.message}; nothing of that is in the record: mend the objective, then run the "
            "same command (--most-failed 1 goes on regardless)"
        )

    def _release(self) -> None:
        """The objective works: failures before the first value are the molecules' own."""
        held, self._held = self._held, []
        for trial, scored in held:
            self._write(trial, scored)

    def _write(self, trial: Trial, scored: Scored) -> None:
        self.campaign.told(trial, scored)
        self.done += 1


_nothing: Future[None] = Future()


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began


def _wait(pending: Pending, came: Callable[[object], None]) -> None:
    with contextlib.suppress(BaseException):  # who asks for the result gets it
        pending.result()
    came(pending)


def _cancel(pending: Pending) -> None:
    if hasattr(pending, "cancel"):
        pending.cancel()


def _said(error: BaseException) -> str:
    """What a worker's end looks like, in one line."""
    name = type(error).__name__
    if name == "ProcessExpired":
        return f"the process died ({' '.join(str(error).split())})"
    if name == "KilledWorker":  # of Dask, whose message is a page on what it may have been
        return "the process died, on each worker of the cluster that tried"
    return " ".join(f"{name}: {error}".split())


__all__ = ["Run", "Searching"]
