"""The exceptions of molvae, and texts for their messages."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")

MAX_MESSAGE_LENGTH = 2_000
"""Characters of a message that are kept."""
MAX_SHOWN_LENGTH = 120
"""Characters of a value that a message repeats."""
MAX_LISTED = 10
"""Findings that a message lists; the others are counted."""
MAX_NAMES = 50
"""Known names up to which a message about an unknown one lists all."""

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters except tabs and line breaks, marks of text direction, and surrogates."""


def encodable(text: str) -> str:
    r"""Text that UTF-8 can encode: surrogates become escapes.

    >>> print(encodable("caf\xe9 \udcff"))
    café \udcff
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    r"""Text with escapes for the control characters that a terminal would obey.

    >>> print(visible("\x1b[31mred"))
    \x1b[31mred
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shown(value: object, limit: int = MAX_SHOWN_LENGTH) -> str:
    """The `repr` of any value for a message, in one line, without the middle of a long one.

    >>> shown("C" * 10_000, limit=8)
    "'CCCCCC [... 9,992 characters ...] CC'"
    """
    if isinstance(value, str) and len(value) > limit:
        return encodable(repr(_without_middle(value, limit)))
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return one_line(text, 2 * limit)


def listed(findings: Sequence[str], advice: str = "") -> str:
    """Several findings as one message: the first ones, the number of others, and the advice.

    >>> listed([f"line {i}" for i in range(1, 13)], "repair them").partition("line 10; ")[2]
    'and 2 more (12 in all); repair them'
    """
    more = len(findings) - MAX_LISTED
    rest = [f"and {more} more ({len(findings)} in all)"] if more > 0 else []
    return "; ".join([*findings[:MAX_LISTED], *rest, *([advice] if advice else [])])


def described(error: BaseException) -> str:
    """The type and the message of an error, in one line."""
    text = message_of(error)
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read or written, without its name, which messages say themselves."""
    reason = getattr(error, "strerror", None) or message_of(error) or type(error).__name__
    if isinstance(error, EOFError | zlib.error):
        reason += "; it is damaged or was cut off, fetch or pack it again"
    return reason


def message_of(error: BaseException) -> str:
    """The message of an error in one line, even if its `__str__` fails."""
    try:
        return one_line(str(error))
    except Exception as other:
        return f"its message raises {type(other).__name__}"


def one_line(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """Encodable text in one line, without the middle of a long one."""
    return encodable(" ".join(_without_middle(text, limit).split()))


def _without_middle(text: str, limit: int) -> str:
    head, tail = text[: limit * 3 // 4], text[len(text) - limit // 4 :]
    shorter = f"{head} [... {len(text) - limit:,} characters ...] {tail}"
    return shorter if len(shorter) < len(text) else text


_OWN_CODE = (str(Path(__file__).parent / "_")[:-1], contextlib.__file__)
_silent: ContextVar[bool] = ContextVar("_silent", default=False)


class MolvaeError(Exception):
    """Base of all errors raised on purpose; the command line prints it as one line."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with the message, but some classes take other arguments.
        return _restored, (type(self), self.args, self.__dict__)


class InvalidMoleculeError(MolvaeError, ValueError):
    """A text that RDKit refuses as a molecule, or that a representation cannot write."""


class UnknownTokenError(MolvaeError, ValueError):
    """A token that the model's vocabulary does not have."""

    def __init__(self, token: str, position: int, molecule: str, n_tokens: int) -> None:
        super().__init__(
            f"token {shown(token)} at position {position} of {shown(molecule)} is not "
            f"among the model's {n_tokens} tokens; leave this molecule out, skip such molecules "
            "(--skip-invalid; in Python, skip_unknown), or train on data that has the token"
        )
        self.token, self.position, self.molecule = token, position, molecule


class TooLongError(MolvaeError, ValueError):
    """A molecule with more tokens than the model can read or write."""

    def __init__(self, molecule: str, length: int, longest: int) -> None:
        super().__init__(
            f"{shown(molecule)} has {length} tokens, the model reads at most {longest}; "
            "leave this molecule out, skip such molecules (--skip-invalid; in Python, "
            "skip_unknown), or train on longer ones"
        )
        self.molecule, self.length, self.longest = molecule, length, longest


class UnknownNameError(MolvaeError, LookupError):
    """An unknown name of an objective, a strategy, a model, a data set, a setting.

    The message lists the known names; of many, those that resemble it most.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        said, of_these = "Known", names
        if len(names) > MAX_NAMES:
            said = f"{len(names)} are known, the most similar"
            of_these = difflib.get_close_matches(name, names, n=MAX_LISTED, cutoff=0.0)
        super().__init__(
            f"no {kind} is called {shown(name)}{hint} {said}: {', '.join(of_these)}"
            + (f"; {advice}" if advice else "")
        )
        self.name, self.known = name, names


class ConfigError(MolvaeError, ValueError):
    """A setting outside its range, or settings that contradict each other."""


class DataError(MolvaeError, ValueError):
    """A data file that is empty, damaged, or lacks a requested column."""


class ObjectiveError(MolvaeError, RuntimeError):
    """An objective that could not be imported, or that failed while scoring."""


class MachineError(ObjectiveError):
    """An objective could not be called, because of the machine and not of a molecule.

    An objective may raise it (no license, a full disk): the campaign stops, and the trial stays
    pending.
    """


class ProcessDiedError(MachineError):
    """A process died during an evaluation: killed, out of memory, or ended by its own code."""

    deaths = 1
    """Number of processes that died with this molecule."""


class CheckpointError(MolvaeError):
    """A model folder that is incomplete, damaged, foreign or newer than this molvae."""


class CampaignError(MolvaeError, RuntimeError):
    """A request that a campaign file does not allow."""


class LibraryExhaustedError(CampaignError):
    """No molecule of a library may be proposed any more: a run ends before its budget is spent."""


class MissingPackageError(MolvaeError, ImportError):
    """An optional package is not installed; the message has the pip command."""


class MolvaeWarning(UserWarning):
    """A warning of molvae."""


class ImplausibleValueWarning(MolvaeWarning):
    """Given values are far from all others."""


def _restored(kind: type[MolvaeError], args: tuple[Any, ...], state: dict[str, Any]) -> MolvaeError:
    """Unpickle an error with its message and attributes."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def warn(message: str, kind: type[MolvaeWarning] = MolvaeWarning) -> None:
    """Issue a warning that points to the calling line outside molvae."""
    if _silent.get():
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN_CODE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence `warn` in this context; the filters of the process stay unchanged."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def lookup(kind: str, name: str, table: Mapping[str, Item]) -> Item:
    """The entry of a table, or `UnknownNameError`."""
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]


def require(holds: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless the condition holds."""
    if not holds:
        raise ConfigError(message)
