"""Ask for molecules, and run a campaign: executors, the scheduler, a check that values differ."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from molvae.bo.origins import START
from molvae.campaign.choice import Batch, choose_batch
from molvae.campaign.evaluation import (
    EvaluationResult,
    EvaluationTask,
    LostCallError,
    evaluate,
    tasks_of,
)
from molvae.campaign.executors import make_executor
from molvae.campaign.history import completed_trials
from molvae.campaign.initial_design import check_affords_a_value
from molvae.campaign.outages import OutageDetector, UnrecordedFailure, cause_of
from molvae.campaign.proposal_check import full_check
from molvae.campaign.proposing import proposing_space
from molvae.campaign.scheduler import Scheduler
from molvae.config import RunLimits, whole_number
from molvae.errors import CampaignError, LibraryExhaustedError, ObjectiveError, require, warn
from molvae.objectives.computing import is_cheap
from molvae.objectives.parsing import all_told_names
from molvae.objectives.program import Program

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.executors import Executor
    from molvae.campaign.trial import Trial
    from molvae.objectives.problem import OptimizationProblem
    from molvae.objectives.scoring import ScoringFunction

MIN_CONSTANT_VALUES = 10
"""Complete trials, at least a batch, after which equal values of all of them stop a campaign."""


def ask(campaign: Campaign, n: int, *, allow_constant: bool) -> list[Trial]:
    """Choose `n` molecules and write them as pending trials, as `Campaign.ask`."""
    _check_not_run_elsewhere(campaign)
    with campaign._choosing:
        if campaign.problem.fidelities:
            return _ask_with_fidelities(campaign, n, allow_constant=allow_constant)
        trials = campaign.trials
        pending = [t for t in trials if t.origin == START and t.status == "pending"]
        if pending and not completed_trials(trials):
            return pending[:n]
        check_values_differ(campaign, allow_constant)
        with campaign._storage.writing("ask"):
            new = _write(campaign, _choose(campaign, n)())
        if len(new) < n:
            warn(f"only {len(new)} of {n} molecules: no more of the library may be proposed")
        return new


def _ask_with_fidelities(campaign: Campaign, n: int, *, allow_constant: bool) -> list[Trial]:
    """Choose until people have `n` molecules to measure; functions are called on the way.

    Without a fidelity that people measure, all chosen molecules are returned.
    """
    problem, told = campaign.problem, all_told_names(campaign.problem)
    computed = {name for name in fidelities_of(problem) if problem.at(name).names[0] not in told}
    found: list[Trial] = []
    with campaign._storage.writing("ask"):
        while True:
            trials = campaign.trials
            pending = [t for t in trials if t.status == "pending"]
            _score(campaign, [t for t in pending if t.fidelity in computed])
            first = [t for t in pending if t.origin == START and t.fidelity not in computed]
            if first and not completed_trials(trials):
                return first[:n]
            if len(found) >= n:
                return found
            check_values_differ(campaign, allow_constant)
            new = _write(campaign, _choose(campaign, n - len(found))())
            found += [t for t in new if t.fidelity not in computed]


def _score(campaign: Campaign, trials: Sequence[Trial]) -> None:
    """Call functions for trials, and write their outcomes; failures once another call works.

    Raises:
        CampaignError: The machine is in trouble.
        ObjectiveError: So many calls failed in a row that it is no fault of the molecules.
    """
    calls = {name: _tasks_at(campaign, name, None) for name in {t.fidelity for t in trials}}
    worked = any(t.status == "complete" and t.fidelity in calls for t in campaign.trials)
    outages = OutageDetector(most=campaign.config.failures_in_a_row, worked=worked)
    for i, trial in enumerate(trials, 1):
        try:
            (scored,) = evaluate(calls[trial.fidelity], [trial.smiles])
        except LostCallError as error:
            raise CampaignError(f"{error}; the molecules stay pending: ask again") from error
        if scored.values:
            _tell_failures(campaign, outages.success(i, i))
            campaign.tell(trial.id, scored.values, scored.message)
            continue
        cause = cause_of(scored.message, trial.smiles)
        failure = UnrecordedFailure(trial=trial, scored=scored, cause=cause, call=i, came=i)
        _tell_failures(campaign, outages.failed(failure))
        if suspects := outages.suspects(len(trials)):
            raise ObjectiveError(
                f"{len(suspects)} calls failed one after the other, that of {trial.smiles}: "
                f"{scored.message}; they are not recorded, and their molecules stay pending. Fix "
                "the objective, then ask again; if it is the molecules, tell that they failed"
            )
    _tell_failures(campaign, outages.rest())


def _tell_failures(campaign: Campaign, failures: Sequence[UnrecordedFailure]) -> None:
    for one in failures:
        campaign.tell(one.trial.id, None, one.scored.message)


def _choose(campaign: Campaign, n: int, max_cost: float = math.inf) -> Callable[[], Batch]:
    """Read the campaign; the returned function chooses by that alone."""
    observations, strategy = campaign.observations(max_cost), campaign.strategy
    trials = campaign.trials
    space = proposing_space(campaign.config, campaign.space, trials)
    check = full_check(campaign.config, trials)
    library = None
    if campaign.suggest_from is not None:
        from molvae.bo.screening import open_library

        library = open_library(campaign.suggest_from)
    return lambda: choose_batch(
        strategy,
        observations,
        space,
        campaign.problem,
        n,
        campaign.seed,
        check,
        library,
        len(trials),
    )


def _write(campaign: Campaign, chosen: Batch) -> list[Trial]:
    n_trials, trials = chosen
    return campaign._storage.ask(trials, expected=n_trials)


def _check_not_run_elsewhere(campaign: Campaign) -> None:
    """Refuse to choose molecules while another thread does."""
    if campaign._runner not in (None, threading.get_ident()):
        raise CampaignError(
            f"{campaign.path} is being run in another thread, which chooses the molecules; wait "
            "until it is done (telling and reading work meanwhile)"
        )


@contextmanager
def _running(campaign: Campaign) -> Iterator[None]:
    """Lock the file, and keep other threads from choosing molecules."""
    _check_not_run_elsewhere(campaign)
    with campaign._storage.writing("run"):
        with campaign._choosing:
            campaign._runner = threading.get_ident()
        try:
            yield
        finally:
            campaign._runner = None


def run_campaign(
    campaign: Campaign,
    budget: int,
    limits: RunLimits,
    *,
    workers: int,
    dask: str | None,
    executor: Executor | None,
    allow_constant: bool,
    on_trial: Callable[[Trial], None] | None,
) -> None:
    """Spend a budget; arguments and errors as for `Campaign.run`."""
    budget = whole_number(budget, "budget", least=1)
    workers = whole_number(workers, "workers", least=0)
    require(
        executor is None or workers >= 1,
        "with an executor, workers says how many calls it takes at once; give at least 1",
    )
    tasks, problem = evaluation_tasks(campaign, limits.timeout), campaign.problem
    trials = campaign.trials if problem.fidelities else []
    if not any(trial.status != "pending" and not trial.fidelity for trial in trials):
        check_affords_a_value(problem, [trial.fidelity for trial in trials], budget)
    if all(isinstance(one.objective, Program) or is_cheap(one.objective) for one in tasks):
        limits = replace(limits, timeout=None)  # programs are stopped where they run
    if limits.timeout is not None and executor is None and dask is None:
        workers = max(1, workers)  # a call that hangs can be stopped only from outside
    differ, advance = False, _notebook_bar(campaign, budget)

    def tell(trial: Trial, scored: EvaluationResult) -> None:
        nonlocal differ
        outcome = campaign.tell(trial.id, scored.values or None, scored.message)
        advance(outcome)
        if on_trial is not None:
            on_trial(outcome)
        differ = differ or check_values_differ(campaign, allow_constant)

    with _running(campaign), make_executor(tasks, workers, dask, executor) as caller:
        check_values_differ(campaign, allow_constant)
        scheduler = Scheduler(
            choose=partial(_choose, campaign),
            write=partial(_write, campaign),
            tell=tell,
            caller=caller,
            limits=limits,
            budget=budget,
            cost=lambda trial: problem.cost(trial.fidelity),
            cheapest=min(problem.cost(name) for name in fidelities_of(problem)),
            batch_size=campaign.batch_size,
            together=max(_batch_size(one.objective) for one in tasks),
            n_values=len(campaign.problem.names),
            trials=campaign.trials,
        )
        try:
            scheduler.run()
        except LibraryExhaustedError as error:
            warn(f"{error}; the run ends before its budget is spent")


def _notebook_bar(campaign: Campaign, budget: int) -> Callable[[Trial], None]:
    """What moves a progress bar, with each trial that has an outcome; only notebooks show one."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(shell, "kernel"):
        return lambda _: None
    from IPython.display import ProgressBar

    problem = campaign.problem
    done = sum(problem.cost(one.fidelity) for one in campaign.trials if one.status != "pending")
    bar: Any = ProgressBar(budget)  # type: ignore[no-untyped-call]
    bar.display()
    bar.progress = int(done)

    def advance(trial: Trial) -> None:
        nonlocal done
        done += problem.cost(trial.fidelity)
        bar.progress = int(done)

    return advance


