"""How commands talk to people: flags, progress, tables, one line for an error."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass
from itertools import chain
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from cyclopts import App, ArgumentCollection, CoercionError, CycloptsError, Parameter, Token

from molvae.cli.old_spellings import current_words
from molvae.cli.tables import table_lines
from molvae.config import current_names, of_type, read_toml
from molvae.errors import MolvaeError, MolvaeWarning, visible

TEXT_FLAGS = ("--message", "--name", "--unit")
"""Flags of which `-` is a text of the user, not standard input."""
Config = TypeVar("Config")
Advance = Callable[[int, str], None]

STDIN = "<stdin>"  # cyclopts takes a lone `-` for an option, so it travels under this name
NUMBER_PATTERNS = {int: r"[+-]?[0-9]+", float: r"[^_]*"}  # texts read as they are meant
_as_tsv: ContextVar[bool] = ContextVar("as_tsv", default=False)
STDERR_DESCRIPTOR = 2  # the last of the descriptors of standard streams
PROGRESS_SECONDS = 30.0  # seconds between two lines of progress where there is no terminal


def _from_stdin(_: Any, tokens: Sequence[Token]) -> str:
    return "-" if tokens[0].value == STDIN else tokens[0].value


def no_standard_input(_: Any, value: Any) -> None:
    """Refuse `-` where it is no file to read: as an output, or as another text."""
    values = vars(value).values() if is_dataclass(value) else [value]
    if any(str(one) == STDIN for one in values):
        raise ValueError("standard input (-) cannot be used here; give a name")


def check_numbers(_: App, __: Sequence[str], arguments: ArgumentCollection) -> None:
    """Refuse numbers that would be read as others: 2.7 as 3, 1_0 as 10, and 0b1 as 1.

    Raises:
        CoercionError: Names the text and its flag.
    """
    for argument in arguments:
        kinds = {*(get_args(argument.hint) or [argument.hint])} - {type(None), Ellipsis}
        pattern = NUMBER_PATTERNS.get(min(kinds)) if len(kinds) == 1 else None
        for token in argument.tokens if pattern else ():
            if not re.fullmatch(str(pattern), token.value):
                raise CoercionError(argument=argument, token=token, target_type=min(kinds))


InFile = Annotated[str, Parameter(converter=_from_stdin)]
"""A file to read; `-` is standard input."""
Switch = Annotated[bool, Parameter(negative="")]
Signed = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A text that may begin with a minus, and is no option for that: `-SAS`, `-7.31;-7.5`."""
Count = Annotated[int, Parameter(name=["--n", "-n"])]
Flat = Parameter(name="*")
"""Parameter of a dataclass whose flags are not prefixed with its own name."""


def flags(kind: type[Config]) -> type[Config]:
    """A config dataclass as flags: every field may be left out, and is None then.

    Names, types and help come from the config, so that a setting is described once. `given` reads
    what was set.
    """
    made: list[tuple[str, Any, Any]] = []
    hints = get_type_hints(kind)
    for one in fields(kind):  # type: ignore[arg-type]
        hint, default = hints[one.name], one.default
        if is_dataclass(hint):
            made.append((one.name, flags(hint), field(default=None)))  # type: ignore[arg-type]
            continue
        hidden = any(default is empty for empty in (MISSING, None, False)) or default in ((), "")
        help_ = Parameter(
            name=one.metadata.get("flag"),
            show_default=False if hidden else str(default),
            consume_multiple=not one.metadata.get("repeat"),
            negative_iterable=(),
            **{key: one.metadata[key] for key in ("help",) if key in one.metadata},
        )
        made.append((one.name, Annotated[hint | None, help_], field(default=None)))
    # A subclass, because cyclopts looks for a field's help in the source of the class it is from.
    unchecked = {"__module__": __name__, "__post_init__": lambda self: None}
    name = f"{kind.__name__}Flags"
    return make_dataclass(name, made, bases=(kind,), frozen=True, kw_only=True, namespace=unchecked)


def given(flags: Any) -> dict[str, Any]:
    """Flags that were set, by name, nested ones included."""
    if flags is None:
        return {}
    values = {one.name: getattr(flags, one.name) for one in fields(flags)}
    return {
        name: given(value) if is_dataclass(value) else value
        for name, value in values.items()
        if value is not None
    }


