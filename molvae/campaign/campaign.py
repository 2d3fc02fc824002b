"""A campaign: ask, tell, run. Its only state is the campaign file.

The seed of a batch comes from the campaign's seed and the number of trials, so that a killed
campaign continues as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from molvae.campaign.creation import create_file, load_space
from molvae.campaign.evaluation import parse_outcome, with_computed
from molvae.campaign.history import (
    select_failed,
)
from molvae.campaign.recorded_parts import given_functions
from molvae.campaign.storage import Storage
from molvae.campaign.told_values import told_values
from molvae.campaign.trial import Change, Outcome, Trial
from molvae.campaign.view import CampaignView
from molvae.config import CampaignConfig, RunLimits, whole_number
from molvae.errors import ConfigError
from molvae.objectives.parsing import told_names
from molvae.objectives.problem import Objective, OptimizationProblem

if TYPE_CHECKING:
    import pandas as pd

    from molvae.bo.base import Strategy
    from molvae.campaign.executors import Executor
    from molvae.chem.values import Censored
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.parsing import ConstraintLike, ObjectiveLike
    from molvae.objectives.scoring import ScoringFunction


TellValue: TypeAlias = "float | str | Sequence[float | str | Censored] | Censored | None"
"""A value, a limit such as `<5`, replicates, or None for a failed measurement."""


class Campaign(CampaignView):
    """An optimization of molecules, kept in a campaign file.

    Make one with `Campaign.create` or `Campaign.open`. Use as a context manager, or call `close`.

        >>> c = Campaign.create("qed.db", objective="qed")  # doctest: +SKIP
        >>> c.run(budget=200)  # doctest: +SKIP
        >>> c.best(3)  # doctest: +SKIP
    """

    @classmethod
    def create(
        cls,
        path: str | Path,
        space: LatentSpaceProtocol | str | Path | None = None,
        config: CampaignConfig | None = None,
        *,
        objective: ObjectiveLike | Sequence[ObjectiveLike] | OptimizationProblem | None = None,
        constraints: Sequence[ConstraintLike] | None = None,
        strategy: Strategy | str | None = None,
        start: int | str | Path | Sequence[str] | pd.DataFrame | None = None,
        **settings: Any,
    ) -> Campaign:
        """Create a campaign. Everything is checked before anything is written.

        The initial molecules become the first trials, which count towards the budget. With several
        objectives or constraints, values that RDKit computes have no surrogate.

        Args:
            path: The campaign file to create.
            space: A latent space, or the name of a bundled model, or a model folder; by default the
                space of the settings.
            config: Settings; keywords win.
            objective: A name, `module:attribute`, `manual:NAME` for measured values, or text such
                as "minimize sas, weight 2"; an `Objective`; a function of a SMILES; or a
                `ScoringFunction`. Several in a list, or an `OptimizationProblem`.
            constraints: `Constraint` objects or text: "logp <= 5", "similarity:CCO >= 0.4".
            strategy: A name (`molvae list`), `module:Class`, or a `Strategy`.
            start: Initial molecules: a number of random ones of `dataset`, a list of SMILES, or a
                file. Its column `value` or NAME holds known values: empty is unknown, NaN known to
                fail, `<5` a limit, several of a molecule are replicates; `error` or NAME_error
                holds standard errors; other columns are kept as notes. Of salts and ions in a file
                with values the parent molecule is taken, see `CampaignConfig.standardize`. A
                DataFrame is read like a file; its missing values are unknown.
            settings: Other fields of `molvae.config.CampaignConfig`, e.g. `seed`, `batch_size`.

        Raises:
            CampaignError: The file exists or cannot be written.
            ConfigError: A setting is out of range.
            UnknownNameError: No such objective, strategy, model, data set or setting.
            ObjectiveError: The objective's module fails to import.
            InvalidMoleculeError, UnknownTokenError: The space cannot encode a molecule.
            DataError: The file of initial molecules is empty, or a value is no number.
        """
        named = {"objective": objective, "constraints": constraints, "strategy": strategy}
        given: dict[str, Any] = {**named, "start": start, **settings}
        given = {name: value for name, value in given.items() if value is not None}
        store, space, functions, strategy, rows = create_file(path, space, config, given)
        campaign = cls(store, space=space, functions=functions, strategy=strategy)
        campaign.start_rows = rows
        campaign.trust()
        return campaign

    @classmethod
    def open(
        cls,
        path: str | Path,
        space: LatentSpaceProtocol | str | Path | None = None,
        objective: ScoringFunction
        | Callable[[str], float]
        | Objective
        | str
        | Sequence[ScoringFunction | Callable[[str], float] | Objective]
        | None = None,
        *,
        strategy: Strategy | str | None = None,
        trust: bool = False,
    ) -> Campaign:
        """Open a campaign, exactly where it stopped.

        Args:
            path: The campaign file.
            space: The latent space; by default loaded when first needed.
            objective: The scoring function, if it was given as an object; for `run`. With another
                name than its own, an `Objective`. Several in a list, e.g. those of fidelities.
            strategy: The one it was created with; needed if that was an object.
            trust: See `Campaign.trust`.

        Raises:
            CampaignError: No campaign file, or damaged, foreign or newer; or it was created with
                another model, objective or strategy.
        """
        store = Storage.open(path)
        try:
            campaign = cls(
                store,
                space=None if space is None else load_space(space),
                functions=given_functions(objective, store.path),
                strategy=strategy,
            )
            if trust:
                campaign.trust()
            return campaign
        except BaseException:
            store.close()
            raise

    def ask(self, n: int | None = None, *, allow_constant: bool = False) -> list[Trial]:
        """Choose new molecules and write them into the file as pending trials: all or none.

        Without a complete trial, pending initial molecules are returned, from the first one on.

        Args:
            n: Number of molecules; a batch by default.
            allow_constant: Continue although all values of the first batch are the same.

        Raises:
            CampaignError: The strategy needs more complete trials, all values are the same, no new
                molecule was found, or another process asked meanwhile.
        """
        from molvae.campaign.running import ask

        n = self.batch_size if n is None else whole_number(n, "n", least=1)
        return ask(self, n, allow_constant=allow_constant)

    def tell(
        self,
        trial: int,
        value: TellValue | Mapping[str, TellValue],
        message: str = "",
        *,
        error: float | Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Trial:
        """Write the outcome of a trial; it is on disk when this returns.

        Args:
            trial: The trial's id.
            value: The value in the objective's own sign; None or NaN if the molecule could not be
                scored: it has failed, and is not proposed again; "<5" or ">5" if only a limit is
                known. Several are replicates, of which the mean and standard error are taken.
                Several measured objectives take a mapping by name; without some of them the trial
                has failed.
            message: Text kept with the outcome.
            error: Standard error of the value, or of values by name.
            notes: Further texts, by name.

        Raises:
            CampaignError: No such trial, or it has an outcome; or another process is writing.
            ConfigError: A value is empty, infinite or not a number, or lacks its name.
        """
        trial = whole_number(trial, "a trial's id")
        problem = self._problem_of([trial])[trial]
        outcome = parse_outcome(problem, value, error=error, notes=notes, message=message)
        return self._storage.tell(trial, self._completed({trial: outcome})[trial])

    def tell_all(
        self,
        values: Mapping[int, Any] | pd.DataFrame,
        *,
        errors: Mapping[int, float | Mapping[str, float]] | None = None,
        messages: Mapping[int, str] | None = None,
        notes: Mapping[int, Mapping[str, str]] | None = None,
    ) -> list[int]:
        """Write the outcomes of many trials, all or none; arguments by id, errors as for `tell`.

        A DataFrame is read as a file is: ids in a column `id` (without one, in the index), a column
        for each measured value; `message`, NAME_operator, NAME_error and NAME_replicates are read,
        too, and other columns are notes. Its missing values are not known yet: without a message
        such a trial stays pending, with one it has failed. The same outcome may be told again.

        Returns:
            Ids of the trials that had no outcome before.
        """
        told = told_values(self, values, errors=errors, messages=messages, notes=notes)
        problems = self._problem_of(list(told.values))
        outcomes = {
            trial: parse_outcome(
                problems[trial],
                value,
                error=told.errors.get(trial),
                notes=told.notes.get(trial),
                message=told.messages.get(trial, ""),
            )
            for trial, value in told.values.items()
        }
        return self._storage.tell_all(self._completed(outcomes))

    def correct(
        self,
        trial: int,
        value: float | Sequence[float] | Mapping[str, float | Sequence[float] | None] | None,
        reason: str,
        *,
        error: float | Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Trial:
        """Replace the outcome of a trial; the earlier one stays in the file, see `changes`.

        Molecules that are chosen from now on are those of a campaign that was told so at once. A
        failure may become a value, and a value a failure.

        Args:
            trial: The trial's id.
            value: As for `tell`.
            reason: Why it is corrected.
            error: As for `tell`.
            notes: Further texts; the earlier ones stay.

        Raises:
            CampaignError: No such trial, or it is pending; or another process is writing.
            ConfigError: There is no reason, or as for `tell`.
        """
        return self.correct_all(
            {trial: value},
            messages={trial: reason},
            errors={trial: error},
            notes={trial: notes or {}},
        )[0]

    def correct_all(
        self,
        values: Mapping[int, Any] | pd.DataFrame,
        *,
        messages: Mapping[int, str],
        errors: Mapping[int, Any] | None = None,
        notes: Mapping[int, Mapping[str, str]] | None = None,
        add: bool = False,
    ) -> list[Trial]:
        """Replace outcomes, all or none; arguments by id, as for `correct`.

        With `add`, the values are further replicates of complete trials, as if they had been told
        together; such a message may be empty.
        """
        from molvae.campaign.corrections import corrected, with_replicates

        told = told_values(
            self, values, errors=errors, messages=messages, notes=notes, correct=not add, add=add
        )
        reasons = {id_: str(told.messages.get(id_) or "").strip() for id_ in told.values}
        if lacking := [id_ for id_, reason in reasons.items() if not add and not reason]:
            raise ConfigError(
                f"a correction needs its reason as a message (trial {lacking[0]}): it stays in the "
                "file beside both values"
            )
        about = {"errors": told.errors, "messages": told.messages, "notes": told.notes}
        outcomes = (with_replicates if add else corrected)(self, told.values, **about)
        return self._storage.replace(self._completed(outcomes))

    def change_batch_size(self, size: int) -> None:
        """Choose so many molecules together from now on; a new fact, which the file keeps."""
        if (size := whole_number(size, "batch_size", least=1)) != self.batch_size:
            self._storage.change_batch_size(size)
            self.batch_size = size

    def add_replicates(
        self, trial: int, value: float | Sequence[float] | Mapping[str, Any], message: str = ""
    ) -> Trial:
        """Add measurements to a complete trial, as if all had been told together."""
        return self.correct_all({trial: value}, messages={trial: message}, add=True)[0]

    def add(
        self,
        smiles: Sequence[str] | str | Path | pd.DataFrame,
        values: Sequence[float | None] | None = None,
        *,
        message: str = "",
        review: Callable[[Mapping[int | str, Any]], None] | None = None,
        **reading: Any,
    ) -> list[Trial]:
        """Add molecules that were never proposed, with their values: all or none.

        Molecules of the campaign that are pending are told; others with the same value are passed
        over. The new trials have the origin `added`, and count towards the budget.

        Args:
            smiles: SMILES, or a file or DataFrame as for `start` of `create`.
            values: A value for each; None or NaN: it failed. Without values the trials are pending.
            message: Text kept with the outcomes.
            review: Gets the values by SMILES, or by trial, before they are written; may raise.
            reading: `smiles_column`, `value_column`, `skip_invalid`, `standardize`, as in `create`.

        Returns:
            The new trials, and those that were told.

        Raises:
            CampaignError: A molecule has another value, or another process is writing.
            InvalidMoleculeError, UnknownTokenError, DataError: As for `create`.
        """
        from molvae.campaign.corrections import added

        with self._choosing, self._storage.writing("add"):
            n = len(self)
            new, told, self.start_rows = added(self, smiles, values, message, review, reading)
            return self._storage.ask(new, expected=n, told=self._completed(told))

    def changes(self) -> pd.DataFrame:
        """Outcomes that were replaced: columns of `molvae.campaign.trial.Change`."""
        import pandas as pd

        names = [one.name for one in fields(Change)]
        rows = [asdict(change) for change in self._storage.changes()]
        return pd.DataFrame(rows, columns=names)

    def _problem_of(self, ids: Sequence[int]) -> dict[int, OptimizationProblem]:
        """The problem of the fidelity of each trial."""
        problems = dict.fromkeys(ids, self.problem)
        for trial in self._storage.trials(ids) if self.problem.fidelities else ():
            problems[trial.id] = self.problem.at(trial.fidelity)
        return problems

    def _completed(self, outcomes: dict[int, Outcome]) -> dict[int, Outcome]:
        """Outcomes with the computed values of their molecules."""
        alone = told_names(self.problem) == self.problem.names
        for trial in () if alone else self._storage.trials(list(outcomes)):
            outcomes[trial.id] = with_computed(
                outcomes[trial.id], trial.smiles, self.problem, self.function
            )
        return outcomes

    def retry(
        self, trials: Sequence[int] | None = None, *, message: str | None = None
    ) -> list[Trial]:
        """Make failed trials pending again; their failures stay, see `Trial.earlier_failures`.

        Args:
            trials: Ids of failed trials; all of them by default.
            message: Text that a failure's message must contain, in any case.

        Raises:
            CampaignError: A trial has not failed, no failure has such a message, or another process
                is writing.
        """
        failed = select_failed(self.trials, trials, message, self.path)
        return self._storage.retry([trial.id for trial in failed]) if failed else []

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
        """Score pending molecules, then choose and score new ones, until the budget is spent.

        Outcomes are written as they come; whatever stops the run, `run` resumes it. With workers,
        molecules are chosen as soon as a worker is free, so they depend on how long calls take.

        A call that raises an `Exception`, returns no finite number or is too late is a failed trial
        with the reason as its message. Trouble of the machine is no outcome; trials stay pending:

        * `failures_in_a_row` first calls, or later ones of one worker or of all, fail for the same
          reason, or twice as many for any reasons. The run stops; if it was one worker, that one
          gets no more molecules, and the others go on.
        * A worker dies: another one gets the molecule, which has failed if three processes died
          with it. Three calls in a row that are lost (full disk, refused connection) stop the run.
        * An objective raises `MachineError`, a program cannot be started, or the process is asked
          to end. The run stops.

        Args:
            budget: Evaluations in all; initial molecules and earlier runs included.
            workers: Number of processes that call the objective; 0: this one. With `executor`: its
                number of calls at once.
            dask: Address of the scheduler of a Dask cluster, or its scheduler file, instead.
            executor: An object with `submit(function, *arguments)`, instead.
            timeout: Seconds after which a call is given up and its process is stopped.
            retries: Further tries of a call that raised or was too late.
            max_failure_rate: Largest share of failures among the last 20 calls; 1: any.
            failures_in_a_row: 0: any number. NaN does not count.
            allow_constant: See `ask`.
            on_trial: Called with each trial when its outcome is in the file. Jupyter shows a bar.

        Raises:
            ObjectiveError: Calls failed in a row, an answer was not one value per molecule, or
                workers cannot load the objective.
            CampaignError: Too many calls failed, workers are lost, or as for `ask`.
        """
        from molvae.campaign.running import run_campaign

        limits = RunLimits(
            timeout=timeout,
            retries=whole_number(retries, "retries", least=0),
            max_failure_rate=max_failure_rate,
            failures_in_a_row=whole_number(failures_in_a_row, "failures_in_a_row", least=0),
        )
        run_campaign(
            self,
            budget,
            limits,
            workers=workers,
            dask=dask,
            executor=executor,
            allow_constant=allow_constant,
            on_trial=on_trial,
        )
