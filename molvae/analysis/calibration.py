"""Calibration of a campaign's predictions: intervals against the values observed later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from molvae.bo.prediction import INTERVALS
from molvae.campaign.trial import Trial

MAX_GROUPS = 20
"""Maximum number of rows; more batches are counted together."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many values lay in the intervals predicted when their trials were proposed."""

    first: int
    last: int
    """Ids of the first and the last trial."""
    measured: int
    """Trials with a prediction and a value."""
    held_50: int
    held_90: int
    """Values in the central 50 % and 90 % intervals."""
    above: int
    """Values above the predicted median: about half of them, unless there is a bias."""


def coverage_of(trials: Sequence[Trial], name: str, *, batch: int) -> list[Coverage]:
    """Coverage of all trials, then of each batch; nothing if no prediction has a value.

    Args:
        trials: In the order of their ids.
        name: Name of the objective.
        batch: Batch size.
    """
    known = [t for t in trials if name in t.predictions and math.isfinite(_value(t, name))]
    if not known:
        return []
    batches = math.ceil(len(known) / batch)
    size = batch * math.ceil(batches / MAX_GROUPS)
    groups = [known[k : k + size] for k in range(0, len(known), size)]
    return [_coverage(group, name) for group in ([known, *groups] if len(groups) > 1 else [known])]


def _coverage(trials: Sequence[Trial], name: str) -> Coverage:
    pairs = [(trial.predictions[name], _value(trial, name)) for trial in trials]
    held_50, held_90 = (
        sum(said.holds(value, interval) for said, value in pairs) for interval in INTERVALS
    )
    return Coverage(
        first=trials[0].id,
        last=trials[-1].id,
        measured=len(pairs),
        held_50=held_50,
        held_90=held_90,
        above=sum(value > said.q50 for said, value in pairs),
    )


def _value(trial: Trial, name: str) -> float:
    return trial.values.get(name, math.nan)


__all__ = ["Coverage", "coverage_of"]
