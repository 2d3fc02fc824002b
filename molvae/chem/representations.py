"""How a molecule is written as a sequence of symbols, behind one protocol.

SELFIES, SMILES, and robust SMILES: written as SMILES, read as forgivingly as SELFIES.

Knows texts and symbols; their integers are the vocabulary's, what a network makes of them the
model's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from threading import RLock
from typing import Any, Protocol

import selfies
from rdkit import Chem

from molvae.chem.molecules import canonical, canonical_or_none, parse
from molvae.chem.repair import repair
from molvae.errors import ConfigError, InvalidMoleculeError, UnknownNameError


class Representation(Protocol):
    """A way to write molecules. Contract: `join(split(s)) == canonical(s)`, or `split` raises."""

    @property
    def name(self) -> str:
        """What `get_representation` knows it by."""
        ...

    def split(self, smiles: str) -> list[str]:
        """The symbols of a molecule.

        Args:
            smiles: Canonical SMILES; others are accepted and keep their order of atoms.

        Raises:
            InvalidMoleculeError: The representation cannot write it.
        """
        ...

    def join(self, symbols: Sequence[str]) -> str:
        """The molecule that symbols spell, as canonical SMILES.

        Raises:
            InvalidMoleculeError: They spell none.
        """
        ...

    def is_valid_as_written(self, symbols: Sequence[str]) -> bool:
        """Whether `join` takes symbols as they stand; False if it has to mend them."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `get_representation` needs to make it again, ready for JSON."""
        ...


def _default_constraints() -> dict[str, int]:
    return dict(selfies.get_preset_constraints("default"))


@dataclass(frozen=True, kw_only=True)
class Selfies:
    """SELFIES: every sequence of symbols that holds an atom is a molecule.

    How many bonds each atom may have is a global setting of the selfies library. This object keeps
    its own, so that a model decodes tomorrow as it did when it was trained: the library's are put
    aside for the length of a call and are back afterwards. The default is the library's preset,
    whatever was set globally.

    Raises:
        ConfigError: `constraints` are not what `selfies.set_semantic_constraints` takes.

    References:
        Krenn et al. (2020), doi:10.1088/2632-2153/aba947; Lo et al. (2023), doi:10.1039/D3DD00044C.
    """

    constraints: Mapping[str, int] = field(default_factory=_default_constraints)
    """Most bonds of each atom, e.g. `"N+1": 4`; `"?"` stands for all others."""

    def __post_init__(self) -> None:
        # A copy, so that the caller's mapping can change without changing this object.
        object.__setattr__(self, "constraints", dict(self.constraints))
        try:
            with _in_force(self.constraints):
                pass
        except ValueError as error:
            raise ConfigError(f"these are no constraints for SELFIES: {error}") from error

    @property
    def name(self) -> str:
        """`selfies`."""
        return "selfies"

    def settings(self) -> dict[str, Any]:
        """The constraints, ready for JSON."""
        return {"constraints": dict(self.constraints)}

    def split(self, smiles: str) -> list[str]:
        """The SELFIES symbols of a molecule; `.` stands between fragments.

        Args:
            smiles: Canonical SMILES; others are accepted and keep their order of atoms.

        Raises:
            InvalidMoleculeError: SELFIES cannot write it: not SMILES, an atom with more bonds than
                the constraints allow, or something that SELFIES lacks (wildcards, quadruple bonds,
                stereo-centres other than tetrahedral).
        """
        try:
            with _in_force(self.constraints):
                return list(selfies.split_selfies(selfies.encoder(smiles)))
        except selfies.EncoderError as error:
            raise InvalidMoleculeError(f"SELFIES cannot write {smiles!r}: {_why(error)}") from error

    def is_valid_as_written(self, symbols: Sequence[str]) -> bool:
        """True: what SELFIES means by any sequence is part of its grammar."""
        return True

    def join(self, symbols: Sequence[str]) -> str:
        """The molecule that SELFIES symbols spell, as canonical SMILES.

        What the constraints do not allow is left out or read as an allowed bond, so only two things
        can fail.

        Raises:
            InvalidMoleculeError: The symbols hold no atom, or one of them is no SELFIES symbol at
                all.
        """
        try:
            with _in_force(self.constraints):
                smiles = selfies.decoder("".join(symbols))
        except selfies.DecoderError as error:
            raise InvalidMoleculeError(f"not SELFIES: {_why(error)}") from error
        if not smiles:
            raise InvalidMoleculeError(f"the {len(symbols)} SELFIES symbols hold no atom")
        return canonical(smiles)


