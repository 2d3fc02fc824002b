"""One function over many molecules, in several processes when that pays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

FEW = 2_000
"""Below this many items, starting processes costs more than it saves."""
CHUNK = 500


def each(
    function: Callable[[In], Out], items: Sequence[In], *, workers: int | None = None
) -> list[Out]:
    """`[function(item) for item in items]`, order kept.

    Args:
        function: Must be importable by name (or a picklable object) when processes are used; what it raises comes
            through.
        items: Anything that can be pickled.
        workers: Processes; None for one per core when there are many items, and none when there are few. Processes
            are spawned, never forked: torch's threads may be running.
    """
    if workers is None:
        workers = (os.cpu_count() or 1) if len(items) > FEW else 1
    if workers <= 1:
        return [function(item) for item in items]
    parts = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = pool.map(_part, [function] * len(parts), parts)
        return list(chain.from_iterable(results))


def _part(function: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    return [function(item) for item in items]
