"""End programs that an objective has started together with the process that calls it.

Run as a program, without the rest of molvae, this file is the guard: see `_Guard`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence

MARK_VARIABLE = "MOLVAE_CALL"  # environment variable with the mark
POLL_SECONDS = 1.0
"""Time between two looks at whether the owner lives, if its child keeps the pipe open."""
MAX_SWEEPS = 20  # rounds of ending marked processes, which may start others meanwhile

_WORKS_HERE = hasattr(os, "killpg")


class _Guard:
    """The guard of one process, and what is registered with it.

    A killed process cannot clean up. So each process that calls objectives starts a small second
    one, which waits for its end. Then it ends the registered process groups and, on Linux, all
    processes with a mark in their environment, which those started meanwhile inherit. On Windows
    only the started process itself is ended.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.mark = f"{self.owner}-{uuid.uuid4().hex}"
        self.lock = threading.RLock()
        self.calls = 0
        """Number of blocks with the mark set."""
        self.mark_before: str | None = None
        self._registered: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, what: str) -> None:
        with self.lock:
            self._registered.append(what)
            self._tell(self._registered)

    def remove(self, what: str) -> None:
        with self.lock:
            self._registered.remove(what)
            self._tell(self._registered)

    def _tell(self, words: Sequence[str]) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                _write(self._process, words)
                return
            self._process.communicate()  # it was ended: another one takes its place
            self._process = None
        with contextlib.suppress(OSError):  # no process can be started: there will be none
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name != MARK_VARIABLE},
                start_new_session=True,
            )
            _write(self._process, words)

    def close(self) -> None:
        """Dismiss the guard when this process ends by itself."""
        if self._process is not None and os.getpid() == self.owner:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                _write(self._process, ["quit"])  # a child of ours may hold the pipe open
                self._process.communicate(timeout=10)


def _write(process: subprocess.Popen[bytes], words: Sequence[str]) -> None:
    assert process.stdin is not None
    os.write(process.stdin.fileno(), f"{' '.join(words)}\n".encode())


_guard: _Guard | None = None
_making = threading.Lock()


def _of_this_process() -> _Guard:
    global _guard
    with _making:
        if _guard is None or _guard.owner != os.getpid():  # this one was forked from another
            _guard = _Guard()
            atexit.register(_guard.close)
        return _guard


@contextlib.contextmanager
def marked() -> Iterator[str]:
    """Inside, all that is started is ended if this process is killed; yields the mark."""
    if not _WORKS_HERE:
        yield ""
        return
    guard = _of_this_process()
    with guard.lock:
        guard.calls += 1
        if guard.calls == 1:
            guard.mark_before = os.environ.get(MARK_VARIABLE)
            os.environ[MARK_VARIABLE] = guard.mark
            guard.add(f"mark:{guard.mark}")
    try:
        yield guard.mark
    finally:
        with guard.lock:
            guard.calls -= 1
            if guard.calls == 0:
                guard.remove(f"mark:{guard.mark}")
                if guard.mark_before is None:
                    os.environ.pop(MARK_VARIABLE, None)
                else:
                    os.environ[MARK_VARIABLE] = guard.mark_before


@contextlib.contextmanager
def grouped(leader: int) -> Iterator[None]:
    """Inside, a process group is ended if this process is killed."""
    if not _WORKS_HERE:
        yield
        return
    guard = _of_this_process()
    guard.add(f"group:{leader}")
    try:
        yield
    finally:
        guard.remove(f"group:{leader}")


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """End a forked child that leaves this block: it would go on as a second molvae."""
    owner = os.getpid()
    status = 1
    try:
        yield
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        if os.getpid() != owner:
            os._exit(status)


def kill_group(leader: int) -> None:
    """End a process and the group that it leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if _WORKS_HERE:
            os.killpg(leader, signal.SIGKILL)
        else:
            os.kill(leader, signal.SIGTERM)  # on Windows this ends it at once


def kill_marked(mark: str) -> None:
    """End all processes whose mark begins with this text; only on Linux."""
    for _ in range(MAX_SWEEPS):
        found = _marked_processes(mark)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def ended(pid: int, *, wait: bool = False) -> bool:
    """Whether a child of this process has ended, without reaping it; `wait` until it has.

    Until it is reaped no other process gets its pid, by which its group can be ended.
    """
    if not hasattr(os, "waitid"):
        return False
    options = os.WEXITED | os.WNOWAIT | (0 if wait else os.WNOHANG)
    try:
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:  # somebody has reaped it
        return True


def signal_name(number: int) -> str:
    """The name of a signal: SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _marked_processes(mark: str) -> list[int]:
    variable = f"{MARK_VARIABLE}={mark}".encode()
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
            if pid != os.getpid() and any(one.startswith(variable) for one in variables):
                found.append(pid)
    return found


def _watch(owner: int) -> None:
    """Be the guard: keep the register, wait for the owner's end, end what is registered."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    registered, rest = b"", b""
    while True:
        if select.select([0], [], [], POLL_SECONDS)[0]:
            data = os.read(0, 65_536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            if b"quit" in lines:
                return
            registered = [registered, *lines][-1]
        elif os.getppid() != owner:
            break
    for what in registered.decode().split():
        kind, _, which = what.partition(":")
        if kind == "group":
            kill_group(int(which))
        else:
            kill_marked(which)


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
