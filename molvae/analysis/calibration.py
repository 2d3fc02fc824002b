"""Calibration of a campaign's predictions: intervals against the values observed later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from molvae.bo.prediction import INTERVALS
from molvae.campaign.trial import Trial

MAX_ROWS = 20  # maximum number of rows; more batches are counted together


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many values lay in the intervals predicted when their trials were proposed."""

    first: int
    last: int  # ids of the first and the last trial
    measured: int  # trials with a prediction and a value
    held_50: int
    held_90: int  # values in the central 50 % and 90 % intervals
    above: int  # values above the predicted median: about half of them, unless there is a bias
    mean_error: float  # mean of the values minus the predicted medians, in the unit of the value
    rmse: float  # root mean squared difference of values and predicted medians


def coverage_of(trials: Sequence[Trial], name: str, *, batch: int) -> list[Coverage]:
    """Coverage of all trials, then of each batch; nothing if no prediction has a value.

    Censored values do not count.

    Args:
        trials: In the order of their ids.
        name: Name of the objective.
        batch: Batch size.
    """
    known = [
        (trial.id, trial.predictions[name], value)
        for trial in trials
        if name in trial.predictions
        and name not in trial.operators
        and math.isfinite(value := trial.values.get(name, math.nan))
    ]
    size = batch * max(1, math.ceil(len(known) / batch / MAX_ROWS))
    groups = [known[k : k + size] for k in range(0, len(known), size)]
    found = []
    for group in [known, *groups] if len(groups) > 1 else groups:
        held_50, held_90 = (sum(p.holds(v, share) for _, p, v in group) for share in INTERVALS)
        errors = [value - predicted.q50 for _, predicted, value in group]
        found.append(
            Coverage(
                first=group[0][0],
                last=group[-1][0],
                measured=len(group),
                held_50=held_50,
                held_90=held_90,
                above=sum(error > 0 for error in errors),
                mean_error=fmean(errors),
                rmse=math.sqrt(fmean(error**2 for error in errors)),
            )
        )
    return found
