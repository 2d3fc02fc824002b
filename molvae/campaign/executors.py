"""Executors that call objectives: in this process, in worker processes, on a cluster.

A user's executor is anything with `submit(function, *arguments)` whose result has `result()`, such
as those of `concurrent.futures`, `mpi4py.futures`, submitit and Dask. The executors here load the
objectives once, before the first call, and can cancel a call that hangs by ending its process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing import Pipe, get_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from molvae.campaign.evaluation import (
    EvaluationResult,
    EvaluationTask,
    LostCallError,
    evaluate,
)
from molvae.campaign.transport import packed
from molvae.campaign.worker import Reply, main
from molvae.errors import MachineError, MolvaeError, ObjectiveError, ProcessDiedError, require
from molvae.objectives.interrupts import get
from molvae.objectives.process_guard import ended, grouped, kill_group, marked, signal_name

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

POLL_SECONDS = 0.1
"""Time between two looks at whether a process that has not answered is alive."""

LEAVE_SECONDS = 5.0
"""Time that an idle process is given to end by itself."""


class Pending(Protocol):
    """A submitted call.

    It may have `add_done_callback(function)`; `cancel()`; `began`, the time by `time.monotonic` at
    which it began, from which its timeout counts, or None; and `worker`, its worker's name.
    """

    def result(self) -> Any:
        """Wait for the result; raises the error of the call."""
        ...


class Executor(Protocol):
    """Makes calls elsewhere."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Pending:
        """Begin a call."""
        ...


class Caller(Protocol):
    """Scores molecules, several at once.

    An error of a call's result is no outcome: a `ProcessDiedError` may be due to its molecules,
    another `MolvaeError` stops the campaign, and after anything else they are called again.
    """

    def capacity(self) -> int:
        """The number of calls that can run at once now."""
        ...

    def call(self, smiles: Sequence[str]) -> Pending:
        """Begin to score molecules; the result is a list with an `EvaluationResult` for each."""
        ...

    def set_aside(self, worker: str, reason: str) -> bool:
        """Give a worker no more calls; False if that is impossible, or no other is left."""
        ...


class SerialExecutor:
    """Calls in this process, one at a time, at once."""

    def __init__(self, calls: Sequence[EvaluationTask]) -> None:
        self._calls = calls

    def capacity(self) -> int:
        """One: calls block."""
        return 1

    def call(self, smiles: Sequence[str]) -> Pending:
        """Score molecules at once; the result holds an error that is raised."""
        future: Future[list[EvaluationResult]] = Future()
        try:
            future.set_result(evaluate(self._calls, smiles))
        except (Exception, SystemExit, GeneratorExit) as error:
            future.set_exception(error)
        return future

    def set_aside(self, worker: str, reason: str) -> bool:
        """False: there is one worker."""
        return False


class UserExecutor:
    """Calls by a user's executor."""

    def __init__(self, calls: Sequence[EvaluationTask], executor: Executor, workers: int) -> None:
        self._calls, self._executor, self._workers = calls, executor, workers

    def capacity(self) -> int:
        """The number of workers that the user has given."""
        return self._workers

    def call(self, smiles: Sequence[str]) -> Pending:
        """Submit a call."""
        return self._executor.submit(evaluate, self._calls, smiles)

    def set_aside(self, worker: str, reason: str) -> bool:
        """False: the executor chooses the worker."""
        return False


class _Task(Future[list[EvaluationResult]]):
    """A call that is queued for a process or runs in one."""

    def __init__(self, smiles: Sequence[str]) -> None:
        super().__init__()
        self.smiles = list(smiles)
        self.began: float | None = None
        self.process: _Process | None = None
        self.worker: str | None = None

    def cancel(self) -> bool:
        """Cancel the call; the process that it runs in is ended."""
        if not super().cancel() and self.process is not None and not self.done():
            self.process.kill()
        return True


