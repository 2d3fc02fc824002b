"""What users hand to commands: molecules, measured values, latent vectors, held-out molecules.

Reads and checks, and names file and line of what is wrong. Writes nothing and calls no model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from molvae.chem.tables import Table, columns_of, notes_of
from molvae.chem.values import NO_VALUE, Censored, measured, not_a_number, number
from molvae.cli.terminal import say
from molvae.config import check_seed, whole_number
from molvae.errors import DataError, InvalidMoleculeError, listed, shown

if TYPE_CHECKING:
    from torch import Tensor


def molecules_of(file: str, *, skip_invalid: bool, column: str | None = None) -> list[str]:
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
                table.invalid(line, error)
    table.problems.check()
    say_skipped(table, skipped, len(table.rows))
    return rows


def say_skipped(table: Table, lines: Sequence[int], n: int) -> None:
    """Say how many of `n` rows held no molecules, and which."""
    if lines:
        places = listed([table.where(line) for line in lines])
        say(f"{len(lines)} of {n} skipped: no molecules ({places})")


def held_out(data: str, n: int, seed: int, skip_invalid: bool) -> tuple[list[str], set[str] | None]:
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
        test = molecules_of(data, skip_invalid=skip_invalid)
    return Random(seed).sample(test, min(n, len(test))), training


ASKED = ("id", "smiles", "percentile")
"""Columns of a sheet as `ask` prints it."""


def drawn(
    data: str,
    n: int,
    seed: int,
    *,
    skip_invalid: bool = False,
    column: str | None = None,
    values: str | None = None,
) -> tuple[list[str], list[float]]:
    """Random distinct molecules of a data set, in random order; all if there are fewer.

    Args:
        data: A folder made by prepare, whose training molecules are taken; or as of
            `molvae.chem.datasets.read`.
        n: How many, at least 1.
        seed: Of the draw.
        skip_invalid: Leave out and count texts that are no molecules. Those of the known data sets
            are passed over in any case.
        column: Of the molecules in a table.
        values: Of numbers in it.

    Returns:
        Canonical SMILES, and the numbers, NaN where the cell is empty; no numbers without a column.

    Raises:
        ConfigError: n is below 1.
        DataError: As of `molvae.chem.datasets.read`; or a cell is no number.
        InvalidMoleculeError: A text is not a molecule.
    """
    from molvae.chem._parallel import parallel_map
    from molvae.chem.datasets import DATASETS, read_molecules
    from molvae.chem.molecules import canonical_or_none
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
    numbers = {} if values is None else table.numbers(table.column(values))
    rows, skipped, found = list(table.rows), list[int](), dict[str, list[float]]()
    Random(seed).shuffle(rows)
    texts = [cells[place] for _, cells in rows]
    # A value may stand in any of the rows of a molecule; otherwise the first ones will do.
    all_rows = values is not None and not known_set
    parsed = parallel_map(canonical_or_none, texts) if all_rows else map(canonical_or_none, texts)
    for (line, cells), molecule in zip(rows, parsed, strict=True):
        if molecule is None:
            skipped.append(line)
            if not skip_invalid and not known_set:
                table.invalid(line, _reason(cells[place]))
        elif molecule in found or len(found) < n:
            found.setdefault(molecule, []).extend([numbers[line]] if line in numbers else [])
        if len(found) == n and not all_rows:
            break
    table.problems.check()
    if not known_set:
        say_skipped(table, sorted(skipped), len(rows))
    means = [fmean(several) if several else math.nan for several in found.values()]
    return list(found), [] if values is None else means


def _reason(text: str) -> str:
    from molvae.chem.molecules import parse

    try:
        parse(text)
    except InvalidMoleculeError as error:
        return str(error)
    return f"RDKit cannot write {shown(text)}"


def is_record(file: str | Path) -> bool:
    """Whether a file is a campaign's record, by its first bytes."""
    try:
        with open(file, "rb") as opened:
            return opened.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


@dataclass(frozen=True)
class Told:
    """What a sheet says of a trial."""

    id: int
    values: dict[str, float | list[float] | None]
    """By name; several are replicates; None: it could not be measured."""
    errors: dict[str, float] = field(default_factory=dict)
    """Standard errors, where there are any."""
    message: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    """What other columns hold."""


