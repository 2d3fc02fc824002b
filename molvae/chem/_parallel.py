"""One function over many items, in several processes if that saves time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
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
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1 process, got {workers}")
    if workers is None:
        workers = (os.cpu_count() or 1) if len(items) > MIN_ITEMS_FOR_PROCESSES else 1
    return map(function, items) if workers == 1 else _in_processes(function, items, workers)


def _in_processes(
    function: Callable[[In], Out], items: Sequence[In], workers: int
) -> Iterator[Out]:
    from joblib import Parallel, delayed

    def each(part: Sequence[In]) -> list[Out]:
        return [function(item) for item in part]

    run = Parallel(
        workers,
        backend="loky",
        batch_size=1,
        return_as="generator",
        idle_worker_timeout=IDLE_SECONDS,
    )
    parts = (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))
    outputs = run(delayed(each)(part) for part in parts)
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
