"""One writer at a time: a lock beside a campaign file, released when its process ends.

Readers need none. Threads of the process that holds it write one after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from molvae._files import head_of
from molvae.errors import CampaignError

LOCK_TIMEOUT_SECONDS = 2.0  # seconds to wait for another writer: telling a value takes far less
_BEGINNING = b'{"pid":'  # what a lock file begins with


class CampaignLock:
    """The lock of an open campaign file; threads may acquire it again while it is held."""

    def __init__(self, record: Path) -> None:
        self.record = record
        # Processes meet at the file; links to the record lead to the same one.
        real = Path(os.path.realpath(record))
        path = real.with_name(real.name + "-lock")
        self._file = FileLock(path, timeout=LOCK_TIMEOUT_SECONDS, thread_local=False)
        self._owner_pid = os.getpid()
        self._changing = threading.Lock()
        self._times = 0

    @contextlib.contextmanager
    def acquire(self, what: str, since: str) -> Iterator[None]:
        """Hold the lock inside a block; other processes are shown what is done, and since when.

        Raises:
            CampaignError: Another process holds it, which is named; or no file can be made there.
        """
        if os.getpid() != self._owner_pid:
            raise CampaignError(
                f"{self.record} was opened by another process (pid {self._owner_pid}), of which "
                f"this one (pid {os.getpid()}) is a copy; open it here"
            )
        with self._changing:
            if not self._times:
                self._acquire(what, since)
            self._times += 1
        try:
            yield
        finally:
            with self._changing:
                self._times -= 1
                if not self._times and os.getpid() == self._owner_pid:
                    with contextlib.suppress(OSError):  # those who wait look whether it is there
                        Path(self._file.lock_file).unlink()
                    self._file.release()

    def check(self) -> None:
        """Raise `CampaignError` for a foreign file in the place of the lock: it would be lost."""
        path = Path(self._file.lock_file)
        try:
            is_file = stat.S_ISREG(os.lstat(path).st_mode)
            head = head_of(path, len(_BEGINNING)) if is_file else b"no file"
        except FileNotFoundError:
            return
        except OSError as error:
            raise CampaignError(f"cannot read {path}: {error.strerror}") from error
        if head not in (b"", _BEGINNING):
            raise CampaignError(
                f"{path} stands where the lock of {self.record.name} would; molvae did not make "
                "it: move it away"
            )

    def _acquire(self, what: str, since: str) -> None:
        self.check()
        try:
            self._file.acquire()
        except Timeout as error:
            raise CampaignError(
                f"{self.record} is being written by another process{self._owner()}; wait until it "
                "is done, or stop it (reading works meanwhile)"
            ) from error
        except OSError as error:
            raise CampaignError(
                f"cannot write beside {self.record}: {error.strerror or error}"
            ) from error
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "what": what}
        with contextlib.suppress(OSError):  # only for messages
            Path(self._file.lock_file).write_text(json.dumps(about), encoding="utf-8")

    def _owner(self) -> str:
        try:
            about = json.loads(Path(self._file.lock_file).read_text(encoding="utf-8"))
            return (
                f" ({about['what']}, pid {about['pid']} on {about['host']}, since {about['since']})"
            )
        except (OSError, ValueError, KeyError, TypeError):
            return ""
