"""Objectives called on a Dask cluster.

Each worker loads the objectives before it gets its first molecule; one that cannot load them gets
none. That a worker, or the whole cluster, is lost is never said of a molecule.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any

from molvae._messages import described
from molvae.errors import (
    CampaignError,
    MolvaeError,
    MolvaeWarning,
    ProcessDiedError,
)
from molvae.evaluate import Call, Scored
from molvae.transport import NotLoadedError, key_of, load_on_worker, packed, score_on_worker

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 30
RESTART_SECONDS = 60.0
"""Time that a worker is given to come back."""
EMPTY_SECONDS = 60.0
"""Time without workers after which that is said."""
MAX_LOST_LOADS = 5
"""Workers lost while they loaded the objectives, one after the other: it is what they load."""
BEGAN = "molvae-began-"
"""With the key of the objectives: the topic under which workers say that a call has begun."""


class Cluster:
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

    def __init__(self, address: str, calls: Sequence[Call]) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise CampaignError("a Dask cluster needs: pip install 'molvae[dask]'") from error
        self.address, self._payload = address, packed(calls)
        self._key = key_of(self._payload)
        self._loads: dict[str, Any] = {}
        """Of the objectives, going on, by the address of the worker."""
        self._ready, self._refused = set[str](), dict[str, str]()
        self._lost_loads = 0
        self._empty_since: float | None = None
        self._began: dict[str, float] = {}
        """By the key that Dask has for a call."""
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
            while not self.capacity() and self._loads:
                time.sleep(0.05)
        except BaseException:
            self.close()
            raise

    def capacity(self) -> int:
        """Threads of the workers that have loaded the objectives; new workers are given them.

        Raises:
            CampaignError: The scheduler is gone, or there are workers and none can load them.
        """
        with self._saying_if_gone():
            threads: dict[str, int] = self._client.nthreads()
            self._ready &= threads.keys()
            self._see_loads(threads)
        there = self._ready & threads.keys()
        if threads and not there and not self._loads:
            reason = next(self._refused[one] for one in threads if one in self._refused)
            raise CampaignError(
                f"no worker of the cluster at {self.address} can load the objective: {reason}; "
                "workers need molvae and all that the objective imports"
            )
        self._say_if_empty(bool(threads))
        return sum(threads[one] for one in there)

    def call(self, smiles: Sequence[str]) -> _OnCluster:
        """Begin a call; its `cancel()` restarts the worker that is stuck with it."""
        with self._saying_if_gone():
            # Others get it only if those are gone meanwhile.
            future = self._client.submit(
                score_and_say,
                self._key,
                list(smiles),
                pure=False,
                workers=sorted(self._ready) or None,
                allow_other_workers=bool(self._ready),
            )
        return _OnCluster(self, future)

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)

    def _see_loads(self, threads: dict[str, int]) -> None:
        """Begin and end the loading of objectives."""
        for one, load in list(self._loads.items()):
            if not load.done() and one in threads:
                continue
            del self._loads[one]
            try:
                reason = load.result() if load.done() else "it is gone"
            except Exception as error:  # it lacks molvae, or its process has died
                reason = described(error)
            if reason is None:
                self._ready.add(one)
                self._lost_loads = 0
            elif one in threads:
                self._refused[one] = reason
                self._warn(f"the worker {one} cannot load the objective, and is left out: {reason}")
            else:
                self._lost_loads += 1
        if self._lost_loads > MAX_LOST_LOADS:
            raise CampaignError(
                f"{self._lost_loads} workers of the cluster at {self.address} were lost while they "
                "loaded the objective"
            )
        for one in threads.keys() - self._ready - self._loads.keys() - self._refused.keys():
            self._loads[one] = self._client.submit(
                load_on_worker, self._payload, workers=[one], pure=False
            )

    def _say_if_empty(self, some_are_there: bool) -> None:
        now = time.monotonic()
        if some_are_there:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        elif now - self._empty_since > EMPTY_SECONDS:
            self._empty_since = float("inf")  # said once
            self._warn(f"the cluster at {self.address} has no workers; the campaign waits for them")

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(text, MolvaeWarning, stacklevel=2)

    def _has_begun(self, event: tuple[float, Any]) -> None:
        self._began[str(event[1])] = time.monotonic()

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

    def __init__(self, cluster: Cluster, future: Any) -> None:
        self._cluster, self._future = cluster, future

    @property
    def began(self) -> float | None:
        return self._cluster._began.get(self._future.key)

    def result(self) -> list[Scored]:
        try:
            outcomes: list[Scored] = self._future.result()
        except NotLoadedError:  # a worker has been replaced under the same address
            self._cluster._ready.clear()
            raise
        except TimeoutError as error:  # of the network, not of the molecule
            raise ConnectionError(described(error)) from error
        except Exception as error:
            if type(error).__name__ != "KilledWorker":
                raise
            died = ProcessDiedError("the process died, on each worker of the cluster that tried")
            died.deaths = getattr(error, "allowed_failures", 0) + 1
            raise died from error
        return outcomes

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        self._future.add_done_callback(lambda _: function(self))

    def cancel(self) -> None:
        client = self._cluster._client
        with contextlib.suppress(Exception):  # the cluster may be gone
            key = self._future.key
            at = [one for one, keys in client.processing().items() if key in keys]
            client.cancel([self._future], force=True)
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
                cluster._refused[one] = f"it is stuck and cannot be restarted ({described(error)})"
            cluster._ready.difference_update(workers)


def score_and_say(key: str, smiles: Sequence[str]) -> list[Scored]:
    """On a worker: say that the call has begun, then score."""
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(BEGAN + key, worker.get_current_task())
    return score_on_worker(key, smiles)


__all__ = ["Cluster"]
