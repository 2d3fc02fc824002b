"""What a campaign found, as numbers and names: ranking, progress, constraints, failures, a map.

No network is loaded: latent vectors are in the campaign file.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from molvae.analysis.hypervolume import MAX_EXACT_OBJECTIVES, hypervolume_trace, reference_point
from molvae.campaign.initial_design import ORIGIN
from molvae.chem.values import MAX_VALUE
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem, pareto_rank

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.trial import Trial

DASH = "\N{EN DASH}"


SIMILARITY = "similarity:"


POINTS = 1000
"""Maximum number of points in a figure."""


LISTED = 2000
"""Maximum number of rows in a table; `export` writes all."""


FIRST = 1.0
"""Density percentile below which a molecule is out of the training distribution."""


LONGEST = 34
"""Maximum length of a name in a heading."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial and its rank."""

    trial: Trial
    place: int | None = None
    """Rank from 1, the best; None without values."""
    is_feasible: bool = True
    """Whether all constraints are satisfied."""
    violated_constraints: frozenset[str] = frozenset()
    """Names of violated constraints."""
    score: float = math.nan
    """Value of a single objective, or scalarized score; NaN in a Pareto search."""
    pareto_rank: int | None = None
    """Pareto rank from 1, the Pareto front; None unless in a Pareto search."""

    @property
    def new(self) -> bool:
        """Whether the trial was proposed, not an initial molecule."""
        return self.trial.origin != ORIGIN

    def value(self, name: str) -> float:
        """The value of an objective or constraint; NaN if there is none."""
        return self.trial.values.get(name, math.nan)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress after each evaluation."""

    values: list[float]
    """Score of each evaluation; NaN if it failed, and in a Pareto search."""
    is_feasible: list[bool]
    """Whether all constraints are satisfied."""
    best: list[float]
    """Best feasible value or score so far, or the hypervolume."""
    starts: int
    """Evaluations of initial molecules; they come first."""
    reference: tuple[float, ...] = ()
    """Reference point of the hypervolume, in the objectives' own directions."""
    estimated: bool = False
    """Whether the hypervolume is estimated."""


@dataclass(frozen=True, kw_only=True)
class ConstraintViolations:
    """Violations of a constraint."""

    limit: Constraint
    told: int
    starting: int
    new: int
    """Initial and new molecules that violate it."""
    median: float
    most: float
    """Median and largest violation; NaN if there is none."""

    @property
    def count(self) -> int:
        """Molecules that violate it."""
        return self.starting + self.new


@dataclass(frozen=True, kw_only=True)
class Unusual:
    """Molecules outside of the training distribution: below the first density percentile."""

    starting: int
    of_starting: int
    """Initial molecules below it, and with a known percentile."""
    new: int
    of_new: int


