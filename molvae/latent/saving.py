"""Latent spaces become model folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from molvae._files import check_output
from molvae.chem.precedents import FILE_NAME as PRECEDENTS
from molvae.chem.precedents import of_model
from molvae.errors import CheckpointError
from molvae.latent.acceptance import FILE_NAME as ACCEPTANCE
from molvae.latent.density import FILE_NAME as REFERENCE
from molvae.model.checkpoint import METRICS, MODEL, RESUME, STATE, fingerprint, save_run

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace


def save(space: LatentSpace, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a space as a model folder, which every command accepts and `molvae.load` reads.

    The space then has the name and the fingerprint of the folder. Precedents of the training
    molecules are written, too, if the space, or the one that it was fine-tuned from, was loaded
    with them.

    Args:
        folder: A new folder; or, with `overwrite`, one that holds a model.
        overwrite: Replace that model.

    Returns:
        The folder as given.

    Raises:
        CheckpointError: It exists and may not be replaced, or cannot be written.
    """
    target = check_output(folder, MODEL, overwrite=overwrite)
    tunings = space.about.get("tuned", ())
    names = [space.name, *(one["from"] for one in reversed(tunings))]
    precedents = of_model(next(filter(None, names), ""))
    try:
        save_run(target, space.model, space.card, space.prior)
        replaced = (METRICS, RESUME, STATE, PRECEDENTS, ACCEPTANCE, REFERENCE)
        for name in replaced:
            (target / name).unlink(missing_ok=True)
        if space.acceptance is not None:
            space.acceptance.save(target)
        space.reference.save(target)
        if precedents is not None:
            precedents.save(target / PRECEDENTS)
    except OSError as error:
        raise CheckpointError(f"cannot write {folder}: {error.strerror or error}") from error
    space.name, space.fingerprint = str(folder), fingerprint(target)
    return Path(folder)
