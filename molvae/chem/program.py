"""An objective that is another program: a docking run, a simulation, somebody's script.

Knows how a program is run, stopped and understood. Each call has a folder of its own, which stays,
with what the program was given and what it said.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molvae.config import require
from molvae.errors import ObjectiveError

COMMAND = "command:"
"""What the name of an objective that is a program begins with; its words follow."""
PLACE = "{smiles}"
"""In a command: where the molecule goes, as one argument; without it, it goes to standard input."""
Answer = float | dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Program:
    """Calls a program for each molecule, or for several at once on its standard input.

    The answer on standard output is a number in the last line; or JSON, a number or an object with
    a number for each objective; or CSV with a header. For several molecules: as many lines, a JSON
    list, or as many rows. An exit status other than 0 is a failure. No shell is involved, so a
    molecule cannot be taken for a command.
    """

    name: str
    direction: str
    command: str
    """Words as a shell would split them; `{smiles}` stands for the molecule. Names of files are
    looked up where the process is that calls, not in the folder of the call."""
    folder: str | None = None
    """Each call gets a folder in this one; None: the current one is its place, and nothing stays
    but the message."""
    timeout: float | None = None
    """Seconds after which it is stopped, with all that it has started; for each molecule."""
    batch_size: int = 1
    """Molecules at once; more than one only without `{smiles}`."""
    doc: str = ""

    def __post_init__(self) -> None:
        require(bool(_words(self.command)), f"a command has words, got {self.command!r}")
        require(
            self.batch_size == 1 or PLACE not in self.command,
            f"with {PLACE} a command takes one molecule, got batch_size {self.batch_size}",
        )

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """A number, or numbers by name, for each molecule; NaN where the program says so.

        Raises:
            ObjectiveError: It cannot be run, failed, took too long, or gave no such answer.
        """
        if PLACE in self.command:
            return [self._one_call([molecule])[0] for molecule in smiles]
        return self._one_call(smiles)

    def _one_call(self, smiles: Sequence[str]) -> list[Answer]:
        words = [word.replace(PLACE, smiles[0]) for word in found(_words(self.command))]
        lines = "".join(f"{molecule}\n" for molecule in smiles)
        given = "" if PLACE in self.command else lines
        folder = None if self.folder is None else _new_folder(Path(self.folder), lines)
        if folder is not None:
            (folder / "molecules.smi").write_text(lines, encoding="utf-8")
        status, out, err = self._run(words, given, folder, len(smiles))
        if folder is not None:
            (folder / "stdout.txt").write_text(out, encoding="utf-8")
            (folder / "stderr.txt").write_text(err, encoding="utf-8")
        where = "" if folder is None else f" (see {folder})"
        if status:
            last = (err.strip() or out.strip() or "it said nothing").splitlines()[-1]
            raise ObjectiveError(f"{words[0]} ended with status {status}: {last}{where}")
        try:
            return understood(out, smiles)
        except ValueError as error:
            raise ObjectiveError(f"{words[0]}: {error}{where}") from error

    def _run(
        self, words: list[str], given: str, folder: Path | None, molecules: int
    ) -> tuple[int, str, str]:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                text=True,
                errors="replace",
                start_new_session=True,  # so that it can be stopped with all that it has started
            )
        except OSError as error:
            raise ObjectiveError(f"cannot run {words[0]}: {error.strerror}") from error
        limit = None if self.timeout is None else self.timeout * molecules
        with _stopped_with_us(), process:
            try:
                out, err = process.communicate(given, timeout=limit)
            except subprocess.TimeoutExpired as error:
                where = "" if folder is None else f" (see {folder})"
                raise ObjectiveError(f"no answer within {limit:g} s{where}") from error
            finally:
                if process.poll() is None:
                    _kill(process)
        return process.returncode, out, err


def understood(text: str, smiles: Sequence[str]) -> list[Answer]:
    """What a program printed, as one answer a molecule.

    Raises:
        ValueError: It is none of the forms that `Program` names.
    """
    answers = _json(text, len(smiles)) or _numbers(text, len(smiles)) or _csv(text, smiles)
    if answers is None:
        shown = text.strip()[-100:]
        raise ValueError(
            f"expected a number for each of {len(smiles)} molecules, JSON or CSV on standard "
            f"output, got {shown!r}"
        )
    return answers


def _json(text: str, n: int) -> list[Answer] | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    items = content if isinstance(content, list) else [content]
    if len(items) != n:
        return None
    return [
        {str(k): _number(v) for k, v in item.items()}
        if isinstance(item, Mapping)
        else _number(item)
        for item in items
    ]


def _numbers(text: str, n: int) -> list[Answer] | None:
    lines = [line.strip() for line in text.strip().splitlines()]
    try:
        return [float(line) for line in lines[-n:]] if len(lines) >= n else None
    except ValueError:
        return None


def _csv(text: str, smiles: Sequence[str]) -> list[Answer] | None:
    lines = text.strip().splitlines()
    if not lines:
        return None
    rows = list(csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ","))
    by_molecule = {row["smiles"]: row for row in rows if row.get("smiles")}
    if set(smiles) <= set(by_molecule):
        rows = [by_molecule[molecule] for molecule in smiles]
    if len(rows) != len(smiles):
        return None
    return [
        {name: _number(cell) for name, cell in row.items() if name and name != "smiles"}
        for row in rows
    ]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def found(words: Sequence[str]) -> list[str]:
    """Words of a command with the programs and files among them by their full paths."""
    first = shutil.which(words[0]) or words[0]
    return [os.path.abspath(w) if os.path.isfile(w) else w for w in (first, *words[1:])]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, posix=sys.platform != "win32")
    except ValueError as error:
        raise ObjectiveError(f"the command {command!r} cannot be read: {error}") from error


def _new_folder(parent: Path, content: str) -> Path:
    """A folder that is not there yet: a molecule that is tried again gets another one."""
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    for number in range(1, 10_000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise ObjectiveError(f"cannot make {folder}: {error.strerror}") from error
        return folder
    raise ObjectiveError(f"{parent} is full of folders {name}-...; empty it")


@contextlib.contextmanager
def _stopped_with_us() -> Iterator[None]:
    """End the program when this process, a worker that is stopped, is asked to end."""
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


__all__ = ["COMMAND", "Program", "found", "understood"]
