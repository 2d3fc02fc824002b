"""Inputs of commands: molecules, measured values, vectors, conditions; errors name the line."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from molvae.chem.measurements import (
    OPERATOR_SUFFIX,
    columns_of,
    has_decimal_comma,
    mean_values,
    measured_values,
    none_if_failed,
    notes_of,
    operators_of,
    standard_errors,
    take_replicates,
)
from molvae.chem.tables import Table
from molvae.chem.values import MISSING_TEXTS, Censored, not_a_number, number
from molvae.cli.terminal import say
from molvae.config import check_seed, whole_number
from molvae.errors import DataError, InvalidMoleculeError, listed, shown

if TYPE_CHECKING:
    from torch import Tensor

    from molvae.latent.space import LatentSpace


ASK_COLUMNS = ("id", "smiles", "percentile")  # columns of the table that `ask` prints


def read_smiles(file: str, *, skip_invalid: bool, column: str | None = None) -> list[str]:
    """Canonical SMILES of a file."""
    from molvae.chem.datasets import read_molecules
    from molvae.chem.molecules import canonical

    table, place = read_molecules(file, column)
    rows, skipped = list[str](), list[int]()
    for line, cells in table.rows:
        try:
            rows.append(canonical(cells[place]))
        except InvalidMoleculeError as error:
            skipped.append(line)
            if not skip_invalid:
                table.invalid(line, place, error)
    table.check()
    print_skipped(table, skipped, len(table.rows))
    return rows


def only_encodable(space: LatentSpace, molecules: Sequence[str]) -> list[str]:
    """The molecules that a space can encode; prints which others are skipped."""
    readable = space.can_encode(molecules)
    if others := [m for m, ok in zip(molecules, readable, strict=True) if not ok]:
        said = listed([shown(one, 60) for one in others])
        say(f"{len(others)} of {len(molecules)} skipped: {space.name} cannot encode them ({said})")
    return [m for m, ok in zip(molecules, readable, strict=True) if ok]


def print_skipped(table: Table, lines: Sequence[int], n: int) -> None:
    """Print how many of `n` rows held no molecules, and which."""
    if lines:
        places = listed([table.where(line) for line in lines])
        say(f"{len(lines)} of {n} skipped: no molecules ({places})")


def test_split(
    data: str, n: int, seed: int, skip_invalid: bool
) -> tuple[list[str], set[str] | None]:
    """Molecules to measure a model on, and its training molecules if they are known."""
    from molvae.chem._parallel import parallel_map
    from molvae.chem.datasets import DATASETS, read
    from molvae.chem.molecules import canonical_or_none
    from molvae.chem.prepare import load_split, split_of

    n, seed = whole_number(n, "n", least=1), check_seed(seed)
    training = None
    if Path(data).is_dir():
        test, training = load_split(data, "test"), set(load_split(data, "train"))
    elif data in DATASETS:
        say(f"reading all of {data}; a folder made by prepare is faster")
        parsed = parallel_map(canonical_or_none, [text for _, text in read(data)])
        molecules = sorted({molecule for molecule in parsed if molecule is not None})
        test = [molecule for molecule in molecules if split_of(molecule) == "test"]
        training = {molecule for molecule in molecules if split_of(molecule) == "train"}
    else:
        test = read_smiles(data, skip_invalid=skip_invalid)
    return Random(seed).sample(test, min(n, len(test))), training


def sample_rows(
    data: str, n: int, seed: int, *, skip_invalid: bool, column: str | None = None,
    values: str | None = None,
) -> tuple[list[str], list[float]]:  # fmt: skip
    """Random distinct molecules, in random order; all if there are fewer than `n`.

    Of a folder made by prepare, its training molecules; otherwise `data` is as of
    `molvae.chem.datasets.read`. Texts of named data sets that are no molecules are always skipped.

    Returns:
        Canonical SMILES, and the numbers in the column `values`: means over the rows of a molecule,
        NaN without any; empty without `values`.
    """
    from molvae.chem._parallel import parallel_map
    from molvae.chem.datasets import DATASETS, read_molecules
    from molvae.chem.molecules import canonical, canonical_or_none
    from molvae.chem.prepare import load_split

    n, seed = whole_number(n, "n", least=1), check_seed(seed)
    if Path(data).is_dir():
        if values is not None:
            raise DataError(f"{data} holds molecules only, no column {values!r}; name a table")
        molecules = load_split(data, "train")
        Random(seed).shuffle(molecules)
        return molecules[:n], []
    known_set = data in DATASETS
    table, place = read_molecules(data, column, () if values is None else (values,))
    numbers = {} if values is None else mean_values(table, table.column(values))
    rows, skipped, found = list(table.rows), list[int](), dict[str, list[float]]()
    Random(seed).shuffle(rows)
    texts = [cells[place] for _, cells in rows]
    # Any row of a molecule may have a value; without values the first `n` molecules are enough.
    all_rows = values is not None and not known_set
    parsed = parallel_map(canonical_or_none, texts) if all_rows else map(canonical_or_none, texts)
    for (line, cells), molecule in zip(rows, parsed, strict=True):
        if molecule is None:
            skipped.append(line)
            if not skip_invalid and not known_set:
                try:
                    canonical(cells[place])
                except InvalidMoleculeError as error:
                    table.invalid(line, place, error)
        elif molecule in found or len(found) < n:
            found.setdefault(molecule, []).extend([numbers[line]] if line in numbers else [])
        if len(found) == n and not all_rows:
            break
    table.check()
    if not known_set:
        print_skipped(table, sorted(skipped), len(rows))
    means = [fmean(several) if several else math.nan for several in found.values()]
    return list(found), [] if values is None else means


@dataclass(frozen=True)
class MeasuredRow:
    """The measurements of one trial."""

    id: int
    values: dict[str, list[float | Censored] | None]
    """Measurements by name; None: the measurement failed."""
    errors: dict[str, float]
    """Standard errors by name, as far as given."""
    message: str
    notes: dict[str, str]
    """Cells of other columns by the column's name."""
    blank: tuple[str, ...] = ()
    """Names of the values that are not known yet, unless the row says that the trial failed."""
    where: str = ""


