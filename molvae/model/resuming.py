"""The state that a training goes on from: one file, of one moment.

Of one that was interrupted, or of a finished one that kept it, from which the next stage starts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from molvae._files import write_atomically
from molvae.config import TrainConfig
from molvae.errors import CheckpointError
from molvae.model.checkpoint import RESUME, STATE
from molvae.model.vae import SequenceVAE

READOUT = "readout."


@dataclass
class Place:
    """Where the loop stands: everything beside tensors that resuming needs."""

    epoch: int = 0
    batch: int = 0
    seen: int = 0


def _what_must_agree(config: TrainConfig) -> dict[str, Any]:
    """Settings by name; of a table inside as `table.name`."""
    settings = asdict(config)
    # A folder may be moved to another machine; the prior comes after this loop.
    for name in (
        "out",
        "data",
        "more_data",
        "start_from",
        "keep_state",
        "validate_every",
        "threads",
        "device",
        "prior",
    ):
        del settings[name]
    for table in ("model", "objective"):
        settings |= {f"{table}.{name}": value for name, value in settings.pop(table).items()}
    return settings


def save_state(
    folder: Path,
    model: SequenceVAE,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    place: Place,
    readout: nn.Module | None = None,
) -> None:
    """One file: weights, optimizer, generators and place are of one moment."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if readout is not None:
        tensors |= {f"{READOUT}{k}": v for k, v in readout.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    metadata = {
        "place": json.dumps(asdict(place)),
        "settings": json.dumps(_what_must_agree(config), sort_keys=True),
    }
    write_atomically(
        folder / RESUME,
        save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata),
    )


def load_state(
    folder: Path,
    model: SequenceVAE,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    device: torch.device,
    readout: nn.Module | None = None,
) -> Place:
    """Put network, optimizer and generators into the state of a file.

    Args:
        folder: That holds it.
        model: Changed in place.
        optimizer: Likewise.
        config: Of now.
        device: Where the network is.
        readout: A module that is trained along, changed in place.

    Raises:
        CheckpointError: It is missing, damaged, or was made with other settings.
    """
    path = folder / RESUME
    if not path.exists():
        raise CheckpointError(
            f"{path} is not there: the training was finished, or stopped before its first "
            "validation; start it without resuming"
        )
    tensors, saved, place = _read(path)
    now, plain = (
        json.loads(json.dumps(_what_must_agree(c))) for c in (config, TrainConfig(data="", out=""))
    )
    saved = plain | saved  # settings that are younger than the file
    if changed := sorted(k for k in now if saved.get(k) != now[k]):
        name = changed[0]
        raise CheckpointError(
            f"{path} was made with {name} = {saved.get(name)!r}, now it is {now[name]!r}; resume "
            "with the settings of the beginning, or start a new run folder"
        )
    _restore(tensors, model, optimizer, readout)
    torch.set_rng_state(tensors["rng.cpu"])
    if device.type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return place


def start_state(
    folder: Path,
    model: SequenceVAE,
    optimizer: torch.optim.Optimizer,
    readout: nn.Module | None = None,
) -> None:
    """Begin with the weights and the optimizer's state that another training ended with.

    Args:
        folder: That holds the state.
        model: Of the same sizes; changed in place.
        optimizer: Likewise.
        readout: Likewise, if the other training had one.

    Raises:
        CheckpointError: The state is damaged, or of another network.
    """
    tensors, _, _ = _read(folder / STATE)
    try:
        _restore(tensors, model, optimizer, readout)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / STATE} is of another network than the model beside it ({error}); copy the "
            "run folder again"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], Place]:
    """Tensors, settings and place."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            # Copies: the tensors themselves are windows on the file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(metadata["settings"]), Place(**json.loads(metadata["place"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); start the training anew") from error


def _restore(
    tensors: dict[str, Tensor],
    model: SequenceVAE,
    optimizer: torch.optim.Optimizer,
    readout: nn.Module | None,
) -> None:
    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    model.load_state_dict(part("model."))
    if readout is not None and (saved := part(READOUT)):
        readout.load_state_dict(saved)
    states: dict[int, dict[str, Tensor]] = {}
    groups = optimizer.state_dict()["param_groups"]
    n = sum(len(group["params"]) for group in groups)
    for key, tensor in part("optimizer.").items():
        index, name = key.split(".", 1)
        if int(index) < n:  # the other training may have had a read-out, which comes last
            states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": groups})


__all__ = ["RESUME", "STATE", "Place", "load_state", "save_state", "start_state"]
