"""The record: one SQLite file of facts that are inserted and never changed.

Format 4:

    campaign (key, value)                        what it was made with; values are JSON
    trial    (id, smiles, z, origin, asked_at,   smiles canonical, unique; z float64, little-endian
              percentile)                        of its encoding's density; may be lacking
    outcome  (id, trial, status, message,        told, failed, or asked again after a failure:
              told_at)                           the latest is what the trial is
    value    (outcome, objective, value,         in the objective's own sign,
              error, replicates)                 standard error, JSON list; both may be lacking
    note     (outcome, name, text)               whatever else was told
    remark   (trial, name, text)                 whatever else the starting file says of it
    prediction (trial, objective, q05, q25,      quantiles of a value, foreseen when the trial was
                q50, q75, q95)                   proposed; may be lacking

`application_id` marks the file as ours, `user_version` is the format. Facts that belong together (a
batch that was asked, an outcome with its values) are one transaction, on disk when the call
returns; triggers forbid UPDATE and DELETE, so the file is its own history. Times are UTC, ISO 8601.
One process writes at a time (see `lock`); any number may read meanwhile, and threads share an open
record. SQLite keeps a log beside the file while it is open (NAME-wal); after each step the log is
written into the file, so that the file alone holds all of it as long as nothing writes. To copy a
record that is being written, use SQLite's backup: `sqlite3 NAME ".backup COPY"`.
Keep records on a local disk: SQLite's locks do not work on every network file system.

Knows SQLite. Knows neither molecules, nor vectors, nor which direction is better.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import numpy as np

from molvae._files import Kind, check_output, replacing
from molvae.bo.prediction import Prediction
from molvae.campaign.lock import CampaignLock
from molvae.errors import CampaignError, encodable, listed

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 4
"""1: as released with 0.1. 2: standard errors and replicates of values, notes. 3: percentiles.
4: several outcomes of a trial, one after the other; remarks of the starting file; predictions."""


APPLICATION_ID = 0x6D6F6C76  # "molv"


OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


RECORD = Kind(name="a new record", is_own=lambda file: False, error=CampaignError)
"""Nothing that exists is replaced by a record."""


_SCHEMA = """
CREATE TABLE campaign (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE trial (
    id       INTEGER PRIMARY KEY,
    smiles   TEXT NOT NULL UNIQUE,
    z        BLOB NOT NULL,
    origin   TEXT NOT NULL,
    asked_at TEXT NOT NULL
) STRICT;
CREATE TABLE outcome (
    trial   INTEGER PRIMARY KEY REFERENCES trial (id),
    status  TEXT NOT NULL CHECK (status IN ('told', 'failed')),
    message TEXT NOT NULL,
    told_at TEXT NOT NULL
) STRICT;
CREATE TABLE value (
    trial     INTEGER NOT NULL REFERENCES outcome (trial),
    objective TEXT NOT NULL,
    value     REAL NOT NULL,
    PRIMARY KEY (trial, objective)
) STRICT;
"""


_SINCE_2 = """
ALTER TABLE value ADD COLUMN error REAL;
ALTER TABLE value ADD COLUMN replicates TEXT;
CREATE TABLE note (
    trial INTEGER NOT NULL REFERENCES outcome (trial),
    name  TEXT NOT NULL,
    text  TEXT NOT NULL,
    PRIMARY KEY (trial, name)
) STRICT;
"""


_SINCE_3 = """
ALTER TABLE trial ADD COLUMN percentile REAL;
"""


# The key of an outcome was its trial. A table's key cannot be changed, so the tables are written
# anew.
_SINCE_4 = """
CREATE TABLE outcome_4 (
    id      INTEGER PRIMARY KEY,
    trial   INTEGER NOT NULL REFERENCES trial (id),
    status  TEXT NOT NULL CHECK (status IN ('told', 'failed', 'asked')),
    message TEXT NOT NULL,
    told_at TEXT NOT NULL
) STRICT;
CREATE TABLE value_4 (
    outcome    INTEGER NOT NULL REFERENCES outcome_4 (id),
    objective  TEXT NOT NULL,
    value      REAL NOT NULL,
    error      REAL,
    replicates TEXT,
    PRIMARY KEY (outcome, objective)
) STRICT;
CREATE TABLE note_4 (
    outcome INTEGER NOT NULL REFERENCES outcome_4 (id),
    name    TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (outcome, name)
) STRICT;
INSERT INTO outcome_4 SELECT trial, trial, status, message, told_at FROM outcome;
INSERT INTO value_4 SELECT trial, objective, value, error, replicates FROM value;
INSERT INTO note_4 SELECT trial, name, text FROM note;
DROP TABLE value;
DROP TABLE note;
DROP TABLE outcome;
ALTER TABLE outcome_4 RENAME TO outcome;
ALTER TABLE value_4 RENAME TO value;
ALTER TABLE note_4 RENAME TO note;
CREATE INDEX outcome_trial ON outcome (trial);
CREATE TABLE remark (
    trial INTEGER NOT NULL REFERENCES trial (id),
    name  TEXT NOT NULL,
    text  TEXT NOT NULL,
    PRIMARY KEY (trial, name)
) STRICT;
CREATE TABLE prediction (
    trial     INTEGER NOT NULL REFERENCES trial (id),
    objective TEXT NOT NULL,
    q05       REAL NOT NULL,
    q25       REAL NOT NULL,
    q50       REAL NOT NULL,
    q75       REAL NOT NULL,
    q95       REAL NOT NULL,
    PRIMARY KEY (trial, objective)
) STRICT;
"""


def _insert_only_triggers(*tables: str) -> str:
    return "".join(
        f"CREATE TRIGGER {table}_{act.lower()} BEFORE {act} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'facts of a record are not changed'); END;\n"
        for table in tables
        for act in ("UPDATE", "DELETE")
    )


_MIGRATIONS = {
    1: _SCHEMA + _insert_only_triggers("campaign", "trial", "outcome", "value"),
    2: _SINCE_2 + _insert_only_triggers("note"),
    3: _SINCE_3,
    4: _SINCE_4 + _insert_only_triggers("outcome", "value", "note", "remark", "prediction"),
}
"""What makes a record of each format out of one of the format before."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """That a trial failed once, before it was asked again."""

    message: str
    told_at: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        return f"{self.message or 'no reason given'} ({self.told_at})"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One molecule that was asked for."""

    id: int
    """Counts from 1 in the order asked."""
    smiles: str
    """Canonical SMILES."""
    origin: str
    """`start`, or the name of the strategy that proposed it, and by what it made it."""
    percentile: float | None = None
    """How usual the molecule is to the space, from 0 to 100, see
    `LatentSpace.density_percentile`: of its encoding, whatever vector it was made from. None
    if that cannot be said, or was not recorded."""
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    """What was foreseen of its values when it was proposed, by objective, in its own sign. Starting
    molecules have none, nor have those of strategies that foresee nothing."""
    status: Literal["asked", "told", "failed"]
    """Asked and waiting; told a value; could not be scored."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Values by objective, in the objective's own sign. A trial with some values but not all that
    the campaign needs has failed."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of values, by objective, where they are known."""
    replicates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Measurements of which a value is the mean, by objective, where there were several."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Whatever else was told, or stood in the starting file, by name."""
    message: str = ""
    """What was said when it was told, e.g. why it failed."""
    earlier_failures: tuple[Failure, ...] = ()
    """Those after which it was asked again, in order."""
    asked_at: str
    """UTC, ISO 8601."""
    told_at: str | None = None
    """UTC, ISO 8601; None while it waits."""
    z_bytes: bytes = field(repr=False)
    """The latent vector as stored: float64, little-endian."""

    @property
    def z(self) -> Tensor:
        """The latent vector, `d`, float64."""
        import torch  # here, so that telling a value and reading a table do without

        return torch.from_numpy(np.frombuffer(self.z_bytes, "<f8").astype(np.float64))


@dataclass(frozen=True, kw_only=True)
class NewTrial:
    """A trial to be written."""

    smiles: str
    z: Sequence[float]
    origin: str
    percentile: float | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    values: Mapping[str, float] | None = None
    """Values that are known already, told together with the asking; empty: known to have failed."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """As of `Trial`, and so are all others."""
    replicates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    failed: bool = False
    """There are values, but not all that it needs."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is told about a trial."""

    told: bool
    """It has all values that it needs; otherwise it failed."""
    values: Mapping[str, float] = field(default_factory=dict)
    """As of `Trial`, and so are all others."""
    errors: Mapping[str, float] = field(default_factory=dict)
    replicates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


_JOINED = """
LEFT JOIN outcome
    ON outcome.id = (SELECT max(id) FROM outcome AS latest WHERE latest.trial = trial.id)
LEFT JOIN value ON value.outcome = outcome.id
"""


_JOINED_1 = """
LEFT JOIN outcome ON outcome.trial = trial.id
LEFT JOIN value ON value.trial = trial.id
"""
"""The same of records before format 4 that may only be read."""


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


class Storage:
    """A record that is open, for all threads. Use as a context manager, or call `close`."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, *, readable_only: bool = False
    ) -> None:
        self.path, self._connection, self.readable_only = path, connection, readable_only
        self._lock = CampaignLock(path)
        self._mutex = threading.RLock()  # one thread at a time uses the connection

    @classmethod
    def create(
        cls, path: str | Path, facts: Mapping[str, Any], trials: Sequence[NewTrial] = ()
    ) -> Storage:
        """A new record with its facts and first trials; all of it is on disk, or nothing.

        Args:
            path: Where; must not exist.
            facts: What JSON can hold, by key.
            trials: The starting molecules.

        Raises:
            CampaignError: The path is taken or cannot be written.
        """
        path = Path(path).absolute()
        check_can_create(path)
        # Made beside and linked into place: whatever stops this, there is no half record under the
        # name.
        with (
            replacing(path, RECORD) as draft,
            _readable_errors(path),
            contextlib.closing(_connect(draft, "rw")) as connection,
        ):
            connection.executescript("".join(_MIGRATIONS.values()))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            store = cls(path, connection)
            with store._transaction("create"):
                connection.executemany(
                    "INSERT INTO campaign VALUES (?, ?)",
                    [(key, json.dumps(value)) for key, value in facts.items()],
                )
                store._insert(trials)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Storage:
        """A record that exists; one of an older format is brought to this one.

        Where nothing may be written, on a read-only disk, it can be read all the same.

        Raises:
            CampaignError: There is none, or it is damaged, foreign, or newer than this molvae.
        """
        path = Path(path).absolute()
        _check_header(path)
        real = Path(os.path.realpath(path))
        readable_only = not (os.access(real, os.W_OK) and os.access(real.parent, os.W_OK))
        with _readable_errors(path):
            connection = _connect(real, "ro" if readable_only else "rw")
            store = cls(path, connection, readable_only=readable_only)
            try:
                version = store._check_schema()
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict.replace("\n", " "))
                if not readable_only:
                    connection.execute("PRAGMA journal_mode = WAL")
                    if version < FORMAT:
                        store._migrate()
            except BaseException:
                connection.close()
                raise
        return store

    def _migrate(self) -> None:
        """Bring a record to the format of today; all of it or nothing. Nothing is lost by it."""
        with self._transaction("migrate"):
            version = self._format()  # another process may have been faster
            for step in range(version + 1, FORMAT + 1):
                for statement in _statements(_MIGRATIONS[step]):
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _format(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _check_schema(self) -> int:
        """Refuse a record whose tables, triggers, views or indexes are not those of its format.

        What others have put there would run whenever something is read or written.

        Returns:
            The format.

        Raises:
            CampaignError: Something is there that molvae did not make, or lacks.
        """
        self._connection.execute("BEGIN")  # so that both are of one moment
        try:
            version = self._format()
            there = _schema_of(self._connection)
        finally:
            self._connection.execute("ROLLBACK")
        _check_format(self.path, version)
        ours = _schema(version)
        if strange := there - ours:
            kind, name, _ = min(strange)
            raise CampaignError(
                f"{self.path}: molvae did not make the {kind} {name!r} that is in it, and would "
                "run it; remove that, or go on from a copy"
            )
        if missing := ours - there:
            kind, name, _ = min(missing)
            raise CampaignError(
                f"{self.path} is damaged: it lacks the {kind} {name!r}; go on from a copy"
            )
        return version

    def writing(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from writing, for longer than one step.

        Args:
            what: Is done, for the message that they get.

        Raises:
            CampaignError: Another one is writing.
        """
        return self._lock.held(what, now())

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex, _readable_errors(self.path):
            yield

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        with self._mutex:
            self._connection.close()

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def metadata(self) -> dict[str, Any]:
        """What the campaign was made with."""
        with self._reading():
            rows = self._connection.execute("SELECT key, value FROM campaign").fetchall()
            return {key: json.loads(value) for key, value in rows}

    def count(self) -> int:
        """Trials asked, the starting ones included."""
        with self._reading():
            return int(self._connection.execute("SELECT count(*) FROM trial").fetchone()[0])

    def trials(self, ids: Sequence[int] | None = None) -> list[Trial]:
        """The trials in the order asked; all, or those with these ids."""
        where = "" if ids is None else f"WHERE trial.id IN ({','.join(str(int(i)) for i in ids)})"
        with self._reading():
            # One statement, so that a value told by another process is seen with its outcome or not
            # at all.
            version = self._format()
            key = "trial" if version < 4 else "outcome"
            more = (
                "error, replicates, (SELECT json_group_object(name, text) FROM note "
                f"WHERE note.{key} = outcome.{'trial' if version < 4 else 'id'})"
                if version >= 2
                else "NULL, NULL, NULL"
            )
            more += ", percentile" if version >= 3 else ", NULL"
            since_4 = f", {_EARLIER}, {_REMARKS}, {_PREDICTIONS}"
            more += since_4 if version >= 4 else ", NULL, NULL, NULL"
            joined = _JOINED_1 if version < 4 else _JOINED
            rows = self._connection.execute(
                "SELECT trial.id, smiles, z, origin, asked_at, status, message, told_at, "
                f"objective, value, {more} FROM trial {joined} {where} "
                "ORDER BY trial.id, objective"
            ).fetchall()
        trials: list[Trial] = []
        for _, same in groupby(rows, key=itemgetter(0)):
            told = list(same)
            id_, smiles, z, origin, asked_at, status, message, told_at = told[0][:8]
            there = [row[8:12] for row in told if row[8] is not None]
            trials.append(
                Trial(
                    id=id_,
                    smiles=smiles,
                    origin=origin,
                    percentile=told[0][13],
                    predictions={
                        name: Prediction(*q) for name, *q in json.loads(told[0][16] or "[]")
                    },
                    status=status or "asked",
                    values={name: value for name, value, _, _ in there},
                    errors={name: e for name, _, e, _ in there if e is not None},
                    replicates={name: json.loads(r) for name, _, _, r in there if r is not None},
                    notes=_joined(json.loads(told[0][15] or "{}"), json.loads(told[0][12] or "{}")),
                    message="" if status == "asked" else message or "",
                    earlier_failures=tuple(
                        Failure(message=m, told_at=t) for m, t in json.loads(told[0][14] or "[]")
                    ),
                    asked_at=asked_at,
                    told_at=None if status == "asked" else told_at,
                    z_bytes=z,
                )
            )
        return trials

    def n_distinct(self, objective: str) -> tuple[int, int]:
        """How many trials are told a value, and how many different values."""
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
            expected: Trials that were in the record when the batch was chosen.

        Raises:
            CampaignError: Another process has asked since, or a molecule is in the record already.
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
        """Write an outcome; on disk when this returns.

        Args:
            trial: Its id.
            outcome: With finite numbers.

        Raises:
            CampaignError: No such trial, or it was told before; or another process is writing.
        """
        with self._transaction("tell"):
            earlier = self.trials([trial])
            if not earlier:
                raise CampaignError(self._unknown(trial))
            if earlier[0].status != "asked":
                raise CampaignError(f"{_said_before(earlier[0])}; {_advice(earlier[0])}")
            self._insert_outcome(trial, outcome)
        return self.trials([trial])[0]

    def retry(self, trials: Sequence[int], message: str = "") -> list[Trial]:
        """Ask failed trials again, all of them or none; that they failed stays in the record.

        Args:
            trials: Their ids.
            message: Why, if anything is to be said.

        Raises:
            CampaignError: One of them has not failed; or another process is writing.
        """
        with self._transaction("retry"):
            failed = {trial.id for trial in self.trials(trials) if trial.status == "failed"}
            if others := [id_ for id_ in trials if id_ not in failed]:
                raise CampaignError(f"{self.path}: trial {others[0]} has not failed")
            for id_ in trials:
                self._insert_fact(id_, "asked", message)
        return self.trials(trials)

    def tell_all(self, outcomes: Mapping[int, Outcome]) -> list[int]:
        """Write many outcomes, all of them or nothing; on disk when this returns.

        Args:
            outcomes: By the trial's id. One that is in the record with the same values is passed
                over.

        Returns:
            Ids of the trials that were written.

        Raises:
            CampaignError: A trial is not there, or was told something else before; names all of
                them. Or another process is writing.
        """
        with self._transaction("tell"):
            trials = {trial.id: trial for trial in self.trials()}
            problems, new = list[str](), list[int]()
            for id_, outcome in outcomes.items():
                if (trial := trials.get(id_)) is None:
                    problems.append(self._unknown(id_))
                elif trial.status == "asked":
                    new.append(id_)
                elif not _same(trial, outcome):
                    said = f"{_said_before(trial)}, not {_values_of(outcome)}"
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
        if self.readable_only:
            raise CampaignError(f"cannot write {self.path}: it may only be read here")
        with self.writing(what), self._mutex, _readable_errors(self.path):
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
                    told=bool(trial.values) and not trial.failed,
                    values=trial.values,
                    errors=trial.errors,
                    replicates=trial.replicates,
                    message=trial.message,
                )
                self._insert_outcome(ids[-1], outcome)
        return ids

    def _insert_outcome(self, trial: int, outcome: Outcome) -> None:
        fact = self._insert_fact(trial, "told" if outcome.told else "failed", outcome.message)
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

    def _insert_fact(self, trial: int, status: str, message: str) -> int:
        cursor = self._connection.execute(
            "INSERT INTO outcome (trial, status, message, told_at) VALUES (?, ?, ?, ?)",
            (trial, status, encodable(message), now()),
        )
        return int(cursor.lastrowid or 0)


