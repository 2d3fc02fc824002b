"""Call objectives on a Dask cluster.

A plugin loads the objectives on each worker, also on later ones, before it gets any molecule; a
worker that cannot load them gets none. A lost worker or cluster is never a molecule's failure.
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
"""Time that a worker is given to restart."""

EMPTY_SECONDS = 60.0
"""Time without workers after which a warning says so."""

LOST_SECONDS = 600.0
"""Time without workers after which a cluster that had some is given up."""

SETTLE_SECONDS = 2.0
"""Time from loading the objectives to the first call: if a worker dies while it is still being
started, its nanny starts no other."""

BEGAN = "molvae-began-"
"""Prefix of the topic under which workers report that a call has begun; the key follows."""


class DaskExecutor:
    """A running Dask cluster: local, over SSH, or of Slurm jobs by dask-jobqueue.

    Workers need molvae and the objective's imports. One thread for each is best: a call that hangs
    is stopped by restarting its worker.

    Args:
        address: Address of the scheduler, e.g. tcp://10.0.0.7:8786, or a scheduler file.
        calls: The objectives; present workers load them before this returns.

    Raises:
        CampaignError: `distributed` is not installed, no scheduler answers there, or no worker can
            load the objectives.
        ObjectiveError: The objectives cannot be sent.
    """

    def __init__(self, address: str, calls: Sequence[EvaluationTask]) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise CampaignError("a Dask cluster needs: pip install 'molvae[dask]'") from error
        payload = packed(calls)
        self.address, self._key = address, key_of(payload)
        self._asked: dict[str, Future[str | None]] = {}
        """By address of a worker: why it cannot load the objectives; None if it has."""
        self._stuck: dict[str, str] = {}
        """Workers that get no more calls, and why."""
        self._warned = set[str]()
        self._empty_since: float | None = None
        self._had_workers = False
        self._threads: dict[str, int] = {}
        """Number of threads, by address of a present worker."""
        self._began: dict[str, tuple[str, float]] = {}
        """Worker and time at which a call began, by Dask's key."""
        self._bound: dict[Any, set[str]] = {}
        """Calls that are restricted to some workers."""
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
        """Number of threads of workers that have loaded the objectives; 1 without workers.

        Raises:
            CampaignError: The scheduler or all workers are gone, or no worker can be used.
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
        if not threads:  # a cluster that grows on demand has to see a call
            return 1
        return sum(n for one, n in threads.items() if one in self._ready())

    def call(self, smiles: Sequence[str]) -> _OnCluster:
        """Begin a call; its `cancel()` restarts the worker that it runs on."""
        # Any worker may have it, unless some must not.
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

    def set_aside(self, worker: str, reason: str) -> bool:
        """Give a worker no more calls; False if it is the last one."""
        if self._ready() - {worker}:
            self._stuck[worker] = reason
            self._warned.add(worker)
        return worker in self._stuck

    def close(self) -> None:
        """Disconnect from the cluster, which goes on."""
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
        """Ask a worker, in a separate thread: it answers when it has loaded the objectives."""
        try:
            answers = self._client.run(_asking(self._key), workers=[worker], on_error="return")
            answer = answers[worker]
            asked.set_result(described(answer) if isinstance(answer, BaseException) else answer)
        except Exception as error:  # the worker or the cluster is gone, which is seen elsewhere
            self._asked.pop(worker, None)
            asked.set_result(described(error))

    def _check_empty(self, some_are_there: bool) -> None:
        """Wait for workers that may be queued; give up workers that were there and are gone."""
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
        """The worker that has answered."""
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
        """Fetch the result, in a separate thread: it may be lost with its worker."""
        future = self._future
        try:
            result = future.result()
            self._worker = self.worker
            self._came.set_result(result)
        except BaseException as error:
            self._came.set_exception(self._understood(error))
        self._cluster._bound.pop(future, None)
        self._cluster._began.pop(self._key, None)
        # While a future exists, Dask calls the objective again if its worker is lost.
        self._future = None
        future.release()

    def _understood(self, error: BaseException) -> BaseException:
        if isinstance(error, NotLoadedError):
            self._cluster._asked.clear()  # a worker may have been replaced at its address
        if type(error).__name__ == "KilledWorker":
            died = ProcessDiedError("the process died, on each worker of the cluster that tried")
            died.deaths = getattr(error, "allowed_failures", 0) + 1
            return died
        if isinstance(error, MolvaeError | NotLoadedError | LostCallError | SystemExit):
            return error
        # Trouble of the network or the scheduler, or a worker without molvae.
        return ConnectionError(described(error))

    def cancel(self) -> None:
        client = self._cluster._client
        future = self._future
        if future is None:  # it has come back
            return
        with contextlib.suppress(Exception):  # the cluster may be gone
            at = [one for one, keys in client.processing().items() if self._key in keys]
            client.cancel([future], force=True)
            if at:  # Dask cannot stop a function, only its worker
                Thread(target=self._restart, args=(at,), daemon=True).start()

    def _restart(self, workers: list[str]) -> None:
        """Restart workers, in a separate thread: others go on meanwhile."""
        cluster = self._cluster
        try:
            cluster._client.restart_workers(workers, timeout=RESTART_SECONDS, raise_for_error=False)
        except Exception as error:  # e.g. it has no nanny that could restart it
            for one in workers:
                cluster._stuck[one] = f"it is stuck and cannot be restarted ({described(error)})"


def score_and_say(key: str, smiles: Sequence[str]) -> list[EvaluationResult]:
    """Report on a worker that the call has begun, then score."""
    from distributed import get_worker

    time.sleep(max(0.0, SETTLE_SECONDS - seconds_loaded(key)))
    worker = get_worker()
    worker.log_event(BEGAN + key, (worker.get_current_task(), worker.address))
    return score_on_worker(key, smiles)


# The functions below travel by value: a worker without molvae goes on and reports that.
def _loading(payload: bytes) -> WorkerPlugin:
    """A plugin with which workers load objectives."""
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
    """A function by which a worker reports why objectives are not loaded."""

    def ask() -> str | None:
        from molvae.campaign.transport import refused_on_worker

        return refused_on_worker(key)

    return ask


__all__ = ["DaskExecutor"]
