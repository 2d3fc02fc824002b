"""What can be read of a campaign: its problem, trials, tables, observations and predictions."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from molvae.campaign.history import best_trials, best_value, observations_of, to_dataframe
from molvae.campaign.proposal_check import core_to_keep, demanded_diversity, plausibility_of
from molvae.campaign.recorded_parts import RecordedParts
from molvae.campaign.start_rows import StartRow
from molvae.campaign.storage import Storage
from molvae.campaign.trial import Trial
from molvae.campaign.trust import identity_of
from molvae.config import whole_number
from molvae.objectives.problem import Direction

if TYPE_CHECKING:
    import pandas as pd

    from molvae.bo.base import Observations, Strategy
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.scoring import ScoringFunction


class CampaignView(RecordedParts):
    """The part of `molvae.Campaign` that writes nothing."""

    def __init__(
        self,
        store: Storage,
        *,
        space: LatentSpaceProtocol | None = None,
        functions: Mapping[str, ScoringFunction] | None = None,
        strategy: Strategy | str | None = None,
    ) -> None:
        super().__init__(
            store.metadata(), store.path, space=space, functions=functions, strategy=strategy
        )
        self._storage = store
        self.seed, self.batch_size = self.config.seed, self.config.batch_size
        if changed := store.batch_sizes():
            self.batch_size = changed[-1][1]  # the latest counts
        self.suggest_from = self.config.suggest_from
        """Library whose most similar molecules are noted beside each proposal; None: none."""
        self.start_rows: tuple[StartRow, ...] = ()
        """What became of each given initial molecule, if the campaign was just created."""
        self._choosing = threading.RLock()  # one thread at a time chooses molecules
        self._runner: int | None = None  # the thread that runs the campaign

    def close(self) -> None:
        """Close the campaign file; safe to call twice."""
        self._storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Campaign({str(self.path)!r}, {self.problem}, "
            f"{self.metadata['strategy']['name']}, {len(self)} trials)"
        )

    def __len__(self) -> int:
        """Number of trials, the initial ones included."""
        return self._storage.count()

    @property
    def identity(self) -> str:
        """A hash that tells this campaign from others, whatever the file's name."""
        return identity_of(self._storage.metadata())

    @property
    def name(self) -> str:
        """Name of the first objective."""
        return self.problem.objectives[0].name

    @property
    def direction(self) -> Direction:
        """Direction of the first objective."""
        return self.problem.objectives[0].direction

    @property
    def skipped(self) -> int:
        """Number of given initial molecules that were left out."""
        return int(self.metadata["skipped"])

    @property
    def duplicates(self) -> int:
        """Number of given initial molecules that repeat an earlier one."""
        return int(self.metadata["duplicates"])

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order asked."""
        return self._storage.trials()

    @property
    def best_value(self) -> float | None:
        """The best (combined) value so far; None without one, and in a Pareto search."""
        return best_value(self.trials, self.problem)

    @property
    def objective(self) -> ScoringFunction:
        """Scoring function of the first objective; `CampaignError` if it was an object."""
        return self.function(self.name)

    def observations(self, max_cost: float = math.inf) -> Observations:
        """All that a strategy may use now; values are signed so that larger is better.

        Args:
            max_cost: Largest cost of an evaluation that it may propose, with fidelities.
        """
        from molvae.model.isolation import isolated

        with isolated():
            trials = self.trials
            found = observations_of(
                trials,
                self.problem,
                self.space.bounds,
                self.compute,
                plausibility_of(self.config, trials),
                core_to_keep(self.config),
                demanded_diversity(self.config),
                max_cost,
            )
            return replace(found, batch_size=self.batch_size)

    def predict(self, smiles: Sequence[str]) -> pd.DataFrame:
        """Predicted values of molecules, in the objective's unit and sign.

        The surrogate is that of strategy rank, with the campaign's settings if it uses rank.

        Args:
            smiles: SMILES in any form; a list, a Series, or a DataFrame with a column of molecules.

        Returns:
            A row for each, with the index of the Series or DataFrame, else with the SMILES as
            index: columns `mean` and `std`, the uncertainty of a measurement; of several values
            NAME_mean and NAME_std. Values that RDKit computes have a `std` of 0. NaN for molecules
            that the surrogate cannot read.

        Raises:
            CampaignError: No trial is complete.
            InvalidMoleculeError: A text is not a molecule.
        """
        import pandas as pd

        from molvae.bo.strategies.rank import Rank
        from molvae.chem.molecules import canonical, index_of, list_of_smiles

        given, index = list_of_smiles(smiles), index_of(smiles)
        index = pd.Index(given, name="smiles") if index is None else index
        molecules, problem = [canonical(text) for text in given], self.problem
        own = self.strategy if self.metadata["strategy"]["name"] == Rank.name else None
        rank = own if isinstance(own, Rank) else Rank()
        mean, std = (of.numpy() for of in rank.predict(self.observations(), self.space, molecules))
        if problem.is_single_objective:
            sign = -1.0 if self.direction == "minimize" else 1.0
            return pd.DataFrame({"mean": sign * mean[:, 0], "std": std[:, 0]}, index=index)
        exact = self.compute(molecules, problem.computed)
        columns = dict[str, Any]()
        for name in problem.names:
            if name in problem.measured:
                at = problem.measured.index(name)
                columns |= {f"{name}_mean": mean[:, at], f"{name}_std": std[:, at]}
            else:
                found = [one.get(name, math.nan) for one in exact]
                columns |= {f"{name}_mean": found, f"{name}_std": [0.0] * len(found)}
        return pd.DataFrame(columns, index=index)

    def table(self) -> pd.DataFrame:
        """All trials in the order asked; columns as in `molvae.objectives.trial_columns.COLUMNS`.

        Columns of values follow `smiles`, NaN for none; then `PREDICTION_COLUMNS` and
        `REASON_COLUMNS` of proposals, `DERIVED_COLUMNS`, `VALUE_COLUMNS` and notes.
        """
        return to_dataframe(self.trials, self.problem)

    def best(self, k: int = 10) -> pd.DataFrame:
        """The `k` best complete trials, best first (feasible ones, a Pareto front); see `table`."""
        return best_trials(self.table(), self.problem, whole_number(k, "k", least=0))
