"""`Program`: an external program as scoring function, its input, output, failures and limits."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import threading
from pathlib import Path

import pytest

from molvae.campaign.evaluation import EvaluationTask, evaluate
from molvae.errors import ConfigError, MachineError, ObjectiveError, ProcessDiedError
from molvae.objectives import child_processes as processes
from molvae.objectives.program import Program, parse_output, with_pattern
from molvae.objectives.registry import get_objective
from tests.processes import alive, until, written_pid

PYTHON = sys.executable


def program(code: str, *arguments: str, **settings: object) -> Program:
    words = " ".join([PYTHON, "-c", f'"{code}"', *arguments])
    defaults = {"name": "p", "direction": "maximize", "command": words}
    return Program(**(defaults | settings))  # type: ignore[arg-type]


LENGTHS = "import sys; [print(len(line.strip())) for line in sys.stdin]"


def test_program_gets_the_molecule_as_argument() -> None:
    scored = program("import sys; print('noise'); print(len(sys.argv[1]))", "{smiles}")
    assert scored(["CCO", "C"]) == [3.0, 1.0]


def test_program_argument_is_not_read_by_a_shell(tmp_path: Path) -> None:
    scored = program("import sys; print(len(sys.argv[1]))", "{smiles}")
    evil = f"C;touch {tmp_path}/evil $(touch {tmp_path}/evil) C"
    assert scored([evil]) == [float(len(evil))]
    assert not (tmp_path / "evil").exists()


def test_program_gets_molecules_on_standard_input() -> None:
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
        ("\ufeff-7.25\r\n", [-7.25]),
        (
            'Vina 1.2\n[info] ok\n{"affinity": -7.5,\n "strain": 2}',
            [{"affinity": -7.5, "strain": 2}],
        ),
        ("Vina, by T\n\n# ok\nsmiles,affinity\nCCO,-7\n", [{"affinity": -7.0}]),
        ("Program X\naffinity,strain\n-7,2\n", [{"affinity": -7.0, "strain": 2.0}]),
    ],
)
def test_parse_output_reads_numbers_json_and_csv(text: str, answers: list[object]) -> None:
    assert repr(parse_output(text, ["CCO"])) == repr(answers)


OUTPUT = "Vina\npose 1 Affinity: -7.25 (kcal/mol)\npose 2 Affinity: -8.5 (kcal/mol)\nbye"


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [
        (r"Affinity: (\S+)", -8.5),
        (r"^pose 1 Affinity: (\S+)", -7.25),
        (r"-7\.[0-9]+", -7.25),
        (r"pose (?P<pose>\d) Affinity: (?P<affinity>\S+)", {"pose": 2.0, "affinity": -8.5}),
    ],
)
def test_parse_output_with_pattern_finds_the_last_match(pattern: str, answer: object) -> None:
    assert parse_output(OUTPUT, ["CCO"], pattern=pattern) == [answer]


def test_parse_output_with_unmatched_pattern_raises_with_end_of_output() -> None:
    with pytest.raises(ValueError, match=r"'Energy: .*0 times for 1 molecules.*bye"):
        parse_output(OUTPUT, ["CCO"], pattern=r"Energy: (\S+)")
    assert parse_output("E 1\nE 2\nE 3", ["C", "CC"], pattern=r"E (\d)") == [2.0, 3.0]
    with pytest.raises(ConfigError, match="no regular expression"):
        Program(name="p", direction="maximize", command=with_pattern("dock", "("))


@pytest.mark.parametrize("keep", [False, True])
def test_program_gets_a_file_and_pattern_finds_the_value(tmp_path: Path, keep: bool) -> None:
    code = "import sys; t = open(sys.argv[1]).read(); print('len', t.count('C'), len(t), 'end')"
    command = with_pattern(f'{PYTHON} -c "{code}" {{file}}', r"len 2 (\d+)")
    folder = str(tmp_path / "calls") if keep else None
    made = Program(name="p", direction="maximize", command=command, folder=folder)
    assert made(["CCO"]) == [4.0]
    assert len(list(tmp_path.glob("calls/*/molecules.smi"))) == keep


def test_parse_output_finds_rows_by_molecule() -> None:
    text = "smiles,y\nC,1\nCCO,2\n"
    assert parse_output(text, ["CCO", "C"]) == [{"y": 2.0}, {"y": 1.0}]
    assert parse_output('[1, {"y": 2}]', ["CCO", "C"]) == [1.0, {"y": 2.0}]
    assert parse_output("skip this\n1\n2", ["CCO", "C"]) == [1.0, 2.0]


@pytest.mark.parametrize("text", ["", "no number", "1\n2\n3 4", "[1, 2]", "score 1.5\ndone in 3 s"])
def test_parse_output_of_unreadable_text_raises(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number, JSON or CSV on standard output"):
        parse_output(text, ["CCO"])
    with pytest.raises(ValueError, match="expected 9 numbers, one a line, JSON or CSV"):
        parse_output(text, ["CCO"] * 9)


def test_program_failure_raises_with_reason_and_log_folder(tmp_path: Path) -> None:
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
    with pytest.raises(ObjectiveError, match=r"cannot run no-such-program: No such file .*; give"):
        Program(name="p", direction="maximize", command="no-such-program {smiles}")(["C"])
    with pytest.raises(ObjectiveError, match=r"expected a number, .*got 'hello'"):
        program("print('hello')", "{smiles}")(["C"])


def test_program_runs_in_a_call_folder_with_files_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "score.py").write_text("open('out.pdb', 'w').write('x'); print(1.5)")
    monkeypatch.chdir(tmp_path)
    command = f"{PYTHON} score.py {{smiles}}"
    scored = Program(name="p", direction="maximize", command=command, folder="calls")
    assert scored(["CCO"]) == [1.5]
    assert [p.name for p in (tmp_path / "calls").glob("*/out.pdb")] == ["out.pdb"]


def shell(place: Path, script: str, **settings: object) -> Program:
    """A program that is a script of the shell, in which `$F` is a folder."""
    (place / "program.sh").write_text(f"F={place}\n{script}")
    return Program(
        name="p",
        direction="maximize",
        command=f"sh {place / 'program.sh'} {{smiles}}",
        **settings,  # type: ignore[arg-type]
    )


def wait_until_gone(pid: int) -> None:
    until(lambda: not alive(pid))


def test_program_with_a_background_child_returns_and_ends_the_child(tmp_path: Path) -> None:
    """The child holds the program's output open."""
    made = shell(tmp_path, "sleep 3600 & echo $! > $F/pid; echo 2.5")
    assert made(["C"]) == [2.5]
    wait_until_gone(written_pid(tmp_path / "pid"))