def sheet(
    file: str, names: Sequence[str], known: Mapping[int, Mapping[str, str]] | None = None
) -> list[Told]:
    """A sheet of measurements: a table, e.g. CSV, Excel or SDF.

    Args:
        file: With a column `id`, one for each name, and perhaps `NAME_error` and `message`. If only
            one thing is measured, its columns may be called `value` and `error`. Where it has
            molecules, in a column `smiles` or as drawings, they must be those of the trials. See
            `molvae.chem.readers.read_table` for what is read.
        names: Of what is measured.
        known: What the record says of each trial, by id and by column of its table, `smiles` at
            least. Its own words are no notes; and a row without a value whose `status` is `pending`
            is passed over: it stays pending.

    Raises:
        DataError: Names file and line of what cannot be read, of all bad lines together.
    """
    from molvae.chem.readers import read_table

    table = read_table(file, ("id", *names, "value"))
    if not table.rows and not table.problems.found:
        raise DataError(f"{table.name} is empty; expected a table with columns 'id' and 'value'")
    ids, alone = table.column("id"), len(names) == 1
    places = columns_of(table, names, "value" if alone else "{}")
    if lacking := [name for name in names if name not in places]:
        raise DataError(table.lacks(lacking[0], *["value"] * alone))
    beside = columns_of(table, names, "error" if alone else "{}_error", own="{}_error")
    message, drawings = table.find("message"), table.find_molecules()
    used = {ids, *places.values(), *beside.values(), message, drawings, *map(table.find, ASKED)}
    values = {name: table.measured(place) for name, place in places.items()}
    errors = {name: table.standard_errors(at, values[name]) for name, at in beside.items()}
    told, seen, status = list[Told](), dict[int, int](), table.find("status")
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
            table.problem(line, f"trial {id_} is not in the record")
        elif own and drawings is not None and cells[drawings].lower() not in (*NO_VALUE, "?"):
            _check_molecule(table, line, id_, cells[drawings], own["smiles"])
        row = Told(
            id=id_,
            values={
                name: _numbers_of(table, line, found.get(line, []))
                for name, found in values.items()
            },
            errors={name: found[line] for name, found in errors.items() if line in found},
            message=_message(cells, message, places.values()),
            notes={k: v for k, v in notes_of(table, cells, used).items() if not _is_own(own, k, v)},
        )
        pending = own.get("status") == "pending"
        exported = pending and status is not None and _is_own(own, "status", cells[status])
        if not exported or any(cells[place] for place in places.values()):
            told.append(row)
    if passed := len(seen) - len(told):
        say(f"rows without a value whose status is pending, which stay pending: {passed}")
    table.problems.check()
    return told


def _is_own(own: Mapping[str, str], name: str, text: str) -> bool:
    """Whether a cell is what the campaign itself says of a trial."""
    from molvae.campaign.history import COLUMN_ALIASES
    from molvae.campaign.trial import STATUSES

    text = STATUSES.get(text, text) if name == "status" else text
    return own.get(COLUMN_ALIASES.get(name, name)) == text


def _id(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,18})(?:[.,]0+)?", text)  # spreadsheets write 4.0 as well
    return int(found[1]) if found else None


def _numbers_of(
    table: Table, line: int, found: Sequence[float | Censored]
) -> float | list[float] | None:
    """A told value; several are replicates; None for one that could not be measured."""
    if bounds := [value.text for value in found if isinstance(value, Censored)]:
        table.problem(
            line,
            f"{bounds[0]} is a bound, which cannot be used yet",
            "take such rows out, so that their trials stay pending, or write failed",
        )
    known = [value for value in found if isinstance(value, float) and not math.isnan(value)]
    return known if len(known) > 1 else known[0] if known else None


def _message(cells: Sequence[str], place: int | None, values: Collection[int]) -> str:
    """The message of a row; without one, how it was said that there is no value."""
    if place is not None and cells[place]:
        return cells[place]
    said = [cells[value] for value in values]
    return "; ".join(text for text in said if text.lower() in NO_VALUE and text)


def _check_molecule(table: Table, line: int, id_: int, given: str, smiles: str) -> None:
    """Note that a row is about another molecule than its trial."""
    from molvae.chem.molecules import canonical
    from molvae.chem.structure_files import is_drawing_of

    try:
        same = is_drawing_of(given, smiles) if table.is_drawn else canonical(given) == smiles
    except InvalidMoleculeError as error:
        table.problem(line, str(error), "mend the molecule, or leave its cell empty")
        return
    if not same:
        table.problem(
            line,
            f"the molecule is {shown(given)}, but trial {id_} is {shown(smiles)}",
            "sort the rows as they were, or tell them to the campaign that asked for them",
        )


def told_value(text: str) -> float | list[float] | None:
    """A told value; several, with ; between them, are replicates; None if it was not measured.

    Raises:
        DataError: It is no number, or empty, as by a variable of the shell that is not set.
    """
    if not text.strip("; \t"):
        raise DataError("the value is empty; give a number, or write failed")
    found = list[float]()
    parts = text.split(";")
    for part in parts:
        try:
            value = measured(part, alone=len(parts) == 1)
        except ValueError as reason:
            raise DataError(
                f"value: {not_a_number(part, reason)}; write failed if it could not be measured"
            ) from reason
        if isinstance(value, Censored):
            raise DataError(f"value: {value.text} is a bound, which cannot be used yet")
        if value is not None and not math.isnan(value):
            found.append(value)
    return found if len(found) > 1 else found[0] if found else None


def conditions(text: str) -> dict[str, float]:
    """Numbers by name, from a text.

    >>> conditions("logP=2.5, QED=0.9")
    {'logP': 2.5, 'QED': 0.9}

    Raises:
        DataError: A part of it is not a name with a number, or a name comes twice.
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


def vectors(file: str, dim: int) -> Tensor:
    """Latent vectors of a table with columns z1, z2, ..., `n x dim`."""
    import torch

    from molvae.chem.readers import read_table

    columns = [f"z{i}" for i in range(1, dim + 1)]
    table = read_table(file, columns)
    places = [table.column(column) for column in columns]
    commas = [table.decimal_comma(place) for place in places]
    rows = []
    for line, cells in table.rows:
        row = list[float]()
        for place, comma in zip(places, commas, strict=True):
            try:
                row.append(number(cells[place], decimal_comma=comma))
            except ValueError as reason:
                table.problem(line, f"{table.header[place]}: {not_a_number(cells[place], reason)}")
        rows.append(row)
    table.problems.check()
    if not rows:
        raise DataError(f"{table.name} has no rows below its header")
    return torch.tensor(rows, dtype=torch.float64)


__all__ = [
    "ASKED",
    "Told",
    "conditions",
    "drawn",
    "held_out",
    "is_record",
    "molecules_of",
    "say_skipped",
    "sheet",
    "told_value",
    "vectors",
]
