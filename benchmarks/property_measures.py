"""Numbers of the property table, ready for JSON; and where the time went."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.property_report import BINS, NAMES


class Clock:
    """Where the time goes: seconds by stage; stages are said on standard error."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str, detail: str) -> Iterator[None]:
        """Count the block's time for a stage."""
        began = time.monotonic()
        yield
        spent = time.monotonic() - began
        self.seconds[stage] += spent
        print(f"{detail}: {stage}, {spent:.0f} s", file=sys.stderr, flush=True)


def summary(draws: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and spread over the draws of all that was measured.

    Args:
        draws: Of one source, one for each seed.
        data: The same measures of the data set.

    Returns:
        Each as `{"mean", "sd"}`, sd with n - 1 in the denominator and None for a single draw. Of
        the properties: `mean` and `sd` of the molecules, and, compared to the data, `shift`, (mean
        - data mean) / data sd, and `ratio`, sd / data sd.
    """
    row: dict[str, Any] = {
        name: _over([draw[name] for draw in draws]) for name in ("n", "valid", "unique", "in_data")
    }
    # It takes longest, and is computed for some of the draws only.
    row["fcd"] = _over([draw["fcd"] for draw in draws if draw["fcd"] is not None] or [None])
    for name in NAMES:
        means, sds = ([_nan(draw[name][what]) for draw in draws] for what in ("mean", "sd"))
        mean, sd = _nan(data[name]["mean"]), _nan(data[name]["sd"])
        row[name] = {
            "mean": _over(means),
            "sd": _over(sds),
            "shift": _over([(value - mean) / sd for value in means]),
            "ratio": _over([value / sd for value in sds]),
        }
    return row


def _over(values: Sequence[float | None]) -> dict[str, float | None]:
    numbers = np.array([_nan(value) for value in values])
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else np.nan
    return {"mean": plain(float(numbers.mean())), "sd": plain(sd)}


def statistics(values: NDArray[np.float64]) -> dict[str, dict[str, float | None]]:
    """As `molvae.chem.sets.property_statistics`, of numbers that are there already."""
    kept = {name: v[~np.isnan(v)] for name, v in zip(NAMES, values.T, strict=True)}
    return {
        name: {
            "mean": plain(float(v.mean()) if v.size else np.nan),
            "sd": plain(float(v.std()) if v.size else np.nan),
        }
        for name, v in kept.items()
    }


def histogram(values: NDArray[np.float64]) -> dict[str, list[int]]:
    """Molecules by property and bin; those outside of all bins are in none."""
    return {
        name: np.histogram(column, np.linspace(*BINS[name]))[0].tolist()
        for name, column in zip(NAMES, values.T, strict=True)
    }


def plain(value: float) -> float | None:
    """For JSON, which has no NaN nor infinity; six digits are more than the spread allows."""
    return None if not np.isfinite(value) else float(f"{value:.6g}")


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
