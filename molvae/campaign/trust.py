"""Trusted campaign files: only these may run the modules and commands that they name.

Trust is kept in a folder of the user's, as a file for each campaign under its identity: a hash of
its settings, which name the code and never change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from molvae._files import write_atomically

_known: set[str] = set()  # identities trusted in this process, also where nothing can be written


def is_trusted(metadata: Mapping[str, Any]) -> bool:
    """Whether the code that a campaign's settings name may run here."""
    identity = identity_of(metadata)
    with suppress(OSError):
        return identity in _known or (_folder() / identity).is_file()
    return False


def trust(metadata: Mapping[str, Any], record: Path, specs: Sequence[str]) -> None:
    """Let the code that a campaign's settings name run here, from now on.

    Where the user's folder cannot be written, this holds for the process only.
    """
    identity = identity_of(metadata)
    _known.add(identity)
    with suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = json.dumps({"record": str(record), "runs": list(specs)}, indent=1)
        write_atomically(folder / identity, content.encode())


def identity_of(metadata: Mapping[str, Any]) -> str:
    """A hash of the settings that a campaign was created with."""
    return sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def _folder() -> Path:
    from platformdirs import user_state_path

    return user_state_path("molvae", appauthor=False) / "trusted"
