"""Waits that Ctrl-C interrupts, whatever RDKit has done to the signal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

POLL_SECONDS = 0.2

Item = TypeVar("Item")


def take_back() -> None:
    """Let Ctrl-C interrupt the waits of this thread, if it is the main one.

    RDKit's searches (substructures, conformers) handle Ctrl-C themselves, in any thread, and
    restore the handler so that system calls restart: a wait in the main thread would not end. So
    waits are short, and set Python's handler again each time.
    """
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
        if handler is not None:  # None: it was not set from Python
            signal.signal(signal.SIGINT, handler)


def wait(event: threading.Event, seconds: float | None = None) -> bool:
    """Wait for an event, at most so many seconds; returns whether it was set."""
    return _patiently(event.wait, seconds)


def get(queue: SimpleQueue[Item], seconds: float | None = None) -> Item:
    """The next item of a queue; raises `Empty` if none comes within so many seconds."""
    items: list[Item] = []

    def came(timeout: float) -> bool:
        try:
            items.append(queue.get(timeout=timeout))
        except Empty:
            return False
        return True

    if not _patiently(came, seconds):
        raise Empty
    return items[0]


def _patiently(came: Callable[[float], bool], seconds: float | None) -> bool:
    ends = None if seconds is None else time.monotonic() + seconds
    while True:
        take_back()
        left = POLL_SECONDS if ends is None else ends - time.monotonic()
        if came(max(0.0, min(POLL_SECONDS, left))):
            return True
        if ends is not None and time.monotonic() >= ends:
            return False