def evaluation_tasks(campaign: Campaign, timeout: float | None) -> list[EvaluationTask]:
    """The calls for each molecule at each fidelity: each objective once, whatever it measures."""
    return [
        replace(task, fidelity=name)
        for name in fidelities_of(campaign.problem)
        for task in _tasks_at(campaign, name, timeout)
    ]


def fidelities_of(problem: OptimizationProblem) -> list[str]:
    """Names of the fidelities as trials have them, the objective first."""
    return ["", *(one.name for one in problem.fidelities)]


def _tasks_at(campaign: Campaign, fidelity: str, timeout: float | None) -> list[EvaluationTask]:
    problem = campaign.problem.at(fidelity)
    return tasks_of(problem, list(problem.parts), campaign.function, timeout)


def check_values_differ(campaign: Campaign, allow_constant: bool) -> bool:
    """Whether the values of each objective differ; an error if all of many are the same.

    A docking program that returns 0 whenever it fails would otherwise spend the whole budget.
    """
    all_differ = True
    for objective in (*campaign.problem.objectives, *campaign.problem.fidelities):
        if objective.is_cheap:
            continue
        n, n_distinct = campaign._storage.n_distinct(objective.name)
        all_differ = all_differ and n_distinct > 1
        enough = n >= max(MIN_CONSTANT_VALUES, campaign.batch_size)
        if n_distinct == 1 and enough and not allow_constant:
            has_value = (t for t in campaign.trials if t.status == "complete")
            value = next(t.values[objective.name] for t in has_value if objective.name in t.values)
            raise CampaignError(
                f"{campaign.path}: all {n} values of {objective.name} are {value:g}, so a "
                "surrogate cannot learn from them. If the objective is wrong, fix it and start a "
                "new campaign; if this is expected, allow it (--allow-constant, "
                "allow_constant=True)"
            )
    return all_differ


def _batch_size(objective: ScoringFunction) -> int:
    """The number of molecules that an objective wants at once."""
    size = getattr(objective, "batch_size", 1)
    return whole_number(size, f"batch_size of the objective {objective.name!r}", least=1)
