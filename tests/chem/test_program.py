from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

import pytest

from molvae.chem.objective import get_objective
from molvae.chem.program import Program, understood
from molvae.errors import ConfigError, ObjectiveError

PYTHON = sys.executable


def program(code: str, *arguments: str, **settings: object) -> Program:
    words = " ".join([PYTHON, "-c", f'"{code}"', *arguments])
    defaults = {"name": "p", "direction": "maximise", "command": words}
    return Program(**(defaults | settings))  # type: ignore[arg-type]


LENGTHS = "import sys; [print(len(line.strip())) for line in sys.stdin]"


def test_a_molecule_as_an_argument() -> None:
    scored = program("import sys; print('noise'); print(len(sys.argv[1]))", "{smiles}")
    assert scored(["CCO", "C"]) == [3.0, 1.0]


def test_no_shell_reads_the_molecule(tmp_path: Path) -> None:
    scored = program("import sys; print(len(sys.argv[1]))", "{smiles}")
    evil = f"C;touch {tmp_path}/evil $(touch {tmp_path}/evil) C"
    assert scored([evil]) == [float(len(evil))]
    assert not (tmp_path / "evil").exists()


def test_molecules_on_standard_input() -> None:
    assert program(LENGTHS)(["CCO"]) == [3.0]
    assert program(LENGTHS, batch_size=2)(["CCO", "C"]) == [3.0, 1.0]
    with pytest.raises(ConfigError, match="takes one molecule, got batch_size 2"):
        program("", "{smiles}", batch_size=2)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("-7.25\n", [-7.25]),
        ("reading\n\nscore:\n1e-3\n\n", [0.001]),
        ('{"affinity": -7.5, "strain": null}', [{"affinity": -7.5, "strain": math.nan}]),
        ("smiles,affinity,pose\nCCO,-7,a.pdb\n", [{"affinity": -7.0, "pose": "a.pdb"}]),
        ("affinity,strain\n,1_000\n", [{"affinity": math.nan, "strain": "1_000"}]),
        ("false", [False]),
        ('{"affinity": true}', [{"affinity": True}]),
        ("affinity\tstrain\n-7\t2\n", [{"affinity": -7.0, "strain": 2.0}]),
        ("nan", [math.nan]),
    ],
)
def test_what_a_program_may_say(text: str, answers: list[object]) -> None:
    assert repr(understood(text, ["CCO"])) == repr(answers)


def test_rows_are_found_by_their_molecule() -> None:
    text = "smiles,y\nC,1\nCCO,2\n"
    assert understood(text, ["CCO", "C"]) == [{"y": 2.0}, {"y": 1.0}]
    assert understood('[1, {"y": 2}]', ["CCO", "C"]) == [1.0, {"y": 2.0}]
    assert understood("skip this\n1\n2", ["CCO", "C"]) == [1.0, 2.0]


@pytest.mark.parametrize("text", ["", "no number", "1\n2\n3 4", "[1, 2]"])
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number for each of 1 molecules, JSON or CSV"):
        understood(text, ["CCO"])


def test_failures_say_why_and_where_to_look(tmp_path: Path) -> None:
    code = "import sys; print('half', flush=True); print('no pocket', file=sys.stderr); sys.exit(4)"
    failing = program(code, "{smiles}", folder=str(tmp_path / "calls"))
    for call in (1, 2):  # the same molecule again
        with pytest.raises(ObjectiveError, match=r"ended with status 4: no pocket \(see .*calls"):
            failing(["CCO"])
        folders = sorted((tmp_path / "calls").iterdir())
        assert len(folders) == call
        assert (folders[-1] / "stderr.txt").read_text() == "no pocket\n"
        assert (folders[-1] / "stdout.txt").read_text() == "half\n"
        assert (folders[-1] / "molecules.smi").read_text() == "CCO\n"
    with pytest.raises(ObjectiveError, match="cannot run no-such-program: No such file"):
        Program(name="p", direction="maximise", command="no-such-program {smiles}")(["C"])
    with pytest.raises(ObjectiveError, match=r"expected a number .*got 'hello'"):
        program("print('hello')", "{smiles}")(["C"])


def test_it_runs_in_its_folder_but_files_are_found_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "score.py").write_text("open('out.pdb', 'w').write('x'); print(1.5)")
    monkeypatch.chdir(tmp_path)
    command = f"{PYTHON} score.py {{smiles}}"
    scored = Program(name="p", direction="maximise", command=command, folder="calls")
    assert scored(["CCO"]) == [1.5]
    assert [p.name for p in (tmp_path / "calls").glob("*/out.pdb")] == ["out.pdb"]


def test_what_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    """The program starts another one; both are gone afterwards."""
    code = (
        "import os, subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open('{tmp_path}/pid', 'w').write(str(child.pid)); time.sleep(600)"
    )
    with pytest.raises(ObjectiveError, match=r"no answer within 3 s$"):
        program(code, "{smiles}", timeout=3.0)(["C"])
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not alive(pid):
            return
        time.sleep(0.05)
    raise AssertionError("the child lives on")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except (OSError, IndexError):
        return False


def test_by_its_name() -> None:
    made = get_objective("command:dock.sh {smiles}", direction="minimise")
    assert isinstance(made, Program)
    assert (made.command, made.direction) == ("dock.sh {smiles}", "minimise")
    with pytest.raises(ObjectiveError, match="cannot be read: No closing quotation"):
        get_objective("command:dock.sh 'a")
    with pytest.raises(ConfigError, match="a command has words"):
        get_objective("command:")
