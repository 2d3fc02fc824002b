"""The campaign file: facts that are inserted and never changed, read as trials.

Facts that belong together (a batch that was asked, an outcome with its values) are one transaction,
on disk when the call returns. One process writes at a time; any number may read meanwhile, and
threads share an open file. SQLite's log beside the file (NAME-wal) is written into it after each
step, so that the file alone holds everything as long as nothing writes. Copy a file that is being
written by `sqlite3 NAME ".backup COPY"`. SQLite's locks do not work on every network file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from molvae._files import Kind, check_output, replacing
from molvae.campaign.lock import CampaignLock
from molvae.campaign.read_trials import named_rows, read_trials
from molvae.campaign.schema import (
    FORMAT,
    check_header,
    check_schema,
    connect,
    migrate,
    migrated_copy,
    readable_errors,
)
from molvae.campaign.trial import (
    STATUSES,
    Change,
    NewTrial,
    Outcome,
    Status,
    Trial,
)
from molvae.errors import CampaignError, encodable, listed

CAMPAIGN_FILE = Kind(name="a new campaign file", is_own=lambda file: False, error=CampaignError)
"""Nothing that exists is replaced by a campaign file."""

_WORDS = {status: word for word, status in STATUSES.items()}  # the words in the file, by status


BATCH_SIZE_PREFIX = "batch_size:"  # begins keys of changes of the batch size


class Storage:
    """An open campaign file, for all threads."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, *, read_only: bool = False
    ) -> None:
        self.path, self._connection, self.read_only = path, connection, read_only
        self._lock = CampaignLock(path)
        self._mutex = threading.RLock()  # one thread at a time uses the connection

    @classmethod
    def create(
        cls, path: str | Path, metadata: Mapping[str, Any], trials: Sequence[NewTrial] = ()
    ) -> Storage:
        """Make a campaign file with its metadata and first trials: all on disk, or nothing."""
        path = Path(path).absolute()
        check_can_create(path)
        # Made beside and linked into place: whatever stops this, there is no half a file.
        with (
            replacing(path, CAMPAIGN_FILE) as draft,
            readable_errors(path),
            contextlib.closing(connect(draft, "rw")) as connection,
        ):
            store = cls(path, connection)
            with store._transaction("create"):
                migrate(connection)
                for key, value in metadata.items():
                    store._insert_row("campaign", key, json.dumps(value))
                store._insert(trials)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Storage:
        """Open a campaign file; an older format is migrated, or only read on a read-only disk."""
        path = Path(path).absolute()
        check_header(path)
        real = Path(os.path.realpath(path))
        read_only = not (os.access(real, os.W_OK) and os.access(real.parent, os.W_OK))
        with readable_errors(path):
            connection = connect(real, "ro" if read_only else "rw")
            try:
                version = check_schema(connection, path)
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict.replace("\n", " "))
                if read_only and version < FORMAT:
                    connection = migrated_copy(connection)
                store = cls(path, connection, read_only=read_only)
                if not read_only:
                    connection.execute("PRAGMA journal_mode = WAL")
                    if version < FORMAT:
                        with store._transaction("migrate"):
                            migrate(connection)
            except BaseException:
                connection.close()
                raise
        return store

    def copy_to(self, path: str | Path) -> None:
        """Copy the whole file to a new one, also while another process writes it."""
        path = Path(path).absolute()
        check_can_create(path)
        with (
            replacing(path, CAMPAIGN_FILE) as draft,
            self._reading(),
            contextlib.closing(sqlite3.connect(draft)) as target,
        ):
            self._connection.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")

    def writing(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from writing, for longer than one step; they are told the word."""
        return self._lock.acquire(what, now())

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex, readable_errors(self.path):
            yield

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._mutex:
            self._connection.close()

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def metadata(self) -> dict[str, Any]:
        """The settings that the campaign was created with."""
        with self._reading():
            rows = self._connection.execute("SELECT key, value FROM campaign").fetchall()
            facts = {key: json.loads(value) for key, value in rows}
            return {
                key: fact for key, fact in facts.items() if not key.startswith(BATCH_SIZE_PREFIX)
            }

    def batch_sizes(self) -> list[tuple[int, int]]:
        """The changes of the batch size: the number of trials at the time, and the new size."""
        found = "SELECT value FROM campaign WHERE substr(key, 1, ?) = ?"
        with self._reading():
            rows = self._connection.execute(
                found, (len(BATCH_SIZE_PREFIX), BATCH_SIZE_PREFIX)
            ).fetchall()
            return [
                (size["trials"], size["batch_size"])
                for size in (json.loads(text) for (text,) in rows)
            ]

    def change_batch_size(self, size: int) -> None:
        """Write another batch size as a new fact."""
        with self._transaction("change the batch size"):
            key = f"{BATCH_SIZE_PREFIX}{len(self.batch_sizes()) + 1}"
            fact = {"trials": self.count(), "batch_size": size}
            self._insert_row("campaign", key, json.dumps(fact))

    def count(self) -> int:
        """Number of trials, the initial ones included."""
        with self._reading():
            return int(self._connection.execute("SELECT count(*) FROM trial").fetchone()[0])

    def trials(self, ids: Sequence[int] | None = None) -> list[Trial]:
        """The trials in the order asked; all, or those with these ids."""
        with self._reading():
            return read_trials(self._connection, ids)

    def n_distinct(self, objective: str) -> tuple[int, int]:
        """The number of complete trials with a value of an objective, and of different values."""
        with self._reading():
            n, different = self._connection.execute(
                "SELECT count(*), count(DISTINCT value) FROM value JOIN outcome "
                "ON outcome.id = value.outcome WHERE objective = ? AND status = 'told' "
                "AND outcome.id IN (SELECT max(id) FROM outcome GROUP BY trial)",
                (objective,),
            ).fetchone()
            return int(n), int(different)

    def ask(
        self,
        trials: Sequence[NewTrial],
        *,
        expected: int,
        told: Mapping[int, Outcome] | None = None,
    ) -> list[Trial]:
        """Write a batch, all of it or nothing, chosen when the file had `expected` trials.

        `told` are outcomes of pending trials that are written with it.
        """
        with self._transaction("ask"):
            if (count := self.count()) != expected:
                raise CampaignError(
                    f"{self.path}: {count - expected} trials were asked by another process while "
                    "this batch was chosen; ask again, and let one process at a time ask"
                )
            ids = self._insert(trials)
            for id_, outcome in (told or {}).items():
                self._insert_outcome(id_, outcome)
                ids.append(id_)
        return self.trials(ids)

    def tell(self, trial: int, outcome: Outcome) -> Trial:
        """`tell_all` for a trial without an outcome."""
        self.tell_all({trial: outcome}, again=False)
        return self.trials([trial])[0]

    def retry(self, trials: Sequence[int]) -> list[Trial]:
        """Make failed trials pending, all of them or none; their failures stay in the file."""
        with self._transaction("retry"):
            failed = {trial.id for trial in self.trials(trials) if trial.status == "failed"}
            if others := [id_ for id_ in trials if id_ not in failed]:
                raise CampaignError(f"{self.path}: trial {others[0]} has not failed")
            for id_ in trials:
                self._insert_fact(id_, "pending", "")
        return self.trials(trials)

    def tell_all(self, outcomes: Mapping[int, Outcome], *, again: bool = True) -> list[int]:
        """Write outcomes by the trial's id, all of them or nothing; on disk when this returns.

        With `again`, those that are in the file already are passed over. Returns the other ids.
        """
        with self._transaction("tell"):
            trials = {trial.id: trial for trial in self.trials(list(outcomes))}
            problems, new = list[str](), list[int]()
            for id_, outcome in outcomes.items():
                if (trial := trials.get(id_)) is None:
                    n = self.count()
                    problems.append(f"{self.path} has no trial {id_}; it has {n}, counted from 1")
                elif trial.status == "pending":
                    new.append(id_)
                elif not (again and trial.agrees_with(outcome)):
                    new_one = f"; the new one is {_values_of(outcome)}" if again else ""
                    problems.append(
                        f"trial {id_} ({trial.smiles}) has the outcome {_values_of(trial)}, "
                        f"reported on {trial.told_at}{new_one}; {_advice(trial)}"
                    )
            if problems:
                several = f"nothing was written: {listed(problems, 'take these lines out')}"
                raise CampaignError(several if again else problems[0])
            for id_ in new:
                self._insert_outcome(id_, outcomes[id_])
        return new

    def replace(self, outcomes: Mapping[int, Outcome]) -> list[Trial]:
        """Write outcomes of trials that have one, all or none; the earlier ones stay in the file.

        What is the same already is passed over.
        """
        with self._transaction("correct"):
            trials = {trial.id: trial for trial in self.trials(list(outcomes))}
            problems = [
                f"{self.path} has no trial {id_}; it has {self.count()}, counted from 1"
                if id_ not in trials
                else f"trial {id_} is pending, so there is nothing to correct; tell its value"
                for id_ in outcomes
                if id_ not in trials or trials[id_].status == "pending"
            ]
            if problems:
                raise CampaignError(f"nothing was written: {listed(problems)}")
            for id_, outcome in outcomes.items():
                trial = trials[id_]
                if not trial.agrees_with(outcome) or dict(outcome.notes) != dict(trial.notes):
                    self._insert_outcome(id_, outcome)
        return self.trials(list(outcomes))

    def changes(self) -> list[Change]:
        """The outcomes that others replaced, without failures that were put back."""
        with self._reading():
            rows = named_rows(self._connection, _HISTORY)
        found = list[Change]()
        for before, after in pairwise(rows):
            if before["id"] == after["id"] and "asked" not in (before["status"], after["status"]):
                found.append(
                    Change(
                        trial=after["id"],
                        smiles=after["smiles"],
                        before=before["values_told"] or "failed",
                        after=after["values_told"] or "failed",
                        message=after["message"],
                        told_at=after["told_at"],
                    )
                )
        return found

    @contextlib.contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        if self.read_only:
            raise CampaignError(f"cannot write {self.path}: it may only be read here")
        with self.writing(what), self._mutex, readable_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # Ctrl-C as well
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            # From the log into the file, so that a copy of the file has it. What is committed is
            # safe in the log if this fails, e.g. on a full disk.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _insert(self, trials: Sequence[NewTrial]) -> list[int]:
        ids, asked_at = list[int](), now()  # one time for a batch
        for trial in trials:
            id_ = self._insert_row(
                "trial (smiles, z, origin, asked_at, percentile, fidelity)",
                encodable(trial.smiles),
                np.asarray(trial.z, "<f8").tobytes(),
                encodable(trial.origin),
                asked_at,
                trial.percentile,
                encodable(trial.fidelity),
            )
            ids.append(id_)
            for name, text in trial.notes.items():
                self._insert_row("remark", id_, encodable(name), encodable(text))
            for name, quantiles in trial.predictions.items():
                self._insert_row("prediction", id_, encodable(name), *quantiles)
            if (reason := trial.reason) is not None:
                lists = (
                    json.dumps([*map(encodable, one)]) for one in (reason.parents, reason.findings)
                )
                parents, findings = lists
                near = reason.nearest, reason.similarity
                self._insert_row("reason", id_, reason.kappa, parents, *near, findings)
            if trial.outcome is not None:
                self._insert_outcome(id_, trial.outcome)
        return ids

    def _insert_outcome(self, trial: int, outcome: Outcome) -> None:
        status: Status = "complete" if outcome.complete else "failed"
        id_ = self._insert_fact(trial, status, outcome.message)
        for name, value in outcome.values.items():
            several = outcome.replicates.get(name)
            replicates = json.dumps(list(several)) if several else None
            error, operator = outcome.errors.get(name), outcome.operators.get(name)
            cells = (encodable(name), float(value), error, replicates, operator)
            self._insert_row("value", id_, *cells)
        for name, text in outcome.notes.items():
            self._insert_row("note", id_, encodable(name), encodable(text))

    def _insert_fact(self, trial: int, status: Status, message: str) -> int:
        columns = "outcome (trial, status, message, told_at)"
        return self._insert_row(columns, trial, _WORDS[status], encodable(message), now())

    def _insert_row(self, table: str, *cells: object) -> int:
        marks = ", ".join("?" * len(cells))
        cursor = self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", cells)
        return int(cursor.lastrowid or 0)


_HISTORY = """
SELECT trial.id AS id, smiles, status, message, told_at,
    (SELECT group_concat(
        CASE WHEN replicates IS NULL THEN coalesce(operator, '') || printf('%.15g', value)
            ELSE replace(trim(replicates, '[]'), ', ', '; ') END
        || ' (' || objective || ')', ' and ')
     FROM value WHERE value.outcome = outcome.id) AS values_told
FROM outcome JOIN trial ON trial.id = outcome.trial
WHERE trial.id IN (SELECT trial FROM outcome GROUP BY trial HAVING count(*) > 1)
ORDER BY trial.id, outcome.id
"""


def _values_of(of: Trial | Outcome) -> str:
    """The values with all digits: two values that differ must not look alike."""

    def written(name: str, value: float) -> str:
        error = f" \u00b1 {of.errors[name]!r}" if name in of.errors else ""
        return f"{of.operators.get(name, '')}{repr(value).removesuffix('.0')}{error} ({name})"

    said = " and ".join(written(name, value) for name, value in of.values.items())
    return said or "failed"


def _advice(trial: Trial) -> str:
    if trial.status == "failed":
        return "correct it (molvae tell --correct), or put it back first (molvae retry)"
    return "correct it (molvae tell --correct), or add a replicate (molvae tell --add)"


def check_can_create(path: Path) -> None:
    """Refuse a path where no campaign file can be made, before anything expensive is done."""
    if path.exists():
        raise CampaignError(f"{path} exists; open it to go on with it, or choose another name")
    target = check_output(path, CAMPAIGN_FILE)
    CampaignLock(path).check()
    for ending in ("-wal", "-journal", "-shm"):
        # SQLite would play a deleted file's log into the new one.
        if (leftover := target.with_name(target.name + ending)).exists():
            raise CampaignError(
                f"{leftover} is left of a deleted campaign file; remove it, or choose another name"
            )


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
