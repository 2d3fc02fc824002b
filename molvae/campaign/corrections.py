"""Outcomes that replace earlier ones, and molecules that were never proposed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.bo.origins import ADDED
from molvae.campaign.creation import percentiles_of
from molvae.campaign.evaluation import (
    failures_note,
    limits_note,
    measurements,
    parse_outcome,
    values_by_name,
    with_computed,
)
from molvae.campaign.initial_design import InitialDesign, build_initial_design, listed_molecules
from molvae.campaign.start_rows import StartRow
from molvae.campaign.trial import NewTrial, Outcome, Trial
from molvae.chem.values import Censored
from molvae.chem.workbooks import is_frame
from molvae.errors import CampaignError, ConfigError, listed, require
from molvae.objectives.parsing import told_names

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign


def corrected(
    campaign: Campaign, values: Mapping[int, Any], **about: Mapping[int, Any]
) -> dict[int, Outcome]:
    """Outcomes that replace earlier ones.

    Earlier notes stay, unless new ones have the same name or they are of replaced measurements.
    """
    trials = {trial.id: trial for trial in campaign.trials}
    outcomes = {}
    for id_, value in values.items():
        kept, problem = dict[str, str](), campaign.problem
        if (trial := trials.get(id_)) is not None:
            problem = problem.at(trial.fidelity)
            names = told_names(problem)
            replaced = {limits_note(name) for name in names if _noted_limits(trial, name)}
            replaced |= {failures_note(name) for name in names if _noted_failures(trial, name)}
            kept = {name: text for name, text in trial.notes.items() if name not in replaced}
        outcome = parse_outcome(
            problem,
            value,
            error=about["errors"].get(id_),
            notes=about["notes"].get(id_),
            message=about["messages"].get(id_, ""),
        )
        outcomes[id_] = replace(outcome, notes={**kept, **outcome.notes})
    return outcomes


def with_replicates(
    campaign: Campaign, values: Mapping[int, Any], **about: Mapping[int, Any]
) -> dict[int, Outcome]:
    """Outcomes with further measurements beside the earlier ones.

    The standard error of a single value stays; beside several, from which one is computed, it is a
    note.
    """
    trials = {trial.id: trial for trial in campaign.trials}
    everything, problems = dict[int, Any](), list[str]()
    errors, notes = dict(about["errors"]), dict(about["notes"])
    for id_, value in values.items():
        trial = trials.get(id_)
        if trial is None or trial.status != "complete":
            problems.append(f"trial {id_} {_why_nothing_to_add_to(trial)}")
            continue
        problem = campaign.problem.at(trial.fidelity)
        names, given = told_names(problem), values_by_name(value, problem)
        new = {name: [] if (v := given.get(name)) is None else measurements(v) for name in names}
        if not any(one == one for several in new.values() for one in several):
            problems.append(
                f"trial {id_} gets no further value, and a failed measurement adds nothing: leave "
                "it out, or make the trial a failure (molvae tell --correct)"
            )
            continue
        everything[id_] = {name: [*_measurements(trial, name), *new[name]] for name in names}
        own = {n: e for n, e in trial.errors.items() if n in names and n not in trial.replicates}
        measured = {n for n, of in new.items() if any(isinstance(v, float) and v == v for v in of)}
        single = {n: e for n, e in own.items() if n not in measured}
        if errors.get(id_) is None or isinstance(errors[id_], Mapping):
            errors[id_] = {**single, **(errors.get(id_) or {})} or None
        noted = {f"standard error of {n}": str(e) for n, e in own.items() if n not in single}
        notes[id_] = {**noted, **(notes.get(id_) or {})}
    if problems:
        raise CampaignError(f"nothing was written: {listed(problems)}")
    about = {**about, "errors": errors, "notes": notes}
    return corrected(campaign, everything, **about)


def _why_nothing_to_add_to(trial: Trial | None) -> str:
    """Why a trial cannot get replicates, and what can be done, as a clause."""
    if trial is None:
        return "is not in the campaign"
    advice = "correct it (molvae tell --correct)" if trial.status == "failed" else "leave out --add"
    return f"is {trial.status}, so it has no value to add to: {advice}"


def _measurements(trial: Trial, name: str) -> Sequence[float | Censored]:
    """Measurements of a complete trial: replicates or a value, and limits."""
    value, limits = trial.values[name], _noted_limits(trial, name)
    failures = [math.nan] * _noted_failures(trial, name)
    if name in trial.operators:
        return [*(limits or [Censored(trial.operators[name], value)]), *failures]
    return [*trial.replicates.get(name, [value]), *limits, *failures]


def _noted_failures(trial: Trial, name: str) -> int:
    """The number of failed measurements that `combined` noted."""
    text = trial.notes.get(failures_note(name), "")
    return int(text) if text.isdecimal() else 0  # else a person's note


def _noted_limits(trial: Trial, name: str) -> list[Censored]:
    """The limits of a value that `combined` noted."""
    try:
        found = measurements(trial.notes.get(limits_note(name), "").split(";"))
    except ConfigError:  # a person's note
        return []
    return [one for one in found if isinstance(one, Censored)]


def added(
    campaign: Campaign,
    molecules: Any,
    values: Sequence[Any] | None,
    message: str,
    review: Callable[[Mapping[int | str, Any]], None] | None,
    reading: Mapping[str, Any],
) -> tuple[list[NewTrial], dict[int, Outcome], tuple[StartRow, ...]]:
    """Sort molecules that a person brings into new trials and outcomes of pending trials.

    The third part of the result says what became of each row.

    Arguments as for `Campaign.add`.

    Raises:
        CampaignError: A molecule has another value already.
    """
    names = told_names(campaign.problem)
    is_table = isinstance(molecules, str | Path) or is_frame(molecules)
    if not is_table:
        molecules = [*map(str, listed_molecules(molecules, "smiles"))]
    settings: dict[str, Any] = {
        "skip_invalid": campaign.config.skip_invalid,
        "standardize": campaign.config.standardize if is_table else False,
        **reading,
    }
    design = build_initial_design(
        molecules,
        campaign.space,
        names,
        seed=campaign.seed,
        **settings,
    )
    if values is not None:
        design = _valued(campaign, design, molecules, values, message)
    known = {trial.smiles: trial for trial in campaign.trials if not trial.fidelity}
    rows = tuple(_placed(row, known) for row in design.rows if values is None)
    new, told, problems = list[NewTrial](), dict[int, Outcome](), list[str]()
    percentiles = percentiles_of(campaign.space, design)
    for trial, percentile in zip(design.trials, percentiles, strict=True):
        outcome = trial.outcome and replace(trial.outcome, message=message or "added later")
        if (there := known.get(trial.smiles)) is None:
            if outcome is not None:
                function = campaign.function
                outcome = with_computed(outcome, trial.smiles, campaign.problem, function)
            new.append(replace(trial, origin=ADDED, percentile=percentile, outcome=outcome))
        elif outcome is None or there.agrees_with(outcome, names):
            continue
        elif there.status == "pending":
            told[there.id] = replace(outcome, notes={**outcome.notes, **trial.notes})
        else:
            problems.append(f"{trial.smiles} is trial {there.id}, which has another outcome")
    if problems:
        advice = "correct it (molvae tell --correct), or add replicates (molvae tell --add)"
        raise CampaignError(f"nothing was written: {listed(problems, advice)}")
    if review is not None:
        found: dict[int | str, Any] = {t.smiles: _numbers(t.outcome) for t in new if t.outcome}
        review(found | {id_: _numbers(outcome) for id_, outcome in told.items()})
    return new, told, rows


def _numbers(outcome: Outcome) -> dict[str, float]:
    """The values of an outcome that are no limits."""
    return {name: one for name, one in outcome.values.items() if name not in outcome.operators}


def _placed(row: StartRow, known: Mapping[str, Trial]) -> StartRow:
    """A row with the trial of its molecule, if the campaign has it."""
    trial = known.get(row.smiles)
    return row if trial is None else replace(row, trial=f"trial {trial.id}")


def _valued(
    campaign: Campaign,
    design: InitialDesign,
    molecules: Sequence[str],
    values: Sequence[Any],
    message: str,
) -> InitialDesign:
    """The trials of listed molecules with their values; None and NaN mean failed."""
    values = list(values)
    require(
        len(values) == len(molecules),
        f"there are {len(molecules)} molecules and {len(values)} values; give one for each",
    )
    by_smiles = dict[str, list[Any]]()
    for row, value in zip(design.rows, values, strict=True):
        by_smiles.setdefault(row.smiles, []).append(value)
    trials = []
    for trial in design.trials:
        several = by_smiles[trial.smiles]
        known = [v for v in several if not (isinstance(v, float) and math.isnan(v))]
        value = several[0] if len(several) == 1 else known
        outcome = parse_outcome(
            campaign.problem, value or None if isinstance(value, list) else value,
            error=None, notes=None, message=message,
        )  # fmt: skip
        trials.append(replace(trial, outcome=outcome))
    return replace(design, trials=tuple(trials))
