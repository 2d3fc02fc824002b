"""One number, out of whatever a function, a program or a person hands over as one."""

from __future__ import annotations

import datetime
import math
import numbers
from typing import Any


def scalar(value: Any) -> float:
    """A number as a float; NaN and infinities are numbers here.

    Numbers are those of Python and NumPy, and arrays and tensors of one element. True and False are
    none, whatever they are made of: they say whether something worked, and would become 1 and 0.
    Nor are texts, even those that look like numbers, complex numbers, and lists.

    Raises:
        ValueError: It is none.
    """
    one = _only_element(value)
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if (
        isinstance(one, bool | str | bytes | bytearray | datetime.date | datetime.timedelta)
        or (isinstance(one, numbers.Complex) and not isinstance(one, numbers.Real))
        or kind in ("m", "M")  # times, which may become whole numbers
        or not (hasattr(one, "__float__") or hasattr(one, "__index__"))
    ):
        raise ValueError("not a number")
    try:
        return float(one)
    except OverflowError:  # a whole number of more digits than a float has
        return math.inf if one > 0 else -math.inf
    except Exception as error:  # of a class of somebody else's
        raise ValueError("not a number") from error


def _only_element(value: Any) -> Any:
    """The element of an array, a tensor or a column that has one; anything else as it is."""
    if not callable(getattr(value, "item", None)):
        return value
    mask = getattr(value, "mask", False)
    try:
        if not callable(mask) and bool(mask):  # a masked number, whose item would be 0
            return None
        return value.item()
    except Exception:
        return None


__all__ = ["scalar"]