@pytest.mark.slow
def test_program_timing_out_is_ended_with_all_its_children(tmp_path: Path) -> None:
    started = "sleep 3600 & echo $! > $F/pid; setsid sleep 3600 & echo $! > $F/apart"
    made = shell(tmp_path, f"{started}; sleep 3600", timeout=3.0)
    with pytest.raises(ObjectiveError, match=r"^no answer within 3 s$"):
        made(["C"])
    for name in ("pid", "apart"):
        wait_until_gone(written_pid(tmp_path / name))


@pytest.mark.usefixtures("interruptible")
def test_program_interrupted_is_ended_with_its_children(tmp_path: Path) -> None:
    made = shell(tmp_path, "sleep 3600 & echo $! > $F/pid; sleep 3600")

    def interrupt() -> None:
        written_pid(tmp_path / "pid")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        made(["C"])
    wait_until_gone(written_pid(tmp_path / "pid"))


@pytest.mark.parametrize("script", ["kill -KILL $$", "kill -TERM $$", "exit 137"])
def test_program_killed_by_a_signal_raises_process_died_error(tmp_path: Path, script: str) -> None:
    with pytest.raises(ProcessDiedError, match=r"was killed \(SIG(KILL|TERM)\)$"):
        shell(tmp_path, script)(["C"])


def test_program_with_segmentation_fault_raises_objective_error(tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match="was ended by SIGSEGV: it said nothing") as caught:
        shell(tmp_path, "kill -SEGV $$")(["C"])
    assert type(caught.value) is ObjectiveError


def test_program_not_executable_raises_machine_error(tmp_path: Path) -> None:
    (tmp_path / "not-executable").write_text("x")
    (tmp_path / "calls").write_text("a file, and no folder")
    for command, folder in (
        ("no-such-program {smiles}", None),
        (f"{tmp_path / 'not-executable'} {{smiles}}", None),
        ("echo {smiles}", str(tmp_path / "calls")),
    ):
        made = Program(name="p", direction="maximize", command=command, folder=folder)
        with pytest.raises(MachineError, match=r"^cannot "):
            made(["C"])


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("false", "the objective returned False, not a number"),
        ("true", "the objective returned True, not a number"),
        ('{\\"p\\": false}', "the objective returned False, not a number"),
        ('[\\"1.5\\"]', "the objective returned '1.5', not a number"),
        ("p\\nFalse", "the objective returned 'False', not a number"),
        ("None", r"expected a number, .*got 'None'"),
        ("1_000", r"expected a number, .*got '1_000'"),
        ("", "expected a number, .*got ''"),
        ("[" * 50_000, "expected a number"),
        ("null", "^could not be scored$"),
        ("inf", "is infinite"),
    ],
)
def test_evaluate_program_output_other_than_numbers_fails(
    printed: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "answer").write_text(printed.encode().decode("unicode_escape"))
    made = shell(tmp_path, "cat $F/answer")
    (scored,) = evaluate([EvaluationTask(objective=made, names=("p",))], ["C"])  # type: ignore[arg-type]
    assert scored.values == {}
    assert re.search(message, scored.message)


