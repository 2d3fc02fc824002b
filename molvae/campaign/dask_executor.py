"""Objectives called on a Dask cluster.

A plugin loads the objectives on each worker, also on those that come later, before it gets any
molecule; one that cannot load them gets none. That a worker, or the whole cluster, is lost is never
said of a molecule.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any

from molvae.campaign.evaluation import EvaluationResult, EvaluationTask, LostCallError
from molvae.campaign.transport import (
    NotLoadedError,
    key_of,
    packed,
    score_on_worker,
    seconds_loaded,
)
from molvae.errors import CampaignError, MolvaeError, MolvaeWarning, ProcessDiedError, described

if TYPE_CHECKING:
    from distributed import Client, WorkerPlugin

CONNECT_SECONDS = 30


RESTART_SECONDS = 60.0
"""Time that a worker is given to come back."""


EMPTY_SECONDS = 60.0
"""Time without workers after which that is said."""


LOST_SECONDS = 600.0
"""Time after which workers that were there are taken for lost."""


SETTLE_SECONDS = 2.0
"""From when a worker has loaded the objectives until it calls them: the nanny of one that dies
while it is still being started takes that for its end, and begins no other."""


BEGAN = "molvae-began-"
"""With the key of the objectives: the topic under which workers say that a call has begun."""


class DaskExecutor:
    """A Dask cluster that exists: local, over SSH, of Slurm's jobs by dask-jobqueue.

    Workers need molvae and what the objective imports. One thread for each is best: a call that
    never returns is stopped by restarting its worker, with all that it is doing.

    Args:
        address: Of its scheduler, e.g. tcp://10.0.0.7:8786, or a scheduler file.
        calls: The objectives; the workers that are there load them before this returns.

    Raises:
        CampaignError: `distributed` is not installed, no scheduler answers there, or no worker can
            load the objectives.
        ObjectiveError: They cannot be sent.
    """

    def __init__(self, address: str, calls: Sequence[EvaluationTask]) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise CampaignError("a Dask cluster needs: pip install 'molvae[dask]'") from error
        payload = packed(calls)
        self.address, self._key = address, key_of(payload)
        self._asked: dict[str, Future[str | None]] = {}
        """By address of a worker: whether it has loaded the objectives, and if not, why."""
        self._stuck: dict[str, str] = {}
        """Workers that could not be restarted, and why."""
        self._warned = set[str]()
        self._empty_since: float | None = None
        self._had_workers = False
        self._threads: dict[str, int] = {}
        """Of each worker that is there."""
        self._began: dict[str, tuple[str, float]] = {}
        """Where and when, by the key that Dask has for a call."""
        self._bound: dict[Any, set[str]] = {}
        """Calls that may go to these workers only."""
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            self._client: Client = Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CampaignError(
                f"no Dask scheduler answers at {address}: {described(error)}"
            ) from error
        try:
            with self._saying_if_gone():
                self._client.subscribe_topic(BEGAN + self._key, self._has_begun)
                self._client.register_plugin(_loading(payload), name=self._plugin)
            while not self.capacity() and self._asked:
                time.sleep(0.05)
        except BaseException:
            self.close()
            raise

    def capacity(self) -> int:
        """Threads of the workers that have loaded the objectives; one, if there are no workers.

        Raises:
            CampaignError: The scheduler is gone, all workers are, or none of them can be used.
        """
        with self._saying_if_gone():
            threads = self._threads = dict(self._client.nthreads())
            for future, workers in list(self._bound.items()):
                if not workers & threads.keys():  # Dask would wait for them for ever
                    del self._bound[future]
                    self._client.cancel([future], force=True)
        for one in self._asked.keys() - threads.keys():
            del self._asked[one]
        for one in threads.keys() - self._asked.keys():
            asked: Future[str | None] = Future()
            self._asked[one] = asked
            Thread(target=self._ask, args=(one, asked), daemon=True).start()
        refused = self._refused()
        for one in refused.keys() - self._warned:
            self._warned.add(one)
            self._warn(f"the worker {one} gets no molecules: {refused[one]}")
        if threads and refused.keys() >= threads.keys():
            raise CampaignError(
                f"no worker of the cluster at {self.address} can call the objective: "
                f"{refused[next(iter(threads))]}; workers need molvae, all that the objective "
                "imports, and a nanny"
            )
        self._check_empty(bool(threads))
        if not threads:  # a cluster that grows by need has to see one
            return 1
        return sum(n for one, n in threads.items() if one in self._ready())

    def call(self, smiles: Sequence[str]) -> _OnCluster:
        """Begin a call; its `cancel()` restarts the worker that is stuck with it."""
        # Any worker may have it, unless one was found that must not.
        allowed = self._ready() if self._refused() else set[str]()
        with self._saying_if_gone():
            future = self._client.submit(
                score_and_say,
                self._key,
                list(smiles),
                pure=False,
                workers=sorted(allowed) or None,
            )
        if allowed:
            self._bound[future] = allowed
        return _OnCluster(self, future)

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        with contextlib.suppress(Exception):
            if self._client.status == "running":
                self._client.unregister_worker_plugin(self._plugin)
            self._client.close(timeout=5)

    @property
    def _plugin(self) -> str:
        return f"molvae-{self._key}"

    def _ready(self) -> set[str]:
        return {
            one
            for one, asked in self._asked.items()
            if asked.done() and asked.result() is None and one not in self._stuck
        }

    def _refused(self) -> dict[str, str]:
        reasons = {
            one: f"it cannot load the objective: {reason}"
            for one, asked in self._asked.items()
            if asked.done() and (reason := asked.result()) is not None
        }
        return reasons | {one: why for one, why in self._stuck.items() if one in self._asked}

    def _ask(self, worker: str, asked: Future[str | None]) -> None:
        """In a thread of its own: a worker answers when it has loaded."""
        try:
            answers = self._client.run(_asking(self._key), workers=[worker], on_error="return")
            answer = answers[worker]
            asked.set_result(described(answer) if isinstance(answer, BaseException) else answer)
        except Exception as error:  # it is gone, or the cluster is: which is seen elsewhere
            self._asked.pop(worker, None)
            asked.set_result(described(error))

    def _check_empty(self, some_are_there: bool) -> None:
        """Workers that were never there are waited for: they may stand in a queue."""
        now = time.monotonic()
        if some_are_there:
            self._empty_since, self._had_workers = None, True
            return
        if self._empty_since is None:
            self._empty_since = now
        seconds = now - self._empty_since
        if seconds > LOST_SECONDS and self._had_workers:
            raise CampaignError(
                f"the cluster at {self.address} has lost all its workers {seconds:.0f} s ago; "
                "molecules in progress wait: begin others, then run the same command"
            )
        if seconds > EMPTY_SECONDS and "" not in self._warned:
            self._warned.add("")
            self._warn(f"the cluster at {self.address} has no workers; the campaign waits for them")

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(text, MolvaeWarning, stacklevel=2)

    def _has_begun(self, event: tuple[float, Any]) -> None:
        key, worker = event[1]
        self._began[key] = worker, time.monotonic()

    @contextlib.contextmanager
    def _saying_if_gone(self) -> Iterator[None]:
        try:
            yield
        except MolvaeError:
            raise
        except Exception as error:  # of many kinds, by what is being done when it goes
            raise self._gone(error) from error

    def _gone(self, error: BaseException) -> CampaignError:
        return CampaignError(
            f"the Dask cluster at {self.address} is gone ({described(error)}); molecules in "
            "progress wait: begin a cluster, then run the same command"
        )


class _OnCluster:
    """A call on the cluster."""

    def __init__(self, cluster: DaskExecutor, future: Any) -> None:
        self._cluster, self._future, self._key = cluster, future, future.key
        self._came: Future[list[EvaluationResult]] = Future()
        self._worker: str | None = None
        """Where it was made, once it has come back."""
        Thread(target=self._fetch, daemon=True).start()

    @property
    def worker(self) -> str | None:
        return self._worker or self._cluster._began.get(self._key, (None, 0.0))[0]

    @property
    def began(self) -> float | None:
        worker, began = self._cluster._began.get(self._key, ("", None))
        return began if worker in self._cluster._threads else None  # it begins again elsewhere

    def result(self) -> list[EvaluationResult]:
        return self._came.result()

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        self._came.add_done_callback(lambda _: function(self))

    def _fetch(self) -> None:
        """In a thread of its own: a result may be lost with its worker, and take its time again."""
        future = self._future
        try:
            result = future.result()
            self._worker = self.worker
            self._came.set_result(result)
        except BaseException as error:
            self._came.set_exception(self._understood(error))
        self._cluster._bound.pop(future, None)
        self._cluster._began.pop(self._key, None)
        # As long as anybody has it, Dask calls the objective again if the worker with the result is
        # lost.
        self._future = None
        future.release()

    def _understood(self, error: BaseException) -> BaseException:
        if isinstance(error, NotLoadedError):
            self._cluster._asked.clear()  # a worker may have been replaced under its address
        if type(error).__name__ == "KilledWorker":
            died = ProcessDiedError("the process died, on each worker of the cluster that tried")
            died.deaths = getattr(error, "allowed_failures", 0) + 1
            return died
        if isinstance(error, MolvaeError | NotLoadedError | LostCallError | SystemExit):
            return error
        # Of the network, the scheduler, or a worker that lacks molvae.
        return ConnectionError(described(error))

    def cancel(self) -> None:
        client = self._cluster._client
        future = self._future
        if future is None:  # it came back
            return
        with contextlib.suppress(Exception):  # the cluster may be gone
            at = [one for one, keys in client.processing().items() if self._key in keys]
            client.cancel([future], force=True)
            if (
                at
            ):  # Dask cannot stop a function, only its worker; what else it has is done elsewhere
                Thread(target=self._restart, args=(at,), daemon=True).start()

    def _restart(self, workers: list[str]) -> None:
        """In a thread of its own: others go on meanwhile, and a worker may have died by itself."""
        cluster = self._cluster
        try:
            cluster._client.restart_workers(workers, timeout=RESTART_SECONDS, raise_for_error=False)
        except Exception as error:  # e.g. it has no nanny that could restart it
            for one in workers:
                cluster._stuck[one] = f"it is stuck and cannot be restarted ({described(error)})"


def score_and_say(key: str, smiles: Sequence[str]) -> list[EvaluationResult]:
    """On a worker: say that the call has begun, then score."""
    from distributed import get_worker

    time.sleep(max(0.0, SETTLE_SECONDS - seconds_loaded(key)))
    worker = get_worker()
    worker.log_event(BEGAN + key, (worker.get_current_task(), worker.address))
    return score_on_worker(key, smiles)


# What follows travels as it is, not by its name: a worker that lacks molvae says so, and goes on.
def _loading(payload: bytes) -> WorkerPlugin:
    """What has workers load objectives."""
    from distributed import WorkerPlugin

    class Loading(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            try:
                from molvae.campaign.transport import load_on_worker
            except ImportError:
                return
            load_on_worker(payload)

        def teardown(self, worker: Any) -> None:
            try:
                from molvae.campaign.transport import forget_on_worker
            except ImportError:
                return
            forget_on_worker(payload)

    return Loading()


def _asking(key: str) -> Callable[[], str | None]:
    """What a worker says of the objectives that it should have loaded."""

    def ask() -> str | None:
        from molvae.campaign.transport import refused_on_worker

        return refused_on_worker(key)

    return ask


__all__ = ["DaskExecutor"]
