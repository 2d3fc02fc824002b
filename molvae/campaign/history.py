"""Tables of trials, observations for strategies, and the best trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molvae.chem.measurements import OPERATOR_SUFFIX
from molvae.errors import CampaignError
from molvae.objectives.problem import Objective, OptimizationProblem, pareto_rank
from molvae.objectives.trial_columns import (
    COLUMNS,
    EARLIER_FAILURES_COLUMN,
    FIDELITY_COLUMN,
    PREDICTION_COLUMNS,
    REASON_COLUMNS,
    note_column,
)

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from molvae.bo.base import Candidate, Observations
    from molvae.bo.prediction import Prediction
    from molvae.campaign.trial import Trial
    from molvae.chem.cores import Core
    from molvae.chem.diversity import Diversity
    from molvae.chem.plausibility import Plausibility


COLUMN_ALIASES = {"front": "pareto_rank"}
"""Columns of tables exported by earlier versions, by their names of today."""


def completed_trials(trials: Sequence[Trial], fidelity: str = "") -> list[Trial]:
    """The trials that have all values, those of one fidelity; by default of the objectives."""
    return [one for one in trials if one.status == "complete" and one.fidelity == fidelity]


def ranked_trials(trials: Sequence[Trial], problem: OptimizationProblem) -> list[Trial]:
    """The complete trials that can be ranked: not those whose true value may be worse than `<5`."""
    return [trial for trial in completed_trials(trials) if problem.proven(trial.operators)]


def values_of(complete: Sequence[Trial], problem: OptimizationProblem) -> NDArray[np.float64]:
    """Values of complete trials in their own sign, `n x len(problem.names)`."""
    try:
        rows = [[trial.values[name] for name in problem.names] for trial in complete]
    except KeyError as error:
        raise CampaignError(
            f"the campaign file is damaged: a complete trial has no value of {error}; go on from "
            "a copy"
        ) from error
    return np.array(rows, dtype=np.float64).reshape(len(complete), len(problem.names))


def observations_of(
    trials: Sequence[Trial],
    problem: OptimizationProblem,
    bounds: Tensor,
    compute: Callable[[Sequence[str], Sequence[str]], list[dict[str, float]]],
    plausibility: Plausibility | None = None,
    core: Core | None = None,
    diversity: Diversity | None = None,
    max_cost: float = math.inf,
) -> Observations:
    """Observations for a strategy; values are signed so that larger is better.

    `trials` are all of a campaign, `bounds` those of the space, `2 x d`; `compute` computes values
    of molecules by name; `plausibility` is the check that proposals have to pass, `core` what they
    have to hold, `diversity` how unlike they have to be, `max_cost` what one may cost at most.
    """
    import torch

    from molvae.bo.base import LowerFidelity, Observations
    from molvae.bo.measurement_noise import variances_of_means

    d = bounds.shape[1]
    for trial in trials:
        if len(trial.z_bytes) != 8 * d:
            raise CampaignError(
                f"the campaign file is damaged: the vector of trial {trial.id} has "
                f"{len(trial.z_bytes)} bytes, not {8 * d}; go on from a copy"
            )
    complete = completed_trials(trials)
    waiting = _pending(trials, "")

    def stack(rows: Sequence[Trial]) -> Tensor:
        return torch.stack([trial.z for trial in rows]) if rows else torch.empty(0, d).double()

    def lower(of: Objective) -> LowerFidelity:
        own, alone = completed_trials(trials, of.name), problem.at(of.name)
        asked = _pending(trials, of.name)
        return LowerFidelity(
            name=of.name,
            cost=of.cost,
            smiles=tuple(trial.smiles for trial in own),
            z=stack(own),
            y=torch.from_numpy(alone.y(_expected_values(own, alone))[:, 0]),
            origins=tuple(trial.origin for trial in own),
            pending_smiles=tuple(trial.smiles for trial in asked),
            pending_z=stack(asked),
            known=_molecules(trials, of.name),
        )

    values, noise = _expected_values(complete, problem), None
    if any(trial.errors for trial in complete) and problem.measured:
        columns = [
            variances_of_means(
                [trial.values.get(name) for trial in complete],
                [trial.errors.get(name) for trial in complete],
                [trial.replicates.get(name, ()) for trial in complete],
            )
            for name in problem.measured
        ]
        if np.isfinite(columns).any():
            noise = torch.from_numpy(np.stack(columns, axis=1))

    def computed_values(smiles: Sequence[str]) -> NDArray[np.float64]:
        found = compute(smiles, problem.computed)
        rows = [[one.get(name, math.nan) for name in problem.computed] for one in found]
        return np.array(rows, dtype=np.float64).reshape(len(smiles), len(problem.computed))

    return Observations(
        smiles=tuple(trial.smiles for trial in complete),
        z=stack(complete),
        y=torch.from_numpy(problem.y(values)),
        pending_smiles=tuple(trial.smiles for trial in waiting),
        pending_z=stack(waiting),
        known=_molecules(trials, ""),
        bounds=bounds,
        origins=tuple(trial.origin for trial in complete),
        noise=noise,
        problem=None if problem.is_single_objective else problem,
        values=None if problem.is_single_objective else torch.from_numpy(values),
        compute=None if problem.is_single_objective else computed_values,
        plausibility=plausibility,
        core=core,
        diversity=None
        if diversity is None
        else replace(
            diversity,
            pending=tuple(trial.smiles for trial in waiting),
            trials=tuple(trial.smiles for trial in trials),
        ),
        fidelities=tuple(lower(one) for one in problem.fidelities),
        cost=problem.cost(),
        max_cost=max_cost,
    )


def _pending(trials: Sequence[Trial], fidelity: str) -> list[Trial]:
    return [one for one in trials if one.status == "pending" and one.fidelity == fidelity]


def _molecules(trials: Sequence[Trial], fidelity: str) -> frozenset[str]:
    """All molecules asked for at a fidelity."""
    return frozenset(one.smiles for one in trials if one.fidelity == fidelity)


def _expected_values(
    complete: Sequence[Trial], problem: OptimizationProblem
) -> NDArray[np.float64]:
    """`values_of`, with expectations in the place of the limits of censored values."""
    values = values_of(complete, problem)
    for column, name in enumerate(problem.names):
        if any(operators := [trial.operators.get(name) for trial in complete]):
            import torch

            from molvae.bo.censoring import impute_censored

            known = torch.from_numpy(values[:, column].copy())
            smiles = [trial.smiles for trial in complete]
            values[:, column] = impute_censored(smiles, known, operators).numpy()
    return values


def predictions_of(candidate: Candidate, problem: OptimizationProblem) -> dict[str, Prediction]:
    """Predictions of a candidate's values, by name, in their own sign."""
    if not candidate.predictions:
        return {}
    turned = problem.is_single_objective and problem.objectives[0].direction == "minimize"
    return {
        name: said.negated() if turned else said
        for name, said in zip(problem.measured, candidate.predictions, strict=True)
    }


