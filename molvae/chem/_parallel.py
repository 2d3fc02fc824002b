"""One function over many items, in several processes if that saves time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from molvae.errors import ConfigError

In = TypeVar("In")

Out = TypeVar("Out")

MIN_ITEMS_FOR_PROCESSES = 2_000
"""Number of items up to which starting processes takes longer than it saves."""

CHUNK = 500
"""Items that are sent to a process together."""

IDLE_SECONDS = 10
"""Time after which idle processes end; until then the next call uses them."""


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
        ConfigError: `workers` is below 1, or the processes died.
    """
    workers = _processes(workers, items)
    if workers == 1:
        return _here(function, items)
    return _there(partial(_part, function), items, workers)


def parallel_map_batches(
    function: Callable[[Sequence[In]], Sequence[Out]],
    items: Sequence[In],
    *,
    workers: int | None = None,
) -> list[Out]:
    """`parallel_map` for a function of up to 500 items that returns one result for each, in order.

    Arguments and errors as of `stream`.
    """
    workers = _processes(workers, items)
    if workers == 1:
        return [result for part in _parts(items) for result in function(part)]
    return list(_there(function, items, workers))


def _processes(workers: int | None, items: Sequence[In]) -> int:
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1 process, got {workers}")
    if workers is None:
        return (os.cpu_count() or 1) if len(items) > MIN_ITEMS_FOR_PROCESSES else 1
    return workers


def _here(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    return (function(item) for item in items)


def _there(
    function: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In], workers: int
) -> Iterator[Out]:
    from joblib import Parallel, delayed

    run = Parallel(
        workers,
        backend="loky",
        batch_size=1,
        return_as="generator",
        idle_worker_timeout=IDLE_SECONDS,
    )
    outputs = run(delayed(function)(part) for part in _parts(items))
    try:
        for results in outputs:
            yield from results
    except BrokenProcessPool as error:
        raise ConfigError(
            "the worker processes died, perhaps for lack of memory; give workers=1, which needs "
            "less of it"
        ) from error
    finally:
        with warnings.catch_warnings():  # about unread results
            warnings.simplefilter("ignore", UserWarning)
            outputs.close()  # raises errors here, not in the garbage collector


def _parts(items: Sequence[In]) -> list[Sequence[In]]:
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]


def _part(function: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    return [function(item) for item in items]


__all__ = ["parallel_map", "parallel_map_batches", "stream"]
