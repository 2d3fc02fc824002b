"""Numbers: from Python objects, arrays and text."""

from __future__ import annotations

import datetime
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal

from molvae.config import is_list
from molvae.errors import ObjectiveError, shown

MAX_VALUE = 1e100  # largest magnitude of a value, a standard error, a bound, a weight


def finite(number: float) -> float:
    """The number, if it is allowed as a value; so is NaN, for a missing one.

    Raises:
        ValueError: The reason, as a clause that follows the number.
    """
    if abs(number) > MAX_VALUE:
        kind = "is infinite" if math.isinf(number) else f"is beyond {MAX_VALUE:g} in magnitude"
        raise ValueError(f"{kind}; what could not be scored is NaN, not a large number")
    return number


def scalar(value: Any) -> float:
    """A number as a float; NaN and infinities are numbers here.

    Accepts numbers of Python and NumPy, and arrays and tensors of one element. Refuses True and
    False, texts, dates, complex numbers and lists.

    Raises:
        ValueError: Not a number.
    """
    one = value
    if callable(getattr(value, "item", None)):  # an array, a tensor or a column of one
        mask = getattr(value, "mask", False)
        try:  # a masked number, whose item would be 0, is none
            one = None if not callable(mask) and bool(mask) else value.item()
        except Exception:
            one = None
    if (
        isinstance(one, bool | str | bytes | bytearray | datetime.date | datetime.timedelta)
        or (isinstance(one, numbers.Complex) and not isinstance(one, numbers.Real))
        or getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M")  # times
        or not (hasattr(one, "__float__") or hasattr(one, "__index__"))
    ):
        raise ValueError("not a number")
    try:
        return float(one)
    except OverflowError:  # an integer beyond the range of a float
        return math.inf if one > 0 else -math.inf
    except Exception as error:  # of a foreign class
        raise ValueError("not a number") from error


def one_per_molecule(name: str, values: Any, n: int) -> list[Any]:
    """The values of `n` molecules as a list.

    Raises:
        ObjectiveError: Their number differs, or the container is no sequence of values: a table, a
            mapping, a set, a text.
    """
    values = listed_values(values)
    if isinstance(values, list) and len(values) == n:
        return values
    is_list = isinstance(values, list)
    got = f"{len(values)} values for {n} molecules" if is_list else f"a {type(values).__name__}"
    raise ObjectiveError(
        f"objective {name!r} returned {got}, not one value per molecule; return a list, in order, "
        "NaN where it cannot score"
    )


def listed_values(values: Any) -> Any:
    """Values as a list; a container that is no sequence of values stays as it is.

    Raises:
        TypeError: They are no container, but one number or None.
    """
    if not is_list(values) and not isinstance(values, str | bytes):
        raise TypeError(
            f"it returned {shown(values)}, not one value per molecule; return a list, in order, "
            "NaN where it cannot score"
        )
    other = (
        isinstance(values, Mapping | Set | str | bytes | bytearray | memoryview)
        or hasattr(values, "columns")
        or any(n != 1 for n in getattr(values, "shape", ())[1:])
    )
    return values if other else list(values)


_POINT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")
_EITHER = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")  # 1,234 and 1.234: decimals or thousands
_CENSORED = re.compile(
    r"(<=|>=|=<|=>|<<|>>|<|>|\u2264|\u2265)\s*([^<>=\u2264\u2265\s].*)", re.DOTALL
)
LIMIT_SIGNS = ("<", ">", "\u2264", "\u2265")  # first characters of a limit
_SIGNS = "<>=\u2264\u2265 "
_SIMPLE = r"([+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?)"
_ABOUT = r"(?:~|\u2248|'|(?:ca\.?|approx\.?|about)\s)"
_MISTAKES = (
    (
        r"[+-]?[0-9]{1,3}(?:[ '\u2019\u00a0\u202f_.,][0-9]{3})+(?:[.,][0-9]*)?|[0-9]+(?:_[0-9]+)+",
        "has separators of thousands; write the number without them",
    ),
    (r"[+-]?(?:inf(?:inity)?|nan)", "is not finite"),
    (
        rf"{_SIMPLE}\s*(?:-|\u2013|\.\.+|to)\s*{_SIMPLE}",
        "is a range; write one value, or a limit such as >5",
    ),
    (  # a unit
        rf"{_SIMPLE}\s*(?![x_])(?:[^\W\d]|[%°]).*",
        r"is not a number; write \1 only, and a unit into the name of the column",
    ),
    (
        r"(?:[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}([./])[0-9]{1,2}\1[0-9]{2,4}\b)(?s:.*)",
        "is a date; where a spreadsheet made it of a number such as 1.3, import that column as "
        "text",
    ),
    (
        rf"{_ABOUT}?\s*{_SIMPLE}\s*(?:\u00b1|\+/?-)\s*[0-9.,]+",
        r"is not a number; write \1 only, and its standard error into a column error",
    ),
    (  # a mark of approximation, a footnote, or a remark
        rf"{_ABOUT}?\s*{_SIMPLE}(?:\s*\*+|\s*\(.*\))?",
        r"is not a number; write \1 only",
    ),
    (rf"{_ABOUT}\s*([<>\u2264\u2265]=?\s*{_SIMPLE})", r"is not a number; write \1 only"),
    (rf"{_SIMPLE}(?:\s*/\s*|,\s+){_SIMPLE}", "is not a number; replicates are written 5.1;5.3"),
)
"""Patterns of texts that are no numbers, in any case, and the reasons."""

