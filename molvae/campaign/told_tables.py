"""Tables of measured values, from a file or a DataFrame, by the ids of trials."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molvae.campaign.history import COLUMN_ALIASES
from molvae.campaign.trial import STATUSES
from molvae.chem.measurements import (
    OPERATOR_SUFFIX,
    columns_of,
    measured_values,
    none_if_failed,
    notes_of,
    operators_of,
    standard_errors,
    take_replicates,
)
from molvae.chem.tables import ID_COLUMN, Table
from molvae.chem.values import MISSING_TEXTS, Censored
from molvae.chem.workbooks import frame_table
from molvae.errors import DataError, InvalidMoleculeError, shown

if TYPE_CHECKING:
    import pandas as pd

ASK_COLUMNS = ("id", "smiles", "percentile")  # columns of the table that `ask` prints
EXPORTED = (("status", "asked_at"), ("status", "origin", "percentile"))
"""Columns of which an exported table has one of these sets."""
PLATE = ("similarity", "kappa", "findings")  # columns that every plate has


@dataclass(frozen=True)
class MeasuredRow:
    """The measurements of one trial."""

    id: int
    values: dict[str, list[float | Censored] | None]
    """Measurements by name, of the trial's fidelity; None: the measurement failed."""
    errors: dict[str, float]
    """Standard errors by name, as far as given."""
    message: str
    notes: dict[str, str]
    """Cells of other columns by the column's name."""
    blank: tuple[str, ...] = ()
    """Names of the values that are not known yet, unless the row says that the trial failed."""
    where: str = ""
    is_empty: bool = False
    """Whether the cells of all values are empty."""


def frame_by_id(frame: pd.DataFrame) -> Table:
    """A DataFrame as a table; without a column of ids, its index is one."""
    columns = Table("the DataFrame", [str(name) for name in frame.columns], [])
    if columns.find(ID_COLUMN) is None and frame.index.nlevels == 1:
        frame = frame.rename_axis(ID_COLUMN).reset_index()
    return frame_table(frame.reset_index(drop=True))


