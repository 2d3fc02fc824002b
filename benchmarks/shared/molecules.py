"""Molecules that several benchmarks need: of prepared data sets, at random, absurd."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.shared.random_selfies import random_selfies
from benchmarks.shared.run import ROOT
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import SPLITS, load_split, prepare
from molvae.chem.representations import Selfies
from molvae.errors import DataError, InvalidMoleculeError

PREPARED = ROOT / "data"
"""Folder of the prepared data sets."""


def require_prepared(name: str, folder: Path = PREPARED) -> Path:
    """A prepared data set.

    Raises:
        DataError: It is missing; holds the command that makes it.
    """
    place = folder / name
    if not (place / "prepare.json").is_file():
        shown = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
        raise DataError(
            f"{shown} is missing; make it with `molvae prepare {name} {shown}`, or try --quick"
        )
    return place


def splits(name: str, folder: Path = PREPARED) -> dict[str, list[str]]:
    """The molecules of a prepared data set, by split.

    Raises:
        DataError: It is missing.
    """
    place = require_prepared(name, folder)
    return {split: load_split(place, split) for split in SPLITS}


@contextmanager
def few_prepared(name: str, n: int) -> Iterator[Path]:
    """A folder with some molecules of a data set as if they were all of it, prepared."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "few.smi"
        file.write_text("\n".join(sample_molecules(name, n, seed=0)), "utf-8")
        prepare(file, Path(folder) / name, workers=1)
        yield Path(folder)


def some(molecules: Sequence[str], n: int, seed: int) -> list[str]:
    """Random molecules, none twice; all of them, shuffled, if there are no more than `n`."""
    order = np.random.default_rng(seed).permutation(len(molecules))[:n]
    return [molecules[i] for i in order]


def absurd(molecules: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Molecules of the same numbers of SELFIES symbols, drawn blindly from theirs."""
    written = []
    for molecule in molecules:
        try:
            written.append(Selfies().tokenize(molecule))
        except InvalidMoleculeError:  # a few of QM9 have bonds that SELFIES lacks
            continue
    lengths = [len(symbols) for symbols in written]
    drawn = [symbol for symbols in written for symbol in symbols]
    return {
        "absurd": random_selfies(lengths, seed, symbols=drawn),
        "absurd-even": random_selfies(lengths, seed, symbols=sorted(set(drawn))),
    }
