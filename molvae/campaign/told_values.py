"""Values of many trials at once, as they are given from Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molvae.chem.workbooks import frame_rows, is_frame
from molvae.config import is_list, whole_number
from molvae.errors import require


def values_by_trial(values: Any, messages: Mapping[int, str]) -> dict[int, Any]:
    """Values by the ids of trials: of a mapping, a Series, or the rows of a DataFrame.

    What is missing in a table is not known yet, as in a file: without a message for its trial, such
    a row is left out.

    Raises:
        ConfigError: No such container, or an id that is no whole number or comes twice.
    """
    require(
        hasattr(values, "items"),
        f"values must be a mapping from ids of trials to values, got {values!r}",
    )
    found, is_table, seen = dict[int, Any](), hasattr(values, "iloc"), set[int]()
    for key, value in frame_rows(values) if is_frame(values) else values.items():
        id_ = whole_number(key, "a trial's id")
        require(
            id_ not in seen,
            f"trial {id_} is there twice; put several values of a trial into one list",
        )
        seen.add(id_)
        if not is_table or messages.get(id_) or not _is_missing(value):
            found[id_] = value
    return found


def _is_missing(value: Any) -> bool:
    """Whether a cell, or all cells of a row, are missing values of pandas."""
    import pandas as pd

    cells = value.values() if isinstance(value, Mapping) else [value]
    return all(not is_list(one) and bool(pd.isna(one)) for one in cells)
