"""The format of campaign files: SQLite tables, migrations, and checks against damage and strangers.

Format 6:

    campaign (key, value)                        what it was made with; values are JSON
    trial    (id, smiles, z, origin, asked_at,   smiles canonical, unique at each fidelity; z
              percentile, fidelity)              float64, little-endian; percentile of its density
                                                 may be lacking; fidelity '' is the objective
    outcome  (id, trial, status, message,        told, failed, or asked again after a failure:
              told_at)                           the latest is what the trial is
    value    (outcome, objective, value,         in the objective's own sign; standard error and
              error, replicates, operator)       JSON list may be lacking; < or > of a limit
    note     (outcome, name, text)               other columns of the table of values
    remark   (trial, name, text)                 whatever else the starting file says of it
    prediction (trial, objective, q05, q25,      quantiles of a value, predicted when the trial was
                q50, q75, q95)                   proposed; may be lacking
    reason   (trial, kappa, parents, nearest,    why it was proposed; parents and findings are JSON
              similarity, findings)              lists, of SMILES and of texts; may be lacking

Statuses are stored under their words of format 1, see `trial.STATUSES`. `application_id` marks the
file as molvae's, `user_version` is the format. Triggers forbid UPDATE and DELETE, so the file is
its own history.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from molvae.errors import CampaignError

FORMAT = 6
"""Format of campaign files. 1: as released with 0.1. 2: standard errors and replicates of values,
notes. 3: percentiles. 4: several outcomes of a trial, one after the other; remarks of the starting
file; predictions. 5: reasons of proposals; an outcome may follow another one that is no failure;
operators of censored values. 6: fidelities; a molecule may be evaluated once at each."""

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

_SINCE_5 = """
CREATE TABLE reason (
    trial      INTEGER PRIMARY KEY REFERENCES trial (id),
    kappa      REAL,
    parents    TEXT NOT NULL,
    nearest    TEXT,
    similarity REAL,
    findings   TEXT NOT NULL
) STRICT;
ALTER TABLE value ADD COLUMN operator TEXT CHECK (operator IN ('<', '>'));
"""

# Molecules were unique. A table's constraints cannot be changed, so the table is written anew.
_SINCE_6 = """
PRAGMA defer_foreign_keys = ON;
CREATE TABLE trial_5 AS SELECT * FROM trial;
DROP TABLE trial;
CREATE TABLE trial (
    id         INTEGER PRIMARY KEY,
    smiles     TEXT NOT NULL,
    z          BLOB NOT NULL,
    origin     TEXT NOT NULL,
    asked_at   TEXT NOT NULL,
    percentile REAL,
    fidelity   TEXT NOT NULL DEFAULT '',
    UNIQUE (smiles, fidelity)
) STRICT;
INSERT INTO trial (id, smiles, z, origin, asked_at, percentile)
    SELECT id, smiles, z, origin, asked_at, percentile FROM trial_5;
DROP TABLE trial_5;
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
    3: "ALTER TABLE trial ADD COLUMN percentile REAL;",
    4: _SINCE_4 + _insert_only_triggers("outcome", "value", "note", "remark", "prediction"),
    5: _SINCE_5 + _insert_only_triggers("reason"),
    6: _SINCE_6 + _insert_only_triggers("trial"),
}
"""SQL that makes a campaign file of each format from one of the format before."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file, or an empty database, to the current format; nothing is lost."""
    for step in range(_format_of(connection) + 1, FORMAT + 1):
        for statement in _statements(_MIGRATIONS[step]):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy in memory of a file that may only be read, in the current format."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection):
        connection.backup(copy)
    migrate(copy)
    return copy


def _format_of(connection: sqlite3.Connection) -> int:
    """The format of an open file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def connect(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    """Open a file; nothing in it can run code."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CampaignError(
            f"this Python has SQLite {sqlite3.sqlite_version}; campaign files need "
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
        check_same_thread=False,  # `Storage` has a mutex
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


def check_header(path: Path) -> None:
    """Look at the first bytes: SQLite would write beside a file that is not ours."""
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe waits for ever
            raise CampaignError(f"{path} is no file, so it is not a campaign file; check the name")
        with open(path, "rb") as file:
            head = file.read(100)
    except FileNotFoundError as error:
        raise CampaignError(
            f"there is no campaign file {path}; create the campaign first, or check the name"
        ) from error
    except OSError as error:
        raise CampaignError(f"cannot read {path}: {error.strerror}") from error
    if not head.startswith(b"SQLite format 3\0"):
        what = "is empty, and" if not head else "is"
        raise CampaignError(f"{path} {what} not a campaign file; check the name")
    if len(head) < 100:
        raise CampaignError(f"{path} is damaged (only {len(head)} bytes); go on from a copy")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise CampaignError(f"{path} is a database of another program, not a campaign file")
    _check_format(path, int.from_bytes(head[60:64], "big"))


def _check_format(path: Path, version: int) -> None:
    if version > FORMAT:
        raise CampaignError(
            f"{path} is a campaign file of format {version}, made by a newer molvae; this one "
            f"reads format {FORMAT}: update molvae"
        )
    if version < 1:
        raise CampaignError(f"{path} is damaged (it has format {version}); go on from a copy")


def check_schema(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a file, if its tables, triggers, views and indexes are those of the format.

    Strange ones would run whenever something is read or written.
    """
    connection.execute("BEGIN")  # so that both are of one moment
    try:
        version, there = _format_of(connection), _schema_of(connection)
    finally:
        connection.execute("ROLLBACK")
    _check_format(path, version)
    ours = _schema(version)
    if strange := there - ours:
        kind, name, _ = min(strange)
        raise CampaignError(
            f"{path}: molvae did not make the {kind} {name!r} that is in it, and would run it; "
            "remove that, or go on from a copy"
        )
    if missing := ours - there:
        kind, name, _ = min(missing)
        raise CampaignError(f"{path} is damaged: it lacks the {kind} {name!r}; go on from a copy")
    return version


_Schema = frozenset[tuple[str, str, str]]
"""Kind, name and text of each table, trigger, view and index."""


@cache
def _schema(version: int) -> _Schema:
    """The schema of a campaign file of a format."""
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
    """Statements of a script, one by one: `executescript` would commit what was begun."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextlib.contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line with the file's name."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise CampaignError(f"{path}: the campaign file does not allow this: {error}") from error
    except sqlite3.OperationalError as error:
        raise CampaignError(f"{path}: {error}; nothing of this step was written") from error
    except sqlite3.ProgrammingError as error:
        raise CampaignError(f"{path} is closed; open it again ({error})") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CampaignError(f"{path} is damaged ({error}); go on from a copy") from error