def to_dataframe(trials: Sequence[Trial], problem: OptimizationProblem) -> pd.DataFrame:
    """See `Campaign.table`."""
    import pandas as pd

    # A file from before percentiles may have an objective of that name.
    first, second, *others = COLUMNS
    fidelity = [FIDELITY_COLUMN] if problem.fidelities else []
    columns = list(dict.fromkeys([first, second, *fidelity, *problem.value_names, *others]))
    judged = derived_columns(trials, problem)
    reasons = [reason_cells(trial) for trial in trials]
    # A file from before reasons may have an objective of such a name.
    columns += [
        name for name in dict.fromkeys(n for r in reasons for n in r) if name not in columns
    ]
    taken = {*columns, *judged, *REASON_COLUMNS, EARLIER_FAILURES_COLUMN}
    rows = []
    for place, trial in enumerate(trials):
        row: dict[str, Any] = reasons[place] | {name: getattr(trial, name) for name in COLUMNS}
        row |= {name: trial.values.get(name, math.nan) for name in problem.value_names}
        row |= dict.fromkeys(fidelity, trial.fidelity or problem.objectives[0].name)
        row |= {name: column[place] for name, column in judged.items()}
        if trial.earlier_failures:
            row[EARLIER_FAILURES_COLUMN] = "; ".join(map(str, trial.earlier_failures))
        for name, operator in trial.operators.items():
            row[f"{name}_{OPERATOR_SUFFIX}"] = operator
        for name, error in trial.errors.items():
            row[f"{name}_error"] = error
        for name, values in trial.replicates.items():
            row[f"{name}_replicates"] = ";".join(map(repr, values))
        for name, text in trial.notes.items():  # a note may have any name
            row[note_column(name, taken)] = text
        rows.append(row)
    more = {name: None for row in rows for name in row if name not in columns}
    table = pd.DataFrame(rows, columns=[*columns, *more])
    return table.astype({"percentile": float})