def _joined(remarks: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, str]:
    """Notes of a trial; what the starting file said under the same name gets another one."""
    kept = {
        f"{name} (start)" if notes.get(name, text) != text else name: text
        for name, text in remarks.items()
    }
    return kept | dict(notes)


def _values_of(of: Trial | Outcome) -> str:
    """What was told, with all digits: two values that differ must not look alike."""

    def written(name: str, value: float) -> str:
        error = f" \u00b1 {of.errors[name]!r}" if name in of.errors else ""
        return f"{repr(value).removesuffix('.0')}{error} ({name})"

    said = " and ".join(written(name, value) for name, value in of.values.items())
    return said or "that it failed"


def _said_before(trial: Trial) -> str:
    return f"trial {trial.id} ({trial.smiles}) was told {_values_of(trial)} on {trial.told_at}"


def _advice(trial: Trial) -> str:
    if trial.status == "failed":
        return "put it back first (molvae retry)"
    return "a record keeps its first value (start a new campaign to change it)"


def _same(trial: Trial, outcome: Outcome) -> bool:
    """Whether an outcome says of a trial what is in the record."""
    return (
        (trial.status == "told") == outcome.told
        and dict(trial.values) == dict(outcome.values)
        and dict(trial.errors) == dict(outcome.errors)
    )