def read_measurements(
    file: str,
    names: Sequence[str],
    known: Mapping[int, Mapping[str, str]] | None = None,
    skip: Collection[str] = (),
    plate: Collection[str] = (),
) -> list[MeasuredRow]:
    """Measurements of a table with columns `id`, those of `names`, and perhaps error and message.

    Args:
        file: As for `molvae.chem.readers.read_table`. A single name's columns may be called `value`
            and `error`. Molecules (a column `smiles`, or drawings) must be those of the trials.
        names: Names of the measured values.
        known: The exported row of each trial, by id and column, `smiles` at least. Cells equal to
            it are no notes. A row without a value and without a message is skipped.
        skip: Columns of an exported table that are no notes: the campaign computes them.
        plate: Columns of a plate that are no notes.

    Raises:
        DataError: Names file and line of all bad rows.
    """
    from molvae.chem.readers import read_table

    table = read_table(file, ("id", *names, "value"))
    if not table.rows and not table.bad_rows:
        raise DataError(f"{table.name} is empty; expected a table with columns 'id' and 'value'")
    if (ids := table.find("id")) is None:
        raise DataError(
            f"{table.lacks('id')}; give the ids that ask printed, or add molecules that were never "
            "proposed by molvae add"
        )
    alone = len(names) == 1
    places = columns_of(table, names, "value" if alone else "{}")
    if lacking := [name for name in names if name not in places]:
        raise DataError(table.lacks(lacking[0], *["value"] * alone))
    beside = columns_of(table, names, "error" if alone else "{}_error", own="{}_error")
    message, drawings = table.find("message"), table.find_molecules()
    signs = {name: operators_of(table, name, at, alone=alone) for name, at in places.items()}
    used = {
        ids,
        *places.values(),
        *beside.values(),
        message,
        drawings,
        *map(table.find, ASK_COLUMNS),
    }
    used |= {table.find(f"{name}_{OPERATOR_SUFFIX}") for name in names}
    values = {name: measured_values(table, at, signs[name]) for name, at in places.items()}
    errors = {name: standard_errors(table, at, values[name]) for name, at in beside.items()}
    used |= {take_replicates(table, name, values[name], errors.get(name, {})) for name in names}
    told, seen, status = list[MeasuredRow](), dict[int, int](), table.find("status")
    if status is not None and table.find("asked_at") is not None:
        used |= {table.find(name) for name in skip}
    if all(table.find(name) is not None for name in ("similarity", "kappa", "findings")):
        used |= {table.find(name) for name in plate}
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
        own = (known or {}).get(id_, {})
        if known is not None and not own:
            table.problem(line, f"trial {id_} is not in the campaign")
        elif own and drawings is not None and cells[drawings].lower() not in (*MISSING_TEXTS, "?"):
            _check_molecule(table, line, id_, cells[drawings], own["smiles"])
        blank = [name for name, place in places.items() if not cells[place].strip("; ")]
        words = [cells[one] for one in (status,) if one is not None]
        row = MeasuredRow(
            id=id_,
            blank=() if "failed" in words else tuple(blank),
            where=table.where(line),
            values={name: none_if_failed(found.get(line, [])) for name, found in values.items()},
            errors={name: found[line] for name, found in errors.items() if line in found},
            message=_message(cells, message, places.values()),
            notes={k: v for k, v in notes_of(table, cells, used).items() if not _is_own(own, k, v)},
        )
        if row.message or any(cells[place] for place in places.values()):
            told.append(row)
    table.check()
    if passed := len(seen) - len(told):
        say(f"rows without a value or message, which change nothing: {passed}")
    return told


