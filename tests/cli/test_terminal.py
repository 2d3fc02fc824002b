"""`run`, flags and printing: how every command reads settings and ends."""

from __future__ import annotations

import io
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from cyclopts import App, Parameter

from molvae.cli import main
from molvae.cli.campaign_output import print_summary
from molvae.cli.terminal import InFile, cell, flags, given, layered, print_table, progress, run
from molvae.config import CampaignConfig
from molvae.errors import DataError, MolvaeWarning
from molvae.model.config import TrainConfig
from tests.cli.conftest import Molvae
from tests.toys import begin


def app_of(function: object) -> App:
    app = App(result_action="return_value", suppress_keyboard_interrupt=False)
    app.command(function, name="go")  # type: ignore[arg-type]
    return app


def raising(error: BaseException) -> App:
    def go() -> None:
        raise error

    return app_of(go)


def test_flags_are_empty_unless_given() -> None:
    seen: list[dict[str, object]] = []

    def go(*, settings: Annotated[flags(TrainConfig) | None, Parameter(name="*")] = None) -> None:
        seen.append(given(settings))

    app = app_of(go)
    assert run(app, ["go"], interrupted={}) == 0
    words = ["go", "--loss.beta", "0", "--seed", "3", "--out", "x", "--model.latent-dim", "8"]
    assert run(app, words, interrupted={}) == 0
    assert seen == [
        {},
        {"loss": {"beta": 0.0}, "seed": 3, "out": "x", "model": {"latent_dim": 8}},
    ]


def test_flags_help_shows_docs_and_defaults_of_the_config(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def go(
        *, settings: Annotated[flags(CampaignConfig) | None, Parameter(name="*")] = None
    ) -> None:
        pass

    assert run(app_of(go), ["go", "--help"], interrupted={}) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"A bundled model or a model folder. [default: {CampaignConfig.space}]" in text
    assert "[choices: maximize, minimize]" in text


def test_flags_of_a_config_skip_its_post_init() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strict:
        size: int

        def __post_init__(self) -> None:
            assert self.size > 0

    assert given(flags(Strict)()) == {}  # type: ignore[call-arg]


def test_layered_settings_override_key_by_key() -> None:
    below = {"beta": 1, "model": {"a": 1, "b": 2}}
    assert layered(below, {"model": {"b": 3}, "seed": 4}) == {
        "beta": 1, "model": {"a": 1, "b": 3}, "seed": 4,
    }  # fmt: skip
    assert below["model"] == {"a": 1, "b": 2}


def test_input_file_arguments_accept_a_dash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def go(file: InFile = "x", /, *, other: InFile = "y") -> None:
        print(file, other)

    assert run(app_of(go), ["go", "-", "--other", "-"], interrupted={}) == 0
    assert run(app_of(go), ["go", "a"], interrupted={}) == 0
    assert capsys.readouterr().out == "- -\na y\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("first\n  second"), 1, "molvae: first second"),
        (PermissionError(13, "Permission denied", "/x"), 1, "molvae: /x: Permission denied"),
        (
            MemoryError(),
            1,
            "molvae: there is not enough memory; give the process more, or do less at once",
        ),
        (KeyboardInterrupt(), 130, "molvae: interrupted; the same command goes on"),
    ],
)
def test_run_prints_errors_as_one_line_with_their_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error), ["go"], interrupted={"go": "the same command goes on"}) == status
    assert capsys.readouterr().err == line + "\n"


def test_run_leaves_sigterm_of_forked_children_alone() -> None:
    statuses: list[int] = []

    def go() -> None:
        ready, begun = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(begun, b"1")
                while True:
                    time.sleep(0.01)
            finally:
                os._exit(7)
        os.read(ready, 1)
        os.close(ready)
        os.close(begun)
        os.kill(child, signal.SIGTERM)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    assert run(app_of(go), ["go"], interrupted={}) == 0
    assert statuses == [-signal.SIGTERM]


def test_run_passes_on_unexpected_exceptions() -> None:
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()), ["go"], interrupted={})


