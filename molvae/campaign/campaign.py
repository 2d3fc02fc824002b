"""A campaign: ask, tell, run, resume. The single object with state, and its state is the record.

What is known is read from the record whenever molecules are chosen, and the seed of a batch comes
from the campaign's seed and the number of trials in the record: so a campaign that was killed goes
on as it would have. Knows when to ask and to tell. Knows neither how molecules are chosen
(`bo.strategy`), nor how the record is written (`bo.store`), nor how an objective is called
(`evaluate`).
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molvae.bo.strategies.registry import (
    STRATEGIES,
    describe_strategy,
    get_strategy,
    imported_code,
    is_same_strategy,
)
from molvae.campaign.creation import create_file, load_space
from molvae.campaign.evaluation import (
    EvaluationResult,
    EvaluationTask,
    adds_values_to,
    parse_outcome,
)
from molvae.campaign.history import (
    best_trials,
    completed_trials,
    observations_of,
    predictions_of,
    to_dataframe,
    values_of,
)
from molvae.campaign.initial_design import ORIGIN
from molvae.campaign.metadata import read_metadata
from molvae.campaign.storage import Storage
from molvae.campaign.trial import NewTrial, Outcome, Trial
from molvae.campaign.trust import identity_of, is_trusted, trust
from molvae.config import CampaignConfig, RunLimits, is_imported, whole_number
from molvae.errors import (
    CampaignError,
    ConfigError,
    InvalidMoleculeError,
    UnknownNameError,
    require,
    shown,
    warn,
)
from molvae.objectives.manual import ManualScoring
from molvae.objectives.parsing import (
    computed,
    is_cheap,
    make_scoring_function,
    name_of,
    runs_code,
)
from molvae.objectives.problem import Direction, Objective, OptimizationProblem
from molvae.objectives.program import Program

if TYPE_CHECKING:
    import pandas as pd

    from molvae.bo.base import Observations, Strategy
    from molvae.campaign.executors import Executor
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.parsing import ConstraintLike, ObjectiveLike
    from molvae.objectives.scoring import ScoringFunction

    _Chosen = tuple[int, Sequence[NewTrial]]

EQUAL = 10
"""Told values, at least a batch, that look like a mistake if all of them are the same number."""


class Campaign:
    """The search for molecules that are good at one thing, kept in a record.

    Make one with `Campaign.create` or `Campaign.open`. Use as a context manager, or call `close`.

        >>> c = Campaign.create("qed.db", "zinc250k", objective="qed")  # doctest: +SKIP
        >>> c.run(budget=200)  # doctest: +SKIP
        >>> c.best(3)  # doctest: +SKIP
    """

    def __init__(
        self,
        store: Storage,
        *,
        space: LatentSpaceProtocol | None = None,
        objective: ScoringFunction | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self._store = store
        self.metadata: dict[str, Any] = store.metadata()
        """The campaign file's own account of its creation: config, objectives, constraints, space,
        strategy, versions, created, format, skipped, duplicates."""
        self.config, self.problem = read_metadata(self.metadata, store.path)
        """The settings, and the optimization problem."""
        self.seed, self.batch_size = self.config.seed, self.config.batch_size
        self._space, self._strategy = space, strategy
        self._choosing = threading.RLock()
        """One thread at a time chooses molecules."""
        self._runner: int | None = None
        """The thread that runs the campaign."""
        self._objectives = {} if objective is None else {name_of(objective): objective}
        if space is not None:
            self._check_space(space)
        if objective is not None:
            self._check_objective(objective)
        if strategy is not None and not is_same_strategy(strategy, self.metadata["strategy"]):
            raise CampaignError(
                f"{store.path} was made with strategy {self.metadata['strategy']}, got "
                f"{describe_strategy(strategy)}; a campaign keeps its strategy"
            )

    @classmethod
    def create(
        cls,
        path: str | Path,
        space: LatentSpaceProtocol | str | Path,
        config: CampaignConfig | None = None,
        *,
        objective: ObjectiveLike | Sequence[ObjectiveLike] | OptimizationProblem | None = None,
        constraints: Sequence[ConstraintLike] | None = None,
        strategy: Strategy | str | None = None,
        start: int | str | Path | Sequence[str] | None = None,
        **settings: Any,
    ) -> Campaign:
        """Create a campaign. Everything is checked before anything is written.

        The initial molecules become the first trials: pending, and counted by the budget like all
        others, unless a file brings their values. With several objectives or with constraints,
        values that RDKit computes are computed for every molecule without a surrogate.

        Args:
            path: The campaign file to create.
            space: A latent space, or the name of a bundled model, or a model folder.
            config: Settings; those given as keywords win.
            objective: What to optimize: a name (`molvae list`), `module:attribute`, `manual:NAME`
                for values that are measured and told, or text such as "minimize sas, weight 2"; an
                `Objective`; a function of a SMILES; or an object with `name`, `direction` and
                `__call__(list of SMILES)`. Several of them in a list, or an
                `OptimizationProblem`.
            constraints: `Constraint` objects or text: "logp <= 5", "similarity:CCO >= 0.4".
            strategy: A name (`molvae list`), `module:Class`, or an object with `name` and
                `propose`.
            start: Initial molecules: a number of random ones of `dataset`, a list of SMILES, or a
                file (`molvae.chem.readers.read_table`). Its column `value`, or one with the
                objective's name, holds known values: empty is unknown, NaN known to fail, several
                of a molecule are replicates; `error` or NAME_error holds standard errors; other
                columns are kept as notes.
            settings: Other fields of `molvae.config.CampaignConfig`, e.g. `seed`, `batch_size`,
                `combine`, `direction`, `unit`, `dataset`, `skip_invalid`.

        Raises:
            CampaignError: The file exists or cannot be written.
            ConfigError: A setting is out of range.
            UnknownNameError: No such objective, strategy, model, data set or setting.
            ObjectiveError: The objective's module fails to import.
            InvalidMoleculeError: A given text is not a molecule, or cannot be written in the
                representation.
            UnknownTokenError: The space never saw a token of a given molecule.
            DataError: The file is empty or a value in it is not a number.
        """
        named = {"objective": objective, "constraints": constraints, "strategy": strategy}
        given: dict[str, Any] = {**named, "start": start, **settings}
        given = {name: value for name, value in given.items() if value is not None}
        created = create_file(path, space, config, given)
        campaign = cls(created.storage, space=created.space, strategy=created.strategy)
        campaign._objectives = created.functions
        campaign.trust()
        return campaign

    @classmethod
    def open(
        cls,
        path: str | Path,
        space: LatentSpaceProtocol | str | Path | None = None,
        objective: ScoringFunction | Callable[[str], float] | str | None = None,
        *,
        strategy: Strategy | None = None,
        trust: bool = False,
    ) -> Campaign:
        """Go on with a campaign, exactly where it stopped.

        Args:
            path: The record.
            space: The latent space it was made with, if at hand. By default it is loaded when first
                needed, so that telling a value or reading the table needs no model.
            objective: Needed for `run` if the campaign was made with an object of yours.
            strategy: Needed for `ask` and `run` if the campaign was made with a strategy of yours.
            trust: Let `run` import the modules and run the commands that the record names, though
                it was not made on this machine; see `Campaign.trust`.

        Raises:
            CampaignError: No record, or damaged, foreign or newer; or it was made with another
                model, objective or strategy than the one given.
        """
        store = Storage.open(path)
        try:
            if objective is not None:
                objective = make_scoring_function(objective, None, campaign_file=store.path)
            campaign = cls(
                store,
                space=None if space is None else load_space(space),
                objective=objective,
                strategy=strategy,
            )
            if trust:
                campaign.trust()
            return campaign
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the record; safe to call twice."""
        self._store.close()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Campaign({str(self.path)!r}, {self.problem}, "
            f"{self.metadata['strategy']['name']}, {len(self)} trials)"
        )

    def __len__(self) -> int:
        """Trials asked, the starting ones included."""
        return self._store.count()

    @property
    def path(self) -> Path:
        """The record."""
        return self._store.path

    @property
    def identity(self) -> str:
        """A hash that tells this campaign from others, whatever the file's name."""
        return identity_of(self._store.metadata())

    @property
    def name(self) -> str:
        """Of the goal; of the first one, if there are several."""
        return self.problem.objectives[0].name

    @property
    def direction(self) -> Direction:
        """Which of its values are good."""
        return self.problem.objectives[0].direction

    @property
    def skipped(self) -> int:
        """Given starting molecules that were left out."""
        return int(self.metadata["skipped"])

    @property
    def duplicates(self) -> int:
        """Given starting molecules that repeated an earlier one."""
        return int(self.metadata["duplicates"])

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order asked."""
        return self._store.trials()

    @property
    def best_value(self) -> float | None:
        """The best value told so far, of several goals that of their product or sum.

        None if there is none, or in a Pareto search, which has no single best.
        """
        told = completed_trials(self.trials)
        if not told or (len(self.problem.objectives) > 1 and self.problem.combine == "pareto"):
            return None
        values = values_of(told, self.problem)
        first = int(self.problem.order(values)[0])
        if len(self.problem.objectives) == 1:
            return float(values[first, 0])
        return float(self.problem.scalarize(self.problem.columns(values))[first, 0])

    @property
    def space(self) -> LatentSpaceProtocol:
        """The latent space, loaded when first needed.

        Raises:
            CampaignError: The model found under the recorded name is another one.
        """
        if self._space is None:
            space = load_space(self.metadata["space"]["name"])
            self._check_space(space)
            self._space = space
        return self._space

    @property
    def objective(self) -> ScoringFunction:
        """That of the goal, of the first one if there are several; made when first needed.

        Raises:
            CampaignError: It was an object and has to be given again.
        """
        return self._objective(self.name)

    def _objective(self, name: str) -> ScoringFunction:
        if name not in self._objectives:
            part = self.problem.parts[name]
            if part.spec is None:
                raise CampaignError(
                    f"objective {name!r} of {self.path} was given as an object; give it again: "
                    "Campaign.open(path, objective=...)"
                )
            if runs_code(part.spec):
                self._check_trusted()
            own = isinstance(part, Objective) and part.direction != "range"
            direction = part.direction if own else None  # type: ignore[union-attr]
            try:
                made = make_scoring_function(
                    part.spec, direction, name=name, campaign_file=self.path
                )
            except (ConfigError, InvalidMoleculeError) as error:
                raise CampaignError(f"{self.path} is damaged: {name}: {error}") from error
            self._check_objective(made)
            self._objectives[name] = made
        return self._objectives[name]

    @property
    def code(self) -> tuple[str, ...]:
        """What `run` imports or runs, as the record names it: `module:attribute`, `command:WORDS`.

        Empty if it only calls what molvae brings, or objects that are given.
        """
        specs = [part.spec for part in self.problem.parts.values() if part.spec is not None]
        code = [spec for spec in specs if runs_code(spec)]
        code += [self.config.strategy] if is_imported(self.config.strategy) else []
        code += imported_code(self.metadata["strategy"]["settings"])
        return tuple(dict.fromkeys(code))

    def _check_trusted(self) -> None:
        if not is_trusted(self.metadata):
            raise CampaignError(
                f"{self.path} was not created on this machine, and would run "
                f"{', '.join(map(shown, self.code))}; if you trust who made it, say so once: "
                "--trust (Campaign.open(path, trust=True))"
            )

    def trust(self) -> None:
        """Let `run` import and run the `code` that the record names, from now on.

        That is remembered on this machine, outside of the record. What was made on this machine is
        trusted from the beginning. Reading, asking and telling run no code of a record's.
        """
        if self.code:
            trust(self.metadata, self.path, self.code)

    @property
    def strategy(self) -> Strategy:
        """The strategy, made when first needed.

        Raises:
            CampaignError: It was an object and has to be given again.
        """
        if self._strategy is None:
            recorded, text = self.metadata["strategy"], self.config.strategy
            imported = is_imported(text)
            if not imported and (
                recorded["name"] not in STRATEGIES or recorded["settings"] is None
            ):
                raise CampaignError(
                    f"strategy {recorded['name']!r} of {self.path} was given as an object; give it "
                    "again: Campaign.open(path, strategy=...)"
                )
            if imported:
                self._check_trusted()
                self._strategy = get_strategy(text)
                return self._strategy
            if imported_code(recorded["settings"]):
                self._check_trusted()
            try:
                self._strategy = get_strategy(recorded["name"], **recorded["settings"])
            except (ConfigError, UnknownNameError, TypeError) as error:
                raise CampaignError(
                    f"{self.path} is damaged: it has no settings of a strategy ({error})"
                ) from error
        return self._strategy

    def ask(self, n: int | None = None, *, allow_constant: bool = False) -> list[Trial]:
        """Choose new molecules and write them into the record, all of them or none.

        As long as no value is told, there is nothing to choose by: then the starting molecules
        that wait are handed out instead, from the first one on, until one is told.

        Args:
            n: How many; by default a batch.
            allow_constant: Go on although all values of the first batch are the same number. A
                mistake in an objective looks like that, but so does a goal that few molecules meet.

        Returns:
            The trials, waiting to be told.

        Raises:
            ConfigError: n is below 1.
            CampaignError: Too little is told for the strategy, all values are the same, no new
                molecule was found, or another process asked meanwhile.
        """
        n = self.batch_size if n is None else whole_number(n, "n", least=1)
        self._check_is_not_run_elsewhere()
        with self._choosing:
            if not completed_trials(self.trials) and (waiting := self._waiting_start()):
                return waiting[:n]
            self._check_values_differ(allow_constant)
            with self._store.writing("ask"):
                return self._write(self._choose(n)())

    def _check_is_not_run_elsewhere(self) -> None:
        """Refuse to choose molecules while another thread does."""
        if self._runner not in (None, threading.get_ident()):
            raise CampaignError(
                f"{self.path} is being run in another thread, which chooses the molecules; wait "
                "until it is done (telling and reading work meanwhile)"
            )

    def _choose(self, n: int) -> Callable[[], _Chosen]:
        """Look at the record; what is given back chooses by that, and touches it no more."""
        from molvae.bo.candidates import spawn_seed
        from molvae.latent.density import density_percentiles

        observations, space, strategy = self.observations(), self.space, self.strategy
        asked = len(observations.known)

        def choose() -> _Chosen:
            found = strategy.propose(observations, space, n, seed=spawn_seed(self.seed, asked))
            smiles = [candidate.smiles for candidate in found]
            if len(set(smiles)) != n or observations.known.intersection(smiles):
                raise CampaignError(
                    f"strategy {strategy.name!r} did not give {n} distinct new molecules: "
                    f"{smiles}; mend it, or use another strategy"
                )
            return asked, [
                NewTrial(
                    smiles=c.smiles,
                    z=c.z.tolist(),
                    origin=" ".join(part for part in (strategy.name, c.operator) if part),
                    percentile=percentile,
                    predictions=predictions_of(c, self.problem),
                )
                for c, percentile in zip(found, density_percentiles(space, smiles), strict=True)
            ]

        return choose

    def _write(self, chosen: _Chosen) -> list[Trial]:
        asked, trials = chosen
        return self._store.ask(trials, expected=asked)

    def _waiting_start(self) -> list[Trial]:
        return [t for t in self.trials if t.origin == ORIGIN and t.status == "pending"]

    def tell(
        self,
        trial: int,
        value: float | Sequence[float] | Mapping[str, float | Sequence[float] | None] | None,
        message: str = "",
        *,
        error: float | Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Trial:
        """Write a value into the record; it is on disk when this returns.

        Args:
            trial: The trial's id.
            value: In the objective's own sign. None or NaN: it could not be scored; the molecule is
                then neither looked at by the surrogate nor asked for again. Several: replicates,
                whose mean and standard error are taken; NaN among them is left out. Of a campaign
                that measures several things: a mapping of such values by name; if one of them is
                lacking the trial has failed, and the others are kept. What is computed need not
                be told.
            message: Kept with it.
            error: Standard error of the value, or of values by name, if it is known: the surrogate
                believes it so far.
            notes: Whatever else is to be kept, by name.

        Raises:
            CampaignError: No such trial, or it was told before, or another process is writing.
            ConfigError: A value is infinite or not a number, or it is not said of what it is.
        """
        trial = whole_number(trial, "a trial's id")
        outcome = parse_outcome(self.problem, value, error=error, notes=notes, message=message)
        return self._store.tell(trial, self._completed({trial: outcome})[trial])

    def tell_all(
        self,
        values: Mapping[int, Any],
        *,
        errors: Mapping[int, float | Mapping[str, float]] | None = None,
        messages: Mapping[int, str] | None = None,
        notes: Mapping[int, Mapping[str, str]] | None = None,
    ) -> list[int]:
        """Write the values of many trials into the record: all of them, or none.

        What was told before with the same values is passed over, so that the same sheet can be told
        again.

        Args:
            values: By the trial's id; each as of `tell`, and so are the others.
            errors: Standard errors.
            messages: Kept with the values.
            notes: Whatever else is to be kept.

        Returns:
            Ids of the trials that were not told before.

        Raises:
            CampaignError: A trial is not there, or was told something else before; or another
                process is writing.
            ConfigError: As `tell`.
        """
        require(hasattr(values, "items"), f"values must stand by the trial's id, got {values!r}")
        outcomes = {}
        for trial, value in values.items():
            outcomes[whole_number(trial, "a trial's id")] = parse_outcome(
                self.problem,
                value,
                error=(errors or {}).get(trial),
                notes=(notes or {}).get(trial),
                message=(messages or {}).get(trial, ""),
            )
        return self._store.tell_all(self._completed(outcomes))

    def _completed(self, outcomes: Mapping[int, Outcome]) -> dict[int, Outcome]:
        """With the values that can be computed, where anything was measured."""
        done = dict(outcomes)
        for id_, outcome in outcomes.items():
            lacking = [name for name in self.problem.computed if name not in outcome.values]
            if outcome.values and lacking:
                for found in self._store.trials([id_]):  # none, if there is no such trial
                    more = self._compute([found.smiles], lacking)[0]
                    done[id_] = adds_values_to(outcome, more, self.problem)
        return done

    def retry(
        self, trials: Sequence[int] | None = None, *, message: str | None = None
    ) -> list[Trial]:
        """Put failed trials back, to be scored or told again: it was not the molecules' fault.

        That they failed stays in the record, see `Trial.earlier_failures`. They wait as if they had
        just been asked, and count towards a budget once, when they have an outcome again.

        Args:
            trials: Ids of failed trials; all of them by default.
            message: Those only whose message contains this text, in any case.

        Returns:
            The trials, waiting; none if no trial has failed.

        Raises:
            CampaignError: A given trial has not failed, or no failure has such a message; or
                another process is writing.
        """
        failed = [trial for trial in self.trials if trial.status == "failed"]
        if trials is not None:
            ids = {trial.id for trial in failed}
            for id_ in trials:
                if id_ not in ids:
                    raise CampaignError(
                        f"{self.path}: trial {id_} has not failed; failed are: "
                        f"{', '.join(map(str, sorted(ids))) or 'none'}"
                    )
            failed = [trial for trial in failed if trial.id in set(trials)]
        if message is not None:
            found = [t for t in failed if message.casefold() in t.message.casefold()]
            if failed and not found:
                messages = Counter(trial.message or "no reason given" for trial in failed)
                said = "; ".join(f"{one} ({n})" for one, n in messages.most_common(3))
                raise CampaignError(
                    f"{self.path}: none of {len(failed)} failures says {message!r}; most often "
                    f"they say: {said}"
                )
            failed = found
        return self._store.retry([trial.id for trial in failed]) if failed else []

    def _compute(self, smiles: Sequence[str], names: Sequence[str]) -> list[dict[str, float]]:
        """Values that need no call, of each molecule; what cannot be computed is not there."""
        return computed({name: self._objective(name) for name in names}, smiles)

    def run(
        self,
        budget: int,
        *,
        workers: int = 0,
        dask: str | None = None,
        executor: Executor | None = None,
        timeout: float | None = None,
        retries: int = 0,
        max_failure_rate: float = 0.5,
        failures_in_a_row: int = 5,
        allow_constant: bool = False,
        on_trial: Callable[[Trial], None] | None = None,
    ) -> None:
        """Score what waits, then choose and score new molecules, until the budget is spent.

        Molecules are scored one at a time, so that an interruption loses at most one call; an
        objective with an attribute `batch_size` gets that many at once. Whatever stops this, told
        values are in the record, and `run` goes on from there, also in another process.

        With workers, as soon as one is free the next molecule is chosen, with those in progress
        taken into account; what is chosen then depends on how long calls take.

        A call that raises an `Exception`, answers with no finite number, or is given up is a failed
        trial with the reason as its message. But trouble of the machine is no outcome; the trials
        wait then, to be scored when the run goes on or by the next one:

        * The first calls all fail, or later as many one after the other for the same reason: it is
          the objective that is wrong, or an outage. The run stops.
        * A worker dies, or is lost with its cluster. Another one gets the molecule; that has failed
          if three processes have died with it. Workers that are lost again and again stop the run.
        * An objective raises `MachineError`, a program cannot be started, or the process is told to
          end. The run stops.

        Args:
            budget: Objective calls in all; starting molecules and earlier runs included. A trial
                that was put back counts again only when it has an outcome again.
            workers: Processes that call the objective; 0: this one. The objective is loaded there
                before the first call; it may be defined anywhere. With `executor`: how many calls
                it takes at once.
            dask: Address of the scheduler of a Dask cluster, or its scheduler file, instead.
            executor: Anything with `submit(function, *arguments)`, instead.
            timeout: Seconds after which a call is given up; its process is stopped, with all that
                it has started.
            retries: Further tries of a call that raised or was given up.
            max_failure_rate: Share of the last 20 calls above which the run stops; 1: it never
                stops for failures.
            failures_in_a_row: Failures for the same reason, with no call that works between them,
                after which the run stops and they wait; 0: never. NaN does not count.
            allow_constant: See `ask`.
            on_trial: Called with each trial when its outcome is in the record.

        Raises:
            ConfigError: A setting is out of range.
            ObjectiveError: The first calls all failed, or later ones in a row; an answer was no
                list of values; or the objective cannot be sent to workers, or not be loaded there.
            CampaignError: Too many calls failed, workers are lost, or another process is writing;
                and see `ask`.
        """
        from molvae.campaign.executors import make_executor
        from molvae.campaign.scheduler import Scheduler

        budget = whole_number(budget, "budget", least=1)
        workers = whole_number(workers, "workers", least=0)
        retries = whole_number(retries, "retries", least=0)
        failures_in_a_row = whole_number(failures_in_a_row, "failures_in_a_row", least=0)
        require(
            executor is None or workers >= 1,
            "with an executor, workers says how many calls it takes at once; give at least 1",
        )
        limits = RunLimits(
            timeout=timeout,
            retries=retries,
            max_failure_rate=max_failure_rate,
            failures_in_a_row=failures_in_a_row,
        )
        calls = self._calls(timeout)
        if all(isinstance(c.objective, Program) or is_cheap(c.objective) for c in calls):
            # Programs are stopped where they run.
            limits, timeout = replace(limits, timeout=None), None
        if timeout is not None and executor is None and dask is None:
            workers = max(1, workers)  # what hangs can be stopped only from outside
        differ = False

        def tell(trial: Trial, scored: EvaluationResult) -> None:
            nonlocal differ
            outcome = self.tell(trial.id, scored.values or None, scored.message)
            if on_trial is not None:
                on_trial(outcome)
            differ = differ or self._check_values_differ(allow_constant)

        with (
            self._store.writing("run"),
            self._running(),
            make_executor(calls, workers, dask, executor) as caller,
        ):
            trials = self.trials
            self._check_values_differ(allow_constant)
            Scheduler(
                choose=self._choose,
                write=self._write,
                tell=tell,
                caller=caller,
                limits=limits,
                budget=budget,
                batch_size=self.batch_size,
                together=max(_batch_size(call.objective) for call in calls),
                n_values=len(self.problem.names),
                pending=deque(trial for trial in trials if trial.status == "pending"),
                done=sum(trial.status != "pending" for trial in trials),
                any_complete=any(trial.status == "complete" for trial in trials),
            ).run()

    @contextmanager
    def _running(self) -> Iterator[None]:
        self._check_is_not_run_elsewhere()
        with self._choosing:
            self._runner = threading.get_ident()
        try:
            yield
        finally:
            self._runner = None

    def _calls(self, timeout: float | None) -> list[EvaluationTask]:
        """What is called for each molecule: each objective once, whatever it measures."""
        by_spec: dict[object, list[str]] = {}
        for name, part in self.problem.parts.items():
            by_spec.setdefault(part.spec or id(self._objective(name)), []).append(name)
        calls = []
        for names in by_spec.values():
            objective = self._objective(names[0])
            if isinstance(objective, ManualScoring):
                objective([])  # says what to do instead
            if isinstance(objective, Program):
                objective = replace(objective, timeout=timeout)
            calls.append(EvaluationTask(objective=objective, names=tuple(names)))
        return calls

    def observations(self) -> Observations:
        """What a strategy may look at now; values are turned so that larger is better."""
        problem = self.problem

        def compute(smiles: Sequence[str]) -> NDArray[np.float64]:
            found = self._compute(smiles, problem.computed)
            rows = [[one.get(name, math.nan) for name in problem.computed] for one in found]
            return np.array(rows, dtype=np.float64).reshape(len(smiles), len(problem.computed))

        from molvae.model.isolation import isolated

        with isolated():
            return observations_of(self.trials, problem, self.space.bounds, compute)

    def table(self) -> pd.DataFrame:
        """All trials in the order asked.

        Returns:
            Columns id, smiles, a column of values with the name of each goal and limit (NaN where
            there is none), status, origin, percentile (how usual the molecule is to the space,
            from 0 to 100, see `LatentSpace.density_percentile`; NaN where that is not known),
            message, asked_at, told_at; then, if there are several objectives, `score`, their
            combined value, or `pareto_rank` (1 is the Pareto front); with constraints, `feasible`;
            and if told, NAME_error, NAME_replicates (text, with ; between them), and a column for
            each note.
        """
        return to_dataframe(self.trials, self.problem)

    def best(self, k: int = 10) -> pd.DataFrame:
        """The `k` best told molecules, best first, earlier first if equal; columns as `table`.

        What breaks a limit comes after all that does not. In a Pareto search the front comes first,
        see `molvae.objectives.problem.OptimizationProblem.order`.
        """
        return best_trials(self.table(), self.problem, whole_number(k, "k", least=0))

    def _check_values_differ(self, allow_constant: bool) -> bool:
        """Stop a campaign whose objective says the same of every molecule.

        A docking program that returns 0 whenever it fails would otherwise spend the whole budget.

        Returns:
            Whether two values differ.
        """
        goals = [goal for goal in self.problem.objectives if not goal.is_cheap]
        if not goals:
            return True
        all_differ = True
        for goal in goals:
            told, different = self._store.n_distinct(goal.name)
            all_differ = all_differ and different > 1
            if different == 1 and told >= max(EQUAL, self.batch_size) and not allow_constant:
                value = completed_trials(self.trials)[0].values[goal.name]
                raise CampaignError(
                    f"{self.path}: all {told} values of {goal.name} told so far are {value:g}, so "
                    "there is nothing to choose by; if the objective is wrong, mend it and begin "
                    "a new record; if this is how things are, go on with allow_constant "
                    "(--allow-constant)"
                )
        return all_differ

    def _check_space(self, space: LatentSpaceProtocol) -> None:
        recorded = self.metadata["space"]
        if space.fingerprint != recorded["fingerprint"] or space.dim != recorded["dim"]:
            raise CampaignError(
                f"{self.path} was made with the model {recorded['name']!r} (dim {recorded['dim']}, "
                f"fingerprint {recorded['fingerprint'][:12]}), got {space.name!r} "
                f"(dim {space.dim}, fingerprint {space.fingerprint[:12]}); give that model, or "
                "start a new campaign"
            )

    def _check_objective(self, objective: ScoringFunction) -> None:
        if name_of(objective) not in self.problem.parts:
            raise CampaignError(
                f"{self.path} asks for {', '.join(map(repr, self.problem.names))}, got the "
                f"objective {objective.name!r}; give that one, or start a new campaign"
            )
        recorded, version = (
            self.problem.parts[name_of(objective)].version,
            getattr(objective, "version", None),
        )
        if recorded is not None and str(version) != recorded:
            warn(
                f"{self.path} was begun with version {recorded} of {objective.name!r}, now it is "
                f"version {version}: values may not be comparable"
            )


def _batch_size(objective: ScoringFunction) -> int:
    """How many molecules an objective wants at once."""
    size = getattr(objective, "batch_size", 1)
    return whole_number(size, f"batch_size of the objective {objective.name!r}", least=1)


__all__ = ["Campaign"]