def read_measurements(
    table: Table,
    names: Sequence[str],
    own: Mapping[int, Sequence[str]] | None = None,
    known: Mapping[int, Mapping[str, str]] | None = None,
    skip: Collection[str] = (),
    plate: Collection[str] = (),
) -> list[MeasuredRow]:
    """Measurements of a table with columns `id`, those of `names`, and perhaps error and message.

    Args:
        table: A single name's columns may be called `value` and `error`. Molecules (a column
            `smiles`, or drawings) must be those of the trials.
        names: Names of the measured values.
        own: Those that each trial can have; all without it.
        known: The exported row of each trial, by id and column, `smiles` at least. Cells equal to
            it are no notes.
        skip: Columns of an exported table that are no notes: the campaign computes them.
        plate: Columns of a plate that are no notes.

    Raises:
        DataError: Names the source and the line of all bad rows.
    """
    if not table.rows and not table.bad_rows:
        raise DataError(f"{table.name} is empty; expected a table with columns 'id' and 'value'")
    if (ids := table.find(ID_COLUMN)) is None:
        raise DataError(
            f"{table.lacks(ID_COLUMN)}; give the ids that ask printed, or add molecules that were "
            "never proposed by molvae add"
        )
    alone = len(names) == 1
    places = columns_of(table, names, "value" if alone else "{}")
    found_ids = {_id(cells[ids]) for _, cells in table.rows}
    wanted = names if own is None else {n for i, of in own.items() if i in found_ids for n in of}
    if lacking := [name for name in names if name in (wanted or names) and name not in places]:
        raise DataError(table.lacks(lacking[0], *["value"] * alone))
    beside = columns_of(table, [*places], "error" if alone else "{}_error", own="{}_error")
    message, drawings, status = (
        table.find("message"), table.find_molecules(), table.find("status")
    )  # fmt: skip
    signs = {name: operators_of(table, name, at, alone=alone) for name, at in places.items()}
    used = {ids, *places.values(), *beside.values(), message, drawings}
    used |= {*map(table.find, ASK_COLUMNS)}
    used |= {table.find(f"{name}_{OPERATOR_SUFFIX}") for name in names}
    values = {name: measured_values(table, at, signs[name]) for name, at in places.items()}
    errors = {name: standard_errors(table, at, values[name]) for name, at in beside.items()}
    for name in values:
        used.add(take_replicates(table, name, values[name], errors.get(name, {})))
    for kinds, columns in ((EXPORTED, skip), ((PLATE,), plate)):
        if any(all(table.find(name) is not None for name in kind) for kind in kinds):
            used |= {table.find(name) for name in columns}
    told, seen = list[MeasuredRow](), dict[int, int]()
    for line, cells in table.rows:
        if (id_ := _id(cells[ids])) is None:
            table.problem(
                line,
                f"the id must be a whole number, got {shown(cells[ids], 40)}",
                "give the ids that ask printed, and take out rows that are about no trial",
            )
            continue
        if id_ in seen:
            table.problem(
                line,
                f"trial {id_} is there twice, see {table.where(seen[id_])}",
                "put several values of a trial into one cell, as in 5.1;5.3",
            )
            continue
        seen[id_] = line
        exported = (known or {}).get(id_, {})
        if known is not None and not exported:
            table.problem(line, f"trial {id_} is not in the campaign")
        elif (
            exported
            and drawings is not None
            and cells[drawings].lower() not in (*MISSING_TEXTS, "?")
        ):
            _check_molecule(table, line, id_, cells[drawings], exported["smiles"])
        of_trial = names if own is None else own.get(id_, names)
        for name, place in places.items():
            if name not in of_trial and cells[place].strip("; "):
                table.problem(
                    line,
                    f"{table.header[place]} is {shown(cells[place], 40)}, but trial {id_} measures "
                    f"{', '.join(of_trial)}",
                    "put each value into the column of its trial's fidelity",
                )
        here = {name: place for name, place in places.items() if name in of_trial}
        blank = [name for name, place in here.items() if not cells[place].strip("; ")]
        failed = status is not None and cells[status] == "failed"
        row = MeasuredRow(
            id=id_,
            blank=() if failed else tuple(blank),
            where=table.where(line),
            is_empty=not any(cells[place] for place in here.values()),
            values={name: none_if_failed(values[name].get(line, [])) for name in here},
            errors={name: of[line] for name, of in errors.items() if line in of and name in here},
            message=_message(cells, message, here.values()),
            notes={
                name: text
                for name, text in notes_of(table, cells, used).items()
                if not _is_own(exported, name, text)
            },
        )
        told.append(row)
    table.check()
    return told


def _is_own(own: Mapping[str, str], name: str, text: str) -> bool:
    """Whether a cell says what the campaign's own table does."""
    if name == "status" and own:
        return text in (*STATUSES, *STATUSES.values())
    return own.get(COLUMN_ALIASES.get(name, name)) == text


def _id(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,18})(?:[.,]0+)?", text)  # spreadsheets write 4.0 as well
    return int(found[1]) if found else None


def _message(cells: Sequence[str], place: int | None, values: Collection[int]) -> str:
    """The message of a row; without one, the words that stand for a missing value."""
    if place is not None and cells[place]:
        return cells[place]
    said = [cells[value] for value in values]
    return "; ".join(text for text in said if text.lower() in MISSING_TEXTS and text)


def _check_molecule(table: Table, line: int, id_: int, given: str, smiles: str) -> None:
    """Note a molecule that differs from that of its trial."""
    from molvae.chem.molecules import canonical
    from molvae.chem.standardize import parent
    from molvae.chem.structure_files import is_drawing_of

    try:
        same = is_drawing_of(given, smiles) if table.is_drawn else canonical(given) == smiles
        same = same or parent(given) == smiles
    except InvalidMoleculeError as error:
        table.problem(line, str(error), "correct the molecule, or leave its cell empty")
        return
    if not same:
        table.problem(
            line,
            f"the molecule is {shown(given)}, but trial {id_} is {shown(smiles)}",
            "sort the rows as they were, or tell them to the campaign that asked for them",
        )