@dataclass(frozen=True, kw_only=True)
class CampaignSummary:
    """The current state of a campaign."""

    problem: OptimizationProblem
    rows: list[Row]
    """In the order of their ids."""
    lead: str | None = None
    """Molecule that others are compared with, canonical SMILES."""
    dataset: str | None = None
    """Data set that random initial molecules came from."""

    @property
    def kind(self) -> Literal["value", "score", "front"]:
        """How molecules are ranked."""
        if len(self.problem.objectives) == 1:
            return "value"
        return "front" if self.problem.combine == "pareto" else "score"

    @cached_property
    def ranked(self) -> list[Row]:
        """Trials with values, the best first."""
        there = [row for row in self.rows if row.place is not None]
        return sorted(there, key=lambda row: row.place or 0)

    @cached_property
    def front(self) -> list[Row]:
        """The feasible trials on the Pareto front."""
        return [row for row in self.ranked if row.pareto_rank == 1 and row.is_feasible]

    @cached_property
    def failures(self) -> list[Row]:
        """Failed trials."""
        return [row for row in self.rows if row.trial.status == "failed"]

    @cached_property
    def progress(self) -> Progress:
        """Progress after each evaluation."""
        return compute_progress(self)

    @cached_property
    def drawn(self) -> frozenset[int]:
        """Ids of trials in figures: all with values, or the best and some others."""
        half = POINTS // 2
        if len(self.ranked) <= POINTS:
            shown = self.ranked
        else:
            shown = self.ranked[:half] + evenly(self.ranked[half:], POINTS - half)
        return frozenset(row.trial.id for row in shown)

    @cached_property
    def listed(self) -> list[Row]:
        """Trials in tables: all, or the best and the latest."""
        if len(self.rows) <= LISTED:
            return self.rows
        chosen = {row.trial.id for row in self.ranked[: LISTED // 2]}
        for row in reversed(self.rows):
            if len(chosen) == LISTED:
                break
            chosen.add(row.trial.id)
        return [row for row in self.rows if row.trial.id in chosen]

    @cached_property
    def calls(self) -> list[Row]:
        """Evaluated trials."""
        return [row for row in self.rows if row.trial.status != "pending"]

    def best(self, *, start: bool = False) -> Row | None:
        """The best feasible trial, or the best initial molecule."""
        return next((r for r in self.ranked if r.is_feasible and not (start and r.new)), None)

    def label(self, name: str) -> str:
        """A value's name as a heading."""
        if self.lead is not None and name == SIMILARITY + self.lead:
            return "similarity to the lead"
        return name if len(name) <= LONGEST else name[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def summarize(campaign: Campaign, *, lead: str | None = None) -> CampaignSummary:
    """Summarize a campaign.

    Args:
        campaign: An open campaign.
        lead: SMILES of a molecule to compare with; by default that of a similarity among objectives
            and constraints, if there is one.

    Raises:
        CampaignError: The campaign cannot be read.
        InvalidMoleculeError: `lead` is not a molecule.
    """
    problem = campaign.problem
    trials = [_drawable(trial) for trial in campaign.trials]
    judged = [
        t
        for t in trials  # others than molvae may have written them
        if t.status == "complete"
        and all(math.isfinite(t.values.get(n, math.nan)) for n in problem.names)
    ]
    values = np.array([[t.values[n] for n in problem.names] for t in judged], dtype=np.float64)
    values = values.reshape(len(judged), len(problem.names))
    rows = {trial.id: Row(trial=trial) for trial in trials}
    constraint_slacks, y = problem.constraint_slacks(values), problem.y(values)
    pareto = len(problem.objectives) > 1 and problem.combine == "pareto"
    ranks = pareto_rank(y) if pareto else None
    if len(problem.objectives) == 1:
        score = values[:, 0]
    else:
        score = (
            np.full(len(judged), math.nan)
            if pareto
            else problem.scalarize(problem.columns(values))[:, 0]
        )
    for place, i in enumerate(problem.order(values).tolist(), 1):
        violated = [
            x.name
            for x, s in zip(problem.constraints, constraint_slacks[i], strict=True)
            if not s >= 0
        ]
        rows[judged[i].id] = Row(
            trial=judged[i],
            place=place,
            is_feasible=not violated,
            violated_constraints=frozenset(violated),
            score=float(score[i]),
            pareto_rank=None if ranks is None else int(ranks[i]),
        )
    dataset = campaign.config.dataset if isinstance(campaign.config.start, int) else None
    return CampaignSummary(
        problem=problem,
        rows=list(rows.values()),
        lead=_lead(problem, lead),
        dataset=dataset,
    )


def _drawable(trial: Trial) -> Trial:
    """A trial with values within the range that is accepted today."""
    if all(abs(value) <= MAX_VALUE for value in trial.values.values()):
        return trial
    within = {
        name: math.copysign(min(abs(value), MAX_VALUE), value) if math.isfinite(value) else value
        for name, value in trial.values.items()
    }
    return replace(trial, values=within)


def _lead(problem: OptimizationProblem, given: str | None) -> str | None:
    from molvae.chem.molecules import canonical, canonical_or_none

    if given is not None:
        return canonical(given)
    for part in problem.parts.values():
        if part.spec is not None and part.spec.strip().startswith(SIMILARITY):
            return canonical_or_none(part.spec.strip().removeprefix(SIMILARITY))
    return None


def number(value: Any) -> str:
    """A number for people: four significant digits, a dash for NaN."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if math.isnan(value):
        return DASH
    return f"{value:#.4g}".rstrip(".").replace("-", "\N{MINUS SIGN}")


def goodness(goal: Objective) -> str:
    """Which values of an objective are good, in words."""
    if goal.direction == "range":
        return f"{goal.low:g} to {goal.high:g} is good"
    return f"{'smaller' if goal.direction == 'minimize' else 'larger'} is better"


def best_so_far(values: Sequence[float], columns: Sequence[float]) -> list[float]:
    """After each call, the value whose column was largest; NaN changes nothing.

    >>> best_so_far([math.nan, 3.0, 1.0, 2.0], [math.nan, -3.0, -1.0, -2.0])
    [nan, 3.0, 1.0, 1.0]
    """
    best, at, path = math.nan, math.nan, []
    for value, column in zip(values, columns, strict=True):
        if not math.isnan(column) and not column <= at:
            best, at = value, column
        path.append(best)
    return path


def compute_progress(found: CampaignSummary) -> Progress:
    """Progress after each evaluation."""
    problem, calls = found.problem, found.calls
    values = [row.score for row in calls]
    feasible = [row.place is not None and row.is_feasible for row in calls]
    starts = sum(not row.new for row in calls)
    if found.kind != "front":
        goal = problem.objectives[0]
        columns = np.array(values)
        if found.kind == "value":
            columns = goal.to_maximization(columns)
        columns[~np.array(feasible, dtype=bool)] = math.nan
        best = best_so_far(values, columns.tolist())
        return Progress(values=values, is_feasible=feasible, best=best, starts=starts)
    columns = np.array([[row.value(n) for n in problem.names] for row in calls], dtype=np.float64)
    columns = problem.columns(columns.reshape(len(calls), len(problem.names)))
    told = np.array([row.place is not None for row in calls], dtype=bool)
    if not told.any():
        return Progress(values=values, is_feasible=feasible, best=[0.0] * len(calls), starts=starts)
    reference = reference_point(problem, columns[told])
    columns[~np.array(feasible, dtype=bool)] = math.nan
    return Progress(
        values=values,
        is_feasible=feasible,
        best=hypervolume_trace(columns, reference).tolist(),
        starts=starts,
        reference=tuple(
            _own(goal, r) for goal, r in zip(problem.objectives, reference, strict=True)
        ),
        estimated=len(problem.objectives) > MAX_EXACT_OBJECTIVES,
    )


def _own(goal: Objective, column: float) -> float:
    """A value in the objective's own direction; of a range, the distance outside."""
    return float(column) if goal.direction == "maximize" else -float(column)


def constraint_violations(found: CampaignSummary) -> list[ConstraintViolations]:
    """Violations of each constraint."""
    told = found.ranked
    rows = []
    for limit in found.problem.constraints:
        bad = [row for row in told if limit.name in row.violated_constraints]
        over = -limit.slack(np.array([row.value(limit.name) for row in bad], dtype=np.float64))
        rows.append(
            ConstraintViolations(
                limit=limit,
                told=len(told),
                starting=sum(not row.new for row in bad),
                new=sum(row.new for row in bad),
                median=float(np.median(over)) if bad else math.nan,
                most=float(over.max()) if bad else math.nan,
            )
        )
    return rows


def unusual(found: CampaignSummary) -> Unusual | None:
    """Molecules outside of the training distribution; None if that of no new one is known."""
    known = [(row.new, p) for row in found.rows if (p := row.trial.percentile) is not None]
    new = [percentile for is_new, percentile in known if is_new]
    starting = [percentile for is_new, percentile in known if not is_new]
    if not new:
        return None
    return Unusual(
        starting=sum(percentile < FIRST for percentile in starting),
        of_starting=len(starting),
        new=sum(percentile < FIRST for percentile in new),
        of_new=len(new),
    )


def reasons(failures: Sequence[Row]) -> list[tuple[str, list[int]]]:
    """Messages of failures with the ids of their trials, the most frequent first.

    Messages that differ only in the molecule's SMILES are one.
    """
    by_message: dict[str, list[int]] = defaultdict(list)
    for row in failures:
        message = row.trial.message.replace(row.trial.smiles, "SMILES")
        by_message[message or "no reason given"].append(row.trial.id)
    return sorted(by_message.items(), key=lambda item: -len(item[1]))


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """So many items at most, evenly from the first to the last.

    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


__all__ = [
    "DASH",
    "CampaignSummary",
    "ConstraintViolations",
    "Progress",
    "Row",
    "Unusual",
    "best_so_far",
    "compute_progress",
    "constraint_violations",
    "evenly",
    "goodness",
    "number",
    "reasons",
    "summarize",
    "unusual",
]
