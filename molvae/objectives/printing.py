"""What others print goes to standard error, so that standard output holds data alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

_lock = threading.Lock()


_depth = 0


_before: TextIO | None = None


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Have what Python code prints on standard error; of all threads, and any may ask for it."""
    global _depth, _before
    with _lock:
        _depth += 1
        if _depth == 1:
            _before, sys.stdout = sys.stdout, _stderr()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                sys.stdout, _before = _before, None


@contextlib.contextmanager
def process_prints_to_stderr() -> Iterator[None]:
    """The same for the process: for libraries in C and for programs that it starts as well."""
    with contextlib.ExitStack() as stack:
        if sys.stdout is not None:
            sys.stdout.flush()
        with contextlib.suppress(OSError):  # standard output is closed: nothing can get there
            kept = os.dup(1)
            stack.callback(_give_back, kept)
            to_stderr()
        stack.enter_context(prints_to_stderr())
        yield


def to_stderr() -> None:
    """Let the process's standard output be its standard error, for good."""
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _give_back(kept: int) -> None:
    with contextlib.suppress(Exception):  # what C has not written yet, where we can ask for it
        ctypes.CDLL(None).fflush(None)
    os.dup2(kept, 1)
    os.close(kept)


def _stderr() -> TextIO:
    return sys.stderr if sys.stderr is not None else open(os.devnull, "w", encoding="utf-8")


__all__ = ["prints_to_stderr", "process_prints_to_stderr", "to_stderr"]
