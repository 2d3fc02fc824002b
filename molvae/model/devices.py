"""Devices and precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from molvae.errors import require


def pick_device(name: str | torch.device) -> torch.device:
    """The device that a setting stands for: `auto`, `cpu`, `cuda`, or one of several, `cuda:1`.

    Raises:
        ConfigError: No such device, or it is not there.
    """
    name = str(name)
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if there else "cpu"
    kind, _, number = name.partition(":")
    require(
        name == "cpu" or (kind == "cuda" and (number.isdecimal() or name == "cuda")),
        f"device must be auto, cpu, cuda, or cuda:1 for one of several; got {name!r}",
    )
    require(
        kind == "cpu" or int(number or 0) < there,
        f"there is no device {name!r}: torch {torch.__version__} finds {there} CUDA devices here; "
        "give cpu, or auto",
    )
    return torch.device(name)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 autocast where asked for or, with `auto`, where it is faster; else nothing."""
    if not in_bf16(precision, device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def in_bf16(precision: str, device: torch.device) -> bool:
    """Whether a training of this precision, which may be `auto`, computes in bfloat16."""
    if precision == "auto":
        # Emulated bf16 is slower than float32: only processors with the instructions gain.
        # torch has no public name for the question yet; where it has none at all, float32.
        on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        native = device.type == "cuda" or on_cpu()
        return bool(native)
    return precision == "bf16"
