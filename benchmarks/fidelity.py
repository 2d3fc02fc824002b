"""Does a cheap, less faithful evaluation beside the objective pay at equal cost?

The surrogate and the choice of `rank` among a fixed pool of molecules: of values of the objective
alone, and of these with a lower fidelity. That one is the objective, standardized, plus an error
without correlation with it: half of it is a bias by the polar surface, which the surrogate can see,
half is noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.shared.run import each
from benchmarks.shared.tables import markdown, number, spread
from molvae.bo.base import LowerFidelity, Observations
from molvae.bo.features import features
from molvae.bo.fidelity_choice import choose_fidelities
from molvae.bo.fidelity_gp import fidelity_gp
from molvae.bo.pool import N_FINALISTS
from molvae.bo.strategies.rank import Rank
from molvae.bo.surrogate import molecule_gp, reproducible
from molvae.bo.transforms import ScoreTransform
from molvae.chem.datasets import sample_molecules
from molvae.chem.fingerprints import DESCRIPTORS
from molvae.chem.properties import score
from molvae.objectives.registry import get_objective

TITLE = "Fidelities"
# Tasks, and correlations of the lower fidelity; the last one is worth nothing.
PAIRS = (("perindopril_mpo", 0.8), ("zaleplon_mpo", 0.6), ("perindopril_mpo", 0.2))
COST, BUDGET = 20, 800
N_POOL, BATCH = 3000, 10
N_SINGLE, N_LOWER, N_BOTH = 10, 100, 5
"""Initial molecules, at the same cost: with the objective alone; else at the lower fidelity, of
which some are evaluated at the objective as well."""
TOP = 10
BOUNDS = torch.zeros(2, 0, dtype=torch.float64)  # kernels of `rank` by default see no z
RANK = Rank()


def measure(
    *, quick: bool, jobs: int, folder: Path, seeds: Sequence[int] = tuple(range(10))
) -> dict[str, Any]:
    """Best values at equal cost, by pair, and paired differences."""
    n, budget, seeds = (300, 400, seeds[:2]) if quick else (N_POOL, BUDGET, seeds)
    pairs = PAIRS[:1] if quick else PAIRS
    runs: list[tuple[Any, ...]] = [
        (task, correlation, seed, n, budget)
        for task, correlation in [*((task, None) for task in {t: 0 for t, _ in pairs}), *pairs]
        for seed in seeds
    ]
    found = dict(zip(runs, each(campaign, runs, jobs=jobs, kept=folder), strict=True))
    rows = []
    for task, correlation in pairs:
        single = [found[task, None, seed, n, budget] for seed in seeds]
        several = [found[task, correlation, seed, n, budget] for seed in seeds]
        row: dict[str, Any] = {"task": task, "correlation": correlation}
        for name in ("best", "top"):
            one, both = (np.array([run[name] for run in runs]) for runs in (single, several))
            error = (both - one).std(ddof=1) / len(seeds) ** 0.5
            row |= {f"{name}_single": one.mean(), f"{name}_several": both.mean()}
            row |= {f"{name}_gain": (both - one).mean(), f"{name}_error": error}
        row |= {k: np.mean([run[k] for run in several]) for k in ("objective", "lower")}
        rows.append({k: v if isinstance(v, str) else round(float(v), 4) for k, v in row.items()})
    values = _values(pairs[0][0], n)
    return {"pool": len(values), "budget": budget, "seeds": len(seeds), "rows": rows}


@cache
def _pool(n: int) -> tuple[tuple[str, ...], Tensor]:
    """Molecules, and their features."""
    smiles = sample_molecules("zinc250k", n, 0)
    return tuple(smiles), features(smiles, RANK.fingerprint_radius)


@cache
def _values(task: str, n: int) -> Tensor:
    objective: Any = get_objective(f"guacamol/{task}")
    return torch.tensor(list(objective(list(_pool(n)[0]))), dtype=torch.float64)


def _lower(values: Tensor, correlation: float, n: int) -> Tensor:
    """Values of a lower fidelity with a correlation (Pearson) with the objective."""
    rng = np.random.default_rng(1)
    polar = _standard(score(list(_pool(n)[0]), ["TPSA"])[:, 0])
    error, target = _standard(polar + rng.standard_normal(len(polar))), _standard(values.numpy())
    error = _standard(error - (error @ target) / len(target) * target)
    return torch.from_numpy(correlation * target + (1 - correlation**2) ** 0.5 * error)


def _standard(values: Any) -> Any:
    return (values - values.mean()) / values.std()


def campaign(
    task: str, correlation: float | None, seed: int, n: int, budget: int
) -> dict[str, float]:
    """The best value and the mean of the best ten after a budget; None: no lower fidelity."""
    values = _values(task, n)
    with reproducible(seed), torch.no_grad():
        if correlation is None:
            rows, n_lower = _single(values, seed, budget), 0
        else:
            rows, n_lower = _several(values, _lower(values, correlation, n), seed, budget)
    best = values[rows].sort(descending=True).values[:TOP]
    return {
        "best": float(best[0]),
        "top": float(best.mean()),
        "objective": len(rows),
        "lower": n_lower,
    }


def _single(values: Tensor, seed: int, budget: int) -> list[int]:
    """Molecules whose values are measured, with the objective alone."""
    x, rng = _pool(len(values))[1], np.random.default_rng(seed)
    rows: list[int] = rng.permutation(len(values))[:N_SINGLE].tolist()
    while (n := min(BATCH // 2, budget // COST - len(rows))) > 0:
        y = ScoreTransform(values[rows], "high", linear=False)(values[rows])[:, None]
        model = molecule_gp(x[rows], y, BOUNDS, kernel="weighted", n_descriptors=len(DESCRIPTORS))
        kappas = RANK.kappas(len(rows), n, rng)
        others = _finalists(model, x, rows, kappas)
        posterior = model.posterior(x[others])
        mean, covariance = posterior.mean[:, 0], posterior.distribution.covariance_matrix.clone()
        for kappa in kappas:
            bound = mean + float(kappa) * covariance.diagonal().clamp_min(0).sqrt()
            top = int(bound.argmax())
            rows.append(others[top])
            c = covariance[:, top].clone()
            covariance -= torch.outer(c, c) / (c[top] + model.noise)
            mean[top] = -torch.inf
    return rows


def _several(values: Tensor, lower: Tensor, seed: int, budget: int) -> tuple[list[int], int]:
    """Molecules whose values are measured, and the number of evaluations at the lower fidelity."""
    (smiles, x), rng = _pool(len(values)), np.random.default_rng(seed)
    order = rng.permutation(len(values)).tolist()
    rows, below = order[:N_BOTH], order[:N_LOWER]
    left = budget - COST * len(rows) - len(below)
    place = {one: i for i, one in enumerate(smiles)}

    def look_up(molecules: Sequence[str], _: Tensor) -> Tensor:
        return x[[place[one] for one in molecules]]

    while left >= COST:
        observations = _observations(smiles, values, rows, lower, below, left)
        scores = ScoreTransform(values[rows], "high", linear=False)(values[rows])
        model = fidelity_gp(
            observations, scores, range(len(rows)), look_up, BOUNDS,
            kernel="weighted", max_observations=RANK.max_observations, seed=seed,
        )  # fmt: skip
        kappas = RANK.kappas(len(rows), BATCH, rng)
        others = _finalists(model, x, rows, kappas)
        names = [smiles[i] for i in others]
        best = float(scores.max())
        for i, name in zip(
            *choose_fidelities(
                model, x[others], names, observations, kappas.tolist(), best=best, seed=len(rows)
            ),
            strict=True,
        ):
            cost = 1 if name else COST
            if cost <= left:
                (below if name else rows).append(others[i])
                left -= cost
    return rows, len(below)


def _observations(
    smiles: Sequence[str], values: Tensor, rows: Sequence[int], lower: Tensor,
    below: Sequence[int], left: float,
) -> Observations:  # fmt: skip
    nothing = torch.empty(0, 0, dtype=torch.float64)
    known, cheap = ([smiles[i] for i in some] for some in (rows, below))
    fidelity = LowerFidelity(
        name="lower",
        cost=1.0,
        smiles=tuple(cheap),
        z=nothing.new_zeros(len(cheap), 0),
        y=lower[below],
        origins=("",) * len(cheap),
        pending_z=nothing,
        known=frozenset(cheap),
    )
    return Observations(
        smiles=tuple(known),
        z=nothing.new_zeros(len(known), 0),
        y=values[rows, None],
        pending_z=nothing,
        known=frozenset(known),
        bounds=BOUNDS,
        fidelities=(fidelity,),
        cost=float(COST),
        max_cost=float(left),
    )


def _finalists(model: Any, x: Tensor, rows: Sequence[int], kappas: Any) -> list[int]:
    """Molecules without a value of the objective, the best by each kappa."""
    taken = set(rows)
    others = [i for i in range(len(x)) if i not in taken]
    mean, std = model.moments(x[others])
    found: dict[int, None] = {}
    for kappa in kappas:
        found.update(dict.fromkeys((mean + float(kappa) * std).topk(N_FINALISTS).indices.tolist()))
    return [others[i] for i in found]


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each pair."""
    rows = [
        [
            f"{row['task']}, {row['correlation']:.1f}",
            *(number(row[f"{name}_{kind}"], ".3f") for name in ("top", "best")
              for kind in ("single", "several")),
            spread(row["top_gain"], row["top_error"], "+.3f"),
            spread(row["best_gain"], row["best_error"], "+.3f"),
            f"{row['objective']:.0f} + {row['lower']:.0f}",
        ]
        for row in result["rows"]
    ]  # fmt: skip
    return [
        f"A budget of {result['budget']}; the objective costs {COST} and the lower fidelity 1; "
        f"among {result['pool']:,} molecules of ZINC250k; {result['seeds']} seeds. Without the "
        f"lower fidelity that is {result['budget'] // COST} values, {N_SINGLE} of them of random "
        f"molecules in the beginning; with it, {N_LOWER} random ones at the lower fidelity and "
        f"{N_BOTH} of them at both cost the same. Gains are paired, with their standard error.",
        "",
        *markdown(
            ("objective, correlation", "mean of the best ten: alone", "with both", "best: alone",
             "with both", "gain of the best ten", "gain of the best", "evaluations with both"),
            rows,
        ),
    ]  # fmt: skip