def check_can_create(path: Path) -> None:
    """Refuse a path where no new record can be made, before anything expensive is done for it.

    Raises:
        CampaignError: It exists, its folder does not, or may not be written to.
    """
    if path.exists():
        raise CampaignError(f"{path} exists; open it to go on with it, or choose another name")
    target = check_output(path, RECORD)
    CampaignLock(path).check()
    for ending in ("-wal", "-journal", "-shm"):
        # SQLite would play a deleted record's log into the new one.
        if (leftover := target.with_name(target.name + ending)).exists():
            raise CampaignError(
                f"{leftover} is left of a deleted record; remove it, or choose another name"
            )


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _connect(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CampaignError(
            f"this Python has SQLite {sqlite3.sqlite_version}; records need "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer: use a newer Python build"
        )
    # Without a log beside it nothing is being written, and SQLite need not make one to read.
    log = path.with_name(path.name + "-wal").exists()
    unchanging = "&immutable=1" if mode == "ro" and not log else ""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}{unchanging}",
        uri=True,
        isolation_level=None,
        timeout=30,
        check_same_thread=False,  # `Storage` sees to it that one thread at a time uses it
    )
    try:
        for pragma in (
            "trusted_schema = OFF",
            "foreign_keys = ON",
            "recursive_triggers = ON",
            "synchronous = FULL",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_header(path: Path) -> None:
    """Look at the first bytes: SQLite would write beside a file that is not ours."""
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe waits for ever
            raise CampaignError(f"{path} is no file, so it is not a molvae record; check the name")
        with open(path, "rb") as file:
            head = file.read(100)
    except FileNotFoundError as error:
        raise CampaignError(
            f"there is no record {path}; create the campaign first, or check the name"
        ) from error
    except OSError as error:
        raise CampaignError(f"cannot read {path}: {error.strerror}") from error
    if not head.startswith(b"SQLite format 3\0"):
        what = "is empty, and" if not head else "is"
        raise CampaignError(f"{path} {what} not a molvae record; check the name")
    if len(head) < 100:
        raise CampaignError(f"{path} is damaged (only {len(head)} bytes); go on from a copy")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise CampaignError(f"{path} is a database of another program, not a molvae record")
    _check_format(path, int.from_bytes(head[60:64], "big"))


def _check_format(path: Path, version: int) -> None:
    if version > FORMAT:
        raise CampaignError(
            f"{path} is a record of format {version}, made by a newer molvae; this one reads "
            f"format {FORMAT}: update molvae"
        )
    if version < 1:
        raise CampaignError(f"{path} is damaged (it has format {version}); go on from a copy")


_Schema = frozenset[tuple[str, str, str]]
"""Kind, name and text of each table, trigger, view and index."""


@cache
def _schema(version: int) -> _Schema:
    """That of a record of a format."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for step in range(1, version + 1):
            connection.executescript(_MIGRATIONS[step])
        return _schema_of(connection)


def _schema_of(connection: sqlite3.Connection) -> _Schema:
    rows = connection.execute(
        "SELECT type, name, coalesce(sql, '') FROM sqlite_master LIMIT 1000"
    ).fetchall()
    return frozenset(
        (str(kind), str(name), " ".join(str(sql).replace('"', "").split()))
        for kind, name, sql in rows
    )


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would commit what was begun."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line with the file's name."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise CampaignError(f"{path}: the record does not allow this: {error}") from error
    except sqlite3.OperationalError as error:
        raise CampaignError(f"{path}: {error}; nothing of this step was written") from error
    except sqlite3.ProgrammingError as error:
        raise CampaignError(f"{path} is closed; open it again ({error})") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CampaignError(f"{path} is damaged ({error}); go on from a copy") from error


__all__ = [
    "FORMAT",
    "Failure",
    "NewTrial",
    "Outcome",
    "Storage",
    "Trial",
    "check_can_create",
    "now",
]