def _is_own(own: Mapping[str, str], name: str, text: str) -> bool:
    """Whether a cell is equal to the campaign's own."""
    from molvae.campaign.history import COLUMN_ALIASES
    from molvae.campaign.trial import STATUSES

    text = STATUSES.get(text, text) if name == "status" else text
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


def parse_conditions(text: str) -> dict[str, float]:
    """Conditions as numbers by name.

    >>> parse_conditions("logP=2.5, QED=0.9")
    {'logP': 2.5, 'QED': 0.9}

    Raises:
        DataError: A part is not NAME=NUMBER, or a name comes twice.
    """
    found = dict[str, float]()
    for part in text.split(",") if text.strip() else ():
        name, _, written = (word.strip() for word in part.partition("="))
        try:
            value = number(written)
        except ValueError:
            name = ""
        if not name:
            said = shown(part.strip())
            raise DataError(f"conditions are written logP=2.5,QED=0.9; got {said}")
        if name in found:
            raise DataError(f"condition {name!r} is given twice: {text!r}")
        found[name] = value
    return found


def read_vectors(file: str, space: LatentSpace) -> Tensor:
    """Latent vectors of a table with columns z1, z2, ..., `n x dim`."""
    import torch

    from molvae.chem.readers import read_table

    columns = [f"z{i}" for i in range(1, space.dim + 1)]
    table = read_table(file, columns)
    numbers = {int(name[1:]) for name in table.header if re.fullmatch("[zZ][0-9]{1,6}", name)}
    if numbers and max(numbers) != space.dim:
        raise DataError(
            f"{table.name} has vectors up to z{max(numbers)}, and those of {space.title} go to "
            f"z{space.dim}; decode them with the model that encoded them"
        )
    for line in table.blank_lines:  # without one, molecules would stand beside other rows
        table.problem(line, "the row is empty", "remove it, or fill it in")
    places = [table.column(column) for column in columns]
    commas = [has_decimal_comma(table, place) for place in places]
    rows = []
    for line, cells in table.rows:
        row = list[float]()
        for place, comma in zip(places, commas, strict=True):
            try:
                row.append(number(cells[place], decimal_comma=comma))
            except ValueError as error:
                reason = str(error).partition(";")[0]  # what follows is about measured values
                table.problem(line, f"{table.header[place]}: {not_a_number(cells[place], reason)}")
        rows.append(row)
    table.check()
    if not rows:
        raise DataError(f"{table.name} has no rows below its header")
    return torch.tensor(rows, dtype=torch.float64)
