"""Call objectives on a Dask cluster.

A plugin loads the objectives on each worker, also on later ones, before it gets any molecule; a
worker that cannot load them gets none. A lost worker or cluster is never a molecule's failure.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any

from molvae.campaign.evaluation import EvaluationResult, EvaluationTask, LostCallError
from molvae.campaign.transport import NotLoadedError, key_of, loaded_on_worker, packed
from molvae.chem._parallel import connect
from molvae.errors import CampaignError, MolvaeError, ProcessDiedError, described, warn

if TYPE_CHECKING:
    from distributed import WorkerPlugin

RESTART_SECONDS = 60.0  # time that a worker is given to restart
EMPTY_SECONDS = 60.0  # time without workers after which a warning says so
LOST_SECONDS = 600.0  # time without workers after which a cluster that had some is given up

SETTLE_SECONDS = 2.0
"""Time from loading the objectives to the first call: if a worker dies while it is still being
started, its nanny starts no other."""

BEGAN_TOPIC_PREFIX = "molvae-began-"
"""Prefix of the topic under which workers report that a call has begun; the key follows."""


class DaskExecutor:
    """A running Dask cluster: local, over SSH, or of Slurm jobs by dask-jobqueue.

    Workers need molvae and the objective's imports. One thread for each is best: a call that hangs
    is stopped by restarting its worker. `address` is the scheduler's, e.g. tcp://10.0.0.7:8786, or
    a scheduler file. Present workers have loaded the objectives when this returns.
    """

    def __init__(self, address: str, calls: Sequence[EvaluationTask]) -> None:
        payload = packed(calls)
        self.address, self._key = address, key_of(payload)
        self._plugin = f"molvae-{self._key}"
        self._workers: dict[str, str | None] = {}
        """Why a worker that has answered gets no calls, by its address; None: it gets some."""
        self._asked = set[str]()
        """Workers that have not answered yet."""
        self._restarting = set[str]()
        """Calls whose workers are being restarted."""
        self._warned = set[str]()
        self._empty_since: float | None = None
        self._had_workers = False
        self._threads: dict[str, int] = {}
        """Number of threads, by address of a present worker."""
        self._began: dict[str, tuple[str, float]] = {}
        """Worker and time at which a call began, by Dask's key."""
        self._bound: dict[Any, set[str]] = {}
        """Calls that are restricted to some workers."""
        self._client = connect(address, CampaignError)
        try:
            with self._saying_if_gone():
                self._client.subscribe_topic(BEGAN_TOPIC_PREFIX + self._key, self._has_begun)
                self._client.register_plugin(_loading(payload), name=self._plugin)
            while not self.capacity() and self._asked:
                time.sleep(0.05)
        except BaseException:
            self.close()
            raise

    def capacity(self) -> int:
        """Number of threads of workers that have loaded the objectives; 1 without workers."""
        with self._saying_if_gone():
            threads = self._threads = dict(self._client.nthreads())
            for future, workers in list(self._bound.items()):
                if not workers & threads.keys():  # Dask would wait for them for ever
                    del self._bound[future]
                    self._client.cancel([future], force=True)
        for one in set(self._workers) - threads.keys():
            self._workers.pop(one, None)
        for one in threads.keys() - set(self._workers) - self._asked:
            self._asked.add(one)
            Thread(target=self._ask, args=(one,), daemon=True).start()
        refused = {one: why for one, why in list(self._workers.items()) if why is not None}
        for one in refused.keys() - self._warned:
            self._warned.add(one)
            warn(f"the worker {one} gets no molecules: {refused[one]}")
        if threads and refused.keys() >= threads.keys() and not self._restarting:
            raise CampaignError(
                f"no worker of the cluster at {self.address} can call the objective: "
                f"{refused[next(iter(threads))]}; workers need molvae, all that the objective "
                "imports, and a nanny"
            )
        self._check_empty(bool(threads))
        if not threads:  # a cluster that grows on demand has to see a call
            return 1
        return sum(n for one, n in threads.items() if one in self._ready())

    def call(self, smiles: Sequence[str], fidelity: str = "") -> _OnCluster:
        """Begin a call; its `cancel()` restarts the worker that it runs on."""
        # Any worker may have it, unless some must not.
        allowed = self._ready() if any(list(self._workers.values())) else set[str]()
        with self._saying_if_gone():
            future = self._client.submit(
                score_and_say,
                self._key,
                list(smiles),
                fidelity,
                pure=False,
                workers=sorted(allowed) or None,
            )
        if allowed:
            self._bound[future] = allowed
        return _OnCluster(self, future)

    def set_aside(self, worker: str, reason: str) -> bool:
        """Give a worker no more calls; False if it is the last one."""
        if not self._ready() - {worker}:
            return False
        self._workers[worker] = reason
        self._warned.add(worker)
        return True

    def close(self) -> None:
        """Disconnect from the cluster, which goes on."""
        with contextlib.suppress(Exception):
            if self._client.status == "running":
                self._client.unregister_worker_plugin(self._plugin)
            self._client.close(timeout=5)

    def _ready(self) -> set[str]:
        return {one for one, why in list(self._workers.items()) if why is None}

    def _ask(self, worker: str) -> None:
        """Ask a worker, in a separate thread: it answers when it has loaded the objectives."""
        try:
            answers = self._client.run(_asking(self._key), workers=[worker], on_error="return")
            why = answers[worker]
            why = described(why) if isinstance(why, BaseException) else why
            self._workers[worker] = why and f"it cannot load the objective: {why}"
        except Exception:  # the worker or the cluster is gone, which is seen elsewhere
            pass
        finally:
            self._asked.discard(worker)

    def _check_empty(self, some_are_there: bool) -> None:
        """Wait for workers that may be queued; give up workers that were there and are gone."""
        now = time.monotonic()
        if some_are_there:
            self._empty_since, self._had_workers = None, True
            return
        self._empty_since = self._empty_since or now
        seconds = now - self._empty_since
        if seconds > LOST_SECONDS and self._had_workers:
            raise CampaignError(
                f"the cluster at {self.address} has lost all its workers {seconds:.0f} s ago; "
                "molecules in progress wait: begin others, then run the same command"
            )
        if seconds > EMPTY_SECONDS and "" not in self._warned:
            self._warned.add("")
            warn(f"the cluster at {self.address} has no workers; the campaign waits for them")

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
            raise CampaignError(
                f"the Dask cluster at {self.address} is gone ({described(error)}); molecules in "
                "progress wait: begin a cluster, then run the same command"
            ) from error


