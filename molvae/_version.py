"""The version of molvae and of the libraries that its results depend on."""

from __future__ import annotations

import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """Installed versions of the libraries that numbers depend on; nothing is imported."""
    found = {"molvae": __version__, "python": platform.python_version()}
    for package in ("torch", "botorch", "gpytorch", "rdkit", "selfies", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # e.g. rdkit from conda
            found[package] = "unknown"
    return found


__version__ = "0.1.0"
