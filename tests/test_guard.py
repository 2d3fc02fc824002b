"""`process_guard`: processes started here are ended when this process is killed, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from molvae.objectives import process_guard as _guard
from molvae.objectives.process_guard import MARK_VARIABLE, grouped, kill_marked, marked, signal_name
from tests.processes import alive, until, written_pid

ROOT = Path(__file__).parents[1]


def test_marked_sets_one_mark_for_all_threads() -> None:
    with marked() as first, marked() as second:
        assert first == second == os.environ[MARK_VARIABLE]
        others: list[str] = []

        def other() -> None:
            with marked() as mark:
                others.append(mark)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert others == [first]
        assert os.environ[MARK_VARIABLE] == first
    assert MARK_VARIABLE not in os.environ


def test_marked_restores_the_mark_of_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK_VARIABLE, "parent")
    with marked() as mark:
        assert os.environ[MARK_VARIABLE] == mark != "parent"
    assert os.environ[MARK_VARIABLE] == "parent"


def test_kill_marked_ends_processes_of_every_session() -> None:
    with marked() as mark:
        children = [
            subprocess.Popen(
                ["sleep", "3600"], start_new_session=session, env={MARK_VARIABLE: f"{mark}.{name}"}
            )
            for name, session in (("a.", False), ("a.", True), ("b.", True))
        ]
    try:
        kill_marked(f"{mark}.a.")
        assert [child.wait(60) for child in children[:2]] == [-signal.SIGKILL] * 2
        assert alive(children[2].pid)
    finally:
        for child in children:
            child.kill()
            child.wait()


OWNER = """
import os, subprocess, sys, time
from pathlib import Path
from molvae.objectives.process_guard import grouped, marked
def start(name, **settings):
    child = subprocess.Popen(["sleep", "3600"], **settings)
    Path(sys.argv[1], name).write_text(f"{child.pid}\\n")
    return child
with marked():
    start("marked", start_new_session=True)
start("unmarked", start_new_session=True)
with grouped(start("grouped", start_new_session=True, env={}).pid):
    with marked():
        if sys.argv[2] == "forked":
            if os.fork() == 0:  # which holds the guard's pipe open
                time.sleep(3600)
        Path(sys.argv[1], "ready").write_text(f"{os.getpid()}\\n")
        if sys.argv[2] != "ends":
            time.sleep(3600)
"""


@pytest.mark.parametrize("how", ["killed", "forked", "ends"])
def test_process_guard_ends_children_of_a_killed_process(tmp_path: Path, how: str) -> None:
    words = [sys.executable, "-c", OWNER, str(tmp_path), how]
    with subprocess.Popen(words, cwd=ROOT, start_new_session=True) as owner:
        written_pid(tmp_path / "ready")
        if how == "ends":
            assert owner.wait(60) == 0
        else:
            owner.kill()
    pids = {name: written_pid(tmp_path / name) for name in ("marked", "unmarked", "grouped")}
    try:
        if how == "ends":
            assert all(map(alive, pids.values()))
        else:
            until(lambda: not alive(pids["marked"]) and not alive(pids["grouped"]))
            assert alive(pids["unmarked"])
    finally:
        for pid in pids.values():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        if how == "forked":
            os.killpg(owner.pid, signal.SIGKILL)


def test_process_guard_killed_is_replaced() -> None:
    with marked():
        guard = _guard._of_this_process()
        first = guard._process
        assert first is not None
        first.kill()
        first.wait()
        with grouped(2**22 + 1):  # no process has this number
            assert guard._process is not None
            assert guard._process.pid != first.pid
            assert guard._process.poll() is None


def test_signal_name_gives_the_name_or_number() -> None:
    assert [signal_name(n) for n in (9, 15, 35)] == ["SIGKILL", "SIGTERM", "signal 35"]
