"""The campaign file: facts that are inserted and never changed, read as trials.

Facts that belong together (a batch that was asked, an outcome with its values) are one transaction,
on disk when the call returns. One process writes at a time (see `lock`); any number may read
meanwhile, and threads share an open file. SQLite keeps a log beside the file while it is open
(NAME-wal); after each step the log is written into the file, so that the file alone holds all of it
as long as nothing writes. To copy a file that is being written, use SQLite's backup:
`sqlite3 NAME ".backup COPY"`. Keep campaign files on a local disk: SQLite's locks do not work on
every network file system.

The tables and their migrations are in `schema`; times are UTC, ISO 8601.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from molvae._files import Kind, check_output, replacing
from molvae.campaign.lock import CampaignLock
from molvae.campaign.reading import read_trials
from molvae.campaign.schema import (
    FORMAT,
    check_header,
    check_schema,
    connect,
    create_tables,
    migrate,
    readable_errors,
)
from molvae.campaign.trial import STATUSES, NewTrial, Outcome, Status, Trial
from molvae.errors import CampaignError, encodable, listed

RECORD = Kind(name="a new campaign file", is_own=lambda file: False, error=CampaignError)
"""Nothing that exists is replaced by a campaign file."""

_WORDS = {status: word for word, status in STATUSES.items()}
"""The words in the file, by status."""


class Storage:
    """An open campaign file, for all threads. Use as a context manager, or call `close`."""

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
        """Make a campaign file with its metadata and first trials: all on disk, or nothing.

        Args:
            path: The file; must not exist.
            metadata: Values that JSON can hold, by key.
            trials: The initial molecules.

        Raises:
            CampaignError: The path is taken or cannot be written.
        """
        path = Path(path).absolute()
        check_can_create(path)
        # Made beside and linked into place: whatever stops this, there is no half a file.
        with (
            replacing(path, RECORD) as draft,
            readable_errors(path),
            contextlib.closing(connect(draft, "rw")) as connection,
        ):
            create_tables(connection)
            store = cls(path, connection)
            with store._transaction("create"):
                connection.executemany(
                    "INSERT INTO campaign VALUES (?, ?)",
                    [(key, json.dumps(value)) for key, value in metadata.items()],
                )
                store._insert(trials)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Storage:
        """Open a campaign file; an older format is migrated, or only read on a read-only disk.

        Raises:
            CampaignError: There is none, or it is damaged, foreign, or newer than this molvae.
        """
        path = Path(path).absolute()
        check_header(path)
        real = Path(os.path.realpath(path))
        read_only = not (os.access(real, os.W_OK) and os.access(real.parent, os.W_OK))
        with readable_errors(path):
            connection = connect(real, "ro" if read_only else "rw")
            store = cls(path, connection, read_only=read_only)
            try:
                version = check_schema(connection, path)
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict.replace("\n", " "))
                if not read_only:
                    connection.execute("PRAGMA journal_mode = WAL")
                    if version < FORMAT:
                        with store._transaction("migrate"):
                            migrate(connection)
            except BaseException:
                connection.close()
                raise
        return store

    def writing(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from writing, for longer than one step.

        Args:
            what: The word for what is done, which they are told.

        Raises:
            CampaignError: Another process is writing.
        """
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
            return {key: json.loads(value) for key, value in rows}

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
                "ON outcome.id = value.outcome WHERE objective = ? AND status = 'told'",
                (objective,),
            ).fetchone()
            return int(n), int(different)

    def ask(self, trials: Sequence[NewTrial], *, expected: int) -> list[Trial]:
        """Write a batch, all of it or nothing.

        Args:
            trials: The batch.
            expected: Number of trials in the file when the batch was chosen.

        Raises:
            CampaignError: Another process has asked since, or a molecule is in the file already.
        """
        with self._transaction("ask"):
            if (count := self.count()) != expected:
                raise CampaignError(
                    f"{self.path}: {count - expected} trials were asked by another process while "
                    "this batch "
                    "was chosen; ask again, and let one process at a time ask"
                )
            ids = self._insert(trials)
        return self.trials(ids)

    def tell(self, trial: int, outcome: Outcome) -> Trial:
        """Write an outcome with finite numbers; on disk when this returns.

        Raises:
            CampaignError: No such trial, or it has an outcome; or another process is writing.
        """
        with self._transaction("tell"):
            earlier = self.trials([trial])
            if not earlier:
                raise CampaignError(self._unknown(trial))
            if earlier[0].status != "pending":
                raise CampaignError(f"{_said_before(earlier[0])}; {_advice(earlier[0])}")
            self._insert_outcome(trial, outcome)
        return self.trials([trial])[0]

    def retry(self, trials: Sequence[int], message: str = "") -> list[Trial]:
        """Make failed trials pending, all of them or none; their failures stay in the file.

        Raises:
            CampaignError: One of them has not failed; or another process is writing.
        """
        with self._transaction("retry"):
            failed = {trial.id for trial in self.trials(trials) if trial.status == "failed"}
            if others := [id_ for id_ in trials if id_ not in failed]:
                raise CampaignError(f"{self.path}: trial {others[0]} has not failed")
            for id_ in trials:
                self._insert_fact(id_, "pending", message)
        return self.trials(trials)

    def tell_all(self, outcomes: Mapping[int, Outcome]) -> list[int]:
        """Write many outcomes, all of them or nothing; on disk when this returns.

        Args:
            outcomes: By the trial's id. Outcomes that are in the file already are passed over.

        Returns:
            Ids of the trials that were written.

        Raises:
            CampaignError: Some trials are not there, or have other outcomes; names all of them. Or
                another process is writing.
        """
        with self._transaction("tell"):
            trials = {trial.id: trial for trial in self.trials()}
            problems, new = list[str](), list[int]()
            for id_, outcome in outcomes.items():
                if (trial := trials.get(id_)) is None:
                    problems.append(self._unknown(id_))
                elif trial.status == "pending":
                    new.append(id_)
                elif not trial.agrees_with(outcome):
                    said = f"{_said_before(trial)}; the new one is {_values_of(outcome)}"
                    problems.append(f"{said}; {_advice(trial)}")
            if problems:
                raise CampaignError(
                    f"nothing was written: {listed(problems, 'take these lines out')}"
                )
            for id_ in new:
                self._insert_outcome(id_, outcomes[id_])
        return new

    def _unknown(self, trial: int) -> str:
        return f"{self.path} has no trial {trial}; it has {self.count()}, counted from 1"

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
        ids = []
        for trial in trials:
            cursor = self._connection.execute(
                "INSERT INTO trial (smiles, z, origin, asked_at, percentile) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    encodable(trial.smiles),
                    np.asarray(trial.z, "<f8").tobytes(),
                    encodable(trial.origin),
                    now(),
                    trial.percentile,
                ),
            )
            ids.append(int(cursor.lastrowid or 0))
            self._connection.executemany(
                "INSERT INTO remark VALUES (?, ?, ?)",
                [(ids[-1], encodable(name), encodable(text)) for name, text in trial.notes.items()],
            )
            self._connection.executemany(
                "INSERT INTO prediction VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(ids[-1], encodable(name), *said) for name, said in trial.predictions.items()],
            )
            if trial.values is not None:
                outcome = Outcome(
                    complete=bool(trial.values) and not trial.failed,
                    values=trial.values,
                    errors=trial.errors,
                    replicates=trial.replicates,
                    message=trial.message,
                )
                self._insert_outcome(ids[-1], outcome)
        return ids

    def _insert_outcome(self, trial: int, outcome: Outcome) -> None:
        fact = self._insert_fact(
            trial, "complete" if outcome.complete else "failed", outcome.message
        )
        self._connection.executemany(
            "INSERT INTO value VALUES (?, ?, ?, ?, ?)",
            [
                (
                    fact,
                    encodable(name),
                    float(value),
                    outcome.errors.get(name),
                    json.dumps(list(r)) if (r := outcome.replicates.get(name)) else None,
                )
                for name, value in outcome.values.items()
            ],
        )
        self._connection.executemany(
            "INSERT INTO note VALUES (?, ?, ?)",
            [(fact, encodable(name), encodable(text)) for name, text in outcome.notes.items()],
        )

    def _insert_fact(self, trial: int, status: Status, message: str) -> int:
        cursor = self._connection.execute(
            "INSERT INTO outcome (trial, status, message, told_at) VALUES (?, ?, ?, ?)",
            (trial, _WORDS[status], encodable(message), now()),
        )
        return int(cursor.lastrowid or 0)


def _values_of(of: Trial | Outcome) -> str:
    """The values with all digits: two values that differ must not look alike."""

    def written(name: str, value: float) -> str:
        error = f" \u00b1 {of.errors[name]!r}" if name in of.errors else ""
        return f"{repr(value).removesuffix('.0')}{error} ({name})"

    said = " and ".join(written(name, value) for name, value in of.values.items())
    return said or "failed"


def _said_before(trial: Trial) -> str:
    outcome = f"has the outcome {_values_of(trial)}, reported on {trial.told_at}"
    return f"trial {trial.id} ({trial.smiles}) {outcome}"


def _advice(trial: Trial) -> str:
    if trial.status == "failed":
        return "put it back first (molvae retry)"
    return "a campaign keeps the first value (start a new campaign to change it)"


def check_can_create(path: Path) -> None:
    """Refuse a path where no campaign file can be made, before anything expensive is done for it.

    Raises:
        CampaignError: It exists, its folder does not, or may not be written to.
    """
    if path.exists():
        raise CampaignError(f"{path} exists; open it to go on with it, or choose another name")
    target = check_output(path, RECORD)
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


__all__ = ["Storage", "check_can_create", "now"]
