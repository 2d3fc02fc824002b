"""The exceptions of molvae, and how their messages show what came."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

MAX_MESSAGE = 2_000
"""Characters of a message that are kept."""

MAX_SHOWN = 120
"""Characters of a value that a message repeats."""

MAX_LISTED = 10
"""Findings that a message names; the others are counted."""

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but for tabs and line breaks, marks that turn the direction of text, and
halves of characters."""


def encodable(text: str) -> str:
    r"""Text that can be written as UTF-8: what cannot, halves of characters, becomes an escape.

    >>> print(encodable("caf\xe9 \udcff"))
    café \udcff
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    r"""Text without what a terminal would obey: control characters as escapes.

    >>> print(visible("\x1b[31mred"))
    \x1b[31mred
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shown(value: object, limit: int = MAX_SHOWN) -> str:
    """A value as it stands in a message: its `repr` in one line, whatever it is.

    >>> shown("C" * 10_000, limit=8)
    "'CCCCCC [... 9,992 characters ...] CC'"
    """
    if isinstance(value, str) and len(value) > limit:
        head, tail = value[: limit * 3 // 4], value[len(value) - limit // 4 :]
        more = f" [... {len(value) - limit:,} characters ...] "
        return encodable(repr(head)[:-1] + more + repr(tail)[1:])
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return one_line(text, 2 * limit)


def listed(findings: Sequence[str], advice: str = "") -> str:
    """Several findings as one message: the first ones, how many more, and what to do.

    >>> listed([f"line {i}" for i in range(1, 13)], "mend them").partition("line 10; ")[2]
    'and 2 more (12 in all); mend them'
    """
    more = len(findings) - MAX_LISTED
    rest = [f"and {more} more ({len(findings)} in all)"] if more > 0 else []
    return "; ".join([*findings[:MAX_LISTED], *rest, *([advice] if advice else [])])


def described(error: BaseException) -> str:
    """The type of an error and what it says, in one line."""
    text = message_of(error)
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def message_of(error: BaseException) -> str:
    """What an error says, in one line, even if saying it fails."""
    try:
        return one_line(str(error))
    except Exception as other:
        return f"its message raises {type(other).__name__}"


def one_line(text: str, limit: int = MAX_MESSAGE) -> str:
    """Text in one line that can be written; of a long one its beginning and its end."""
    if len(text) > limit:
        head, tail = text[: limit * 3 // 4], text[len(text) - limit // 4 :]
        text = f"{head} [... {len(text) - limit:,} characters ...] {tail}"
    return encodable(" ".join(text.split()))


_OWN_CODE = (str(Path(__file__).parent / "_")[:-1], contextlib.__file__)

_unheard: ContextVar[bool] = ContextVar("_unheard", default=False)


class MolvaeError(Exception):
    """Base of all errors raised on purpose; the command line prints it as one line."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own way calls the class with the message, which a class with other arguments
        # does not take: errors of worker processes would be lost on their way.
        return _restored, (type(self), self.args, self.__dict__)


class InvalidMoleculeError(MolvaeError, ValueError):
    """A text that RDKit does not accept as a molecule, or that a representation cannot write."""


class UnknownTokenError(MolvaeError, ValueError):
    """A token that the model's vocabulary does not have."""

    def __init__(self, token: str, position: int, molecule: str, n_tokens: int) -> None:
        super().__init__(
            f"token {shown(token)} at position {position} of {shown(molecule)} is not "
            f"among the model's {n_tokens} tokens; leave this molecule out, skip such molecules, "
            "or train on data that has the token"
        )
        self.token, self.position, self.molecule = token, position, molecule


UnknownSymbolError = UnknownTokenError
"""The old name."""


class TooLongError(MolvaeError, ValueError):
    """A molecule with more tokens than the model can read or write."""

    def __init__(self, molecule: str, length: int, longest: int) -> None:
        super().__init__(
            f"{shown(molecule)} has {length} tokens, the model reads at most {longest}; "
            "leave this molecule out, skip such molecules, or train on longer ones"
        )
        self.molecule, self.length, self.longest = molecule, length, longest


class UnknownNameError(MolvaeError, LookupError):
    """A name that nothing goes by: an objective, a strategy, a run, a data set, a setting."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        super().__init__(f"no {kind} is called {shown(name)}{hint} Known: {', '.join(names)}")
        self.name, self.known = name, names


class ConfigError(MolvaeError, ValueError):
    """A setting outside its range, or settings that contradict each other."""


class DataError(MolvaeError, ValueError):
    """A data file that is empty, damaged, or lacks what was asked for."""


class ObjectiveError(MolvaeError, RuntimeError):
    """An objective that could not be imported, or that broke while scoring."""


class MachineError(ObjectiveError):
    """An objective could not be called: trouble of the machine, not of a molecule.

    An objective may raise it (no licence, a full disk): the campaign stops, and the molecule waits.
    """


class ProcessDiedError(MachineError):
    """A process died while it had a molecule: killed, out of memory, or ended by what it called."""

    deaths = 1
    """Of processes that had the molecule, one after the other."""


class CheckpointError(MolvaeError):
    """A run folder that is incomplete, damaged, foreign or newer than this molvae."""


class CampaignError(MolvaeError, RuntimeError):
    """A request that a campaign's record does not allow."""


class MissingPackageError(MolvaeError, ImportError):
    """An optional package that is not installed; the message holds the pip command."""


class MolvaeWarning(UserWarning):
    """Something that the user should know and that does not stop the work."""


def _restored(kind: type[MolvaeError], args: tuple[Any, ...], state: dict[str, Any]) -> MolvaeError:
    """The inverse of pickling: message and attributes as they were."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def warn(message: str) -> None:
    """Issue a `MolvaeWarning` that points to the nearest line of code outside molvae."""
    if _unheard.get():
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN_CODE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MolvaeWarning, stacklevel=level)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Let `warn` do nothing in this thread; the process's own filters stay as they are."""
    token = _unheard.set(True)
    try:
        yield
    finally:
        _unheard.reset(token)


def require(holds: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless the condition holds."""
    if not holds:
        raise ConfigError(message)


__all__ = [
    "MAX_MESSAGE",
    "MAX_SHOWN",
    "described",
    "encodable",
    "listed",
    "message_of",
    "one_line",
    "require",
    "shown",
    "visible",
]
