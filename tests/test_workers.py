"""Worker processes: which objectives can be sent, which results return, and how processes end.

Objectives are defined in functions, so that nothing here could be imported by a worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from molvae.campaign.evaluation import EvaluationResult, EvaluationTask, LostCallError, evaluate
from molvae.campaign.executors import ProcessExecutor, make_executor
from molvae.campaign.transport import packed, unpacked
from molvae.errors import CampaignError, MachineError, ObjectiveError, ProcessDiedError
from molvae.objectives.printing import process_prints_to_stderr
from molvae.objectives.process_guard import MARK_VARIABLE
from tests.processes import alive, until, written_pid

ROOT = Path(__file__).parents[1]


def objective(function: Callable[[str], Any], **attributes: Any) -> Any:
    """One that is called with a list, of a class that no worker can import."""

    class Local:
        name, direction = "y", "maximize"

        def __init__(self) -> None:
            self.function = function

        def __call__(self, smiles: Sequence[str]) -> list[Any]:
            return [self.function(one) for one in smiles]

    made = Local()
    vars(made).update(attributes)
    return made


def calls(function: Callable[[str], Any], **attributes: Any) -> list[EvaluationTask]:
    return [EvaluationTask(objective=objective(function, **attributes), names=("y",))]


def deadly(smiles: str) -> float:
    """The molecule says what it does to its process."""
    match smiles:
        case "exit 0":
            os._exit(0)
        case "exit 17":
            os._exit(17)
        case "C's exit":
            ctypes.CDLL(None).exit(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sys.exit":
            sys.exit(3)
        case "Ctrl-C":
            raise KeyboardInterrupt
        case "segmentation fault":
            ctypes.string_at(0)
    return float(len(smiles))


deadly.__module__ = "__main__"  # by value


@pytest.fixture
def deadly_worker() -> Iterator[ProcessExecutor]:
    with make_executor(calls(deadly), 1, None) as caller:
        assert isinstance(caller, ProcessExecutor)
        yield caller


@pytest.mark.parametrize("attribute", [lambda: 1, sys.stdout.__class__, {1: [2]}])
def test_packed_objective_pickled_by_value_scores(attribute: Any) -> None:
    (scored,) = unpacked(packed(calls(lambda smiles: 2.5, attribute=attribute)))(["CCO"])
    assert scored == EvaluationResult(values={"y": 2.5})


@pytest.mark.parametrize(
    "attribute",
    [threading.Lock(), (n for n in "abc"), sys.stderr, sys._getframe()],
    ids=["lock", "generator", "open file", "frame"],
)
def test_make_executor_with_an_unpicklable_objective_raises(attribute: Any) -> None:
    with (
        pytest.raises(ObjectiveError, match=r"^objective 'y' cannot be sent to other processes: "),
        make_executor(calls(len, attribute=attribute), 2, None),
    ):
        raise AssertionError


class Missing:
    """Is pickled as something of a module that is nowhere."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _imported, ("no_such_module_at_all",)


def _imported(name: str) -> Any:
    return __import__(name)


_imported.__module__ = "__main__"


def test_make_executor_with_an_objective_workers_cannot_load_raises() -> None:
    with (
        pytest.raises(ObjectiveError, match=r"cannot load the objective: ModuleNotFoundError"),
        make_executor(calls(len, attribute=Missing()), 2, None),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("molecule", "reason"),
    [
        ("exit 0", "exit status 0"),
        ("exit 17", "exit status 17"),
        ("C's exit", "exit status 0"),
        ("killed", "SIGKILL"),
        ("sys.exit", "SystemExit: 3"),
        ("Ctrl-C", "KeyboardInterrupt"),
        ("segmentation fault", "SIGSEGV"),
    ],
)
def test_executor_call_with_a_dying_process_raises_and_replaces_the_process(
    deadly_worker: ProcessExecutor, molecule: str, reason: str
) -> None:
    with pytest.raises(ProcessDiedError, match=rf"^the process died \({reason}\)$"):
        deadly_worker.call([molecule]).result()
    assert deadly_worker.call(["CCO"]).result() == [EvaluationResult(values={"y": 3.0})]


def test_executor_replaces_a_process_that_died_between_calls(
    deadly_worker: ProcessExecutor,
) -> None:
    (process,) = deadly_worker._processes
    os.kill(process.pid, signal.SIGKILL)
    until(process.has_ended)
    assert deadly_worker.call(["CCO"]).result() == [EvaluationResult(values={"y": 3.0})]


def test_executor_set_aside_process_gets_no_calls_unless_the_last() -> None:
    with make_executor(calls(lambda smiles: os.getpid()), 2, None) as caller:
        first: Any = caller.call(["C"])
        pid, worker = first.result()[0].values["y"], first.worker
        assert caller.set_aside(worker, "broken")
        assert caller.capacity() == 1
        later: list[Any] = [caller.call(["C"]) for _ in range(4)]
        assert pid not in {one.result()[0].values["y"] for one in later}
        assert not caller.set_aside(later[0].worker, "broken as well")


