"""The README's sessions are run, in its order, in an empty folder; what it shows must come out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from molvae import __version__
from molvae.chem.objective import get_objective
from molvae.datasets import DATASETS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REST = "..."
"""In shown output: any number of lines."""


@dataclass(frozen=True)
class Step:
    """A command of a console block with what it prints, or a whole Python block."""

    command: list[str]
    shown: list[str] | None


def steps(text: str) -> Iterator[Step]:
    for kind, block in re.findall(r"^```(console|python)\n(.*?)^```$", text, re.M | re.S):
        if kind == "python":
            yield Step([sys.executable, "-c", block], None)
            continue
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            first, *rest = part.splitlines()
            n = next((i for i, line in enumerate(rest) if not line.startswith(">")), len(rest))
            more = [line.removeprefix(">").removeprefix(" ") for line in rest[:n]]
            script = "\n".join(["set -eo pipefail", first, *more])
            yield Step(["bash", "-c", script], rest[n:])


def test_the_sessions_of_the_readme_run(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "molvae").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m molvae "$@"\n')
    (tools / "molvae").chmod(0o755)
    here = tmp_path / "session"
    here.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    ran = list(steps(README))
    assert len(ran) > 15
    for step in ran:
        done = subprocess.run(
            step.command, cwd=here, env=environment, capture_output=True, text=True, check=False
        )
        what = f"{step.command[-1]}\n--- printed\n{done.stdout}--- said\n{done.stderr}"
        assert done.returncode == 0, what
        if step.shown is not None:
            lines = ["(.*\n)*" if line == REST else re.escape(line) + "\n" for line in step.shown]
            assert re.fullmatch("".join(lines), done.stdout), what
    assert {"qed.db", "qed.html", "lab.csv"} <= {path.name for path in here.iterdir()}


def test_every_file_of_the_layout_is_there() -> None:
    layout = README.partition("## Layout")[2].partition("## References")[0]
    package = True
    for line in re.findall(r"^ {4}(.*)$", layout, re.M):
        package = line.startswith("  ") or line.startswith("molvae/")
        names = re.split(r" {2,}", line.strip())[0].split()
        for name in names:
            folder = ROOT if not package or name == "molvae/" else ROOT / "molvae"
            assert (folder / name).exists(), name


def test_the_papers_are_named() -> None:
    for name in ("7b00572", "aba947", "1312.6114", "1910.06403", "2310.20708", "nchem.1243"):
        assert name in README
    assert "1758-2946-1-8" in README
    assert "ci990307l" in README


@pytest.mark.parametrize("name", DATASETS)
def test_origin_and_hash_of_every_data_file_are_documented(name: str) -> None:
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    dataset = DATASETS[name]
    for part in (f"`{name}`", dataset.package, dataset.install, *(h for _, h in dataset.files)):
        assert part in text


def test_names_and_versions_agree() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert get_objective("5*qed-sas").name == "5*qed-sas"
