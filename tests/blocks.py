"""Runs the `console` and `python` blocks of a page; what they show must come out.

A console block is a session: lines after `$` are commands, lines after `>` belong to the command
before, all else is what it prints. `...` stands for any number of lines. A Python block is a script
of its own. All blocks of a page run in its order, in one folder.
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
        if step.shown is not None:
            lines = ["(.*\n)*" if line == REST else re.escape(line) + "\n" for line in step.shown]
            assert re.fullmatch("".join(lines), done.stdout), what
    return len(found), here
