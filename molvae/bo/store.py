"""The record: one SQLite file of facts that are inserted and never changed.

Format 1:

    campaign (key, value)                        what it was made with; values are JSON
    trial    (id, smiles, z, origin, asked_at)   smiles canonical, unique; z float64, little-endian
    outcome  (trial, status, message, told_at)   told or failed; at most one a trial
    value    (trial, objective, value)           of told trials, in the objective's own sign

`application_id` marks the file as ours, `user_version` is the format. Facts that belong together (a
batch that was asked, an outcome with its values) are one transaction, on disk when the call
returns; triggers forbid UPDATE and DELETE, so the file is its own history. Times are UTC, ISO 8601.
Keep records on a local disk: SQLite's locks do not work on every network file system.

Knows SQLite. Knows neither molecules, nor vectors, nor which direction is better.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import numpy as np

from molvae.errors import CampaignError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
APPLICATION_ID = 0x6D6F6C76  # "molv"
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables

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
_TABLES = ("campaign", "trial", "outcome", "value")
_FOREVER = "".join(
    f"CREATE TRIGGER {table}_{act.lower()} BEFORE {act} ON {table} "
    "BEGIN SELECT RAISE(ABORT, 'facts of a record are not changed'); END;\n"
    for table in _TABLES
    for act in ("UPDATE", "DELETE")
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One molecule that was asked for."""

    id: int
    """Counts from 1 in the order asked."""
    smiles: str
    """Canonical SMILES."""
    origin: str
    """`start`, or the name of the strategy that proposed it."""
    status: Literal["asked", "told", "failed"]
    """Asked and waiting; told a value; could not be scored."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Values by objective, in the objective's own sign; empty unless told."""
    message: str = ""
    """What was said when it was told, e.g. why it failed."""
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
    values: Mapping[str, float] | None = None
    """Values that are known already, told together with the asking; empty: known to have failed."""
    message: str = ""


