"""One function over many items: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from molvae.config import whole_number
from molvae.errors import ConfigError, MissingPackageError, MolvaeError, described

if TYPE_CHECKING:
    from distributed import Client

In = TypeVar("In")
Out = TypeVar("Out")

MIN_ITEMS_FOR_PROCESSES = 2_000
"""Number of items up to which starting processes takes longer than it saves."""
CHUNK_SIZE = 500  # items that are sent to a process together
IDLE_SECONDS = 10  # time after which idle processes end; until then the next call uses them
CONNECT_SECONDS = 30  # time that a Dask scheduler is given to answer
MAX_AHEAD = 2  # items for each process or thread that are sent before the first result is read
THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def parallel_map(
    function: Callable[[In], Out], items: Sequence[In], *, workers: int | None = None
) -> list[Out]:
    """`[function(item) for item in items]`, order kept; arguments and errors as `stream`."""
    return list(stream(function, items, workers=workers))


def stream(
    function: Callable[[In], Out], items: Sequence[In], *, workers: int | None = None
) -> Iterator[Out]:
    """The results of a function for each item, in order, as soon as they are computed.

    Args:
        function: Anything that cloudpickle can send; its exceptions are raised here.
        items: Anything that can be pickled.
        workers: Processes; None for one per core when there are more than 2,000 items, else none.
            They are not forked, since torch's threads may be running, and do not import the calling
            script.

    Raises:
        ConfigError: `workers` is no whole number of at least 1, or the processes died.
    """
    if workers is not None:
        workers = whole_number(workers, "workers", least=1)
    else:
        workers = (os.cpu_count() or 1) if len(items) > MIN_ITEMS_FOR_PROCESSES else 1
    return map(function, items) if workers == 1 else _in_processes(function, items, workers)


def _in_processes(
    function: Callable[[In], Out], items: Sequence[In], workers: int
) -> Iterator[Out]:
    def each(part: Sequence[In]) -> list[Out]:
        return [function(item) for item in part]

    parts = (items[i : i + CHUNK_SIZE] for i in range(0, len(items), CHUNK_SIZE))
    with closing(stream_large(each, parts, workers=workers)) as outputs:
        for results in outputs:
            yield from results


def stream_large(
    function: Callable[[In], Out],
    items: Iterable[In],
    *,
    workers: int = 1,
    dask: str | None = None,
) -> Generator[Out, None, None]:
    """The results of a function for each item, in order; few items are in memory at once.

    Args:
        function: As for `stream`; each item is sent alone.
        items: Read as results are read.
        workers: Processes; 1: this one.
        dask: Address of a Dask scheduler, or its scheduler file, instead; a lost worker's items go
            to another one.

    Raises:
        ConfigError: `workers` is no whole number of at least 1, the processes died, or no
            scheduler answers.
    """
    workers = whole_number(workers, "workers", least=1)
    if dask is not None:
        yield from _on_cluster(function, items, dask)
        return
    if workers == 1:
        yield from map(function, items)
        return
    from loky import get_reusable_executor

    # A worker whose caches have grown is replaced; nothing is lost, and nobody can do anything.
    warnings.filterwarnings("ignore", "A worker was restarted", UserWarning, "loky")
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = get_reusable_executor(
        workers,
        timeout=IDLE_SECONDS,
        env={name: os.environ.get(name, str(threads)) for name in THREAD_COUNTS},
    )
    try:
        yield from _sent_ahead(partial(pool.submit, function), items, lambda: workers)
    except BrokenProcessPool as error:
        raise ConfigError(
            "the worker processes died, perhaps for lack of memory; give workers=1, which needs "
            "less of it"
        ) from error


def _on_cluster(function: Callable[[In], Out], items: Iterable[In], address: str) -> Iterator[Out]:
    client = connect(address)
    try:
        submit = partial(client.submit, function, pure=False)
        yield from _sent_ahead(submit, items, lambda: sum(client.nthreads().values()))
    finally:
        client.close()


def _sent_ahead(
    submit: Callable[[In], Any], items: Iterable[In], slots: Callable[[], int]
) -> Iterator[Any]:
    """Results of items in order; those that nobody reads any more are canceled."""
    sent = deque[Any]()
    try:
        for item in items:
            sent.append(submit(item))
            while len(sent) > MAX_AHEAD * max(1, slots()):
                yield sent.popleft().result()
        while sent:
            yield sent.popleft().result()
    finally:
        for future in sent:
            future.cancel()


def connect(address: str, error: type[MolvaeError] = ConfigError) -> Client:
    """A client of a running Dask cluster, by the scheduler's address or its scheduler file.

    Raises:
        MissingPackageError: Dask is not installed.
        MolvaeError: `error`, if no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as missing:
        raise MissingPackageError("a Dask cluster needs: pip install 'molvae[dask]'") from missing
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        return Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as refused:
        raise error(f"no Dask scheduler answers at {address}: {described(refused)}") from refused
