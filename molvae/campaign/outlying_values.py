"""Values that are far from all others, which are asked back before they are written."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from molvae.campaign.trial import Trial

MAX_DEVIATION = 10.0
"""Distance from the median, in robust standard deviations, beyond which a value is asked back."""
MIN_VALUES = 8  # values from which on others are compared with them
STD_OVER_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def outlying(trials: Sequence[Trial], values: Mapping[Any, Any], names: Sequence[str]) -> list[str]:
    """Values that are far from those of a campaign, each as a message.

    Args:
        trials: All of a campaign.
        values: By trial, or by molecule: a value, replicates, or these by name; None if it failed.
        names: Names of the values; a value without a name is of the first.
    """
    known = {
        name: [
            trial.values[name]
            for trial in trials
            if name in trial.values and name not in trial.operators and trial.id not in values
        ]
        for name in names
    }
    said = {f"{'trial' if isinstance(k, int) else 'molecule'} {k}": v for k, v in values.items()}
    return far_from_others(known, said)


def far_from_others(known: Mapping[str, Sequence[float]], values: Mapping[str, Any]) -> list[str]:
    """Values that are far from the known ones, each as a message.

    Args:
        known: Measured values by name.
        values: By the words for what they are of; each as for `outlying`.
    """
    found = list[str]()
    for name, others in known.items():
        if len(others) < MIN_VALUES:
            continue
        middle = statistics.median(others)
        spread = STD_OVER_MAD * statistics.median(abs(one - middle) for one in others)
        if spread == 0:
            continue
        for of, value in values.items():
            own = value.get(name) if isinstance(value, Mapping) else value
            several = own if isinstance(own, Sequence | np.ndarray) else [own]
            for one in several:
                away = abs(one - middle) / spread if isinstance(one, int | float) else 0.0
                if away > MAX_DEVIATION:
                    found.append(
                        f"{of}: {name} {one:g} is {away:.0f} robust standard deviations "
                        f"from {middle:g}, the median of {len(others)} values"
                    )
    return found
