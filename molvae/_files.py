"""Files that molvae writes: what may be replaced, and writing as a whole or not at all.

An output of HTML, SVG, PDF, PNG or JSON carries a stamp: its kind and a SHA-256 of its content. A
file that was edited since, or that anything else wrote, has no valid stamp and is never replaced.
Tables have no place for one: their kinds have `is_own` instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import struct
import sys
import tempfile
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from molvae.errors import MolvaeError, reason_of

SQLITE_MAGIC = b"SQLite format 3\0"
SIDE_FILES = ("-wal", "-shm", "-journal", "-lock")
"""Endings of the files that SQLite and the lock keep beside a campaign file."""
FOLDER_FILES = {
    "model.json": re.compile(
        r"(model\.json|(model|prior|precedents|resume|state)\.safetensors(\.next)?|metrics\.jsonl)"
    ),
    "prepare.json": re.compile(r"(prepare\.json|(train|valid|test)\.(smi|csv)|.*\.safetensors)"),
}
"""Names of the files of a model folder and of a data folder, by the file that identifies it."""
HTML_ENDINGS = (".html", ".htm")  # endings of pages
STALE_SECONDS = 24 * 3600.0  # age from which a draft of another machine counts as abandoned


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of output."""

    name: str
    """The kind's name in messages, with an article."""
    error: type[MolvaeError]
    """Raised if such an output cannot be written."""
    stamp: str = ""
    """The kind in one word, for the stamp in the file; without one, `is_own` decides."""
    is_own: Callable[[Path], bool] = lambda path: False
    """Whether an existing file or folder is of this kind, and as molvae wrote it."""
    is_folder: bool = False
    endings: tuple[str, ...] = ()
    """Endings that a name may have; empty: any."""


def add_stamp(content: bytes, word: str) -> bytes:
    """HTML, SVG, PDF, PNG or JSON (an object) with a stamp that does not change how it is shown."""
    digest = sha256(word.encode() + content).hexdigest()
    at, stamp = _stamp(content, f"molvae {word} sha256:{digest}".encode())
    return content[:at] + stamp + content[at:]


def has_valid_stamp(file: Path, word: str) -> bool:
    """Whether molvae wrote a file as this kind of output, and nobody has edited it."""
    content = file.read_bytes()
    texts = re.findall(rb"molvae %s sha256:[0-9a-f]{64}" % re.escape(word.encode()), content)
    if not texts:
        return False
    before, stamp, after = content.rpartition(_stamp(content, texts[-1])[1])
    return bool(stamp) and add_stamp(before + after, word) == content


def _stamp(content: bytes, text: bytes) -> tuple[int, bytes]:
    """The place of a stamp in a file's content, and the stamp in the file's format."""
    if content.startswith(b"\x89PNG"):  # a text chunk before the last chunk, which has 12 bytes
        chunk = b"tEXtmolvae\0" + text
        length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
        return len(content) - 12, length + chunk + checksum
    if content.startswith(b"%PDF"):
        return len(content), b"% " + text + b"\n"
    if content.lstrip().startswith(b"{"):  # the last member of the object
        return len(content[: content.rindex(b"}")].rstrip()), b',\n "stamp": "' + text + b'"'
    return len(content), b"<!-- " + text + b" -->\n"


def check_output(
    path: str | Path, kind: Kind, *, overwrite: bool = False, apart_from: Iterable[str | Path] = ()
) -> Path:
    """Check that a path may become an output, before any work is done for it.

    An existing file is replaced only with `overwrite`, and only if molvae wrote it as an output of
    the same kind. A campaign file, a file of a model or data folder, and those of `apart_from`, the
    other files of the same command, are never replaced.

    Returns:
        The absolute path to write to, behind links.

    Raises:
        MolvaeError: `kind.error`, with the reason and what to do.
    """
    try:
        target, reason = _resolved(path), None
        reason = _why_not(Path(path), target, kind, overwrite, [_resolved(p) for p in apart_from])
    except (OSError, ValueError) as error:  # e.g. a name that is too long, or holds a null byte
        raise kind.error(f"cannot write {str(path)!r}: {reason_of(error)}") from error
    if reason is not None:
        raise kind.error(reason)
    return target