def reason_cells(trial: Trial) -> dict[str, Any]:
    """Cells of `PREDICTION_COLUMNS` and `REASON_COLUMNS`; empty for a trial without a reason."""
    cells: dict[str, Any] = {}
    for name, predicted in trial.predictions.items():
        ends = (predicted.q50, predicted.q05, predicted.q95)
        cells |= {f"{name}_{what}": v for what, v in zip(PREDICTION_COLUMNS, ends, strict=True)}
    if (reason := trial.reason) is not None:
        texts = {"parents": "; ".join(reason.parents), "findings": "; ".join(reason.findings)}
        cells |= {name: texts.get(name, getattr(reason, name)) for name in REASON_COLUMNS}
    return cells


def derived_columns(trials: Sequence[Trial], problem: OptimizationProblem) -> dict[str, list[Any]]:
    """Pareto rank or score, and feasibility of each trial; None for trials that have no rank."""
    ranked = {trial.id for trial in ranked_trials(trials, problem)}
    places = [place for place, trial in enumerate(trials) if trial.id in ranked]
    values = values_of([trials[place] for place in places], problem)
    found: dict[str, NDArray[Any]] = {}
    if len(problem.objectives) > 1 and problem.combine == "pareto":
        found["pareto_rank"] = pareto_rank(problem.y(values))
    elif len(problem.objectives) > 1:
        found["score"] = problem.scalarize(problem.columns(values))[:, 0]
    if problem.constraints:
        found["feasible"] = problem.feasible(values)
    whole: dict[str, list[Any]] = {name: [None] * len(trials) for name in found}
    for name, column in found.items():
        for place, value in zip(places, column.tolist(), strict=True):
            whole[name][place] = value
    return whole


def select_failed(
    trials: Sequence[Trial], ids: Sequence[int] | None, message: str | None, path: Path
) -> list[Trial]:
    """Failed trials, those of some ids or with a text in their message; see `Campaign.retry`."""
    failed = {trial.id: trial for trial in trials if trial.status == "failed"}
    if ids is not None:
        for id_ in set(ids) - failed.keys():
            exists = any(trial.id == id_ for trial in trials)
            fault = f"trial {id_} has not failed" if exists else f"there is no trial {id_}"
            raise CampaignError(
                f"{path}: {fault}; failed are: {', '.join(map(str, sorted(failed))) or 'none'}"
            )
        failed = {id_: failed[id_] for id_ in sorted(set(ids))}
    if message is None or not failed:
        return list(failed.values())
    found = [t for t in failed.values() if message.casefold() in t.message.casefold()]
    if not found:
        messages = Counter(trial.message or "no reason given" for trial in failed.values())
        most = "; ".join(f"{one} ({n})" for one, n in messages.most_common(3))
        raise CampaignError(
            f"{path}: none of {len(failed)} failures says {message!r}; the most frequent messages: "
            f"{most}"
        )
    return found


def best_value(trials: Sequence[Trial], problem: OptimizationProblem) -> float | None:
    """The best value or combined value, see `Campaign.best_value`."""
    ranked = ranked_trials(trials, problem)
    if not ranked or (len(problem.objectives) > 1 and problem.combine == "pareto"):
        return None
    values = values_of(ranked, problem)
    first = int(problem.order(values)[0])
    if len(problem.objectives) == 1:
        return float(values[first, 0])
    return float(problem.scalarize(problem.columns(values))[first, 0])


def best_trials(table: pd.DataFrame, problem: OptimizationProblem, k: int) -> pd.DataFrame:
    """The `k` best rows of such a table, see `Campaign.best`."""
    is_ranked = table["status"] == "complete"
    if problem.fidelities:
        is_ranked &= table[FIDELITY_COLUMN] == problem.objectives[0].name
    for name in problem.names:
        if (column := f"{name}_{OPERATOR_SUFFIX}") in table:
            is_ranked &= np.array([problem.proven({name: sign}) for sign in table[column]], bool)
    ranked = table[is_ranked]
    order = problem.order(ranked[list(problem.names)].to_numpy(dtype=np.float64))
    return ranked.iloc[order[:k]].reset_index(drop=True)
