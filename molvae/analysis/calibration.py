"""Was the surrogate as sure as it may be? Predictions of each batch against what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from molvae.bo.prediction import INTERVALS
from molvae.campaign.trial import Trial

MAX_GROUPS = 20
"""Rows of a table of batches; of more batches, as many as it takes are counted together."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many values lay in the intervals that were foreseen when their trials were proposed."""

    first: int
    """Id of the first trial."""
    last: int
    measured: int
    """Trials with a prediction and a value."""
    held_50: int
    """Values in the central interval of 50 %."""
    held_90: int
    above: int
    """Values above the median that was foreseen: near half of them, unless there is a bias."""


def coverage_of(trials: Sequence[Trial], name: str, *, batch: int) -> list[Coverage]:
    """Of all trials together, then of one batch after the other.

    Args:
        trials: In the order asked.
        name: Of the objective.
        batch: Trials that were proposed together.

    Returns:
        Nothing, if no prediction can be compared with a value.
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