FAILED_TEXTS = ("failed", "nan")  # texts of failed measurements, in any case

MISSING_TEXTS = (
    *("", "-", "--", "\u2013", "\u2014", "n.d.", "n.d", "nd", "n/d", "n.a.", "n.a", "na", "n/a"),
    *("#n/a", "n.t.", "nt", "n/t", "none", "null", "not determined", "not tested", "not measured"),
)
"""Texts that stand for a missing value, in any case."""


Operator = Literal["<", ">"]


@dataclass(frozen=True)
class Censored:
    """A limit instead of a value: the value is below (`<`) or above (`>`) it, or equal to it."""

    operator: Operator
    limit: float

    def __str__(self) -> str:
        return f"{self.operator}{repr(self.limit).removesuffix('.0')}"


def number(text: str, *, decimal_comma: bool | None = False, sign: str = "") -> float:
    """A finite number with a decimal point, or with an unambiguous decimal comma.

        >>> number("5,29"), number("1e-9"), number("1,234", decimal_comma=True)
        (5.29, 1e-09, 1.234)

    Surrounding blanks and a typographic minus are allowed. `decimal_comma` says whether the numbers
    of the column have one; None: only some. `sign` is the limit's, for the message.

    Raises:
        ValueError: The reason, as a clause that follows the text.
    """
    written = text.strip().replace("\u2212", "-")
    if _EITHER.fullmatch(written) and decimal_comma is not ("," in written):
        raise ValueError(
            f"is either {written.replace(',', '.')} or {re.sub('[.,]', '', written)}; write it "
            "with a decimal point, and without separators of thousands"
        )
    if _COMMA.fullmatch(written) or _POINT.fullmatch(written):
        found = finite(float(written.replace(",", ".")))
        if found == 0 and re.match("[^eE]*[1-9]", written):
            raise ValueError("is smaller than any number that can be stored; use another unit")
        return found
    for pattern, reason in _MISTAKES:
        if mistake := re.fullmatch(pattern, written, re.IGNORECASE):
            raise ValueError(mistake.expand(reason.replace(r"\1", rf"{sign}\1")))
    raise ValueError("is not a number")


def parse_measurement(
    text: str, *, decimal_comma: bool | None = False, alone: bool = True
) -> float | Censored | None:
    """A measurement in a cell: a number, NaN for a failed one, a limit, or None for none.

    Among several values in a cell (not `alone`), only an empty text means no value, words such as
    n.d. stand for a failed one, which is noted, and digits are required on both sides of a decimal
    mark: `5,;29` may be a mistyped 5,29.

    Raises:
        ValueError: As for `number`.
    """
    written = " ".join(text.split()).lower()
    if not written or (alone and written in MISSING_TEXTS):
        return None
    if written in FAILED_TEXTS or (written in MISSING_TEXTS and written.strip("-\u2013\u2014")):
        return math.nan
    if found := _CENSORED.fullmatch(text.strip()):
        limit = number(found[2], decimal_comma=decimal_comma, sign=found[1])
        return Censored(operator_of(found[1]), limit)
    if not alone and re.search(r"^[^0-9]?[.,]|[.,]$", written):
        raise ValueError("is not a number")
    return number(text, decimal_comma=decimal_comma)


def is_word(text: str) -> bool:
    """Whether a text stands for a missing value or a failed measurement."""
    return " ".join(text.split()).lower() in (*MISSING_TEXTS, *FAILED_TEXTS)


def operator_of(sign: str) -> Operator:
    """`<` or `>` of a sign such as `<=` or `≥`."""
    return "<" if sign.strip("=") in ("<", "<<", "\u2264") else ">"


def decimal_marks(texts: Iterable[str]) -> set[str]:
    """The decimal marks, comma and point, of the unambiguous numbers."""
    marks = set[str]()
    for text in texts:
        if "," not in text and "." not in text:
            continue
        written = text.strip().lstrip(_SIGNS).replace("\u2212", "-")
        if not _EITHER.fullmatch(written):
            if _COMMA.fullmatch(written):
                marks.add(",")
            elif "." in written and _POINT.fullmatch(written):
                marks.add(".")
    return marks


def is_ambiguous(text: str) -> bool:
    """Whether a number may have decimals or thousands."""
    return _EITHER.fullmatch(text.strip().lstrip(_SIGNS)) is not None


def not_a_number(text: str, reason: object) -> str:
    """A text and the reason why it is no number, for a message."""
    return f"{shown(text.strip(), 40)} {reason}"
