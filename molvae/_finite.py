"""Which numbers are values: finite, and not so large that squares and sums of them are not."""

from __future__ import annotations

import math

MAX_VALUE = 1e100
"""Largest magnitude of a value, a standard error, a limit, a weight."""


def finite(number: float) -> float:
    """The number, if it may be a value; so may NaN, which stands for none.

    Raises:
        ValueError: Says why it may not, as a clause that follows the number.
    """
    if abs(number) > MAX_VALUE:
        kind = "is infinite" if math.isinf(number) else f"is beyond {MAX_VALUE:g} in magnitude"
        raise ValueError(f"{kind}; what could not be scored is NaN, not a large number")
    return number


__all__ = ["MAX_VALUE", "finite"]