class ProcessExecutor:
    """Worker processes on this machine; a process that dies is replaced.

    Raises:
        ObjectiveError: The objectives cannot be sent to a process, or not be loaded there.
    """

    def __init__(self, calls: Sequence[EvaluationTask], workers: int) -> None:
        require(workers >= 1, f"workers must be at least 1, got {workers}")
        self._payload = packed(calls)
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._processes: set[_Process] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._set_aside = set[str]()
        loaded: SimpleQueue[MolvaeError | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, args=(f"worker {n}", loaded), daemon=True)
            for n in range(1, workers + 1)
        ]
        try:
            for thread in self._threads:
                thread.start()
            refused = get(loaded)
        except BaseException:
            self.close(now=True)
            raise
        if refused is not None:
            self.close(now=True)
            raise refused

    def capacity(self) -> int:
        """The number of processes."""
        return len(self._threads) - len(self._set_aside)

    def call(self, smiles: Sequence[str]) -> Pending:
        """Hand molecules to the next free process; `cancel()` ends that process."""
        task = _Task(smiles)
        self._tasks.put(task)
        return task

    def set_aside(self, worker: str, reason: str) -> bool:
        """Give a process no more calls; False if it is the last one."""
        if self.capacity() > 1:
            self._set_aside.add(worker)
        return worker in self._set_aside

    def close(self, *, now: bool = False) -> None:
        """End all processes; with `now` also those that are at work."""
        with self._lock:
            self._closing = True
            processes = list(self._processes)
        if now:
            for process in processes:
                process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * LEAVE_SECONDS)

    def _serve(self, name: str, loaded: SimpleQueue[MolvaeError | None]) -> None:
        """Run one process, and give it one task after the other."""
        process = None
        try:
            process = self._started()
            loaded.put(None)
        except MolvaeError as error:
            loaded.put(error)
        while (task := self._tasks.get()) is not None:
            if name in self._set_aside:
                self._tasks.put(task)
                break
            if not task.set_running_or_notify_cancel():
                continue
            try:
                if process is None or process.has_ended():
                    process = self._replaced(process)
                task.process, task.worker, task.began = process, name, time.monotonic()
                kind, content = process.ask(task.smiles)
                if isinstance(content, ProcessDiedError):  # it is about to end
                    raise content
            except MolvaeError as error:
                self._forgotten(process)
                process = None
                task.set_exception(error)
            else:
                if kind == "scored":
                    task.set_result(content)
                else:
                    task.set_exception(LostCallError(content) if kind == "lost" else content)
        if process is not None:
            process.leave()
            self._forgotten(process)

    def _started(self) -> _Process:
        with self._lock:
            if self._closing:
                raise MachineError("no new processes are started any more")
            process = _Process()
            self._processes.add(process)
        try:
            process.load(self._payload)
        except MolvaeError:
            self._forgotten(process)
            raise
        return process

    def _replaced(self, process: _Process | None) -> _Process:
        self._forgotten(process)
        return self._started()

    def _forgotten(self, process: _Process | None) -> None:
        if process is not None:
            process.kill()
            process.reap()
            with self._lock:
                self._processes.discard(process)