CHUNK, PATIENCE, ENOUGH = 3, 6, 10_000
"""Of `random_selfies`: symbols drawn together, chunks that may fail before one is taken back, and
chunks of a molecule before it is given up."""


def random_selfies(
    lengths: Sequence[int], seed: int, *, symbols: Sequence[str] | None = None
) -> list[str]:
    """Absurd molecules: what sequences of SELFIES symbols spell that are drawn blindly.

    Most such sequences are molecules of a few atoms: the first symbol that leaves no free bond ends
    them. Here three symbols at a time are drawn until they make the molecule longer, so that
    lengths can be asked for.

    Args:
        lengths: Of each molecule: the symbols of its SELFIES, as `Selfies.split` writes it.
        seed: Of the draws.
        symbols: To draw from evenly, repeats counted; by default the about 50 of the selfies
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
        with _in_force(writer.constraints):
            symbols = sorted(selfies.get_semantic_robust_alphabet())
    return [_grown(length, symbols, draws, writer) for length in lengths]


def _grown(length: int, symbols: Sequence[str], draws: Random, writer: Selfies) -> str:
    """A molecule of a length, by chunks that make it longer; a dead end is taken back."""
    path: list[tuple[list[str], str, int]] = [([], "", 0)]
    failures = 0
    for _ in range(ENOUGH):
        if path[-1][2] == length:
            return path[-1][1]
        drawn = [*path[-1][0], *draws.choices(symbols, k=min(CHUNK, length - path[-1][2]))]
        try:
            molecule = writer.join(drawn)
            longer = len(writer.split(molecule))
        except InvalidMoleculeError:
            longer = 0
        if path[-1][2] < longer <= length:
            path.append((drawn, molecule, longer))
            failures = 0
        elif (failures := failures + 1) > PATIENCE:
            path, failures = path[: max(1, len(path) - 1 - draws.randrange(3))], 0
    raise ConfigError(
        f"the {len(set(symbols))} symbols make no molecule of {length} symbols; give others"
    )


SMILES_SYMBOL = re.compile(
    r"\[[^\[\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\(\d{3,5}\)|%\d\d|[0-9()=#$:/\\.~*+-]"
)
"""An atom, a bond, a bracket or a ring number, after Schwaller et al. (2018),
doi:10.1039/C8SC02339E."""


@dataclass(frozen=True, kw_only=True)
class Smiles:
    """SMILES, cut into atoms, bonds, brackets and ring numbers.

    Unlike with SELFIES, most random sequences of symbols are no molecule.
    """

    @property
    def name(self) -> str:
        """`smiles`."""
        return "smiles"

    def settings(self) -> dict[str, Any]:
        """Nothing: an empty dict."""
        return {}

    def split(self, smiles: str) -> list[str]:
        """The SMILES symbols of a molecule; joined, they are `smiles` again.

        Args:
            smiles: Canonical SMILES; others are accepted and kept as they are.

        Raises:
            InvalidMoleculeError: A character that SMILES does not have, named with its position.
                Whether the text is a molecule is not checked.
        """
        symbols, position = [], 0
        while position < len(smiles):
            match = SMILES_SYMBOL.match(smiles, position)
            if match is None:
                raise InvalidMoleculeError(
                    f"not SMILES: {smiles!r} has {smiles[position]!r} at position {position}"
                )
            symbols.append(match.group())
            position = match.end()
        return symbols

    def is_valid_as_written(self, symbols: Sequence[str]) -> bool:
        """True: nothing is mended here, what is wrong is no molecule."""
        return True

    def join(self, symbols: Sequence[str]) -> str:
        """The molecule that SMILES symbols spell, as canonical SMILES.

        Raises:
            InvalidMoleculeError: They spell none; holds RDKit's reason.
        """
        return canonical("".join(symbols))


@dataclass(frozen=True, kw_only=True)
class RobustSmiles:
    """Kekule SMILES, of which every sequence of symbols that holds an atom is a molecule.

    SELFIES writes the lengths of branches and rings as numbers ahead of what they count, so that a
    model that errs by one symbol spoils the rest. SMILES marks where they begin and end. Here
    correct SMILES is read as it stands; of anything else brackets and ring numbers without a
    partner are left out, and bonds that an atom cannot have are lowered or lead to another one.

    Raises:
        ConfigError: `constraints` are not what `selfies.set_semantic_constraints` takes.

    References:
        Skinnider (2024), doi:10.1038/s42256-024-00821-x, on what SELFIES costs a language model;
        Krenn et al. (2020), doi:10.1088/2632-2153/aba947, for the constraints.
    """

    constraints: Mapping[str, int] = field(default_factory=_default_constraints)
    """Most bonds of each atom where there is something to mend; see `Selfies`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "constraints", Selfies(constraints=self.constraints).constraints)

    @property
    def name(self) -> str:
        """`robust-smiles`."""
        return "robust-smiles"

    def settings(self) -> dict[str, Any]:
        """The constraints, ready for JSON."""
        return {"constraints": dict(self.constraints)}

    def split(self, smiles: str) -> list[str]:
        """The symbols of a molecule's Kekule SMILES.

        Raises:
            InvalidMoleculeError: Not a molecule, or one whose Kekule form is read as another.
        """
        mol = parse(smiles)
        expected = canonical(smiles)
        Chem.Kekulize(mol, clearAromaticFlags=True)
        kekule = Chem.MolToSmiles(mol, kekuleSmiles=True)
        if canonical(kekule) != expected:
            raise InvalidMoleculeError(f"{smiles!r} has no Kekule SMILES that is read as itself")
        return Smiles().split(kekule)

    def is_valid_as_written(self, symbols: Sequence[str]) -> bool:
        """Whether they are correct SMILES."""
        return canonical_or_none("".join(symbols)) is not None

    def join(self, symbols: Sequence[str]) -> str:
        """The molecule that symbols spell, as canonical SMILES.

        Raises:
            InvalidMoleculeError: The symbols hold no atom, or RDKit does not take what they spell
                (atoms with odd valences, or written as aromatic, which Kekule SMILES has not).
        """
        if not any(symbol[0].isalpha() or symbol[0] == "[" for symbol in symbols):
            raise InvalidMoleculeError(f"the {len(symbols)} SMILES symbols hold no atom")
        try:
            return canonical("".join(symbols))
        except InvalidMoleculeError:
            return canonical(repair(symbols, self.constraints))


