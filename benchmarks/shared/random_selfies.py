"""Absurd molecules of given lengths: random sequences of SELFIES symbols."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import selfies

from molvae.chem.representations import Selfies
from molvae.errors import ConfigError, InvalidMoleculeError

CHUNK_TOKENS = 3
"""Tokens sampled together."""


MAX_FAILED_CHUNKS = 6
"""Rejected chunks in a row before the molecule is shortened again."""


MAX_CHUNKS = 10_000
"""Chunks tried for one molecule before an error is raised."""


def random_selfies(
    lengths: Sequence[int], seed: int, *, symbols: Sequence[str] | None = None
) -> list[str]:
    """Absurd molecules: those that random sequences of SELFIES symbols encode.

    Most such sequences are molecules of a few atoms, because the first symbol that leaves no free
    bond ends them. Here three symbols at a time are added if they make the molecule longer, so that
    lengths can be asked for.

    Args:
        lengths: Of each molecule: the number of tokens of its SELFIES.
        seed: Of the random numbers.
        symbols: To sample from evenly, repeats counted; by default the about 50 of the selfies
            library's robust alphabet, in which uncommon ions are as frequent as carbon.

    Returns:
        Canonical SMILES, one for each length.

    Raises:
        ConfigError: A length is below 1, or the symbols make no molecule of a length.
    """
    if lengths and min(lengths) < 1:
        raise ConfigError(f"a molecule has at least 1 symbol, got length {min(lengths)}")
    draws, writer = Random(seed), Selfies()
    if symbols is None:
        symbols = sorted(selfies.get_semantic_robust_alphabet())
    return [_grown(length, symbols, draws, writer) for length in lengths]


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
