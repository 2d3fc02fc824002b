"""Trials as they stand in the tables of a campaign file."""

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
SELECT trial.id, smiles, z, origin, asked_at, percentile, status, message, told_at,
    (SELECT json_group_array(json_array(message, told_at)) FROM (
        SELECT message, told_at FROM outcome AS earlier
        WHERE earlier.trial = trial.id AND earlier.status = 'failed' AND earlier.id < outcome.id
        ORDER BY earlier.id)),
    (SELECT json_group_object(name, text) FROM remark WHERE remark.trial = trial.id),
    (SELECT json_group_object(name, text) FROM note WHERE note.outcome = outcome.id),
    (SELECT json_group_array(json_array(objective, q05, q25, q50, q75, q95)) FROM prediction
        WHERE prediction.trial = trial.id),
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
    rows = connection.execute(f"{_TRIALS} {where} ORDER BY trial.id, objective").fetchall()
    return [_trial(list(same)) for _, same in groupby(rows, key=itemgetter(0))]


def _trial(rows: list[tuple[Any, ...]]) -> Trial:
    """A trial of its rows, one for each value."""
    id_, smiles, z, origin, asked_at, percentile, word, message, told_at = rows[0][:9]
    failures, remarks, notes, predictions = (json.loads(text or "[]") for text in rows[0][9:13])
    status = STATUSES[word or "asked"]
    values = [row[19:] for row in rows if row[19] is not None]
    return Trial(
        id=id_,
        smiles=smiles,
        origin=origin,
        percentile=percentile,
        fidelity=rows[0][18],
        predictions={name: Prediction(*q) for name, *q in predictions},
        reason=_reason(*rows[0][13:18]),
        status=status,
        values={name: value for name, value, *_ in values},
        operators={name: operator for name, *_, operator in values if operator},
        errors={name: error for name, _, error, *_ in values if error is not None},
        replicates={name: json.loads(several) for name, _, _, several, _ in values if several},
        notes=_joined(dict(remarks), dict(notes)),
        message="" if status == "pending" else message or "",
        earlier_failures=tuple(Failure(message=said, told_at=at) for said, at in failures),
        asked_at=asked_at,
        told_at=None if status == "pending" else told_at,
        z_bytes=z,
    )


def _reason(
    kappa: float | None, parents: str | None, nearest: str | None, similarity: float | None,
    findings: str | None,
) -> Reason | None:  # fmt: skip
    """The reason of a proposal; None if the file has none."""
    if parents is None or findings is None:
        return None
    return Reason(
        kappa=kappa,
        parents=tuple(map(str, json.loads(parents))),
        nearest=nearest,
        similarity=similarity,
        findings=tuple(map(str, json.loads(findings))),
    )


def _joined(remarks: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, str]:
    """Notes of a trial; a different text of the starting file gets another name."""
    kept = {
        f"{name} (start)" if notes.get(name, text) != text else name: text
        for name, text in remarks.items()
    }
    return {**kept, **notes}
