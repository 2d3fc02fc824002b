"""Which records may run code here: those made on this machine, and those that the user confirmed.

A record names objectives by what they are made from: `module:attribute` is imported and called,
`command:WORDS` is run. A record that somebody sent could name anything. So only what molvae itself
brings is called without being asked; for the rest the record has to be known. What is known is kept
outside of records, in a folder of the user's: a file for each record, under the hash of what the
record was made with, which names the code and never changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from molvae._files import write_atomically

_known: set[str] = set()
"""Records known in this process, also where nothing can be kept."""


def is_trusted(facts: Mapping[str, Any]) -> bool:
    """Whether the code that a record names may run here.

    Args:
        facts: What the record was made with.
    """
    identity = identity_of(facts)
    if identity in _known:
        return True
    try:
        return (_folder() / identity).is_file()
    except OSError:
        return False


def trust(facts: Mapping[str, Any], record: Path, specs: Sequence[str]) -> None:
    """Let the code that a record names run here, from now on.

    Where the user's folder cannot be written it holds for this process.

    Args:
        facts: What the record was made with.
        record: Its path, for people who look into the folder.
        specs: The code, likewise.
    """
    identity = identity_of(facts)
    _known.add(identity)
    with suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = json.dumps({"record": str(record), "runs": list(specs)}, indent=1)
        write_atomically(folder / identity, content.encode())


def identity_of(facts: Mapping[str, Any]) -> str:
    """A hash of what a campaign was created with, which never changes."""
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _folder() -> Path:
    from platformdirs import user_state_path

    return user_state_path("molvae", appauthor=False) / "trusted"


__all__ = ["identity_of", "is_trusted", "trust"]
