"""Tensors beside a prepared data set, each under a key: what it was made from."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from molvae._files import write_atomically
from molvae.chem.datasets import sha256
from molvae.chem.prepare import recorded_digests
from molvae.errors import DataError

logger = logging.getLogger(__name__)


def describe(folder: Path) -> Any:
    """What `prepare` wrote about the data: source, counts, and the hash of every split.

    Raises:
        DataError: The folder was not made by `prepare`, or was changed since.
    """
    try:
        about = json.loads((folder / "prepare.json").read_text("utf-8"))
        changed = [
            name
            for name, expected in recorded_digests(about).items()
            if (path := folder / name).exists() and sha256(path) != expected
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder} is no prepared data set ({error}); make it with `molvae prepare`"
        ) from error
    if changed:
        raise DataError(
            f"{folder}: {', '.join(changed)} was changed after it was prepared, so that what is "
            "kept beside it is no longer right; change the source, and prepare it again"
        )
    return about


def read_cache(path: Path, key: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What was written under the same key; None if there is nothing, or something else."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["about"])
            if about["key"] != json.loads(json.dumps(key)):
                return None
            # Copies: the tensors themselves are windows on the file, which may be written anew.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s); writing it again", path, error)
        return None


def write_cache(
    path: Path, key: dict[str, Any], tensors: dict[str, Tensor], about: dict[str, Any]
) -> None:
    """Write tensors, their key and further facts."""
    metadata = {"about": json.dumps(about | {"key": key})}
    write_atomically(path, save_tensors(tensors, metadata))