def test_program_keeps_only_head_and_tail_of_long_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "KEPT_BYTES", 2_000)
    script = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo 7.5; head -c 300000 /dev/zero >&2"
    made = shell(tmp_path, script, folder=str(tmp_path / "calls"))
    assert made(["C"]) == [7.5]
    (folder,) = (tmp_path / "calls").iterdir()
    for name, begin, end in (("stdout.txt", "xxx", "x\n7.5\n"), ("stderr.txt", "\0", "\0")):
        text = (folder / name).read_text()
        assert len(text) < 2_100
        assert "bytes left out" in text
        assert text.startswith(begin)
        assert text.endswith(end)
    (tmp_path / "answer").write_text(json.dumps({"p": 1.5, "log": "x" * 5_000}))
    with pytest.raises(ObjectiveError, match="too much to be kept") as caught:
        shell(tmp_path, "cat $F/answer")(["C"])
    assert len(str(caught.value)) < 1_000


def test_program_with_endless_output_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_OUTPUT_BYTES", 1_000_000)
    for stream in ("", ">&2"):
        with pytest.raises(ObjectiveError, match="printed more than 1,000,000 bytes"):
            shell(tmp_path, f"yes {stream}")(["C"])


def test_program_error_of_binary_bytes_becomes_a_short_message(tmp_path: Path) -> None:
    (tmp_path / "error").write_bytes(b"\xff\xfe" * 100_000)
    with pytest.raises(ObjectiveError, match=r"ended with status 1: \\xff\\xfe") as caught:
        shell(tmp_path, "cat $F/error >&2; exit 1")(["C"])
    assert len(str(caught.value)) < 2_000
    assert str(caught.value).isascii()


def test_program_logs_replace_files_of_the_program_and_follow_no_link(
    tmp_path: Path,
) -> None:
    (tmp_path / "precious").write_text("data")
    script = "ln -s $F/precious stdout.txt; mkdir -p x; echo mine > stderr.txt; echo 1"
    assert shell(tmp_path, script, folder=str(tmp_path / "calls"))(["C"]) == [1.0]
    assert (tmp_path / "precious").read_text() == "data"
    (folder,) = (tmp_path / "calls").iterdir()
    assert (folder / "stdout.txt").read_text() == "1\n"
    assert not (folder / "stdout.txt").is_symlink()


def test_program_ignoring_its_input_gives_values() -> None:
    many = ["C" * 1_000] * 200
    code = "for n in range(200): print(n)"
    assert program(code, batch_size=200)(many) == [float(n) for n in range(200)]


def test_get_objective_of_a_command_gives_a_program() -> None:
    made = get_objective("command:dock.sh {smiles}", direction="minimize")
    assert isinstance(made, Program)
    assert (made.command, made.direction) == ("dock.sh {smiles}", "minimize")
    with pytest.raises(ObjectiveError, match="cannot be read: No closing quotation"):
        get_objective("command:dock.sh 'a")
    with pytest.raises(ConfigError, match="a command has words"):
        get_objective("command:")


@pytest.mark.parametrize("word", ["{SMILES}", "{smi}", "{mol}", "--in={infile}", "{filename}"])
def test_program_with_unknown_placeholder_raises_with_the_known_ones(word: str) -> None:
    with pytest.raises(ConfigError, match=r"stands for nothing; write \{smiles\} .* or \{file\}"):
        Program(name="p", direction="maximize", command=f"dock {word}")


@pytest.mark.parametrize("word", ["{print}", "${HOME}", "${mol}", "{}", "{file}", "{smiles}"])
def test_program_keeps_other_words_in_braces(word: str) -> None:
    assert Program(name="p", direction="maximize", command=f"dock '{word}'").command


def test_parse_output_finds_rows_by_molecule_in_any_case_and_form() -> None:
    for text in ("SMILES,y\nOCC,2\nC,1\n", '[{"Smiles": "OCC", "y": 2}, {"Smiles": "C", "y": 1}]'):
        answers = parse_output(text, ["C", "CCO"])
        assert [answer["y"] for answer in answers] == [1.0, 2.0]  # type: ignore[index]
    with pytest.raises(ValueError, match="no row is of 'CCO'"):
        parse_output("smiles,y\nCCN,2\nC,1\n", ["C", "CCO"])
    assert parse_output("smiles,y\nother,2\n", ["CCO"]) == [{"y": 2.0}]
