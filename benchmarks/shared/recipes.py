"""Networks as large as others, trained once."""

from __future__ import annotations

import sys
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from molvae.model.config import ModelConfig, TrainConfig
from molvae.model.vae import SequenceVAE


def weights(
    model: ModelConfig, symbols: int, longest: int, heads: int = 0, conditions: int = 0
) -> int:
    """Numbers that a network learns."""
    with torch.device("meta"):
        network = SequenceVAE(model, symbols, longest, heads, conditions)
    return sum(p.numel() for p in network.parameters())


def widest(
    model: ModelConfig, names: Sequence[str], most: int, size: Callable[[ModelConfig], int]
) -> ModelConfig:
    """The largest network with at most so many weights: the width of some parts is chosen."""
    widths: list[dict[str, Any]] = [dict.fromkeys(names, width) for width in range(8, 2_049, 8)]
    made = [replace(model, **width) for width in widths]
    return made[max(1, bisect_right(made, most, key=size)) - 1]


def trained(config: TrainConfig) -> dict[str, Any]:
    """Train a run, and say how fast, and with which warnings."""
    from molvae.latent.train import train
    from molvae.model.progress import Progress

    marks = [(0, time.process_time(), False)]

    def mark(progress: Progress) -> None:
        marks.append((progress.molecules, time.process_time(), progress.valid_kl is not None))

    _, said = quietly(lambda: train(config, overwrite=True, workers=1, on_progress=mark))
    whole = time.process_time() - marks[0][1]
    print(f"{config.out}: trained, {whole:.0f} s", file=sys.stderr, flush=True)
    # The first part holds the network's making, too; validations are not counted.
    parts = list(pairwise(marks[1:])) or list(pairwise(marks))
    spans = [(a, b) for a, b in parts if not b[2]] or parts
    seen, seconds = (sum(b[i] - a[i] for a, b in spans) for i in (0, 1))
    return {
        "per_second": round(seen / seconds) if seconds > 0 else None,
        "minutes": round(whole / 60, 2),
        "warnings": sorted(set(said)),
    }


def quietly(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a function returns, and the warnings that it gave, as texts."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = work()
    return made, [str(warning.message) for warning in said]


def is_trained(folder: Path) -> bool:
    """Whether a training wrote its run there: the card comes last."""
    from molvae.model.checkpoint import CARD

    return (folder / CARD).exists()
