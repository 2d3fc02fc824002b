"""Molecules of several benchmarks: of prepared data sets, at random, absurd."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.shared.run import ROOT
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import prepare
from molvae.chem.representations import Selfies
from molvae.errors import ConfigError, DataError, InvalidMoleculeError
from molvae.latent.space import LatentSpace

PREPARED = ROOT / "data"  # folder of the prepared data sets
CHUNK_TOKENS = 3  # tokens of an absurd molecule that are sampled together
MAX_FAILED_CHUNKS = 6  # rejected chunks in a row before the molecule is shortened again
MAX_CHUNKS = 10_000  # chunks tried for one molecule before an error is raised


def require_prepared(name: str) -> Path:
    """A prepared data set.

    Raises:
        DataError: It is missing; holds the command that makes it.
    """
    place = PREPARED / name
    if not (place / "prepare.json").is_file():
        shown = place.relative_to(ROOT)
        raise DataError(
            f"{shown} is missing; make it with `molvae prepare {name} {shown}`, or try --quick"
        )
    return place


@contextmanager
def prepared(names: Sequence[str], few: int | None = None) -> Iterator[Path]:
    """The folder of prepared data sets; or one of so few molecules of each, prepared for this.

    Raises:
        DataError: One is missing.
    """
    if few is None:
        for name in names:
            require_prepared(name)
        yield PREPARED
        return
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            file = Path(place) / f"{name}.smi"
            file.write_text("\n".join(sample_molecules(name, few, seed=0)), "utf-8")
            prepare(file, Path(place) / name, workers=1)
        yield Path(place)


def readable(space: LatentSpace, molecules: Sequence[str]) -> list[str]:
    """The molecules that a model can encode."""
    return [m for m, ok in zip(molecules, space.can_encode(molecules), strict=True) if ok]


def starting(space: LatentSpace, n: int, seed: int, without: Collection[str] = ()) -> list[str]:
    """Random molecules of ZINC250k that a space can encode."""
    drawn = sample_molecules("zinc250k", n + n // 50 + 50, seed=seed)
    return [m for m in readable(space, drawn) if m not in without][:n]


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


def random_selfies(lengths: Sequence[int], seed: int, *, symbols: Sequence[str]) -> list[str]:
    """Absurd molecules, canonical SMILES: random sequences of SELFIES symbols of given lengths.

    Most such sequences are molecules of a few atoms, because the first symbol that leaves no free
    bond ends them. Here three symbols at a time are added if they make the molecule longer, so that
    lengths can be asked for. `symbols` are sampled evenly, repeats counted.

    Raises:
        ConfigError: A length is below 1, or the symbols make no molecule of a length.
    """
    if lengths and min(lengths) < 1:
        raise ConfigError(f"a molecule has at least 1 symbol, got length {min(lengths)}")
    draws = Random(seed)
    return [_grown(length, symbols, draws, Selfies()) for length in lengths]


def _grown(length: int, symbols: Sequence[str], draws: Random, writer: Selfies) -> str:
    """A molecule of a length, by chunks that make it longer; a dead end is taken back."""
    path: list[tuple[list[str], str, int]] = [([], "", 0)]
    failures = 0
    for _ in range(MAX_CHUNKS):
        if path[-1][2] == length:
            return path[-1][1]
        drawn = [*path[-1][0], *draws.choices(symbols, k=min(CHUNK_TOKENS, length - path[-1][2]))]
        try:
            molecule = writer.detokenize(drawn)
            longer = len(writer.tokenize(molecule))
        except InvalidMoleculeError:
            longer = 0
        if path[-1][2] < longer <= length:
            path.append((drawn, molecule, longer))
            failures = 0
        elif (failures := failures + 1) > MAX_FAILED_CHUNKS:
            path, failures = path[: max(1, len(path) - 1 - draws.randrange(3))], 0
    raise ConfigError(
        f"the {len(set(symbols))} symbols make no molecule of {length} symbols; give others"
    )
