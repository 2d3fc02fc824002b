"""The state of a training in one file: to resume it, or to start the next stage from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from molvae._files import write_atomically
from molvae.config import current_names
from molvae.errors import CheckpointError
from molvae.model.checkpoint import RESUME, STATE
from molvae.model.config import TrainConfig
from molvae.model.vae import SequenceVAE, upgrade_state_dict


class TrainedParts(NamedTuple):
    """What a training changes, in place."""

    model: SequenceVAE
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    head: nn.Module | None  # that reads fingerprints


READOUT_PREFIX = "readout."  # prefix of the tensors of a `FingerprintHead`


@dataclass
class TrainingState:
    """Place in the training loop."""

    epoch: int = 0
    batch: int = 0
    seen: int = 0


RESUMABLE_SETTINGS = (
    "out",
    "data",
    "more_data",
    "start_from",
    "keep_state",
    "validate_every",
    "threads",
)
"""Settings that may change on resuming, beside `device`: a folder may move to another machine."""


def _settings_to_keep(config: TrainConfig) -> dict[str, Any]:
    """Settings that must be the same on resuming, by name; of a table inside as `table.name`."""
    settings = asdict(config)
    for name in (*RESUMABLE_SETTINGS, "device", "prior"):  # the prior comes after this loop
        del settings[name]
    if config.lr_decay_fraction == 0:  # a stage at a constant rate may end sooner or later
        del settings["n_molecules"]
    return _flat(settings)


def _current(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Saved settings under their current names."""
    tables: dict[str, Any] = {}
    for key, value in saved.items():
        table, _, name = key.rpartition(".")
        (tables.setdefault(table, {}) if table else tables)[name] = value
    return _flat(current_names(TrainConfig, tables))


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    for table in ("model", "loss"):
        settings |= {f"{table}.{name}": value for name, value in settings.pop(table, {}).items()}
    return settings


def save_state(
    folder: Path,
    parts: TrainedParts,
    config: TrainConfig,
    place: TrainingState,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of one moment, with the settings and data that must be the same later."""
    model, optimizer, generator, head = parts
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if head is not None:
        tensors |= {f"{READOUT_PREFIX}{k}": v for k, v in head.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors[f"rng.{generator.device.type}"] = generator.get_state()
    metadata = {
        "place": json.dumps(asdict(place)),
        "settings": json.dumps(_settings_to_keep(config), sort_keys=True),
        "data": json.dumps(data, sort_keys=True),
    }
    write_atomically(
        folder / RESUME,
        save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata),
    )


def load_state(
    folder: Path, parts: TrainedParts, config: TrainConfig, data: Mapping[str, Any] | None = None
) -> TrainingState:
    """Restore what a training changes, in place, from a file of `save_state`.

    Raises:
        CheckpointError: It is missing, damaged, or was made with other settings or from other data.
    """
    path = folder / RESUME
    if not path.exists():
        raise CheckpointError(
            f"{path} is not there: the training was finished, or stopped before its first "
            "validation; start it without resuming"
        )
    tensors, metadata, place = _read(path)
    saved, saved_data = metadata["settings"], metadata["data"]
    now, plain = (
        json.loads(json.dumps(_settings_to_keep(c))) for c in (config, TrainConfig(data="", out=""))
    )
    saved = plain | _current(saved)  # settings that are younger than the file
    if changed := sorted(k for k in now if saved.get(k) != now[k]):
        name = changed[0]
        raise CheckpointError(
            f"{path} was made with {name} = {saved.get(name)!r}, now it is {now[name]!r}; resume "
            "with the settings of the beginning, or start a new model folder"
        )
    if saved_data is not None and saved_data != json.loads(json.dumps(data)):
        raise CheckpointError(
            f"{path} was made from other molecules: {_difference(saved_data, data or {})} is not "
            "the same; resume with the data of the beginning, or start a new model folder"
        )
    try:
        _restore(tensors, parts)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds the weights of another network, as other data or another version of "
            "molvae make it; start a new model folder"
        ) from error
    if (rng := f"rng.{parts.generator.device.type}") in tensors:
        parts.generator.set_state(tensors[rng])
    else:  # it began on another kind of device, whose generator gives other numbers
        parts.generator.manual_seed(config.seed + place.seen)
    return place


def _difference(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name of the first difference between two descriptions of data."""
    return next(name for name in sorted({*saved, *now}) if saved.get(name) != now.get(name))


def start_state(folder: Path, parts: TrainedParts) -> None:
    """Start, in place, with the state that another training of the same sizes kept in a folder.

    Raises:
        CheckpointError: The state is damaged, or of another network.
    """
    tensors, _, _ = _read(folder / STATE)
    try:
        _restore(tensors, parts)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / STATE} is of another network than the model beside it ({error}); copy the "
            "model folder again"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], TrainingState]:
    """Tensors, settings and data, and place."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            # Copies: the tensors themselves are windows on the file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        # Older files do not name the data.
        made = {name: json.loads(metadata.get(name, "null")) for name in ("settings", "data")}
        return tensors, made, TrainingState(**json.loads(metadata["place"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); start the training anew") from error


def _restore(tensors: dict[str, Tensor], parts: TrainedParts) -> None:
    model, optimizer, _, head = parts

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    model.load_state_dict(upgrade_state_dict(part("model.")))
    if head is not None and (saved := part(READOUT_PREFIX)):
        head.load_state_dict(saved)
    states: dict[int, dict[str, Tensor]] = {}
    groups = optimizer.state_dict()["param_groups"]
    n = sum(len(group["params"]) for group in groups)
    for key, tensor in part("optimizer.").items():
        index, name = key.split(".", 1)
        if int(index) < n:  # the other training may have had a read-out, which comes last
            states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": groups})
