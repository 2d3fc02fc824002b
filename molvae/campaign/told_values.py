"""Values of many trials at once, as they are given from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from molvae.chem.molecules import canonical_or_none
from molvae.chem.tables import ID_COLUMN
from molvae.chem.workbooks import frame_rows, is_frame
from molvae.config import is_list, whole_number
from molvae.errors import DataError, require, warn
from molvae.objectives.parsing import all_told_names
from molvae.objectives.trial_columns import COLUMNS, DERIVED_COLUMNS, REASON_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from molvae.campaign.view import CampaignView


def values_by_trial(
    campaign: CampaignView, values: Any, messages: Mapping[int, str]
) -> dict[int, Any]:
    """Values by the ids of trials: of a mapping, a Series, or the rows of a DataFrame.

    What is missing in a table is not known yet, as in a file: without a message for its trial, such
    a row is left out. Columns of a DataFrame that hold no values are passed over, with a warning
    if they are none of an exported table.

    Raises:
        ConfigError: No such container, or an id that is no whole number or comes twice.
        DataError: A row of a DataFrame has another molecule than its trial.
    """
    if is_frame(values):
        names = all_told_names(campaign.problem)
        if any(name in names for name in values.columns):
            _check_molecules(values, {trial.id: trial.smiles for trial in campaign.trials})
            values = _with_values_only(values, names)
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


def _check_molecules(frame: pd.DataFrame, molecules: Mapping[int, str]) -> None:
    for id_, row in frame_rows(frame):
        smiles, proposed = row.get("smiles"), molecules.get(id_)
        if proposed and isinstance(smiles, str) and canonical_or_none(smiles) != proposed:
            raise DataError(
                f"trial {id_} is {proposed}, but its row has {smiles}; check the ids of the table"
            )


def _with_values_only(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The ids and the columns of values; a warning of columns that a person added."""
    more = [name for name in frame.columns if name not in {ID_COLUMN, *names}]
    exported = {*COLUMNS, *DERIVED_COLUMNS, *REASON_COLUMNS}
    beside = tuple(f"{name}_" for name in names)
    if added := [
        one for one in map(str, more) if one not in exported if not one.startswith(beside)
    ]:
        warn(f"columns {', '.join(added)} of the DataFrame hold no value; tell them as notes")
    return frame.drop(columns=more)


def _is_missing(value: Any) -> bool:
    """Whether a cell, or all cells of a row, are missing values of pandas."""
    import pandas as pd

    cells = value.values() if isinstance(value, Mapping) else [value]
    return all(not is_list(one) and bool(pd.isna(one)) for one in cells)
