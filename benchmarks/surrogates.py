"""Which surrogate predicts the values of molecules that a search will ask for next?

On the molecules that mol-ga asked for, in its order: each surrogate learns the first molecules and
predicts the next hundred. Lift is the mean value of the ten with the best predictions: 0 is that
of the hundred, 1 that of the ten best. The intervals are those that a campaign stores, without its
calibration by earlier proposals.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from torch import Tensor

import molvae
from benchmarks.optimisation import Run, Study, mol_ga
from benchmarks.shared.run import each
from benchmarks.shared.tables import markdown, numbers
from molvae.bo.features import features
from molvae.bo.prediction import INTERVALS
from molvae.bo.strategies.rank import Rank
from molvae.bo.surrogate import (
    AUTO_KERNELS,
    WEIGHTED_KERNELS,
    molecule_gp,
    predictions,
    reproducible,
)
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS
from molvae.errors import DataError

TITLE = "Surrogates"
# The default of `rank` before `weighted`. The others learn normal scores; their intervals are from
# linear ones with equal weights, as in a campaign.
FORMER = "tanimoto+descriptors, linear scores"
KINDS = ("weighted", FORMER, "descriptors", *AUTO_KERNELS)
LEARNED = (58, 150, 400, 1_000)
NEXT, BEST = 100, 10
RESERVE = 500  # molecules that a run has beyond these: the space cannot read all of them
KEYS = {"lift": ".2f", "rank_correlation": ".2f", "held_50": ".0%", "held_90": ".0%"}


def lift(predicted: Tensor, values: Tensor, best: int) -> float:
    """Mean value of those with the best predictions; NaN if all values are equal."""
    chosen = values[predicted.argsort(descending=True, stable=True)[:best]].mean()
    gain = values.topk(best).values.mean() - values.mean()
    return float((chosen - values.mean()) / gain) if gain > 0 else math.nan


def measure(
    *, quick: bool, jobs: int, folder: Path, seeds: Sequence[int] = (0, 1, 2)
) -> dict[str, Any]:
    """Means over tasks and seeds, by surrogate and number of learned molecules."""
    learned, ahead = ((20, 25), 10) if quick else (LEARNED, NEXT)
    study = Study(methods={"mol-ga": seeds}, budget=learned[-1] + ahead + RESERVE)
    runs = study.runs(str(folder))
    if quick:
        runs = [replace(runs[0], budget=learned[-1] + ahead, start=10)]
    parts = each(foretold, [(one, learned, ahead) for one in runs], jobs=jobs)
    rows = [row for part in parts for row in part]

    def mean(kind: str, n: int, key: str) -> float:
        found = [row[key] for row in rows if (row["kind"], row["learned"]) == (kind, n)]
        return float(round(statistics.mean(v for v in found if not math.isnan(v)), 3))

    return {
        "learned": list(learned),
        "next": ahead,
        "tasks": len({one.task for one in runs}),
        "seeds": len({one.seed for one in runs}),
        "kernels": {
            kind: {key: [mean(kind, n, key) for n in learned] for key in KEYS} for kind in KINDS
        },
    }


def foretold(task: Run, learned: Sequence[int], ahead: int) -> list[dict[str, Any]]:
    """Quality of each surrogate's predictions of the values of one run."""
    values, smiles, _ = mol_ga(task)
    space = molvae.load("zinc250k")
    z = space.encode(smiles, skip_unknown=True)
    readable = torch.isfinite(z).all(dim=1)
    x = torch.cat([z, features(smiles, Rank().fingerprint_radius)], dim=1)[readable]
    y = torch.tensor(values, dtype=torch.float64)[readable]
    if len(y) < learned[-1] + ahead:
        raise DataError(
            f"the space can read {len(y)} of the {len(smiles)} molecules that mol-ga asked for on "
            f"{task.task}; {learned[-1] + ahead} are needed: raise RESERVE"
        )
    rows = []
    for n in learned:
        truth = y[n : n + ahead]
        for kind in KINDS:
            linear = ScoreTransform(y[:n], "high")
            equal = "+".join(WEIGHTED_KERNELS) if kind == "weighted" else kind
            normal = linear if kind == FORMER else ScoreTransform(y[:n], "high", linear=False)
            scores, even = (transform(y[:n])[:, None] for transform in (normal, linear))
            mean, _ = said(x, scores, space.bounds, kind, ahead)
            intervals = predictions(*said(x, even, space.bounds, equal, ahead), linear)
            held = {
                f"held_{round(100 * share)}": statistics.mean(
                    one.holds(value, share)
                    for one, value in zip(intervals, truth.tolist(), strict=True)
                )
                for share in INTERVALS
            }
            rho = float(spearmanr(mean, truth).statistic) if truth.min() < truth.max() else math.nan
            gain = lift(mean, truth, max(1, ahead * BEST // NEXT))
            rows.append({"kind": kind, "learned": n, "lift": gain, "rank_correlation": rho} | held)
    return rows


def said(x: Tensor, scores: Tensor, bounds: Tensor, kind: str, ahead: int) -> tuple[Tensor, Tensor]:
    """Means and variances of the molecules that follow those with scores, `n x 1`."""
    n, kernel = len(scores), kind.partition(",")[0]
    with reproducible(), torch.no_grad():
        gp = molecule_gp(x[:n], scores, bounds, kernel=kernel, n_descriptors=len(DESCRIPTORS))
        posterior = gp.posterior(x[n : n + ahead], observation_noise=True)
    return posterior.mean[:, 0], posterior.variance[:, 0]


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each surrogate."""
    titles = ("lift", "rank correlation", "in 50 % intervals", "in 90 % intervals")
    rows = [
        [kind, *(numbers(row[key], form) for key, form in KEYS.items())]
        for kind, row in result["kernels"].items()
    ]
    return [
        f"{result['tasks']} tasks, {result['seeds']} seeds; after "
        f"{', '.join(map(str, result['learned']))} molecules, of the next {result['next']}.",
        "",
        *markdown(("surrogate", *titles), rows),
    ]
