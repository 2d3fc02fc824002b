"""Read trials from a campaign file of any format."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from molvae.bo.prediction import Prediction
from molvae.campaign.schema import format_of
from molvae.campaign.trial import STATUSES, Failure, Trial

_JOINED = """
LEFT JOIN outcome
    ON outcome.id = (SELECT max(id) FROM outcome AS latest WHERE latest.trial = trial.id)
LEFT JOIN value ON value.outcome = outcome.id
"""

_JOINED_1 = """
LEFT JOIN outcome ON outcome.trial = trial.id
LEFT JOIN value ON value.trial = trial.id
"""
"""The same in files before format 4 that may only be read."""

_EARLIER = """
(SELECT json_group_array(json_array(message, told_at)) FROM (
    SELECT message, told_at FROM outcome AS earlier
    WHERE earlier.trial = trial.id AND earlier.status = 'failed' AND earlier.id < outcome.id
    ORDER BY earlier.id
))
"""

_PREDICTIONS = """
(SELECT json_group_array(json_array(objective, q05, q25, q50, q75, q95)) FROM prediction
    WHERE prediction.trial = trial.id)
"""

_REMARKS = "(SELECT json_group_object(name, text) FROM remark WHERE remark.trial = trial.id)"


def read_trials(connection: sqlite3.Connection, ids: Sequence[int] | None = None) -> list[Trial]:
    """The trials in the order asked; all, or those with these ids.

    One statement reads everything, so that a value that another process tells meanwhile is seen
    with its outcome, or not at all.
    """
    where = "" if ids is None else f"WHERE trial.id IN ({','.join(str(int(i)) for i in ids)})"
    version = format_of(connection)
    columns = ["NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"]
    if version >= 2:
        notes = "note.trial = outcome.trial" if version < 4 else "note.outcome = outcome.id"
        columns[:2] = ["error", "replicates"]
        columns[2] = f"(SELECT json_group_object(name, text) FROM note WHERE {notes})"
    if version >= 3:
        columns[3] = "percentile"
    if version >= 4:
        columns[4:] = [_EARLIER, _REMARKS, _PREDICTIONS]
    rows = connection.execute(
        "SELECT trial.id, smiles, z, origin, asked_at, status, message, told_at, objective, value, "
        f"{', '.join(columns)} FROM trial {_JOINED if version >= 4 else _JOINED_1} {where} "
        "ORDER BY trial.id, objective"
    ).fetchall()
    return [_trial(list(same)) for _, same in groupby(rows, key=itemgetter(0))]


def _trial(rows: list[tuple[Any, ...]]) -> Trial:
    """A trial of its rows, one for each value."""
    id_, smiles, z, origin, asked_at, word, message, told_at = rows[0][:8]
    notes, percentile, failures, remarks, predictions = rows[0][12:]
    status = STATUSES[word or "asked"]
    values = [row[8:12] for row in rows if row[8] is not None]
    return Trial(
        id=id_,
        smiles=smiles,
        origin=origin,
        percentile=percentile,
        predictions={name: Prediction(*q) for name, *q in json.loads(predictions or "[]")},
        status=status,
        values={name: value for name, value, _, _ in values},
        errors={name: error for name, _, error, _ in values if error is not None},
        replicates={name: json.loads(several) for name, _, _, several in values if several},
        notes=_joined(json.loads(remarks or "{}"), json.loads(notes or "{}")),
        message="" if status == "pending" else message or "",
        earlier_failures=tuple(
            Failure(message=message, told_at=at) for message, at in json.loads(failures or "[]")
        ),
        asked_at=asked_at,
        told_at=None if status == "pending" else told_at,
        z_bytes=z,
    )


def _joined(remarks: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, str]:
    """Notes of a trial; a different text of the starting file gets another name."""
    kept = {
        f"{name} (start)" if notes.get(name, text) != text else name: text
        for name, text in remarks.items()
    }
    return kept | dict(notes)


__all__ = ["read_trials"]