REPRESENTATIONS: dict[str, type[Selfies] | type[Smiles] | type[RobustSmiles]] = {
    "selfies": Selfies,
    "smiles": Smiles,
    "robust-smiles": RobustSmiles,
}
"""Every representation by its name."""


def get_representation(name: str, settings: Mapping[str, Any] | None = None) -> Representation:
    """A representation by its name.

    Args:
        name: `selfies`, `smiles` or `robust-smiles`.
        settings: What its `settings()` returned; the defaults if left out.

    Raises:
        UnknownNameError: No representation of that name.
        ConfigError: Settings that it does not have, or out of range.
    """
    if name not in REPRESENTATIONS:
        raise UnknownNameError("representation", name, REPRESENTATIONS)
    try:
        return REPRESENTATIONS[name](**(settings or {}))
    except TypeError as error:
        raise ConfigError(f"representation {name!r} has no such settings: {settings}") from error


_LOCK = RLock()


@contextmanager
def _in_force(constraints: Mapping[str, int]) -> Iterator[None]:
    """Put constraints in the place of the selfies library's global ones during the block."""
    with _LOCK:
        before = selfies.get_semantic_constraints()
        if before == constraints:
            yield
            return
        selfies.set_semantic_constraints(dict(constraints))
        try:
            yield
        finally:
            selfies.set_semantic_constraints(before)


def _why(error: Exception) -> str:
    """The reason in an error of the selfies library: several lines there, and its cause."""
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = [
        line for line in lines if line and not line.startswith(("SMILES:", "SELFIES:", "Errors:"))
    ]
    if isinstance(reason := getattr(error.__cause__, "reason", None), str):
        reasons.append(reason)
    return ", ".join(reasons)


__all__ = [
    "REPRESENTATIONS",
    "Representation",
    "RobustSmiles",
    "Selfies",
    "Smiles",
    "get_representation",
    "random_selfies",
]
