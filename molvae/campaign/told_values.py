"""Values of many trials at once, as they are given from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from molvae.chem.measurements import is_of_replicates
from molvae.chem.tables import ID_COLUMN
from molvae.chem.workbooks import frame_rows, is_frame
from molvae.config import is_list, whole_number
from molvae.errors import DataError, require, warn
from molvae.objectives.parsing import all_told_names
from molvae.objectives.trial_columns import (
    COLUMNS,
    DERIVED_COLUMNS,
    PREDICTION_COLUMNS,
    REASON_COLUMNS,
    VALUE_COLUMNS,
)

if TYPE_CHECKING:
    import pandas as pd

    from molvae.campaign.view import CampaignView


def values_by_trial(
    campaign: CampaignView, values: Any, errors: dict[int, Any], messages: dict[int, str]
) -> dict[int, Any]:
    """Values by the ids of trials: of a mapping, a Series, or the rows of a DataFrame.

    What is missing in a table is not known yet, as in a file: without a message for its trial, such
    a row is left out. Standard errors and messages of a DataFrame are added to those given; columns
    that are no part of an exported table are passed over, with a warning.

    Raises:
        ConfigError: No such container, or an id that is no whole number or comes twice.
        DataError: A row of a DataFrame has another molecule than its trial.
    """
    names = all_told_names(campaign.problem)
    beside: tuple[str, ...] = ()
    if is_frame(values) and any(name in names for name in values.columns):
        _check_molecules(values, {trial.id: trial.smiles for trial in campaign.trials})
        values, beside = _without_others(values, names)
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
        if beside:
            about = {name: value.pop(name) for name in beside}
            about = {name: cell for name, cell in about.items() if not _is_missing(cell)}
            if text := about.get("message"):
                messages.setdefault(id_, str(text))
            value, own = _with_signs(value, about)
            if own and id_ not in errors:
                errors[id_] = own
        if not is_table or messages.get(id_) or not _is_missing(value):
            found[id_] = value
    return found


def _check_molecules(frame: pd.DataFrame, molecules: Mapping[int, str]) -> None:
    from molvae.chem.molecules import canonical_or_none

    for id_, row in frame_rows(frame):
        smiles, proposed = row.get("smiles"), molecules.get(id_)
        if proposed and isinstance(smiles, str) and canonical_or_none(smiles) != proposed:
            raise DataError(
                f"trial {id_} is {proposed}, but its row has {smiles}; check the ids of the table"
            )


def _without_others(
    frame: pd.DataFrame, names: Sequence[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns that tell something, and those of them that stand beside the values.

    A warning names columns that a person added, which tell nothing.
    """
    told = {f"{name}_{kind}" for name in names for kind in VALUE_COLUMNS}
    beside = tuple(name for name in frame.columns if name in {*told, "message"})
    others = [one for one in frame.columns if one not in {ID_COLUMN, *names, *beside}]
    exported = {*COLUMNS, *DERIVED_COLUMNS, *REASON_COLUMNS}
    exported |= {f"{name}_{kind}" for name in names for kind in PREDICTION_COLUMNS}
    if added := [str(one) for one in others if one not in exported]:
        warn(f"columns {', '.join(added)} of the DataFrame hold no value; tell them as notes")
    return frame.drop(columns=others), beside


def _with_signs(
    values: Mapping[str, Any], about: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Values as limits and replicates where the columns beside them say so, and their errors.

    A value that is not the mean of the replicates beside it was edited, and counts without them.
    """
    found, errors = dict(values), dict[str, float]()
    for name, value in values.items():
        if replicates := about.get(f"{name}_replicates"):
            numbers = [float(one) for one in str(replicates).split(";")]
            if not _is_missing(value) and is_of_replicates([float(value)], numbers):
                found[name] = numbers
        elif (sign := about.get(f"{name}_operator", "=")) != "=" and not _is_missing(value):
            found[name] = f"{sign}{value}"
        elif (error := about.get(f"{name}_error")) is not None:
            errors[name] = error
    return found, errors


def _is_missing(value: Any) -> bool:
    """Whether a cell, or all cells of a row, are missing values of pandas."""
    import pandas as pd

    cells = value.values() if isinstance(value, Mapping) else [value]
    return all(not is_list(one) and bool(pd.isna(one)) for one in cells)
