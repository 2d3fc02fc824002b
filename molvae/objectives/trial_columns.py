"""Columns of tables of trials, with what they hold.

Here, not in `campaign`, since names of objectives must not be among them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from molvae.chem.tables import without_unit
from molvae.chem.text_files import fold
from molvae.errors import require

if TYPE_CHECKING:
    from molvae.objectives.problem import OptimizationProblem

COLUMNS = {
    "id": "number of the trial, counted from 1 in the order asked",
    "smiles": "canonical SMILES",
    "status": "pending: without an outcome; complete: all values are known; failed: some are not",
    "origin": "start, added, or the strategy and the operator that proposed the molecule",
    "percentile": "density percentile of the molecule's encoding, from 0 to 100; NaN if not known",
    "message": "message of the outcome, e.g. why it failed",
    "asked_at": "when it was asked, in UTC",
    "told_at": "when its outcome was reported, in UTC",
}
"""Columns of every table of trials; those of values stand behind `smiles`."""

DERIVED_COLUMNS = {
    "pareto_rank": "1: on the Pareto front; 2: on the front without those; ...",
    "score": "the objectives combined by desirability or weighted_sum",
    "feasible": "whether it satisfies all constraints",
}
"""Columns of tables of several objectives, and of constraints."""

VALUE_COLUMNS = {
    "error": "standard error of a value",
    "replicates": "measurements of which a value is the mean, with ; between them",
    "operator": "< or > if a value is censored: the true one is below or above it",
}
"""Columns such as NAME_error beside values, where there are any."""

REASON_COLUMNS = {
    "kappa": "weight of the predicted standard deviation: near 0 exploits, above 1 explores",
    "parents": "SMILES of the molecules that it was made from, with ; between them",
    "nearest": "SMILES of the most similar molecule that had its values when it was proposed",
    "similarity": "Tanimoto similarity to that one (ECFP4)",
    "findings": "alerts, unstable groups, unseen parts, unusual size, with ; between them",
}
"""Columns of tables with proposals: why each molecule was proposed."""

PREDICTION_COLUMNS = {
    "predicted": "median of the value that was predicted when it was proposed",
    "low": "lower end of the 90 % interval of the prediction",
    "high": "upper end of the 90 % interval of the prediction",
}
"""Columns NAME_predicted, NAME_low and NAME_high of tables with proposals."""

FIDELITY_COLUMN = "fidelity"
"""Column of the fidelity of each trial, where there are lower ones: the name of its value."""

EARLIER_FAILURES_COLUMN = "earlier_failures"
"""Column of failures after which trials were put back, where there are any."""

DRAWING_COLUMN = "structure"
"""Column in which workbooks have drawings of the molecules."""


def note_column(name: str, taken: Collection[str]) -> str:
    """The column of a note, which may have any name, beside others: tables are read in any case."""
    return f"note_{name}" if fold(name) in map(fold, taken) else name


PLATE_PROPERTIES = ("logP", "MW", "SAS", "QED")
"""Properties that every plate shows."""


def plate_columns(problem: OptimizationProblem) -> list[str]:
    """Columns that plates have, but for those of values, of notes, and `id` and `smiles`."""
    beside = [f"{name}_{what}" for name in problem.measured for what in PREDICTION_COLUMNS]
    beside += [FIDELITY_COLUMN] if problem.fidelities else []
    known = plate_properties(problem)
    return [DRAWING_COLUMN, *beside, "origin", *REASON_COLUMNS, "percentile", *known]


def plate_properties(problem: OptimizationProblem) -> list[str]:
    """Properties that plates show: those that no value of the campaign has the name of."""
    taken = {fold(without_unit(name)) for name in problem.value_names}
    return [name for name in PLATE_PROPERTIES if fold(name) not in taken]


def check_names(names: Sequence[str]) -> None:
    """Refuse names of values that would hide a column of tables, or one another.

    Columns are found in any case, and those of outcomes with a unit in brackets as well. Names with
    a colon are patterns or molecules, in which the case counts.
    """
    derived = DERIVED_COLUMNS if len(names) > 1 else {}
    beside = {f"{n}_{what}" for n in names for what in (*VALUE_COLUMNS, *PREDICTION_COLUMNS)}
    outcomes = {*COLUMNS, *VALUE_COLUMNS}
    own = {*outcomes, *REASON_COLUMNS, *derived, *beside}
    own |= {EARLIER_FAILURES_COLUMN, FIDELITY_COLUMN, DRAWING_COLUMN}
    taken, earlier = set(map(_folded, own)), dict[str, str]()
    for name in names:
        require(
            _folded(name) not in taken and fold(without_unit(name)) not in outcomes,
            f"values cannot be called {name!r}: tables of trials have a column of that name; give "
            "them another name, e.g. 'my_name: SPEC'",
        )
        other = earlier.setdefault(_folded(name), name)
        require(
            other == name,
            f"values cannot be called {other!r} and {name!r}: columns of tables are found in any "
            "case; give one another name, e.g. 'my_name: SPEC'",
        )


def _folded(name: str) -> str:
    """What tables find a column by."""
    return name if ":" in name else fold(name)
