"""Values of many trials at once: from a mapping, a Series, a DataFrame or the table of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molvae.campaign.history import COLUMN_ALIASES, derived_columns
from molvae.campaign.told_tables import MeasuredRow, frame_by_id, read_measurements
from molvae.chem.tables import Table
from molvae.chem.workbooks import is_frame
from molvae.config import is_list, whole_number
from molvae.errors import DataError, listed, require
from molvae.objectives.parsing import all_told_names, told_names
from molvae.objectives.trial_columns import (
    COLUMNS,
    EARLIER_FAILURES_COLUMN,
    FIDELITY_COLUMN,
    PREDICTION_COLUMNS,
    REASON_COLUMNS,
    plate_columns,
)

if TYPE_CHECKING:
    from molvae.campaign.trial import Trial
    from molvae.campaign.view import CampaignView
    from molvae.objectives.problem import OptimizationProblem


@dataclass(frozen=True, kw_only=True)
class ToldValues:
    """What is told of trials, each by the trial's id; arguments of `Campaign.tell_all`."""

    values: dict[int, Any]
    errors: dict[int, Any]
    messages: dict[int, str]
    notes: dict[int, Mapping[str, str]]
    n_blank: int = 0
    """Number of rows without a value or a message, which tell nothing."""


def told_values(
    campaign: CampaignView,
    values: Any,
    *,
    errors: Mapping[int, Any] | None,
    messages: Mapping[int, str] | None,
    notes: Mapping[int, Mapping[str, str]] | None,
    correct: bool = False,
    add: bool = False,
) -> ToldValues:
    """Values by the ids of trials: of a mapping, a Series, or the rows of a DataFrame.

    What is missing in a Series is not known yet: without a message for its trial, it is left out.

    Raises:
        ConfigError: No such container, or an id that is no whole number or comes twice.
        DataError: See `told_in_table`, for a DataFrame.
    """
    if is_frame(values) and not len(values):  # e.g. of a filter: nothing is told
        values = {}
    if is_frame(values):
        more: dict[str, Any] = {"errors": errors, "messages": messages, "notes": notes}
        return told_in_table(campaign, frame_by_id(values), correct=correct, add=add, **more)
    require(
        hasattr(values, "items"),
        f"values must be a mapping from ids of trials to values, got {values!r}",
    )
    messages = dict(messages or {})
    found, is_series, seen = dict[int, Any](), hasattr(values, "iloc"), set[int]()
    for key, value in values.items():
        id_ = whole_number(key, "a trial's id")
        require(
            id_ not in seen,
            f"trial {id_} is there twice; put several values of a trial into one list",
        )
        seen.add(id_)
        if not is_series or messages.get(id_) or not _is_missing(value):
            found[id_] = value
    return ToldValues(
        values=found, errors=dict(errors or {}), messages=messages, notes=dict(notes or {})
    )


def told_in_table(
    campaign: CampaignView,
    table: Table,
    *,
    errors: Mapping[int, Any] | None = None,
    messages: Mapping[int, str] | None = None,
    notes: Mapping[int, Mapping[str, str]] | None = None,
    correct: bool = False,
    add: bool = False,
) -> ToldValues:
    """Values in the rows of a table; errors, messages and notes are added to those of the rows.

    Args:
        table: See `read_measurements`.
        errors: Instead of those in the table.
        messages: Instead of those in the table.
        notes: Beside those in the table.
        correct: Replace outcomes; a message is then a reason, and does not say what failed.
        add: Add replicates; a blank cell was not measured.

    Raises:
        DataError: Names all bad rows; a row has some of the values only, and no message says why.
    """
    problem, trials = campaign.problem, {trial.id: trial for trial in campaign.trials}
    read = read_measurements(
        table,
        all_told_names(problem),
        own={id_: told_names(problem.at(trial.fidelity)) for id_, trial in trials.items()},
        known={id_: _as_exported(trial) for id_, trial in trials.items()},
        skip=_computed_columns([*trials.values()], problem),
        plate=plate_columns(problem),
    )
    told = {row.id: row.message for row in read if row.message}
    messages = told | {id_: text for id_, text in (messages or {}).items() if text}
    rows = [row for row in read if not row.is_empty or messages.get(row.id)]
    values: dict[int, Any] = {row.id: dict(row.values) for row in rows}
    if add:
        for row in rows:
            failed = {name for name, of in row.values.items() if of is None} - {*row.blank}
            values[row.id] |= dict.fromkeys(failed, math.nan)
    else:
        _check_complete(rows, {} if correct else messages)
    return ToldValues(
        values=values,
        errors={row.id: row.errors for row in rows if row.errors} | dict(errors or {}),
        messages=messages,
        notes={row.id: row.notes | dict((notes or {}).get(row.id) or {}) for row in rows},
        n_blank=len(read) - len(rows),
    )


def _check_complete(rows: Sequence[MeasuredRow], messages: Mapping[int, str]) -> None:
    """Refuse rows with some of the values only, where a message does not say why."""
    lacking = []
    for row in rows:
        known = [name for name, of in row.values.items() if of is not None]
        failed = len(row.blank) + len(known) < len(row.values) or messages.get(row.id)
        if row.blank and known and not failed:
            lacking.append(f"{row.where}: {', '.join(row.blank)} of trial {row.id} is missing")
    if lacking:
        advice = "fill it in, or write failed if it could not be measured"
        raise DataError(f"nothing was written: {listed(lacking, advice)}")


def _computed_columns(trials: Sequence[Trial], problem: OptimizationProblem) -> set[str]:
    """Columns of an exported table that the campaign computes, old names included."""
    names = {*problem.value_names, *COLUMNS, EARLIER_FAILURES_COLUMN} - {"status"}
    names |= {FIDELITY_COLUMN} if problem.fidelities else set()
    names |= {*derived_columns(trials, problem), *REASON_COLUMNS}
    names |= {f"{n}_{p}" for n in problem.names for p in PREDICTION_COLUMNS}
    old = {name for name, now in COLUMN_ALIASES.items() if now in names}
    return (names | old) - {*problem.measured, *all_told_names(problem)}


def _as_exported(trial: Trial) -> dict[str, str]:
    """Columns of an exported table other than values, for one trial."""
    columns = {name: getattr(trial, name) for name in COLUMNS}
    return {
        **{f"note_{name}": text for name, text in trial.notes.items()},
        **trial.notes,
        **{f"{name}_operator": operator for name, operator in trial.operators.items()},
        **{f"{n}_replicates": ";".join(map(repr, r)) for n, r in trial.replicates.items()},
        **{name: "" if value is None else str(value) for name, value in columns.items()},
    }


def _is_missing(value: Any) -> bool:
    """Whether a value is a missing value of pandas."""
    import pandas as pd

    return not is_list(value) and bool(pd.isna(value))
