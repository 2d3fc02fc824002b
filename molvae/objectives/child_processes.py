"""Run another program: keep its output within limits, and end all that it starts."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from molvae.errors import MachineError, ProcessDiedError
from molvae.objectives.interrupts import wait
from molvae.objectives.process_guard import (
    MARK_VARIABLE,
    ended,
    grouped,
    kill_group,
    kill_marked,
    marked,
)

KEPT_BYTES = 1_000_000  # bytes kept of each stream: half from its beginning, half from its end
MAX_OUTPUT_BYTES = 1_000_000_000  # bytes of output after which a program is ended
READ_SECONDS = 2.0  # time to read remaining output when another process keeps it open
END_SECONDS = 10.0  # time that a killed program is given to end; a hanging disk may keep it
KILL_SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
"""Signals from outside, e.g. from a system without memory: not the molecule's fault."""

_number = itertools.count(1)


class Kept:
    """The beginning and the end of a stream of bytes."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head, self._tail = bytearray(), bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Append to the stream."""
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def left_out(self) -> int:
        """Number of bytes that were not kept."""
        return max(0, self.total - len(self._head) - self._half)

    @property
    def text(self) -> str:
        """The kept bytes as text, with escapes, and a line about bytes left out."""
        head, tail = bytes(self._head), bytes(self._tail)
        if self.left_out:
            head += f"\n[... {self.left_out:,} bytes left out ...]\n".encode()
            tail = tail[-self._half :]
        return (head + tail).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a program."""

    status: int  # exit status; negative: the signal that ended it
    stdout: Kept
    stderr: Kept
    timed_out: bool = False
    printed_too_much: bool = False
    max_output: int = MAX_OUTPUT_BYTES


def run(
    words: Sequence[str], given: str, *, cwd: Path | None = None, timeout: float | None = None
) -> Ended:
    """Run a program, without a shell, until it ends or, after `timeout` seconds, is ended.

    Its process group is ended with it, also when this process is interrupted or killed; on Linux
    also strays that keep its output open. `given` is the text for its standard input.

    Raises:
        MachineError: The program cannot be started.
        ProcessDiedError: The program was killed from outside.
    """
    with marked() as mark:
        mark = f"{mark}.{next(_number)}."
        try:
            return _run(words, given, mark, cwd, timeout)
        except KeyboardInterrupt:  # it may come before the new process is known
            kill_marked(mark)
            raise


def _run(
    words: Sequence[str], given: str, mark: str, cwd: Path | None, timeout: float | None
) -> Ended:
    with contextlib.ExitStack() as stack:
        try:
            stdin = stack.enter_context(tempfile.TemporaryFile())
            stdin.write(given.encode("utf-8", "surrogateescape"))
            stdin.seek(0)
            process = subprocess.Popen(
                words,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=os.environ | {MARK_VARIABLE: mark},
                bufsize=0,
                start_new_session=True,  # a group of its own
            )
        except (OSError, ValueError) as error:  # ValueError: a null byte
            reason = getattr(error, "strerror", None) or error
            raise MachineError(
                f"cannot run {words[0]}: {reason}; give the path of an executable program, or the "
                "name of one on PATH"
            ) from error
        assert process.stdout is not None
        assert process.stderr is not None
        with grouped(process.pid), process.stdout, process.stderr:
            return _finished(process, words[0], mark, timeout)


def _finished(
    process: subprocess.Popen[bytes], name: str, mark: str, timeout: float | None
) -> Ended:
    out, err, over = Kept(KEPT_BYTES), Kept(KEPT_BYTES), threading.Event()
    limit, too_much = MAX_OUTPUT_BYTES, threading.Event()

    def read(stream: IO[bytes], kept: Kept) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed meanwhile
            while data := stream.read(1 << 16):
                kept.add(data)
                if out.total + err.total > limit:
                    too_much.set()
                    over.set()

    def wait_for_end() -> None:
        if not ended(process.pid, wait=True):  # where that cannot be known without reaping
            process.wait()
        over.set()

    readers = [
        threading.Thread(target=read, args=args, daemon=True)
        for args in ((process.stdout, out), (process.stderr, err))
    ]
    try:
        for thread in (*readers, threading.Thread(target=wait_for_end, daemon=True)):
            thread.start()
        by_itself = wait(over, timeout) and not too_much.is_set()
    finally:
        kill_group(process.pid)
        status = _reaped(process)
    for reader in readers:
        reader.join(READ_SECONDS / 2)
    if any(reader.is_alive() for reader in readers):  # a process has left the group
        kill_marked(mark)
        for reader in readers:
            reader.join(READ_SECONDS / 2)
    if by_itself and (killed := _killed_by(status)):
        raise ProcessDiedError(f"{name} was killed ({killed})")
    return Ended(
        status=status,
        stdout=out,
        stderr=err,
        timed_out=not by_itself and not too_much.is_set(),
        printed_too_much=too_much.is_set(),
        max_output=limit,
    )


def _reaped(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return -int(signal.SIGTERM)


def _killed_by(status: int) -> str | None:
    """The signal from outside that has ended a program, or a program of its shell."""
    numbers = {name: getattr(signal, name, 0) for name in KILL_SIGNALS}  # 0: Windows lacks it
    return next((name for name, n in numbers.items() if n and status in (-n, 128 + n)), None)
