"""Runs the `console` and `python` blocks of a page; what they show must come out.

A console block is a session: lines after `$` are commands, lines after `>` belong to the command
before, all else is what it prints. `...` stands for any number of lines. After a comment that rows
may differ, the lines below the first must have the same columns, numbers where numbers are shown. A
Python block is a script of its own. All blocks of a page run in its order, in one folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
REST = "..."
"""In shown output: any number of lines."""
MAY_DIFFER = "<!-- another processor may give other rows -->\n"
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"


@dataclass(frozen=True)
class Step:
    """A command of a console block with what it prints, or a whole Python block."""

    command: list[str]
    shown: list[str] | None
    exact: bool = True

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
            yield Step([sys.executable, "-c", block], None)
            continue
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            first, *rest = part.splitlines()
            n = next((i for i, line in enumerate(rest) if not line.startswith(">")), len(rest))
            more = [line.removeprefix(">").removeprefix(" ") for line in rest[:n]]
            script = "\n".join(["set -eo pipefail", first, *more])
            yield Step(["bash", "-c", script], rest[n:], exact=not differs)


def run(text: str, folder: Path) -> tuple[int, Path]:
    """Run the blocks of a page.

    Args:
        text: The page.
        folder: Empty, but perhaps for what `session`, in which they run, is to hold.

    Returns:
        How many steps there were, and the folder in which they ran.
    """
    tools = folder / "bin"
    tools.mkdir()
    (tools / "molvae").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m molvae "$@"\n')
    (tools / "molvae").chmod(0o755)
    here = folder / "session"
    here.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
    }
    found = list(steps(text))
    for step in found:
        done = subprocess.run(
            step.command, cwd=here, env=environment, capture_output=True, text=True, check=False
        )
        what = f"{step.command[-1]}\n--- printed\n{done.stdout}--- said\n{done.stderr}"
        assert done.returncode == 0, what
        assert step.prints(done.stdout), what
    return len(found), here
