"""What others say (errors, programs, objectives), made fit for a record and for a line."""

from __future__ import annotations

MAX_MESSAGE = 2_000
"""Characters of a message that are kept."""


def encodable(text: str) -> str:
    r"""Text that can be written as UTF-8: what cannot, halves of characters, becomes an escape.

    >>> print(encodable("caf\xe9 \udcff"))
    café \udcff
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shown(value: object, limit: int = 200) -> str:
    """A value as it stands in a message: its `repr` in one line, whatever it is."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return one_line(text, limit)


def described(error: BaseException) -> str:
    """The type of an error and what it says, in one line."""
    try:
        text = str(error)
    except Exception as other:
        text = f"its message raises {type(other).__name__}"
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def one_line(text: str, limit: int = MAX_MESSAGE) -> str:
    """Text in one line that can be written; of a long one its beginning and its end."""
    if len(text) > limit:
        head, tail = text[: limit * 3 // 4], text[len(text) - limit // 4 :]
        text = f"{head} [... {len(text) - limit:,} characters ...] {tail}"
    return encodable(" ".join(text.split()))


__all__ = ["MAX_MESSAGE", "described", "encodable", "one_line", "shown"]