def forks(smiles: str) -> float:
    """In a forked child: another value, an error, or an end by itself."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return float(len(smiles))
    if smiles == "raises":
        raise FileNotFoundError(smiles)
    if smiles == "exits":
        sys.exit(5)
    return -1.0


forks.__module__ = "__main__"


@pytest.mark.parametrize("workers", [0, 1])
def test_executor_takes_results_of_the_called_process_only(workers: int) -> None:
    with make_executor(calls(forks), workers, None) as caller:
        for smiles in ("CCO", "raises", "exits", "C", "CC"):
            (scored,) = caller.call([smiles]).result()
            assert scored.values == {"y": float(len(smiles))}


def test_executor_drops_unexpected_results() -> None:
    import gc
    from multiprocessing.connection import Connection

    def talks(smiles: str) -> float:
        for one in gc.get_objects():
            if isinstance(one, Connection):
                one.send((0, "scored", None))
        return float(len(smiles))

    with make_executor(calls(talks), 1, None) as caller:
        values = [caller.call(["C" * n]).result()[0].values["y"] for n in (1, 2, 3)]
    assert values == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), ConnectionRefusedError(111, "no")])
def test_executor_call_with_an_os_error_raises_lost_call_error(
    error: OSError, workers: int
) -> None:
    def breaks(smiles: str) -> float:
        raise error

    with (
        make_executor(calls(breaks), workers, None) as caller,
        pytest.raises(LostCallError, match=error.strerror),
    ):
        caller.call(["C"]).result()


@pytest.mark.parametrize("close", ["sys.stdout.close()", "sys.stdout = sys.stderr = None"])
def test_evaluate_keeps_standard_streams_open(close: str) -> None:
    def closes(smiles: str) -> float:
        exec(close, {"sys": sys})
        print("still here")
        return 1.0

    before = sys.stdout, sys.stderr
    with process_prints_to_stderr():
        assert evaluate(calls(closes), ["C"])
        print("and here")
    assert (sys.stdout, sys.stderr) == before
    assert not any(stream.closed for stream in before)


def test_executor_loads_the_objective_once_and_keeps_its_state() -> None:
    seen: list[str] = []

    def count(smiles: str) -> float:
        seen.append(smiles)
        return float(len(seen))

    with make_executor(calls(count), 1, None) as caller:
        assert [caller.call(["C"]).result()[0].values["y"] for _ in range(3)] == [1.0, 2.0, 3.0]
    assert seen == []


def test_executor_call_passes_on_machine_errors_with_their_class() -> None:
    class NoLicenceError(MachineError):
        pass

    def refuse(smiles: str) -> float:
        raise {"a": CampaignError, "b": NoLicenceError}[smiles]("no licence")

    with make_executor(calls(refuse), 1, None) as caller:
        for smiles, kind in (("a", CampaignError), ("b", MachineError)):
            with pytest.raises(kind, match=r"^no licence$") as caught:
                caller.call([smiles]).result()
            assert type(caught.value) is kind


def test_executor_sends_prints_of_objectives_to_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def talk(smiles: str) -> float:
        print("python")
        os.system("echo a program")
        os.write(1, b"C\n")
        return 1.0

    with make_executor(calls(talk), 1, None) as caller:
        caller.call(["C"]).result()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert {"python", "a program", "C"} <= set(captured.err.splitlines())


def starts_children(folder: str) -> float:
    """One in the group of its process, one in a session of its own; neither would ever end."""
    for name, session in (("child", False), ("stray", True)):
        child = subprocess.Popen(["sleep", "3600"], start_new_session=session)
        Path(folder, name).write_text(f"{child.pid}\n")
    time.sleep(3600)
    return 0.0


starts_children.__module__ = "__main__"


def test_executor_call_cancelled_leaves_no_process(tmp_path: Path) -> None:
    with make_executor(calls(starts_children), 1, None) as caller:
        pending: Any = caller.call([str(tmp_path)])
        pids = [written_pid(tmp_path / name) for name in ("child", "stray")]
        assert pending.began is not None
        pending.cancel()
        with pytest.raises(ProcessDiedError):
            pending.result()
        for pid in pids:
            until(lambda pid=pid: not alive(pid))


def test_executor_interrupted_leaves_no_process(tmp_path: Path) -> None:
    pids = []

    def interrupted() -> None:
        with make_executor(calls(starts_children), 1, None) as caller:
            caller.call([str(tmp_path)])
            pids.extend(written_pid(tmp_path / name) for name in ("child", "stray"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for pid in pids:
        until(lambda pid=pid: not alive(pid))
    assert MARK_VARIABLE not in os.environ


@pytest.mark.parametrize("workers", [0, 1])
def test_executor_of_a_killed_process_leaves_no_process(tmp_path: Path, workers: int) -> None:
    code = (
        "from tests.test_workers import *\n"
        f"with make_executor(calls(starts_children), {workers}, None) as caller:\n"
        f"    caller.call([{str(tmp_path)!r}]).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as campaign:
        pids = [written_pid(tmp_path / name) for name in ("child", "stray")]
        campaign.kill()
    for pid in pids:
        until(lambda pid=pid: not alive(pid))


def test_executor_in_a_script_from_standard_input_needs_no_main_guard() -> None:
    code = (
        "from molvae.campaign.evaluation import EvaluationTask\n"
        "from molvae.campaign.executors import make_executor\n"
        "import molvae\n"
        "@molvae.objective('atoms')\n"
        "def atoms(mol): return mol.GetNumAtoms()\n"
        "task = EvaluationTask(objective=atoms, names=('atoms',))\n"
        "with make_executor([task], 1, None) as caller:\n"
        "    print(caller.call(['CCO']).result()[0].values)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.stdout, done.returncode) == ("{'atoms': 3.0}\n", 0), done.stderr