class _OnCluster(Future[list[EvaluationResult]]):
    """A call on the cluster."""

    def __init__(self, cluster: DaskExecutor, future: Any) -> None:
        super().__init__()
        self._cluster, self._future, self._key = cluster, future, future.key
        self._answered: str | None = None
        """The worker that has answered."""
        Thread(target=self._fetch, daemon=True).start()

    @property
    def worker(self) -> str | None:
        return self._answered or self._cluster._began.get(self._key, (None, 0.0))[0]

    @property
    def began(self) -> float | None:
        worker, began = self._cluster._began.get(self._key, ("", None))
        return began if worker in self._cluster._threads else None  # it begins again elsewhere

    def _fetch(self) -> None:
        """Fetch the result, in a separate thread: it may be lost with its worker."""
        future = self._future
        try:
            result = future.result()
            self._answered = self.worker
            self.set_result(result)
        except BaseException as error:
            self.set_exception(self._understood(error))
        self._cluster._bound.pop(future, None)
        self._cluster._began.pop(self._key, None)
        # While a future exists, Dask calls the objective again if its worker is lost.
        self._future = None
        future.release()

    def _understood(self, error: BaseException) -> BaseException:
        if isinstance(error, NotLoadedError):  # a worker may have been replaced at its address
            for one in self._cluster._ready():
                self._cluster._workers.pop(one, None)
        if type(error).__name__ == "KilledWorker":
            died = ProcessDiedError("the process died, on each worker of the cluster that tried")
            died.deaths = getattr(error, "allowed_failures", 0) + 1
            return died
        if isinstance(error, MolvaeError | NotLoadedError | LostCallError | SystemExit):
            return error
        # Trouble of the network or the scheduler, or a worker without molvae.
        return ConnectionError(described(error))

    def cancel(self) -> bool:
        client, future = self._cluster._client, self._future
        if future is not None:  # it has not come back
            with contextlib.suppress(Exception):  # the cluster may be gone
                at = [one for one, keys in client.processing().items() if self._key in keys]
                client.cancel([future], force=True)
                if at:  # Dask cannot stop a function, only its worker
                    self._cluster._restarting.add(self._key)
                    Thread(target=self._restart, args=(at,), daemon=True).start()
        return True

    def _restart(self, workers: list[str]) -> None:
        """Restart workers, in a separate thread: others go on meanwhile."""
        cluster = self._cluster
        try:
            cluster._client.restart_workers(workers, timeout=RESTART_SECONDS, raise_for_error=False)
        except Exception as error:  # e.g. it has no nanny that could restart it
            why = f"it is stuck and cannot be restarted ({described(error)})"
            cluster._workers |= dict.fromkeys(workers, why)
        finally:
            cluster._restarting.discard(self._key)


def score_and_say(key: str, smiles: Sequence[str], fidelity: str) -> list[EvaluationResult]:
    """Report on a worker that the call has begun, then score."""
    from distributed import get_worker

    score, loaded_at = loaded_on_worker(key)
    time.sleep(max(0.0, loaded_at + SETTLE_SECONDS - time.monotonic()))
    worker = get_worker()
    worker.log_event(BEGAN_TOPIC_PREFIX + key, (worker.get_current_task(), worker.address))
    return score(smiles, fidelity)


# The functions below travel by value: a worker without molvae goes on and reports that.
def _loading(payload: bytes) -> WorkerPlugin:
    """A plugin with which workers load objectives."""
    from distributed import WorkerPlugin

    class Loading(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            with contextlib.suppress(ImportError):
                from molvae.campaign.transport import load_on_worker

                load_on_worker(payload)

        def teardown(self, worker: Any) -> None:
            with contextlib.suppress(ImportError):
                from molvae.campaign.transport import forget_on_worker

                forget_on_worker(payload)

    return Loading()


def _asking(key: str) -> Callable[[], str | None]:
    """A function by which a worker reports why objectives are not loaded."""

    def ask() -> str | None:
        from molvae.campaign.transport import NotLoadedError, loaded_on_worker

        try:
            loaded_on_worker(key)
        except NotLoadedError as error:
            return str(error)
        return None

    return ask
