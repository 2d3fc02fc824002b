"""Networks of a given size, trained once."""

from __future__ import annotations

import sys
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch

from molvae.latent.train import train
from molvae.model.config import ModelConfig, TrainConfig
from molvae.model.progress import Progress
from molvae.model.vae import SequenceVAE


def weights(model: ModelConfig, tokens: int, longest: int, heads: int = 0, given: int = 0) -> int:
    """Number of weights of a network that is not made yet; `given` are its conditions."""
    with torch.device("meta"):
        return size_of(SequenceVAE(model, tokens, longest, heads, given))


def size_of(network: torch.nn.Module) -> int:
    """Number of weights of a network."""
    return sum(p.numel() for p in network.parameters())


def widest(
    model: ModelConfig, names: Sequence[str], most: int, size: Callable[[ModelConfig], int]
) -> ModelConfig:
    """The largest network with at most so many weights: the width of some parts is chosen."""
    made = [replace(model, **dict.fromkeys(names, width)) for width in range(8, 2_049, 8)]  # type: ignore[arg-type]
    return made[max(1, bisect_right(made, most, key=size)) - 1]


def trained(config: TrainConfig) -> dict[str, Any]:
    """Train a model; its molecules a second, minutes and warnings, in CPU time."""
    began = time.process_time()
    rate, said = trained_at(config, time.process_time, workers=1)
    whole = time.process_time() - began
    print(f"{config.out}: trained, {whole:.0f} s", file=sys.stderr, flush=True)
    return {
        "per_second": None if rate is None else round(rate),
        "minutes": round(whole / 60, 2),
        "warnings": sorted(set(said)),
    }


def trained_at(
    config: TrainConfig, clock: Callable[[], float], workers: int | None = None
) -> tuple[float | None, list[str]]:
    """Train a model; molecules a second by a clock, None if too few for it, and warnings.

    Without the first part, in which the network is made, and validations, where there are others.
    """
    marks = [(0, clock(), False)]

    def mark(progress: Progress) -> None:
        marks.append((progress.molecules, clock(), progress.valid_kl is not None))

    _, said = quietly(lambda: train(config, overwrite=True, workers=workers, on_progress=mark))
    parts = list(pairwise(marks[1:])) or list(pairwise(marks))
    spans = [(a, b) for a, b in parts if not b[2]] or parts
    seen, seconds = (sum(b[i] - a[i] for a, b in spans) for i in (0, 1))
    return (seen / seconds if seconds > 0 else None), said


def quietly(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The result of a function, and its warnings as texts."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = work()
    return made, [str(warning.message) for warning in said]
