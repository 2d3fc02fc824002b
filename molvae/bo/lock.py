"""One writer at a time: a lock beside a record, which goes away with the process that holds it.

Readers need none.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from molvae.errors import CampaignError

PATIENCE = 2.0
"""Seconds to wait for a writer that may be about to finish: telling a value takes far less."""


def lock_of(record: Path) -> FileLock:
    """The lock of a record; one for each open record, which may be taken several times."""
    return FileLock(record.with_name(record.name + "-lock"), timeout=PATIENCE)


@contextlib.contextmanager
def held(lock: FileLock, record: Path, what: str, since: str) -> Iterator[None]:
    """Hold a record's lock.

    Args:
        lock: From `lock_of`.
        record: Its path, for messages.
        what: Is done meanwhile, for those who have to wait.
        since: Now, for the same.

    Raises:
        CampaignError: Another process holds it, which is named; or no file can be made there.
    """
    if lock.is_locked:
        yield
        return
    try:
        lock.acquire()
    except Timeout as error:
        raise CampaignError(
            f"{record} is being written by another process{_owner(lock)}; wait until it is done, "
            "or stop it (reading works meanwhile)"
        ) from error
    except OSError as error:
        raise CampaignError(f"cannot write beside {record}: {error.strerror or error}") from error
    path = Path(lock.lock_file)
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "what": what}
    try:
        with contextlib.suppress(OSError):  # a courtesy: the lock is the file system's
            path.write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # who waits for it looks whether it is still there
            path.unlink()
        lock.release()


def _owner(lock: FileLock) -> str:
    try:
        about = json.loads(Path(lock.lock_file).read_text(encoding="utf-8"))
        return f" ({about['what']}, pid {about['pid']} on {about['host']}, since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


__all__ = ["held", "lock_of"]