def layered(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of two sources; those above win, table by table.

    >>> layered({"beta": 1, "model": {"a": 1, "b": 2}}, {"model": {"b": 3}})
    {'beta': 1, 'model': {'a': 1, 'b': 3}}
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = layered(old, value) if both else value  # type: ignore[arg-type]
    return merged


def layers(kind: type[Any], file: Path | None, settings: Any) -> dict[str, Any]:
    """The settings of a TOML file, under the names of a config's fields, with the flags on top."""
    found = current_names(kind, read_toml(file) if file else {}, str(file or "flags"))
    for key, hint in get_type_hints(kind).items():
        if key in found and not is_dataclass(hint):
            of_type(hint, found[key], str(file), key)  # commands use some before `build` does
    return layered(found, given(settings))


def say(text: str) -> None:
    """A line to the user, away from the data; on a terminal folded between words."""
    lines = [visible(text)]
    if sys.stderr.isatty():
        width = shutil.get_terminal_size((80, 24)).columns
        lines = wrap(
            lines[0], width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    print("\n".join(lines), file=sys.stderr, flush=True)


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, only_tsv: Collection[str] = ()
) -> None:
    """A table: for people on a terminal, see `table_lines`; as TSV elsewhere and with --tsv.

    NaN and None are empty; `only_tsv` are columns that terminals have no room for.
    """
    if sys.stdout.isatty() and not _as_tsv.get():
        width = shutil.get_terminal_size((80, 24)).columns
        kept = [i for i, name in enumerate(header) if name not in only_tsv]
        shown = [[row[i] for i in kept] for row in rows]
        for line in table_lines([header[i] for i in kept], shown, width):
            sys.stdout.write(line + "\n")
        return
    for row in chain([header], rows):
        sys.stdout.write("\t".join(map(cell, row)) + "\n")


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers by name for JSON, which has no NaN: None."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def cell(value: object) -> str:
    """A cell of a table: numbers with the digits that float32 has, nothing for NaN and None."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    # A tab or a line break inside would shift the columns of all that follows.
    return visible(text.translate({9: " ", 10: " ", 13: " "}))


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """A bar on a terminal, elsewhere a line now and then; moved by `advance(done, text)`."""
    if not sys.stderr.isatty():
        yield _lines(total)
        return
    import rich.progress as bars
    from rich.console import Console

    # No markup: square brackets are atoms here.
    text = bars.TextColumn("{task.description}", markup=False)
    columns = (bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn(), text)
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, text: bar.update(task, completed=done, description=visible(text))


def _lines(total: int) -> Advance:
    last = time.monotonic()

    def advance(done: int, text: str) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= PROGRESS_SECONDS:
            last = now
            say(f"{done}/{total}  {text}")

    return advance


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM, handled as Ctrl-C, so that all is left in order."""


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM raises `_TerminatedError`, unless the caller has a handler of its own."""
    owner = os.getpid()

    def end(*_: object) -> None:
        if os.getpid() != owner:  # a forked child, which ends as others do
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        raise _TerminatedError

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _without_dashes(tokens: Sequence[str]) -> list[str]:
    """A command line in which `-` is the word for standard input, or the text of a flag.

    >>> _without_dashes(["encode", "qm9", "-", "--unit", "-"])
    ['encode', 'qm9', '<stdin>', '--unit=-']
    """
    found = list[str]()
    for token in tokens:
        if token == "-" and found and found[-1] in TEXT_FLAGS:
            found[-1] += "=-"
        else:
            found.append(STDIN if token == "-" else token)
    return found


EXPECTED = (CycloptsError, MolvaeError, OSError, MemoryError, KeyboardInterrupt)
"""Errors that become one line."""


def run(app: App, tokens: Sequence[str], *, interrupted: Mapping[str, str]) -> int:
    """Run a command line; expected errors become one line.

    Args:
        app: The commands.
        tokens: The command line.
        interrupted: How to continue after Ctrl-C, by command.

    Returns:
        The exit status: 0; 1 for an error; 2 for usage; 130 after Ctrl-C; 143 after SIGTERM; 141
        when the reader of the output left.
    """
    debug = "--debug" in tokens
    _as_tsv.set("--tsv" in tokens)
    tokens = [token for token in tokens if token not in ("--debug", "--tsv")]
    tokens = current_words(_without_dashes(tokens))
    with _open_streams():
        try:
            with _ending_on_sigterm(), warnings.catch_warnings():
                warnings.simplefilter("always", MolvaeWarning)
                warnings.showwarning = _show_warning
                app(tokens, exit_on_error=False, print_error=False)
            sys.stdout.flush()
            return 0
        except BrokenPipeError:
            return 141
        except (*EXPECTED, RuntimeError) as error:
            if not isinstance(error, EXPECTED) and not _is_of_memory(error):
                raise
            if debug:
                traceback.print_exc()
            status, line = _explain(error, interrupted.get(tokens[0], "") if tokens else "")
            with suppress(OSError):  # nobody listens
                say(f"molvae: {line}")
            return status


@contextmanager
def _open_streams() -> Iterator[None]:
    """Standard streams that everything can be written to.

    One that is closed leads nowhere, or a file opened later would take its place and get what is
    printed. Characters that its encoding does not have are written as escapes. Whatever cannot be
    written at the end is dropped, since Python would try again at exit.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR_DESCRIPTOR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    handlers = dict[str, str | None]()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            handlers[name] = stream.errors
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for name, handler in handlers.items():
            stream = getattr(sys, name)
            try:
                stream.flush()
            except (OSError, ValueError):
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            else:
                stream.reconfigure(errors=handler)


def _explain(error: BaseException, interrupted: str) -> tuple[int, str]:
    """Exit status and the one line for it."""
    if isinstance(error, KeyboardInterrupt):
        terminated = isinstance(error, _TerminatedError)
        status, what = (143, "ended by SIGTERM") if terminated else (130, "interrupted")
        notes = [*getattr(error, "__notes__", ()), *filter(None, [interrupted])]
        return status, "; ".join([what, *notes])
    if isinstance(error, CycloptsError):
        return 2, f"{_one_line(error)} (see molvae --help)"
    if isinstance(error, MemoryError) or _is_of_memory(error):
        return 1, "there is not enough memory; give the process more, or do less at once"
    if isinstance(error, OSError) and not isinstance(error, MolvaeError):
        return 1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    return 1, _one_line(error)


def _is_of_memory(error: BaseException) -> bool:
    """Whether PyTorch could not get memory."""
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
) -> None:
    if issubclass(category, MolvaeWarning):
        say(f"molvae: warning: {' '.join(str(message).split())}")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