def _why_not(
    given: Path, target: Path, kind: Kind, overwrite: bool, others: list[Path]
) -> str | None:
    """The reason why a path may not become an output; None if it may."""
    for other in others:
        if is_same_file(target, other):
            return f"{given} is also given as another file of this command; choose another name"
        if kind.is_folder and target in other.parents and _is_there(other):
            return f"{given} holds {other.name}, which this command reads; choose another name"
        if is_side_file(target, other):
            return f"{given} would belong to the campaign file {other.name}; choose another name"
    if any(
        target.name.endswith(ending) and is_record(target.with_name(target.name[: -len(ending)]))
        for ending in SIDE_FILES
    ):
        return f"{given} belongs to a campaign file; choose another name"
    if _is_there(target):
        if reason := _why_not_replaced(given, target, kind, overwrite):
            return reason
    elif not target.parent.is_dir():
        if not kind.is_folder:
            return f"cannot write {given}: there is no folder {given.parent}; make it first"
        if not next(folder for folder in target.parents if os.path.lexists(folder)).is_dir():
            return f"cannot write {given}: one of its parents is no folder"
    for marker, names in FOLDER_FILES.items():
        if names.fullmatch(target.name) and (target.parent / marker).is_file():
            what = "model" if marker == "model.json" else "data"
            return f"{given} is a file of a {what} folder, which nothing else replaces"
    above = next(folder for folder in target.parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:  # no permission, or a file system that takes no files
        return f"cannot write {given}: nothing can be written in {above} ({reason_of(error)})"
    if kind.endings and given.suffix.lower() not in kind.endings:
        return f"{given}: {kind.name} is {' or '.join(kind.endings)}; choose another ending"
    return None


def _why_not_replaced(given: Path, target: Path, kind: Kind, overwrite: bool) -> str | None:
    mode = target.lstat().st_mode
    if stat.S_ISDIR(mode) != kind.is_folder or not (stat.S_ISREG(mode) or kind.is_folder):
        what = "a folder" if stat.S_ISDIR(mode) else "no folder" if kind.is_folder else "no file"
        return f"{given} exists and is {what}; choose another name"
    if is_record(target):
        return f"{given} exists and is a campaign file or another database, which nothing replaces"
    empty = not (any(target.iterdir()) if kind.is_folder else target.stat().st_size)
    if not empty and not (
        has_valid_stamp(target, kind.stamp) if kind.stamp else kind.is_own(target)
    ):
        return (
            f"{given} exists, and molvae did not write it as {kind.name}, or it was edited since: "
            "it is not replaced, not even with --overwrite; choose another name, or remove it first"
        )
    if not overwrite:
        return f"{given} exists; choose another name, or overwrite it (--overwrite)"
    if not os.access(target, os.W_OK):
        return f"{given} is write-protected; choose another name"
    return None


def _is_there(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # not of a name too long
        path.lstat()
        return True
    return False


def is_record(file: str | Path) -> bool:
    """Whether a file is a campaign file, or another SQLite database, by its first bytes."""
    return head_of(file, len(SQLITE_MAGIC)) == SQLITE_MAGIC


def head_of(file: str | Path, size: int = 65_536) -> bytes:
    """The first bytes of a regular file; empty if it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # opening a pipe would block
            return b""
        with open(file, "rb") as opened:
            return opened.read(size)
    except (OSError, ValueError):
        return b""


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one file, also on file systems that ignore case."""
    folded = [unicodedata.normalize("NFC", str(path)).casefold() for path in (one, other)]
    with contextlib.suppress(OSError):
        return folded[0] == folded[1] or os.path.samefile(one, other)
    return False


def is_side_file(path: Path, record: Path) -> bool:
    """Whether a path is one of the `SIDE_FILES` of a campaign file."""
    return any(is_same_file(path, record.with_name(record.name + ending)) for ending in SIDE_FILES)


def _resolved(path: str | Path) -> Path:
    return Path(os.path.realpath(os.path.abspath(path)))


@contextlib.contextmanager
def replacing(
    path: str | Path, kind: Kind, *, overwrite: bool = False, apart_from: Iterable[str | Path] = ()
) -> Iterator[Path]:
    """Yield a temporary file, or an empty folder, that becomes `path` if the block succeeds.

    Arguments and errors as for `check_output`, which is called again before the replacement. An
    error of the file system in the block becomes `kind.error`. After any exception everything is
    as before.
    """
    apart = list(apart_from)
    target = check_output(path, kind, overwrite=overwrite, apart_from=apart)
    made = [folder for folder in target.parents if not folder.exists()]
    draft = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(target)
        if kind.is_folder:
            draft.mkdir()
        else:
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield draft
        if kind.stamp:
            draft.write_bytes(add_stamp(draft.read_bytes(), kind.stamp))
        for written in (*draft.rglob("*"), draft):
            _flush(written)
        check_output(target, kind, overwrite=overwrite, apart_from=apart)
        _publish(draft, target, replace=overwrite)
    except BaseException as error:
        with contextlib.suppress(OSError):
            _remove(draft)
            for folder in made:
                folder.rmdir()  # if it is empty
        if isinstance(error, OSError) and not isinstance(error, MolvaeError):
            raise kind.error(f"cannot write {path}: {reason_of(error)}") from error
        raise
    _remove(draft)  # the old folder, if it was exchanged with the draft


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file in one of molvae's own folders; a link in its place is replaced, not followed.

    Raises:
        OSError: It cannot be written; an existing file is unchanged.
    """
    draft = _draft(path)
    try:
        with open(draft, "xb") as file:
            file.write(content)
        _flush(draft)
        draft.replace(path)
        _flush(path.parent)
    except BaseException:
        _remove(draft)
        raise


def _publish(draft: Path, target: Path, *, replace: bool) -> None:
    """Rename a draft to its target; without `replace`, a target that exists by now is an error."""
    if draft.is_dir():
        if not os.path.lexists(target):
            draft.rename(target)
        elif not _exchange(draft, target):
            aside = _draft(target)
            target.rename(aside)
            draft.rename(target)
            aside.rename(draft)
    elif replace and target.exists():
        shutil.copymode(target, draft)
        draft.replace(target)
    else:
        try:
            os.link(draft, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "it exists now") from None
            draft.rename(target)
    _flush(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically; False if the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return not renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange)


def _flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _remove(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# The machine and process that writes it, so that drafts of killed processes can be removed.
_DRAFT = re.compile(r"\.molvae-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.draft.*")


def _draft(target: Path) -> Path:
    """A new hidden name beside a path; abandoned drafts there are removed."""
    remove_stale_drafts(target.parent)
    token = secrets.token_hex(4)
    ending = target.suffix if len(target.suffix) < 20 else ""
    return target.with_name(f".molvae-{_host()}-{os.getpid()}-{token}.draft{ending}")


def is_draft(path: Path) -> bool:
    """Whether a file is one that a killed process was writing."""
    return _DRAFT.fullmatch(path.name) is not None


def remove_stale_drafts(folder: Path) -> None:
    """Remove the drafts of killed processes from a folder."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if (match := _DRAFT.fullmatch(name)) and _is_stale(folder / name, match):
                    _remove(folder / name)


def _is_stale(path: Path, match: re.Match[str]) -> bool:
    if match["host"] != _host() or os.name != "posix":
        return time.time() - path.lstat().st_mtime > STALE_SECONDS
    try:
        os.kill(int(match["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # there is such a process, of another user perhaps
        return False
    return False


def _host() -> str:
    """An identifier of this machine or container, within which process ids are unique."""
    processes = ""
    with contextlib.suppress(OSError):
        processes = os.readlink("/proc/self/ns/pid")
    return sha256((socket.gethostname() + processes).encode()).hexdigest()[:8]