class Store:
    """A record that is open. Use as a context manager, or call `close`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    @classmethod
    def create(
        cls, path: str | Path, facts: Mapping[str, Any], trials: Sequence[NewTrial] = ()
    ) -> Store:
        """A new record with its facts and first trials; all of it is on disk, or nothing.

        Args:
            path: Where; must not exist.
            facts: What JSON can hold, by key.
            trials: The starting molecules.

        Raises:
            CampaignError: The path is taken or cannot be written.
        """
        path = Path(path)
        check_can_create(path)
        # Made beside and linked into place: whatever stops this, there is no half record under the
        # name.
        draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
        try:
            with _plainly(path), contextlib.closing(_connect(draft, "rwc")) as connection:
                connection.executescript(_SCHEMA + _FOREVER)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
                store = cls(path, connection)
                with store._transaction():
                    connection.executemany(
                        "INSERT INTO campaign VALUES (?, ?)",
                        [(key, json.dumps(value)) for key, value in facts.items()],
                    )
                    store._insert(trials)
            _link(draft, path)
        finally:
            for leftover in (draft, draft.with_name(draft.name + "-journal")):
                leftover.unlink(missing_ok=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """A record that exists.

        Raises:
            CampaignError: There is none, or it is damaged, foreign, or newer than this molvae.
        """
        path = Path(path)
        _check_header(path)
        with _plainly(path):
            connection = _connect(path, "rw")
            try:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict.replace("\n", " "))
                connection.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def facts(self) -> dict[str, Any]:
        """What the campaign was made with."""
        with _plainly(self.path):
            rows = self._connection.execute("SELECT key, value FROM campaign").fetchall()
            return {key: json.loads(value) for key, value in rows}

    def count(self) -> int:
        """Trials asked, the starting ones included."""
        with _plainly(self.path):
            return int(self._connection.execute("SELECT count(*) FROM trial").fetchone()[0])

    def trials(self, ids: Sequence[int] | None = None) -> list[Trial]:
        """The trials in the order asked; all, or those with these ids."""
        where = "" if ids is None else f"WHERE trial.id IN ({','.join(str(int(i)) for i in ids)})"
        with _plainly(self.path):
            # One statement, so that a value told by another process is seen with its outcome or not
            # at all.
            rows = self._connection.execute(
                "SELECT trial.id, smiles, z, origin, asked_at, status, message, told_at, "
                "objective, value "
                "FROM trial LEFT JOIN outcome ON outcome.trial = trial.id "
                f"LEFT JOIN value ON value.trial = trial.id {where} ORDER BY trial.id, objective"
            ).fetchall()
        trials: dict[int, Trial] = {}
        for id_, smiles, z, origin, asked_at, status, message, told_at, objective, value in rows:
            values = dict(trials[id_].values) if id_ in trials else {}
            trials[id_] = Trial(
                id=id_,
                smiles=smiles,
                origin=origin,
                status=status or "asked",
                values=values | ({} if objective is None else {objective: value}),
                message=message or "",
                asked_at=asked_at,
                told_at=told_at,
                z_bytes=z,
            )
        return list(trials.values())

    def ask(self, trials: Sequence[NewTrial], *, expected: int) -> list[Trial]:
        """Write a batch, all of it or nothing.

        Args:
            trials: The batch.
            expected: Trials that were in the record when the batch was chosen.

        Raises:
            CampaignError: Another process has asked since, or a molecule is in the record already.
        """
        with self._transaction():
            if (count := self.count()) != expected:
                raise CampaignError(
                    f"{self.path}: {count - expected} trials were asked by another process while "
                    "this batch "
                    "was chosen; ask again, and let one process at a time ask"
                )
            ids = self._insert(trials)
        return self.trials(ids)

    def tell(self, trial: int, values: Mapping[str, float] | None, message: str = "") -> Trial:
        """Write an outcome; on disk when this returns.

        Args:
            trial: Its id.
            values: By objective, finite; None or empty: it could not be scored.
            message: Kept with it.

        Raises:
            CampaignError: No such trial, or it was told before.
        """
        with self._transaction():
            earlier = self.trials([trial])
            if not earlier:
                raise CampaignError(
                    f"{self.path} has no trial {trial}; it has {self.count()}, counted from 1"
                )
            if (told := earlier[0]).status != "asked":
                what = (
                    " and ".join(f"{value:g} ({name})" for name, value in told.values.items())
                    or "that it failed"
                )
                raise CampaignError(
                    f"trial {trial} ({told.smiles}) was told {what} on {told.told_at}; a record "
                    "keeps its "
                    "first value (start a new campaign to change it)"
                )
            self._insert_outcome(trial, values or {}, message)
        return self.trials([trial])[0]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _plainly(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # Ctrl-C as well
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _insert(self, trials: Sequence[NewTrial]) -> list[int]:
        ids = []
        for trial in trials:
            cursor = self._connection.execute(
                "INSERT INTO trial (smiles, z, origin, asked_at) VALUES (?, ?, ?, ?)",
                (trial.smiles, np.asarray(trial.z, "<f8").tobytes(), trial.origin, now()),
            )
            ids.append(int(cursor.lastrowid or 0))
            if trial.values is not None:
                self._insert_outcome(ids[-1], trial.values, trial.message)
        return ids

    def _insert_outcome(self, trial: int, values: Mapping[str, float], message: str) -> None:
        self._connection.execute(
            "INSERT INTO outcome VALUES (?, ?, ?, ?)",
            (trial, "told" if values else "failed", message, now()),
        )
        self._connection.executemany(
            "INSERT INTO value VALUES (?, ?, ?)",
            [(trial, objective, float(value)) for objective, value in values.items()],
        )


def check_can_create(path: Path) -> None:
    """Refuse a path where no new record can be made, before anything expensive is done for it.

    Raises:
        CampaignError: It exists, its folder does not, or may not be written to.
    """
    if path.exists():
        raise CampaignError(f"{path} exists; open it to go on with it, or choose another name")
    for ending in ("-wal", "-journal"):
        # SQLite would play a deleted record's log into the new one.
        if (leftover := path.with_name(path.name + ending)).exists():
            raise CampaignError(
                f"{leftover} is left of a deleted record; remove it, or choose another name"
            )
    if not path.parent.is_dir():
        raise CampaignError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise CampaignError(f"cannot write {path}: no permission to write in {path.parent}")


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _connect(path: Path, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CampaignError(
            f"this Python has SQLite {sqlite3.sqlite_version}; records need "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer: use a newer Python build"
        )
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=30,
    )
    for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _check_header(path: Path) -> None:
    """Read the first bytes without SQLite, which would write beside a file that is not ours."""
    try:
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
    if (version := int.from_bytes(head[60:64], "big")) > FORMAT:
        raise CampaignError(
            f"{path} is a record of format {version}, made by a newer molvae; this one reads "
            f"format {FORMAT}: "
            "update molvae"
        )


def _link(draft: Path, path: Path) -> None:
    """Give the draft its name, unless something took the name meanwhile."""
    try:
        try:
            os.link(draft, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            check_can_create(path)
            os.rename(draft, path)
    except OSError as error:
        raise CampaignError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line with the file's name."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise CampaignError(f"{path}: the record does not allow this: {error}") from error
    except sqlite3.OperationalError as error:
        raise CampaignError(f"{path}: {error}; nothing of this step was written") from error
    except sqlite3.ProgrammingError as error:
        raise CampaignError(f"{path} is closed; open it again ({error})") from error
    except sqlite3.DatabaseError as error:
        raise CampaignError(f"{path} is damaged ({error}); go on from a copy") from error


__all__ = ["FORMAT", "NewTrial", "Store", "Trial", "check_can_create", "now"]
