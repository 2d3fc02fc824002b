"""Scoring by another program: docking, a simulation, a script; each call keeps a folder."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from molvae.chem.tables import SMILES_COLUMN
from molvae.chem.text_files import fold
from molvae.errors import ConfigError, MachineError, ObjectiveError, one_line, require, shown
from molvae.objectives.child_processes import Ended, run
from molvae.objectives.process_guard import signal_name

COMMAND_PREFIX = "command:"  # prefix of specs that are commands
SMILES_PLACEHOLDER, FILE_PLACEHOLDER = "{smiles}", "{file}"
"""Placeholders in a command: the molecule as one argument; the path of a file with one SMILES a
line. Without them the program reads standard input."""
_MISTAKEN = re.compile(
    r"(?<!\$)\{(?!(?-i:smiles|file)\})"
    r"(?:smi(?:les?)?|mol(?:ecule)?s?|input|(?:in)?file(?:_?name)?)\}",
    re.IGNORECASE,
)
"""Texts that look like a placeholder and are none; `${mol}` is a variable of a shell."""
PATTERN_PREFIX = "pattern="
"""Begins the first word of a command with a regular expression for its output."""
MAX_JSON_STARTS = 100  # lines at which JSON is looked for
Answer = Any  # a number, or numbers by name; other content is kept unchanged
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|nan|inf|infinity)",
    re.ASCII | re.IGNORECASE,
)
"""Numbers as programs print them; Python's `float` would also read 1_000."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """Runs a program for each molecule, or for several at once on its standard input.

    The program prints a number in its last line, JSON (a number, or an object with a number for
    each value), or CSV with a header; for several molecules as many lines, a JSON list, or as many
    rows. Other lines may stand above. A regular expression finds numbers in any other output. An
    exit status other than 0 is a failure. No shell is involved.

    Processes that the program leaves running are ended. A megabyte of its output is kept (beginning
    and end); a program that prints more than a gigabyte is ended and has failed.
    """

    name: str
    direction: str
    command: str
    """Words as a shell would split them; `{smiles}` stands for the molecule, `{file}` for a file
    with the molecules. File names are relative to the current folder, not to the folder of the
    call. A first word `pattern='Affinity: (\\S+)'` is a regular expression for the output: its last
    matches count, one for each molecule; named groups are several values."""
    folder: str | None = None
    """Parent of the folders of calls; None: calls run in the current folder and keep nothing."""
    timeout: float | None = None
    """Seconds per molecule after which the program and its children are stopped."""
    batch_size: int = 1
    """Molecules per call; more than one only without `{smiles}`."""
    doc: str = ""

    def __post_init__(self) -> None:
        words, _ = _words_and_pattern(self.command)
        require(bool(words), f"a command has words, got {self.command!r}")
        mistaken = next((found[0] for word in words if (found := _MISTAKEN.search(word))), "")
        require(
            not mistaken,
            f"{mistaken} in the command stands for nothing; write {SMILES_PLACEHOLDER} for the "
            f"molecule, or {FILE_PLACEHOLDER} for a file of molecules",
        )
        require(
            self.batch_size == 1 or SMILES_PLACEHOLDER not in self.command,
            f"with {SMILES_PLACEHOLDER} a command takes one molecule, got batch_size "
            f"{self.batch_size}",
        )

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """A number, or numbers by name, for each molecule; NaN where the program says so.

        Raises:
            MachineError: The program cannot be started.
            ProcessDiedError: The program was killed from outside.
            ObjectiveError: The program failed, took too long, or printed too much or no answer.
        """
        from molvae.chem.molecules import list_of_smiles  # which takes RDKit

        smiles = list_of_smiles(smiles)
        if SMILES_PLACEHOLDER in self.command:
            return [self._one_call([molecule])[0] for molecule in smiles]
        return self._one_call(smiles)

    def _one_call(self, smiles: Sequence[str]) -> list[Answer]:
        words, pattern = _words_and_pattern(self.command)
        words = resolve_command(words)
        words = [word.replace(SMILES_PLACEHOLDER, smiles[0]) for word in words]
        lines = "".join(f"{molecule}\n" for molecule in smiles)
        needs_file = FILE_PLACEHOLDER in self.command
        given = "" if SMILES_PLACEHOLDER in self.command or needs_file else lines
        limit = None if self.timeout is None else self.timeout * len(smiles)

        def called(folder: Path, cwd: Path | None) -> Ended:
            _write(file := folder / "molecules.smi", lines)
            with_file = [word.replace(FILE_PLACEHOLDER, str(file.resolve())) for word in words]
            return run(with_file, given, cwd=cwd, timeout=limit)

        if self.folder is None:
            where = ""
            with TemporaryDirectory() as name:
                ended = called(Path(name), None)
        else:
            folder = _new_folder(Path(self.folder), lines)
            where, ended = f" (see {folder})", called(folder, folder)
            _write(folder / "stdout.txt", ended.stdout.text)
            _write(folder / "stderr.txt", ended.stderr.text)
        if reason := _failure(words[0], ended, limit):
            raise ObjectiveError(reason + where)
        try:
            # Only the last lines of an output that was cut can be understood.
            return parse_output(
                ended.stdout.text, smiles, whole=not ended.stdout.left_out, pattern=pattern
            )
        except ValueError as error:
            raise ObjectiveError(f"{words[0]}: {error}{where}") from error


def _failure(name: str, ended: Ended, limit: float | None) -> str | None:
    """Reason why a program has no answer; None if it has one."""
    if ended.printed_too_much:
        return f"{name} was ended: it had printed more than {ended.max_output:,} bytes"
    if ended.timed_out:
        return f"no answer within {limit:g} s"
    if not ended.status:
        return None
    how = f"ended with status {ended.status}"
    if ended.status < 0:
        how = f"was ended by {signal_name(-ended.status)}"
    text = ended.stderr.text.strip() or ended.stdout.text.strip() or "it said nothing"
    return f"{name} {how}: {one_line(text.splitlines()[-1], 1_000)}"


def parse_output(
    text: str, smiles: Sequence[str], *, whole: bool = True, pattern: str | None = None
) -> list[Answer]:
    """The output of a program as one answer per molecule.

    If it is not `whole`, it was cut and must end with numbers, one a line. With a pattern only its
    matches count.

    Raises:
        ValueError: The output has none of the forms that `Program` names.
    """
    n, text = len(smiles), text.removeprefix("\ufeff")
    if pattern is not None:
        return _matches(text, n, pattern)
    answers = (whole and _json(text, smiles)) or _numbers(text, n) or (whole and _csv(text, smiles))
    if not answers:
        cut = "" if whole else ", which was too much to be kept"
        raise ValueError(
            f"expected {'a number' if n == 1 else f'{n} numbers, one a line'}, JSON or CSV on "
            f"standard output, got "
            f"{shown(text.strip()[-100:])}{cut}; --pattern 'REGEX' finds it in other text"
        )
    return answers


def _matches(text: str, n: int, pattern: str) -> list[Answer]:
    """The last `n` matches: their first group, or their named groups as several values."""
    found = list(re.finditer(pattern, text, re.MULTILINE))[-n:]
    if len(found) < n:
        raise ValueError(
            f"the pattern {pattern!r} is found {len(found)} times for {n} molecules in an output "
            f"that ends with {shown(text.strip()[-100:])}"
        )
    several = [{name: _cell(part) for name, part in one.groupdict().items()} for one in found]
    return several if several[0] else [_cell(one[one.re.groups and 1]) for one in found]


def _json(text: str, smiles: Sequence[str]) -> list[Answer] | None:
    begins = [found.start() for found in re.finditer(r"^\s*[\[{]", text, re.MULTILINE)]
    for begin in (0, *begins[:MAX_JSON_STARTS]):  # lines of a banner may stand above
        try:
            content = json.loads(text[begin:])
            break
        except (ValueError, RecursionError):
            continue
    else:
        return None
    items = _in_order(content if isinstance(content, list) else [content], smiles)
    if len(items) != len(smiles):
        return None
    return [
        {str(name): _not_null(value) for name, value in item.items()}
        if isinstance(item, Mapping)
        else _not_null(item)
        for item in items
    ]


def _not_null(value: Any) -> Any:
    """JSON has no NaN, so that many write null."""
    return math.nan if value is None else value


def _numbers(text: str, n: int) -> list[Answer] | None:
    lines = [line.strip() for line in text.strip().splitlines()]
    numbers = [_number(line) for line in lines[-n:]]
    return None if len(lines) < n or None in numbers else numbers


def _csv(text: str, smiles: Sequence[str]) -> list[Answer] | None:
    lines = text.strip().splitlines()
    headers = [
        i for i, line in enumerate(lines) if SMILES_COLUMN in map(fold, re.split("[,\t]", line))
    ]
    # Lines of a banner may stand above the header, which names `smiles` or has one row a molecule.
    for first in (*headers[:1], 0, len(lines) - len(smiles) - 1):
        # A first line of several words is no header of one column.
        separates = "[,\t]" if first > 0 or " " in text.strip().split("\n", 1)[0] else ""
        if not 0 <= first < len(lines) or not re.search(separates, lines[first]):
            continue
        if answers := _rows(lines[first:], smiles):
            return answers
    return None


def _rows(lines: Sequence[str], smiles: Sequence[str]) -> list[Answer] | None:
    """The rows of a table with a header, for each molecule; None if they do not fit."""
    try:
        rows = list(csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ","))
    except csv.Error:
        return None
    if any(None in row or None in row.values() or any(map(_is_number, row)) for row in rows):
        return None  # more or fewer cells than names, or numbers as names
    if len(rows := _in_order(rows, smiles)) != len(smiles):
        return None
    return [
        {name: _cell(cell) for name, cell in row.items() if name and fold(name) != SMILES_COLUMN}
        for row in rows
    ]


def _in_order(rows: list[Any], smiles: Sequence[str]) -> list[Any]:
    """Rows in the order of the molecules that they name, in a column `smiles`; else as they are.

    Raises:
        ValueError: They name other molecules than those of several.
    """
    named = [
        next((row[key] for key in row if fold(str(key)) == SMILES_COLUMN), None)
        if isinstance(row, Mapping)
        else None
        for row in rows
    ]
    if None in named or len(smiles) == 1 or not rows:
        return rows
    from molvae.chem.molecules import canonical_or_none  # telling values loads no RDKit

    by_molecule = {canonical_or_none(str(text)) or text: i for i, text in enumerate(named)}
    keys = [canonical_or_none(molecule) or molecule for molecule in smiles]
    if lacking := [one for one, key in zip(smiles, keys, strict=True) if key not in by_molecule]:
        raise ValueError(
            f"no row is of {shown(lacking[0])}: the column smiles must hold the molecules that "
            "the program was given"
        )
    return [rows[by_molecule[key]] for key in keys]


def _cell(text: str | None) -> Any:
    """A number; NaN for an empty cell; any other text unchanged, for a later message."""
    text = (text or "").strip()
    number = _number(text)
    return number if number is not None else text or math.nan


def _number(text: str) -> float | None:
    return float(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def resolve_command(words: Sequence[str]) -> list[str]:
    """Words of a command with full paths of the program and of files."""
    first = shutil.which(words[0]) or words[0]
    return [os.path.abspath(w) if os.path.isfile(w) else w for w in (first, *words[1:])]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, posix=sys.platform != "win32")
    except ValueError as error:
        raise ObjectiveError(f"the command {command!r} cannot be read: {error}") from error


def with_pattern(command: str, pattern: str | None) -> str:
    """A command with a regular expression for its output as the first word."""
    return command if pattern is None else f"{PATTERN_PREFIX}{shlex.quote(pattern)} {command}"


def _words_and_pattern(command: str) -> tuple[list[str], str | None]:
    words = _words(command)
    if not words or not words[0].startswith(PATTERN_PREFIX):
        return words, None
    pattern = words[0].removeprefix(PATTERN_PREFIX)
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"the pattern {pattern!r} is no regular expression: {error}") from error
    return words[1:], pattern


def _new_folder(parent: Path, content: str) -> Path:
    """A new folder; a molecule that is evaluated again gets another one."""
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    for number in range(1, 10_000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise MachineError(f"cannot make {folder}: {error.strerror}") from error
        return folder
    raise MachineError(f"{parent} is full of folders {name}-...; empty it")


def _write(file: Path, text: str) -> None:
    """Write a file of a call; links that the program put there are replaced, not followed."""
    try:
        file.unlink(missing_ok=True)
        with open(file, "x", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(text)
    except FileNotFoundError:
        pass  # the program has removed its folder
    except OSError as error:
        raise MachineError(f"cannot write {file}: {error.strerror}") from error
