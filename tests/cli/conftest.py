"""The command line, called as a user calls it."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from molvae.cli import main
from tests.toys import ToySpace

ACCOUNT = re.compile(r"\d+ molecules were given| +\d+  ")
"""Lines on what became of the initial molecules of a new campaign."""


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def table(self) -> list[dict[str, str]]:
        header, *rows = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(header, row, strict=True)) for row in rows]

    def fails(self, status: int, *parts: str) -> None:
        """One line on stderr that says all of this, after the account of a start file; no data."""
        assert self.status == status, self.err
        lines = [line for line in self.err.splitlines() if not ACCOUNT.match(line)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("molvae: ")
        assert self.out == ""
        for part in parts:
            assert part in lines[0]


Molvae = Callable[..., Result]


@pytest.fixture
def molvae(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Molvae:
    """Calls the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def call(*words: object, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call


@pytest.fixture
def toy(molvae: Molvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Molvae:
    """The same, with a space called toy, and a file of its molecules."""
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace(str(name)))
    (tmp_path / "start.smi").write_text("\n".join(ToySpace().molecules[:60:10]))
    return molvae


@pytest.fixture
def lab(toy: Molvae, tmp_path: Path) -> Molvae:
    """The same, with a table of four measured molecules."""
    measured = ToySpace().molecules[:40:10]
    (tmp_path / "measured.csv").write_text(
        "smiles,value\n" + "".join(f"{m},{i}.5\n" for i, m in enumerate(measured))
    )
    return toy
