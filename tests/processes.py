"""What tests of processes need: whether one is there, and waiting until it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 60.0
"""Longer than anything takes on a machine that is busy."""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It never did.
    """
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def written_pid(file: Path) -> int:
    """The number that a process writes into a file, once it is there."""
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


__all__ = ["alive", "until", "written_pid"]
