"""Runs the `console` and `python` blocks of a page; what they show must come out.

A console block is a session: lines after `$` are commands, lines after `>` belong to the command
before, all else is what it prints. `...` stands for any number of lines. After a comment that rows
may differ, the lines below the first must have the same columns, numbers where numbers are shown. A
Python block is a script of its own. All blocks of a page run in its order, in one folder.

`python -m tests.blocks PAGE ...` writes what is printed now into pages.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "OMP_NUM_THREADS": "1",
}
REST = "..."
"""In shown output: any number of lines."""
MAY_DIFFER = "<!-- another processor may give other rows -->\n"
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"


@cache
def server() -> Path:
    """Socket of a server of `preloaded`, which ends with this process."""
    place = Path(tempfile.mkdtemp(prefix="molvae-server-")) / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", "serve", str(place)],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # which closes its standard input
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return place


@dataclass(frozen=True)
class Step:
    """A command of a console block with what it prints, or a whole Python block."""

    command: list[str]
    shown: list[str] | None
    exact: bool = True
    source: str = ""
    """The lines of the command in the page."""

    def prints(self, text: str) -> bool:
        """Whether the output is the one shown."""
        if self.shown is None:
            return True
        patterns = [
            "(.*\n)*" if line == REST else (row if i and not self.exact else re.escape)(line) + "\n"
            for i, line in enumerate(self.shown)
        ]
        return bool(re.fullmatch("".join(patterns), text))


def row(line: str) -> str:
    """A pattern of rows with as many cells, and numbers in the same ones."""
    cells = line.split("\t")
    return "\t".join(NUMBER if re.fullmatch(NUMBER, cell) else r"[^\t\n]*" for cell in cells)


def steps(text: str) -> Iterator[Step]:
    blocks = rf"^({MAY_DIFFER})?```(console|python)\n(.*?)^```$"
    for differs, kind, block in re.findall(blocks, text, re.M | re.S):
        if kind == "python":
            yield Step(["preloaded", "-c", block], None)
            continue
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            first, *rest = part.splitlines()
            n = next((i for i, line in enumerate(rest) if not line.startswith(">")), len(rest))
            more = [line.removeprefix(">").removeprefix(" ") for line in rest[:n]]
            script = "\n".join(["set -eo pipefail", first, *more])
            source = "\n".join([f"$ {first}", *rest[:n]])
            yield Step(["bash", "-c", script], rest[n:], exact=not differs, source=source)


def run(text: str, folder: Path) -> tuple[int, Path]:
    """Run the blocks of a page.

    Args:
        text: The page.
        folder: Empty, but perhaps for what `session`, in which they run, is to hold.

    Returns:
        How many steps there were, and the folder in which they ran.
    """
    n = 0
    for step, printed, said in outputs(text, folder):
        n += 1
        assert step.prints(printed), f"{step.command[-1]}\n--- printed\n{printed}--- said\n{said}"
    return n, folder / "session"


def outputs(text: str, folder: Path) -> Iterator[tuple[Step, str, str]]:
    """Each step of a page, what it prints, and what it writes to standard error."""
    tools = folder / "bin"
    tools.mkdir()
    python = f"exec '{sys.executable}' -IS '{ROOT / 'tests' / 'preloaded.py'}' '{server()}'"
    for name, words in (("molvae", "-m molvae "), ("preloaded", "")):
        (tools / name).write_text(f'#!/bin/sh\n{python} {words}"$@"\n')
        (tools / name).chmod(0o755)
    here = folder / "session"
    here.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PATH": f"{tools}:{os.environ['PATH']}",
    }
    for step in list(steps(text)):
        done = subprocess.run(
            step.command, cwd=here, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{step.command[-1]}\n{done.stdout}{done.stderr}"
        yield step, done.stdout, done.stderr


def updated(text: str, folder: Path) -> str:
    """A page with what its commands print now; as many lines around `...` as before."""
    for step, printed, _ in outputs(text, folder):
        if step.shown is None or (step.prints(printed) and step.exact):
            continue
        lines = printed.splitlines()
        if REST in step.shown:
            head = step.shown.index(REST)
            tail = len(step.shown) - head - 1
            lines = [*lines[:head], REST, *lines[len(lines) - tail :]]
        before = "\n".join([step.source, *step.shown])
        assert before in text, before
        text = text.replace(before, "\n".join([step.source, *lines]), 1)
    return text


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as made:
            shutil.copytree(ROOT / "pipelines", Path(made) / "session" / "pipelines")
            page.write_text(updated(page.read_text(encoding="utf-8"), Path(made)), encoding="utf-8")
