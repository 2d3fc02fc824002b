"""One function over many items, in several processes when that pays. Knows nothing of molecules."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from molvae.errors import ConfigError

In = TypeVar("In")
Out = TypeVar("Out")

FEW = 2_000
"""Up to this many items, starting processes costs more than it saves."""
CHUNK = 500


def each(
    function: Callable[[In], Out], items: Sequence[In], *, workers: int | None = None
) -> list[Out]:
    """`[function(item) for item in items]`, order kept; arguments and errors as `stream`."""
    return list(stream(function, items, workers=workers))


def stream(
    function: Callable[[In], Out], items: Sequence[In], *, workers: int | None = None
) -> Iterator[Out]:
    """The results of a function, one for one and in order, each as soon as it is its turn.

    Args:
        function: Importable by name, or an object that can be pickled; what it raises comes
            through.
        items: Anything that can be pickled.
        workers: Processes; None for one per core when there are more than 2,000 items, and none
            when there are fewer. Processes are spawned, never forked: torch's threads may be
            running.

    Raises:
        ConfigError: `workers` is below 1, or the processes died.
    """
    workers = _processes(workers, items)
    if workers == 1:
        return _here(function, items)
    return _there(partial(_part, function), items, workers)


def each_part(
    function: Callable[[Sequence[In]], Sequence[Out]],
    items: Sequence[In],
    *,
    workers: int | None = None,
) -> list[Out]:
    """`each` for a function of many items, which gives as many results in the same order.

    For what is faster many at a time; it gets up to 500. Arguments and errors as `stream`.
    """
    workers = _processes(workers, items)
    if workers == 1:
        return [result for part in _parts(items) for result in function(part)]
    return list(_there(function, items, workers))


def _processes(workers: int | None, items: Sequence[In]) -> int:
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1 process, got {workers}")
    if workers is None:
        return (os.cpu_count() or 1) if len(items) > FEW else 1
    return workers


def _here(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    return (function(item) for item in items)


def _there(
    function: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In], workers: int
) -> Iterator[Out]:
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        for results in pool.map(function, _parts(items)):
            yield from results
    except BrokenProcessPool as error:
        raise ConfigError(
            "the worker processes died; a script must do its work under "
            '`if __name__ == "__main__":`, because each process imports it; or give workers=1, '
            "which also needs less memory"
        ) from error
    finally:
        # Whoever stops listening, by an error or Ctrl-C, does not wait for what is not begun.
        pool.shutdown(cancel_futures=True)


def _parts(items: Sequence[In]) -> list[Sequence[In]]:
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]


def _part(function: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    return [function(item) for item in items]


__all__ = ["each", "each_part", "stream"]
