"""Read a file of initial molecules with what is known of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.chem.measurements import (
    OPERATOR_SUFFIX,
    columns_of,
    measured_values,
    notes_of,
    operators_of,
    standard_errors,
    take_replicates,
)
from molvae.chem.tables import Table
from molvae.chem.values import Censored
from molvae.chem.workbooks import is_frame
from molvae.errors import ConfigError, DataError, InvalidMoleculeError, require, warn

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class InitialMolecule:
    """A given molecule with its values and notes."""

    text: str
    where: str
    source: str = ""  # name of the file
    # Measurements by name; NaN: known to fail.
    values: Mapping[str, Sequence[float | Censored]] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)  # standard errors of values, by name
    notes: Mapping[str, str] = field(default_factory=dict)  # texts of other columns, by name

    @property
    def place(self) -> str:
        """File and place, for messages."""
        return f"{self.source}, {self.where}" if self.source else self.where


def read_start(
    source: str | Path | pd.DataFrame,
    names: Sequence[str],
    *,
    smiles_column: str | None = None,
    value_column: str | None = None,
    check_molecules: bool = False,
) -> list[InitialMolecule]:
    """Molecules with values from the columns `names`, or of a single name also `value`.

    All bad lines are reported together, those with invalid molecules if `check_molecules`.

    Args:
        source: The file or DataFrame.
        names: Names of the measured values.
        smiles_column: Column of the molecules; by default `smiles`, or the only one with that word.
        value_column: Column of the values of a single name, if it is called otherwise.
        check_molecules: Also report invalid molecules.

    Raises:
        ConfigError: `source` is a named data set, or `value_column` is given with several names.
        DataError: The file cannot be read, a column is missing, or rows are bad.
        InvalidMoleculeError: Only molecules are bad.
    """
    from molvae.chem.datasets import DATASETS, read_molecules
    from molvae.chem.molecules import canonical

    if not is_frame(source) and str(source) in DATASETS:
        raise ConfigError(
            f"start={str(source)!r} would start with all of that data set; give a number of "
            f"molecules, and dataset={str(source)!r}"
        )
    alone = len(names) == 1
    require(
        value_column is None or alone,
        f"value_column needs one measured value, there are: {', '.join(names) or 'none'}; give "
        "columns the names of the values",
    )
    wanted = (*names, "value") if value_column is None else (value_column,)
    table, place = read_molecules(source, smiles_column, wanted)
    if value_column is None:
        columns = columns_of(table, names, "value" if alone else "{}")
    else:
        columns = {names[0]: table.column(value_column)}
    if columns and (lacking := [name for name in names if name not in columns]):
        raise DataError(
            f"{table.lacks(*lacking[:1])}; there is one of {', '.join(columns)}: give values of "
            "all, or of none"
        )
    if names and not table.has_header and table.is_numbered():
        warn(
            f"{table.name}: numbers stand behind the molecules, and are kept as names; if they are "
            f'values, write "smiles {names[0]}" into the first line'
        )
    elif names and not columns and len(table.header) > 1 and table.has_header:
        advice = " (name the column of the values with --value-column)" if alone else ""
        warn(f"{table.lacks(*names, *['value'] * alone)}; so no molecule has a value yet{advice}")
    operators = {name: operators_of(table, name, at, alone=alone) for name, at in columns.items()}
    values = {name: measured_values(table, at, operators[name]) for name, at in columns.items()}
    beside = columns_of(table, list(columns), "error" if alone else "{}_error", own="{}_error")
    errors = {
        name: standard_errors(table, at, values[name], words=columns[name])
        for name, at in beside.items()
    }
    if None not in map(table.find, ("status", "origin", "asked_at")):
        _complete_export(table, values, errors)
    own = {table.find(f"{name}_{OPERATOR_SUFFIX}") for name in columns}
    used = {place, *columns.values(), *beside.values(), *own}
    found = []
    for line, cells in table.rows:
        notes = notes_of(table, cells, used)
        measured = {name: values[name].get(line, []) for name in columns}
        for name, at in columns.items():
            numbers = [one for one in measured[name] if isinstance(one, float)]
            if cells[at] and not measured[name]:
                notes[table.header[at]] = cells[at]  # a word for no value
            if name in beside and cells[beside[name]] and all(map(math.isnan, numbers)):
                notes[table.header[beside[name]]] = cells[beside[name]]
        found.append(
            InitialMolecule(
                text=cells[place],
                where=table.where(line),
                source=table.name,
                values={name: here for name, here in measured.items() if here},
                errors={name: of[line] for name, of in errors.items() if line in of},
                notes=notes,
            )
        )
        if check_molecules:
            try:
                canonical(cells[place])
            except InvalidMoleculeError as error:
                table.invalid(line, place, error)
    table.check()
    return found


def _complete_export(
    table: Table,
    values: Mapping[str, dict[int, list[float | Censored]]],
    errors: Mapping[str, dict[int, float]],
) -> None:
    """Take failures and replicates from a table that molvae has exported."""
    status = table.column("status")
    for name, found in values.items():
        take_replicates(table, name, found, errors.get(name, {}))
        for line, cells in table.rows:
            if cells[status] == "failed":
                found.setdefault(line, [math.nan])
