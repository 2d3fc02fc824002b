"""A campaign's ranking, progress, violated constraints and failures; loads no network."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from molvae.analysis.hypervolume import MAX_EXACT_OBJECTIVES, hypervolume_trace, reference_point
from molvae.bo.origins import GIVEN, START
from molvae.chem.tables import compound_column
from molvae.chem.values import MAX_VALUE
from molvae.objectives.problem import Constraint, Objective, OptimizationProblem, pareto_rank

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.trial import Trial

DASH = "\N{EN DASH}"
SIMILARITY_PREFIX = "similarity:"
MAX_POINTS = 1000  # maximum number of points in a figure
MAX_ROWS = 2000  # maximum number of rows in a table; `export` writes all
OOD_PERCENTILE = 1.0
"""Density percentile below which a molecule is out of the training distribution."""
MAX_LABEL_LENGTH = 34  # maximum length of a name in a heading


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial and its rank."""

    trial: Trial
    place: int | None = None
    """Rank from 1, the best; None without values."""
    violated_constraints: frozenset[str] = frozenset()
    """Names of violated constraints."""
    score: float = math.nan
    """Value of a single objective, or scalarized score; NaN in a Pareto search."""
    pareto_rank: int | None = None
    """Pareto rank from 1, the Pareto front; None unless in a Pareto search."""

    @property
    def is_feasible(self) -> bool:
        """Whether no constraint is violated."""
        return not self.violated_constraints

    @property
    def new(self) -> bool:
        """Whether the trial was proposed, not given: an initial molecule, or one added later."""
        return self.trial.origin not in GIVEN

    @property
    def compound(self) -> str:
        """The name of the compound in the notes; empty if there is none."""
        return self.trial.notes.get(compound_column(self.trial.notes) or "", "")

    def value(self, name: str) -> float:
        """The value of an objective or constraint; NaN if there is none."""
        return self.trial.values.get(name, math.nan)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress after each evaluation."""

    best: list[float]  # best feasible value or score so far, or the hypervolume
    starts: int  # evaluations of initial molecules; they come first
    # Reference point of the hypervolume: values of the objectives, of a range a distance.
    reference: tuple[float, ...] = ()
    estimated: bool = False  # whether the hypervolume is estimated


@dataclass(frozen=True, kw_only=True)
class ConstraintViolations:
    """Violations of a constraint by molecules with values."""

    limit: Constraint
    initial: int  # initial molecules that violate it
    new: int  # new molecules that violate it
    median: float  # violation; NaN if there is none
    most: float  # largest violation; NaN if there is none

    @property
    def count(self) -> int:
        """Molecules that violate it."""
        return self.initial + self.new


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution:
    """Numbers of molecules outside of the training distribution: below the first percentile."""

    initial: int  # initial molecules below it
    of_initial: int  # initial molecules with a known percentile
    new: int  # new molecules below it
    of_new: int  # new molecules with a known percentile


@dataclass(frozen=True, kw_only=True)
class CampaignSummary:
    """The current state of a campaign."""

    problem: OptimizationProblem
    rows: list[Row]  # in the order of their ids
    lead: str | None = None  # molecule that others are compared with, canonical SMILES
    dataset: str | None = None  # data set that random initial molecules came from

    @property
    def kind(self) -> Literal["value", "score", "front"]:
        """How molecules are ranked."""
        return kind_of(self.problem)

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
    def calls(self) -> list[Row]:
        """Evaluated trials."""
        return [row for row in self.rows if row.trial.status != "pending"]

    @property
    def cost(self) -> float:
        """Cost of the evaluated trials; without fidelities their number."""
        return sum(self.problem.cost(row.trial.fidelity) for row in self.calls)

    @cached_property
    def drawn(self) -> frozenset[int]:
        """Ids of trials in figures: all with values, or the best and some others."""
        half = MAX_POINTS // 2
        shown = self.ranked[:half] + evenly(self.ranked[half:], MAX_POINTS - half)
        return frozenset(row.trial.id for row in shown)

    @cached_property
    def listed(self) -> list[Row]:
        """Trials in tables: all, or the best and the latest."""
        first_best = [*self.ranked[: MAX_ROWS // 2], *reversed(self.rows)]
        ids = list(dict.fromkeys(row.trial.id for row in first_best))[:MAX_ROWS]
        chosen = set(ids)
        return [row for row in self.rows if row.trial.id in chosen]

    @cached_property
    def progress(self) -> Progress:
        """Progress after each evaluation."""
        problem, calls = self.problem, self.calls
        feasible = np.array([row.place is not None and row.is_feasible for row in calls], bool)
        starts = sum(row.trial.origin == START for row in calls)
        if self.kind != "front":
            scores = np.array([row.score for row in calls])
            goal = problem.objectives[0]
            columns = goal.to_maximization(scores) if self.kind == "value" else scores
            columns = np.where(feasible, columns, math.nan)
            return Progress(best=best_so_far(scores.tolist(), columns.tolist()), starts=starts)
        if not self.ranked:
            return Progress(best=[0.0] * len(calls), starts=starts)
        values = np.array([[row.value(name) for name in problem.names] for row in calls])
        columns = problem.columns(values)
        reference = reference_point(problem, columns[[row.place is not None for row in calls]])
        columns[~feasible] = math.nan
        return Progress(
            best=hypervolume_trace(columns, reference).tolist(),
            starts=starts,
            reference=tuple(
                float(column if goal.direction == "maximize" else -column)
                for goal, column in zip(problem.objectives, reference, strict=True)
            ),
            estimated=len(problem.objectives) > MAX_EXACT_OBJECTIVES,
        )

    @cached_property
    def constraint_violations(self) -> list[ConstraintViolations]:
        """Violations of each constraint."""
        found = []
        for limit in self.problem.constraints:
            bad = [row for row in self.ranked if limit.name in row.violated_constraints]
            over = -limit.slack(np.array([row.value(limit.name) for row in bad]))
            found.append(
                ConstraintViolations(
                    limit=limit,
                    initial=sum(not row.new for row in bad),
                    new=sum(row.new for row in bad),
                    median=float(np.median(over)) if bad else math.nan,
                    most=float(over.max()) if bad else math.nan,
                )
            )
        return found

    @cached_property
    def out_of_distribution(self) -> OutOfDistribution | None:
        """Molecules outside of the training distribution; None if no new one has a percentile."""
        known = [(row.new, p) for row in self.rows if (p := row.trial.percentile) is not None]
        initial, new = ([p for is_new, p in known if is_new == group] for group in (False, True))
        if not new:
            return None
        return OutOfDistribution(
            initial=sum(percentile < OOD_PERCENTILE for percentile in initial),
            of_initial=len(initial),
            new=sum(percentile < OOD_PERCENTILE for percentile in new),
            of_new=len(new),
        )

    @cached_property
    def reasons(self) -> list[tuple[str, list[int]]]:
        """Messages of failures with the ids of their trials, the most frequent first.

        Messages that differ only in the molecule's SMILES are one.
        """
        by_message: dict[str, list[int]] = defaultdict(list)
        for row in self.failures:
            message = row.trial.message.replace(row.trial.smiles, "SMILES")
            by_message[message or "no reason given"].append(row.trial.id)
        return sorted(by_message.items(), key=lambda item: -len(item[1]))

    def best(self, *, start: bool = False) -> Row | None:
        """The best feasible trial, or the best initial molecule."""
        return next((r for r in self.ranked if r.is_feasible and not (start and r.new)), None)

    def label(self, name: str) -> str:
        """A value's name as a heading."""
        if self.lead is not None and name == SIMILARITY_PREFIX + self.lead:
            return "similarity to the lead"
        return (
            name
            if len(name) <= MAX_LABEL_LENGTH
            else name[: MAX_LABEL_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
        )


def kind_of(problem: OptimizationProblem) -> Literal["value", "score", "front"]:
    """Whether molecules are ranked by a value, by a combined score, or by Pareto rank."""
    if len(problem.objectives) == 1:
        return "value"
    return "front" if problem.combine == "pareto" else "score"


def summarize(campaign: Campaign, *, lead: str | None = None) -> CampaignSummary:
    """Summarize an open campaign; `lead`, errors as for `molvae.analysis.report.write_report`."""
    problem = campaign.problem
    rows = {trial.id: Row(trial=_clipped(trial)) for trial in campaign.trials}
    judged = [
        row
        for row in rows.values()  # others than molvae may have written them
        if row.trial.status == "complete"
        and not row.trial.fidelity
        and problem.proven(row.trial.operators)
        and all(math.isfinite(row.value(name)) for name in problem.names)
    ]
    values = np.array([[row.value(name) for name in problem.names] for row in judged])
    values = values.reshape(len(judged), len(problem.names))
    score, ranks, kind = np.full(len(judged), math.nan), None, kind_of(problem)
    if kind == "front":
        ranks = pareto_rank(problem.y(values))
    elif kind == "value":
        score = values[:, 0]
    else:
        score = problem.scalarize(problem.columns(values))[:, 0]
    violated = problem.constraint_slacks(values) < 0
    for place, i in enumerate(problem.order(values).tolist(), 1):
        names = zip(problem.constraints, violated[i], strict=True)
        rows[judged[i].trial.id] = replace(
            judged[i],
            place=place,
            violated_constraints=frozenset(limit.name for limit, is_bad in names if is_bad),
            score=float(score[i]),
            pareto_rank=None if ranks is None else int(ranks[i]),
        )
    return CampaignSummary(
        problem=problem,
        rows=list(rows.values()),
        lead=_lead(problem, lead),
        dataset=campaign.config.dataset if isinstance(campaign.config.start, int) else None,
    )


def _clipped(trial: Trial) -> Trial:
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
    from molvae.objectives.parsing import spec_text

    if given is not None:
        return canonical(given)
    specs = ((spec_text(part) or "").strip() for part in problem.parts.values())
    found = next((spec for spec in specs if spec.startswith(SIMILARITY_PREFIX)), None)
    return None if found is None else canonical_or_none(found.removeprefix(SIMILARITY_PREFIX))


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


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` items, evenly spaced from the first to the last.

    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]
