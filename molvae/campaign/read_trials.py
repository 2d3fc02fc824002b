"""Reads trials from the tables of a campaign file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from molvae.bo.prediction import Prediction
from molvae.campaign.trial import STATUSES, Failure, Reason, Trial

_TRIALS = """
SELECT trial.id AS id, smiles, z, origin, asked_at, percentile, status, message, told_at,
    (SELECT json_group_array(json_array(message, told_at)) FROM (
        SELECT message, told_at FROM outcome AS earlier
        WHERE earlier.trial = trial.id AND earlier.status = 'failed' AND earlier.id < outcome.id
        ORDER BY earlier.id)) AS failures,
    (SELECT json_group_object(name, text) FROM remark WHERE remark.trial = trial.id)
        AS remarks,
    (SELECT json_group_object(name, text) FROM note WHERE note.outcome = outcome.id)
        AS notes,
    (SELECT json_group_array(json_array(objective, q05, q25, q50, q75, q95)) FROM prediction
        WHERE prediction.trial = trial.id) AS predictions,
    kappa, parents, nearest, similarity, findings, fidelity,
    objective, value, error, replicates, operator
FROM trial
LEFT JOIN reason ON reason.trial = trial.id
LEFT JOIN outcome
    ON outcome.id = (SELECT max(id) FROM outcome AS latest WHERE latest.trial = trial.id)
LEFT JOIN value ON value.outcome = outcome.id
"""


def read_trials(connection: sqlite3.Connection, ids: Sequence[int] | None = None) -> list[Trial]:
    """See `Storage.trials`. In one statement: another process may tell a value meanwhile."""
    where = "" if ids is None else f"WHERE trial.id IN ({','.join(str(int(i)) for i in ids)})"
    rows = named_rows(connection, f"{_TRIALS} {where} ORDER BY trial.id, objective")
    return [_trial(list(same)) for _, same in groupby(rows, key=itemgetter("id"))]


def named_rows(connection: sqlite3.Connection, query: str) -> list[sqlite3.Row]:
    """Rows with cells by name."""
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(query).fetchall()


def _trial(rows: list[sqlite3.Row]) -> Trial:
    """A trial of its rows, one for each value."""
    first = rows[0]
    status = STATUSES[first["status"] or "asked"]
    values = {row["objective"]: row for row in rows if row["objective"] is not None}

    def loaded(name: str) -> Any:
        return json.loads(first[name] or "[]")

    return Trial(
        id=first["id"],
        smiles=first["smiles"],
        origin=first["origin"],
        percentile=first["percentile"],
        fidelity=first["fidelity"],
        predictions={name: Prediction(*q) for name, *q in loaded("predictions")},
        reason=_reason(first),
        status=status,
        values={name: row["value"] for name, row in values.items()},
        operators={name: row["operator"] for name, row in values.items() if row["operator"]},
        errors={name: row["error"] for name, row in values.items() if row["error"] is not None},
        replicates={
            name: json.loads(row["replicates"]) for name, row in values.items() if row["replicates"]
        },
        notes=_joined(dict(loaded("remarks")), dict(loaded("notes"))),
        message="" if status == "pending" else first["message"] or "",
        earlier_failures=tuple(Failure(message=m, told_at=at) for m, at in loaded("failures")),
        asked_at=first["asked_at"],
        told_at=None if status == "pending" else first["told_at"],
        z_bytes=first["z"],
    )


def _reason(row: sqlite3.Row) -> Reason | None:
    """The reason of a proposal; None if the file has none."""
    if row["parents"] is None or row["findings"] is None:
        return None
    return Reason(
        kappa=row["kappa"],
        parents=tuple(map(str, json.loads(row["parents"]))),
        nearest=row["nearest"],
        similarity=row["similarity"],
        findings=tuple(map(str, json.loads(row["findings"]))),
    )


def _joined(remarks: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, str]:
    """Notes of a trial; a different text of the starting file gets another name."""
    kept = {
        f"{name} (start)" if notes.get(name, text) != text else name: text
        for name, text in remarks.items()
    }
    return {**kept, **notes}