class _Process:
    """A process that calls objectives, in a process group with all that they start."""

    def __init__(self) -> None:
        self._connection, there = Pipe()
        self._number = 0
        """Number of the last task."""
        self._stack = contextlib.ExitStack()
        with there:
            try:
                self.pid, self._status = _begun(there)
            except OSError as error:
                raise MachineError(f"cannot start a process: {error.strerror}") from error
        self._stack.enter_context(grouped(self.pid))

    def load(self, payload: bytes) -> None:
        """Load the objectives in the process.

        Raises:
            ObjectiveError: The process cannot load them.
            MachineError: The process died meanwhile.
        """
        try:
            self._send(payload)
            kind, content = self._answer()
        except ProcessDiedError as error:
            raise MachineError(f"{error} while it loaded the objective") from error
        if kind == "refused":
            raise ObjectiveError(
                f"a worker process cannot load the objective: {content}; what it needs must be "
                "found there by import, or go on without workers and timeout"
            )

    def ask(self, smiles: Sequence[str]) -> tuple[str, Any]:
        """Score molecules in the process; returns the kind of the reply and its content.

        Raises:
            ProcessDiedError: The process died meanwhile.
        """
        self._number += 1
        self._send((self._number, smiles))
        return self._answer()

    def _send(self, content: Any) -> None:
        with contextlib.suppress(OSError):  # it has died, which `_answer` finds
            self._connection.send(content)

    def _answer(self) -> tuple[str, Any]:
        try:
            while True:
                if self._connection.poll(POLL_SECONDS):
                    reply: Reply = self._connection.recv()
                    if reply[0] == self._number:  # drop what was not asked for
                        return reply[1:]
                elif self.has_ended() and not self._connection.poll(0):
                    break
        except (EOFError, OSError):  # it is ending
            ends = time.monotonic() + LEAVE_SECONDS
            while not self.has_ended() and time.monotonic() < ends:
                time.sleep(0.01)
        self.kill()
        raise ProcessDiedError(f"the process died ({_exit(self.reap())})")

    def has_ended(self) -> bool:
        """Whether the process has ended; where possible it is not reaped."""
        if hasattr(os, "waitid"):
            return ended(self.pid)
        try:
            return self._status(0) is not None
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """End the process and its group."""
        if not self._connection.closed:
            kill_group(self.pid)

    def leave(self) -> None:
        """Let the process end by itself."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._status(LEAVE_SECONDS)
        kill_group(self.pid)

    def reap(self) -> int | None:
        """The exit status of the process; waits for its end."""
        self._stack.close()
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._status(LEAVE_SECONDS)
        return None


def _begun(connection: Connection) -> tuple[int, Callable[[float], int | None]]:
    """Start a worker process; returns its pid, and a function that waits for its exit status."""
    if os.name != "posix":
        # Here this imports the user's script: there is no other way to hand over a pipe.
        process = get_context("spawn").Process(target=main, args=(connection,), daemon=True)
        process.start()

        def status(seconds: float) -> int | None:
            process.join(seconds)
            return process.exitcode

        return process.pid or 0, status
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from multiprocessing.connection import Connection\n"
        f"from molvae.campaign.worker import main\nmain(Connection({connection.fileno()}))"
    )
    popen = subprocess.Popen(
        [sys.executable, *subprocess._args_from_interpreter_flags(), "-c", code],  # type: ignore[attr-defined]
        stdin=subprocess.DEVNULL,
        pass_fds=(connection.fileno(),),
        start_new_session=True,
    )
    return popen.pid, popen.wait


def _exit(status: int | None) -> str:
    if status is None:
        return "it does not end"
    return signal_name(-status) if status < 0 else f"exit status {status}"


@contextlib.contextmanager
def make_executor(
    calls: Sequence[EvaluationTask],
    workers: int,
    dask: str | None,
    executor: Executor | None = None,
) -> Iterator[Caller]:
    """Make the executor for a campaign's settings, see `Campaign.run`, and close it in the end.

    Raises:
        ObjectiveError: The objectives cannot be sent to workers, or not be loaded there.
        CampaignError: There is no such cluster.
    """
    require(workers >= 0, f"workers must not be negative, got {workers}")
    if executor is not None:
        yield UserExecutor(calls, executor, workers)
    elif dask is not None:
        from molvae.campaign.dask_executor import DaskExecutor

        with contextlib.closing(DaskExecutor(dask, calls)) as cluster:
            yield cluster
    elif not workers:
        yield SerialExecutor(calls)
    else:
        with marked():
            processes = ProcessExecutor(calls, workers)
            try:
                yield processes
            except BaseException:
                processes.close(now=True)
                raise
            processes.close()


__all__ = [
    "Caller",
    "Executor",
    "Pending",
    "ProcessExecutor",
    "SerialExecutor",
    "UserExecutor",
    "make_executor",
]
