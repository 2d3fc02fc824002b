"""Trained latent spaces: the bundled ones by name, others by their folder."""

from __future__ import annotations

from pathlib import Path

from molvae.errors import ConfigError, UnknownNameError
from molvae.latent.acceptance import Acceptance
from molvae.latent.density import stored_log_densities
from molvae.latent.space import LatentSpace
from molvae.model.checkpoint import fingerprint, load_run
from molvae.model.devices import pick_device
from molvae.model.isolation import isolated

WEIGHTS = Path(__file__).parents[1] / "weights"  # model folders that ship with the package


def list_models() -> list[str]:
    """Names of the bundled models."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.json"))


def find_model(run: str | Path) -> Path:
    """The folder of a bundled model or a model folder; see `load`."""
    bundled = list_models()
    if not isinstance(run, str | Path):
        raise ConfigError(
            f"a model is given by its name ({', '.join(bundled)}) or its folder, got {run!r}"
        )
    folder = WEIGHTS / str(run) if str(run) in bundled else Path(run)
    if not folder.is_dir():
        raise UnknownNameError("bundled model or model folder", str(run), bundled)
    return folder


@isolated()
def load(run: str | Path, *, device: str = "cpu") -> LatentSpace:
    """A trained latent space.

    Args:
        run: Name of a bundled model, or a model folder; a name wins over a folder of that name,
            which can be given as `./name`.
        device: Where the network computes: `cpu`, `cuda`, one of several, `cuda:1`, or `auto`.

    Raises:
        UnknownNameError: Neither a bundled model nor a folder.
        ConfigError: There is no such device, or `run` is no text or path.
        CheckpointError: The folder is incomplete, damaged, foreign or newer than this molvae.
    """
    where, folder = pick_device(device), find_model(run)
    model, prior, card = load_run(folder)
    return LatentSpace(
        model,
        card,
        prior=prior,
        acceptance=Acceptance.load(folder),
        reference=stored_log_densities(folder),
        name=str(run),
        fingerprint=fingerprint(folder),
        device=where,
    )
