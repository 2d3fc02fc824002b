"""Standard output and error of commands, and how commands end at signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from shlex import split

import pytest
from rdkit import Chem

from molvae.campaign.campaign import Campaign
from molvae.cli import main
from tests.cli.conftest import Molvae
from tests.processes import alive, until, written_pid
from tests.toys import ToySpace

pytestmark = pytest.mark.usefixtures("interruptible")
OPTIMIZE = split(
    "optimize q.db --space toy --strategy random --start start.smi --batch 3 --plausibility none"
)


def statuses() -> list[str]:
    with Campaign.open("q.db") as campaign:
        return [trial.status for trial in campaign.trials]


def send_signal_when_written(file: Path, number: int) -> None:
    """Send this process a signal as soon as a file holds a number."""

    def send() -> None:
        written_pid(file)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


TALKS = """
import ctypes, os, subprocess
print("import")
class Talks:
    name = "length"
    def __init__(self):
        print("made")
    def __call__(self, smiles):
        print("python")
        os.system("echo shell")
        subprocess.run(["echo", "program"])
        ctypes.CDLL(None).puts(b"C")
        return [float(len(one)) for one in smiles]
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_optimize_sends_prints_of_the_objective_to_standard_error(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    workers: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace(str(name)))
    (tmp_path / "start.smi").write_text("\n".join(ToySpace().molecules[:60:10]))
    (tmp_path / "talks.py").write_text(TALKS)
    words = [*OPTIMIZE, "--objective", "talks:Talks", "--budget", "8", "--workers", str(workers)]
    capfd.readouterr()
    assert main(words) == 0
    captured = capfd.readouterr()
    header, *rows = captured.out.splitlines()
    assert header.startswith("rank\tid\tsmiles\t")
    assert [row.split("\t")[0] for row in rows] == [str(n) for n in range(1, 9)]
    said = captured.err.splitlines()
    assert {"import", "made", "python", "shell", "program", "C"} <= set(said)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"]
)
@pytest.mark.parametrize("workers", [0, 2])
def test_optimize_with_a_program_ends_at_once_by_signal(
    toy: Molvae, tmp_path: Path, number: int, status: int, workers: int
) -> None:
    (tmp_path / "dock.sh").write_text(
        f"sleep 3600 & echo $! > {tmp_path}/pid.$$; mv {tmp_path}/pid.$$ {tmp_path}/pid; wait\n"
    )
    send_signal_when_written(tmp_path / "pid", number)
    before = signal.getsignal(number)
    words = [*OPTIMIZE, "--objective", "affinity", "--command", "sh dock.sh {smiles}"]
    done = toy(*words, "--budget", 8, "--workers", workers)
    done.fails(status, "all values are in the campaign file")
    assert statuses() == ["pending"] * 6
    pid = written_pid(tmp_path / "pid")
    until(lambda: not alive(pid))
    assert signal.getsignal(number) is before


@pytest.mark.slow
def test_optimize_with_an_objective_calling_sys_exit_fails_in_one_line(
    toy: Molvae, tmp_path: Path
) -> None:
    (tmp_path / "ends.py").write_text("import sys\ndef f(smiles):\n    sys.exit(3)\n")
    words = [*OPTIMIZE, "--objective", "ends:f", "--budget", 8]
    toy(*words).fails(1, "SystemExit: 3", "pending")
    assert statuses() == ["pending"] * 6
    done = toy(*words, "--workers", 1)
    assert done.status == 1
    assert "SystemExit: 3" in done.err.splitlines()[-1]
    assert statuses() == ["pending"] * 6


def test_ui_command_ends_by_ctrl_c_after_an_rdkit_search(
    toy: Molvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: ThreadingHTTPServer) -> None:  # it serves, and waits again at once
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()

    monkeypatch.setattr(ThreadingHTTPServer, "service_actions", interrupt)
    assert toy(*OPTIMIZE, "--objective", "qed", "--budget", 6).status == 0
    Chem.MolFromSmiles("CCO").GetSubstructMatch(Chem.MolFromSmiles("CO"))
    assert toy("ui", "q.db", "--port", 0).status == 0


def test_optimize_after_equal_failures_stops_and_resumes_after_retry(
    toy: Molvae, tmp_path: Path
) -> None:
    (tmp_path / "flag").touch()
    (tmp_path / "licensed.py").write_text(
        "import os\n"
        "def f(smiles):\n"
        "    if 'CCC' in smiles and os.path.exists('flag'): raise OSError('no licence')\n"
        "    return len(smiles)\n"
    )
    words = [*OPTIMIZE, "--objective", "licensed:f", "--budget", 12]
    toy(*words).fails(1, "no licence", "the molecules", "--failures-in-a-row")
    assert "failed" not in statuses()
    done = toy(*words, "--failures-in-a-row", 0, "--max-failure-rate", 1)
    assert done.status == 0, done.err
    failed = statuses().count("failed")
    assert failed > 5
    assert len(toy("retry", "q.db", "--message", "licence").table) == failed
    (tmp_path / "flag").unlink()
    assert toy(*words).status == 0
    assert statuses() == ["complete"] * 12


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_optimize_keeps_undecodable_objective_names_as_escapes(toy: Molvae) -> None:
    name = os.fsdecode(b"aff\xffinity")
    words = [*OPTIMIZE, "--objective", name, "--command", "echo 1.5", "--allow-constant"]
    done = toy(*words, "--budget", 7)
    assert done.status == 0, done.err
    with Campaign.open("q.db", ToySpace()) as campaign:
        assert campaign.name == r"aff\udcffinity"
        assert [trial.values for trial in campaign.trials] == [{campaign.name: 1.5}] * 7
    assert toy(*words, "--budget", 8).status == 0
