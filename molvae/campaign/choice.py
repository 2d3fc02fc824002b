"""Choose molecules in a separate thread while workers score others."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from molvae.objectives.interrupts import get

STOP_SECONDS = 5.0
"""Time that the choice of molecules is given to end when a run is interrupted."""


class Choice:
    """A choice of molecules in progress.

    Args:
        work: Makes the choice.
        done: Called when `work` has ended.
    """

    def __init__(self, work: Callable[[], Any], done: Callable[[], None]) -> None:
        self.result: Future[tuple[Any, float]] = Future()
        """The choice, and the seconds that it took."""
        self._work, self._done, self._ended = work, done, SimpleQueue[None]()
        self._thread = threading.Thread(target=self._run, name="choosing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):  # which may come at any step, see `stop`
            try:
                self.result.set_result((self._work(), time.monotonic() - began))
            except BaseException as error:
                self.result.set_exception(error)
            self._ended.put(None)
            self._done()

    def wait(self) -> None:
        """Wait for the end of the choice; Ctrl-C interrupts."""
        get(self._ended)
        self._ended.put(None)

    def stop(self) -> None:
        """Interrupt the thread at its next step in Python, and wait a little for its end."""
        if self._thread.is_alive() and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
            self._thread.join(STOP_SECONDS)


__all__ = ["Choice"]
