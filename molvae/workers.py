"""Where objectives are called: in this process, in others, on a cluster.

An executor is anything with `submit(function, *arguments)` whose result has `result()`, such as
those of `concurrent.futures`, `mpi4py.futures`, submitit and Dask. What molvae needs beyond that,
to take back a call that never returns, is `cancel()`; those below stop the process that is stuck.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing import get_context
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from molvae.config import require
from molvae.errors import CampaignError

if TYPE_CHECKING:
    from distributed import Client


RESTART = 60.0
"""Seconds that a worker of a cluster is given to come back."""


class Pending(Protocol):
    """A call that was submitted."""

    def result(self) -> Any:
        """Wait for it; raises what the call raised."""
        ...


class Executor(Protocol):
    """Takes calls."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Pending:
        """Begin a call."""
        ...


class Here:
    """Calls in this process, one at a time, at once."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Pending:
        """Call; an exception is the result's."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes:
    """Worker processes on this machine, each of which can be stopped and is replaced if it dies.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        from pebble import ProcessPool

        require(workers >= 1, f"workers must be at least 1, got {workers}")
        # Not forked: threads of torch do not survive a fork, and a lock on the record must not be
        # inherited.
        self._pool = ProcessPool(max_workers=workers, context=get_context("spawn"))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Pending:
        """Begin a call; its `cancel()` kills the process."""
        return self._pool.schedule(function, args=arguments)

    def submit_within(
        self, seconds: float, function: Callable[..., Any], /, *arguments: Any
    ) -> Pending:
        """The same, for so long from when a process has begun with it; then a `TimeoutError`."""
        return self._pool.schedule(function, args=arguments, timeout=seconds)

    def close(self) -> None:
        """Stop all processes, whatever they are doing."""
        self._pool.stop()
        self._pool.join()


class Cluster:
    """A Dask cluster that exists: local, over SSH, of Slurm's jobs by dask-jobqueue.

    Workers need molvae and the objective's module. One thread for each is best: a call that never
    returns is stopped by restarting its worker, with all that it is doing.

    Args:
        address: Of its scheduler, e.g. tcp://10.0.0.7:8786, or a scheduler file.

    Raises:
        CampaignError: `distributed` is not installed, or no scheduler answers there.
    """

    grace = 15.0
    """Seconds that a worker may need in addition, to start and to import."""

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise CampaignError("a Dask cluster needs: pip install 'molvae[dask]'") from error
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            self._client: Client = Client(**where, timeout=30, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CampaignError(f"no Dask scheduler answers at {address}: {error}") from error

    @property
    def workers(self) -> int:
        """Calls that it takes at once, now."""
        return sum(self._client.nthreads().values())

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Pending:
        """Begin a call; its `cancel()` restarts the worker that is stuck with it."""
        return _OnCluster(self._client, self._client.submit(function, *arguments, pure=False))

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        self._client.close()


class _OnCluster:
    def __init__(self, client: Client, future: Any) -> None:
        self._client, self._future = client, future

    def result(self) -> Any:
        return self._future.result()

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        self._future.add_done_callback(lambda _: function(self))

    def cancel(self) -> None:
        key = self._future.key
        at = [w for w, keys in self._client.processing().items() if key in keys]
        self._client.cancel([self._future], force=True)
        if at:  # Dask cannot stop a function, only its worker; what else it has is done elsewhere
            Thread(target=_restart, args=(self._client, at), daemon=True).start()


def _restart(client: Client, workers: list[str]) -> None:
    """In a thread of its own: others go on meanwhile, and a worker may have died by itself."""
    with contextlib.suppress(Exception):
        client.restart_workers(workers, timeout=RESTART, raise_for_error=False)


@contextlib.contextmanager
def executor_of(
    workers: int, dask: str | None, executor: Executor | None = None
) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """An executor for some settings, and how many calls it takes at once.

    Args:
        workers: Processes; 0 for this one.
        dask: Address of a cluster instead.
        executor: This one instead, for so many calls at once.
    """
    require(workers >= 0, f"workers must not be negative, got {workers}")
    if executor is not None:
        yield executor, lambda: workers
        return
    if dask is None and not workers:
        yield Here(), lambda: 1
        return
    made: Processes | Cluster = Cluster(dask) if dask is not None else Processes(workers)
    try:
        yield made, lambda: made.workers if isinstance(made, Cluster) else workers
    finally:
        made.close()


__all__ = ["Cluster", "Executor", "Here", "Pending", "Processes", "executor_of"]
