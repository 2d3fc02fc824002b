"""What others say (errors, programs, objectives), made fit for a record and for a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


__all__ = [
    "MAX_MESSAGE",
    "MAX_SHOWN",
    "described",
    "encodable",
    "listed",
    "message_of",
    "one_line",
    "shown",
    "visible",
]