def test_run_with_debug_prints_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(DataError("no")), ["go", "--debug"], interrupted={}) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["goo"], 'Did you mean "go"'), (["go", "--bad"], "--bad"), (["go", "x"], "x")],
)
def test_run_with_wrong_usage_prints_one_line_with_status_2(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(DataError("not reached")), words, interrupted={}) == 2
    error = capsys.readouterr().err
    assert error.startswith("molvae: ")
    assert error.count("\n") == 1
    assert hint in error


def test_run_prints_molvae_warnings_every_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def go() -> None:
        for _ in range(2):
            warnings.warn("posterior\ncollapse", MolvaeWarning, stacklevel=2)

    assert run(app_of(go), ["go"], interrupted={}) == 0
    assert capsys.readouterr().err == "molvae: warning: posterior collapse\n" * 2


def test_print_table_escapes_tabs_and_leaves_nan_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), iter([(1.5, "x\ty\nz"), (math.nan, None)]))
    assert capsys.readouterr().out == "a\tb\n1.5\tx y z\n\t\n"
    assert float(cell(1 / 3)) == pytest.approx(1 / 3, rel=1e-8)


def test_progress_without_a_terminal_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3) as advance:
        for done in range(3):
            advance(done, "[C]")
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_shows_brackets_unchanged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress(3) as advance:
        advance(3, "best 0.9 [C][=O]")
    assert "[C][=O]" in capsys.readouterr().err


STREAMS = """
import os, sys
from cyclopts import App
from molvae.cli.terminal import run, say
app = App(result_action="return_value")

@app.command
def go():
    with open("data.txt", "w") as file:
        assert file.fileno() > 2
        print("a Möbius strip \\udcff")
        say("a Möbius strip \\udcff")
        file.write("data")

sys.exit(run(app, ["go"], interrupted={}))
"""


@pytest.mark.parametrize(
    "closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/null 2>/dev/null", "| cat"]
)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_run_with_closed_streams_writes_no_message_into_files(
    tmp_path: Path, closed: str, encoding: str
) -> None:
    (tmp_path / "go.py").write_text(STREAMS, encoding="utf-8")
    done = subprocess.run(
        f"{sys.executable} go.py {closed}",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=True,
    )
    assert (tmp_path / "data.txt").read_bytes() == b"data"
    for stream in (done.stdout, done.stderr):
        assert stream == b"" or stream.startswith(b"a M")
        assert b"Error" not in stream


def test_run_escapes_characters_the_stream_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr("sys.stdout", stream)
    assert run(app_of(lambda: print("Gómez \udcff")), ["go"], interrupted={}) == 0
    assert stream.buffer.getvalue() == b"G\\xf3mez \\udcff\n"  # type: ignore[attr-defined]
    assert stream.errors == "strict"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has such a disk")
def test_run_on_a_full_disk_prints_one_line() -> None:
    code = "from molvae.cli import main; import sys; sys.exit(main(['--help']))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "molvae: No space left on device\n"


@pytest.mark.parametrize("words", ["report a.db -", "optimize a.db --objective qed --report -"])
def test_commands_refuse_a_dash_as_output(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["2.7", "1_0", "0b1", "1e0", "1.0"])
def test_commands_refuse_text_that_is_no_whole_number(molvae: Molvae, text: str) -> None:
    molvae("tell", "l.db", text, "1").fails(2, "TRIAL", text)
    molvae("generate", "qm9", "-n", text).fails(2, "-n", text)
    molvae("train", "--model.latent-dim", text).fails(2, "--model.latent-dim", text)
    molvae("tell", "l.db", "1", "1", "--error", "1_0").fails(2, "--error", "1_0")


def test_print_summary_says_where_the_best_molecule_breaks_a_constraint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bound, note in (("mw >= 1", ""), ("mw >= 9999", ", breaks a constraint")):
        with begin(tmp_path / f"{len(note)}.db", constraints=[bound]) as campaign:  # type: ignore[attr-defined]
            campaign.run(8)
            print_summary(campaign, "c.db")
            best = campaign.best(1)["id"].item()
        assert f"(trial {best}{note})" in capsys.readouterr().err
