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

POLL_SECONDS = 0.1  # time between two looks at whether a process that has not answered is alive
LEAVE_SECONDS = 5.0  # time that an idle process is given to end by itself


class CallFuture(Protocol):
    """The future result of a submitted call, as a `concurrent.futures.Future`.

    It may have `add_done_callback(function)`; `cancel()`; `began`, the time by `time.monotonic` at
    which it began, from which its timeout counts, or None; and `worker`, its worker's name.
    """

    def result(self) -> Any:
        """Wait for the result; raises the error of the call."""
        ...


class Executor(Protocol):
    """Makes calls elsewhere."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> CallFuture:
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

    def call(self, smiles: Sequence[str], fidelity: str = "") -> CallFuture:
        """Begin to score molecules at a fidelity; the result has an `EvaluationResult` for each."""
        ...

    def set_aside(self, worker: str, reason: str) -> bool:
        """Give a worker no more calls; False if that is impossible, or no other is left."""
        ...


class _SerialExecutor:
    """Calls in this process, at once."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> CallFuture:
        """Call; the result holds an error that is raised."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except (Exception, SystemExit, GeneratorExit) as error:
            future.set_exception(error)
        return future


class ExecutorCaller:
    """Calls by an executor with so many workers."""

    def __init__(self, calls: Sequence[EvaluationTask], executor: Executor, workers: int) -> None:
        self._calls, self._executor, self._workers = calls, executor, workers

    def capacity(self) -> int:
        """The number of workers."""
        return self._workers

    def call(self, smiles: Sequence[str], fidelity: str = "") -> CallFuture:
        """Submit a call."""
        return self._executor.submit(evaluate, self._calls, smiles, fidelity)

    def set_aside(self, worker: str, reason: str) -> bool:
        """False: the executor chooses the worker."""
        return False


class _Task(Future[list[EvaluationResult]]):
    """A call that is queued for a process or runs in one."""

    def __init__(self, smiles: Sequence[str], fidelity: str) -> None:
        super().__init__()
        self.arguments = list(smiles), fidelity
        self.began: float | None = None
        self.process: _Process | None = None
        self.worker: str | None = None

    def cancel(self) -> bool:
        """Cancel the call; the process that it runs in is ended."""
        if not super().cancel() and self.process is not None and not self.done():
            self.process.kill()
        return True


class ProcessExecutor:
    """Worker processes on this machine; a process that dies is replaced."""

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
            if (refused := get(loaded)) is not None:
                raise refused
        except BaseException:
            self.close(now=True)
            raise

    def capacity(self) -> int:
        """The number of processes."""
        return len(self._threads) - len(self._set_aside)

    def call(self, smiles: Sequence[str], fidelity: str = "") -> CallFuture:
        """Hand molecules to the next free process; `cancel()` ends that process."""
        task = _Task(smiles, fidelity)
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
                    self._end(process)
                    process = self._started()
                task.process, task.worker, task.began = process, name, time.monotonic()
                task.set_result(process.ask(*task.arguments))
            except LostCallError as error:
                task.set_exception(error)
            except MolvaeError as error:
                self._end(process)
                process = None
                task.set_exception(error)
        if process is not None:
            process.leave()
        self._end(process)

    def _started(self) -> _Process:
        with self._lock:
            if self._closing:
                raise MachineError("no new processes are started any more")
            process = _Process()
            self._processes.add(process)
        try:
            process.load(self._payload)
        except MolvaeError:
            self._end(process)
            raise
        return process

    def _end(self, process: _Process | None) -> None:
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
        """Load the objectives in the process."""
        try:
            refused = self._reply_to(payload)
        except ProcessDiedError as error:
            raise MachineError(f"{error} while it loaded the objective") from error
        if refused:
            raise ObjectiveError(
                f"a worker process cannot load the objective: {refused}; what it needs must be "
                "found there by import, or go on without workers and timeout"
            )

    def ask(self, smiles: Sequence[str], fidelity: str = "") -> list[EvaluationResult]:
        """Score molecules in the process, as `evaluate`; raises `ProcessDiedError` if it dies."""
        self._number += 1
        found: list[EvaluationResult] | BaseException = self._reply_to(
            (self._number, (smiles, fidelity))
        )
        if isinstance(found, BaseException):
            raise found
        return found

    def _reply_to(self, content: Any) -> Any:
        try:
            with contextlib.suppress(OSError):  # it has died, which is found below
                self._connection.send(content)
            while True:
                if self._connection.poll(POLL_SECONDS):
                    reply: Reply = self._connection.recv()
                    if reply[0] == self._number:  # drop what was not asked for
                        return reply[1]
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
        return self._wait(0) is not None

    def kill(self) -> None:
        """End the process and its group."""
        if not self._connection.closed:
            kill_group(self.pid)

    def leave(self) -> None:
        """Let the process end by itself."""
        self._connection.close()
        self._wait(LEAVE_SECONDS)
        kill_group(self.pid)

    def reap(self) -> int | None:
        """The exit status of the process; waits for its end."""
        self._stack.close()
        self._connection.close()
        return self._wait(LEAVE_SECONDS)

    def _wait(self, seconds: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._status(seconds)
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
    """Make the executor for a campaign's settings, see `Campaign.run`, and close it in the end."""
    require(workers >= 0, f"workers must not be negative, got {workers}")
    if executor is not None:
        yield ExecutorCaller(calls, executor, workers)
    elif dask is not None:
        from molvae.campaign.dask_executor import DaskExecutor

        with contextlib.closing(DaskExecutor(dask, calls)) as cluster:
            yield cluster
    elif not workers:
        yield ExecutorCaller(calls, _SerialExecutor(), 1)
    else:
        with marked():
            processes = ProcessExecutor(calls, workers)
            try:
                yield processes
            except BaseException:
                processes.close(now=True)
                raise
            processes.close()
