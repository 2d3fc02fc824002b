"""Redirect what objectives print to standard error: standard output holds data alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

_lock = threading.Lock()
_depth = 0
_streams: tuple[TextIO | None, TextIO | None] = None, None
"""Standard output and standard error outside of all blocks."""


class _Lent:
    """A stream that whoever closes it does not close for others."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        self._stream.flush()


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Send what Python code prints, in any thread, to standard error.

    Inside, both standard streams are stand-ins: code that closes or replaces them harms no one.
    """
    global _depth, _streams
    with _lock:
        if not _depth:
            _streams = sys.stdout, sys.stderr
        _depth += 1
        _lend()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth:
                _lend()
            else:
                sys.stdout, sys.stderr = _streams


def _lend() -> None:
    stream = _streams[1]
    if stream is None:
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stderr = _Lent(stream)


@contextlib.contextmanager
def process_prints_to_stderr() -> Iterator[None]:
    """Send what the process prints, C libraries and its programs included, to standard error."""
    with contextlib.ExitStack() as stack:
        if sys.stdout is not None:
            sys.stdout.flush()
        with contextlib.suppress(OSError):  # standard output is closed: nothing can get there
            kept = os.dup(1)
            stack.callback(_restore, kept)
            to_stderr()
        stack.enter_context(prints_to_stderr())
        yield


def to_stderr() -> None:
    """Make the process's standard output its standard error, for good."""
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _restore(kept: int) -> None:
    with contextlib.suppress(Exception):  # C's own buffers, where they can be flushed from here
        ctypes.CDLL(None).fflush(None)
    os.dup2(kept, 1)
    os.close(kept)
