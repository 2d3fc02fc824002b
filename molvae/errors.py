"""What molvae raises on purpose.

Every message says what came, what was expected and what to do. Classes also inherit the built-in
that callers would expect, so that `except ValueError` works without knowing molvae.
"""

from __future__ import annotations

import contextlib
import difflib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from molvae._messages import shown

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


class UnknownSymbolError(MolvaeError, ValueError):
    """A symbol that the model's vocabulary does not have."""

    def __init__(self, symbol: str, position: int, molecule: str, n_symbols: int) -> None:
        super().__init__(
            f"symbol {shown(symbol)} at position {position} of {shown(molecule)} is not "
            f"among the model's {n_symbols} symbols; leave this molecule out, skip such molecules, "
            "or train on data that has the symbol"
        )
        self.symbol, self.position, self.molecule = symbol, position, molecule


class TooLongError(MolvaeError, ValueError):
    """A molecule with more symbols than the model can read or write."""

    def __init__(self, molecule: str, length: int, longest: int) -> None:
        super().__init__(
            f"{shown(molecule)} has {length} symbols, the model reads at most {longest}; "
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
