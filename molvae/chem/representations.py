"""Representations: a molecule as tokens of SELFIES, SMILES or robust SMILES, and back."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from threading import RLock
from typing import Any, ClassVar

import selfies
from rdkit import Chem

from molvae.chem.molecules import canonical, canonical_or_none, parse
from molvae.chem.repair import repair
from molvae.errors import ConfigError, InvalidMoleculeError, lookup


@dataclass(frozen=True, kw_only=True)
class Representation(ABC):
    """A way to write molecules.

    Contract: `detokenize(tokenize(s)) == canonical(s)`, or `tokenize` raises.
    """

    name: ClassVar[str]  # its key in `REPRESENTATIONS`

    @abstractmethod
    def tokenize(self, smiles: str) -> list[str]:
        """The tokens of a molecule; SMILES that are not canonical keep their order of atoms.

        Raises:
            InvalidMoleculeError: The representation cannot write it.
        """

    @abstractmethod
    def detokenize(self, tokens: Sequence[str]) -> str:
        """The molecule that tokens encode, as canonical SMILES.

        Raises:
            InvalidMoleculeError: They encode none.
        """

    def is_valid_as_written(self, tokens: Sequence[str]) -> bool:
        """Whether `detokenize` takes tokens as they stand; False if it has to repair them."""
        return True

    def settings(self) -> dict[str, Any]:
        """The settings that `get_representation` takes, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Constrained(Representation):
    """Raises `ConfigError` if `selfies.set_semantic_constraints` does not take the constraints."""

    constraints: Mapping[str, int] = field(
        default_factory=lambda: dict(selfies.get_preset_constraints("default"))
    )
    """Maximal number of bonds of each atom, e.g. `"N+1": 4`; `"?"` stands for all others."""

    def __post_init__(self) -> None:
        # A copy, so that the caller's mapping can change without changing this object.
        object.__setattr__(self, "constraints", dict(self.constraints))
        try:
            with _in_force(self.constraints):
                pass
        except ValueError as error:
            raise ConfigError(f"these are no constraints for SELFIES: {error}") from error


class Selfies(_Constrained):
    """SELFIES: every sequence of tokens that holds an atom is a molecule.

    The selfies library keeps the valences of atoms in a global setting. This object keeps its own,
    so that a model decodes as it did when it was trained: the global setting is replaced during a
    call and restored afterwards. The default is the library's preset.

    Krenn et al. (2020), doi:10.1088/2632-2153/aba947; Lo et al. (2023), doi:10.1039/D3DD00044C.
    """

    name = "selfies"

    def tokenize(self, smiles: str) -> list[str]:
        """The SELFIES symbols of a molecule; `.` separates fragments.

        Raises:
            InvalidMoleculeError: SELFIES cannot write it: not SMILES, an atom with more bonds than
                the constraints allow, or something that SELFIES lacks (wildcards, quadruple bonds,
                stereocenters other than tetrahedral).
        """
        try:
            with _in_force(self.constraints):
                return list(selfies.split_selfies(selfies.encoder(smiles)))
        except selfies.EncoderError as error:
            raise InvalidMoleculeError(f"SELFIES cannot write {smiles!r}: {_why(error)}") from error

    def detokenize(self, tokens: Sequence[str]) -> str:
        """The molecule; bonds that the constraints do not allow are left out or lowered.

        Raises:
            InvalidMoleculeError: The tokens hold no atom, or one of them is no SELFIES symbol.
        """
        try:
            with _in_force(self.constraints):
                smiles = selfies.decoder("".join(tokens))
        except selfies.DecoderError as error:
            raise InvalidMoleculeError(f"not SELFIES: {_why(error)}") from error
        if not smiles:
            raise InvalidMoleculeError(f"the {len(tokens)} SELFIES symbols hold no atom")
        return canonical(smiles)


SMILES_TOKEN = re.compile(
    r"\[[^\[\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\(\d{3,5}\)|%\d\d|[0-9()=#$:/\\.~*+-]"
)
"""An atom, a bond, a bracket or a ring number, after Schwaller et al. (2018),
doi:10.1039/C8SC02339E."""


class Smiles(Representation):
    """SMILES, cut into atoms, bonds, brackets and ring numbers.

    Unlike with SELFIES, most random sequences of tokens are no molecule.
    """

    name = "smiles"

    def tokenize(self, smiles: str) -> list[str]:
        """The tokens of a SMILES text; joined, they are that text.

        Raises:
            InvalidMoleculeError: A character that SMILES does not have, named with its position.
                Whether the text is a molecule is not checked.
        """
        tokens, position = [], 0
        while position < len(smiles):
            match = SMILES_TOKEN.match(smiles, position)
            if match is None:
                raise InvalidMoleculeError(
                    f"not SMILES: {smiles!r} has {smiles[position]!r} at position {position}"
                )
            tokens.append(match.group())
            position = match.end()
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """The molecule.

        Raises:
            InvalidMoleculeError: The tokens encode none; holds RDKit's reason.
        """
        return canonical("".join(tokens))


class RobustSmiles(_Constrained):
    """Kekulé SMILES of which every sequence of tokens that holds an atom is a molecule.

    SELFIES writes the lengths of branches and rings as numbers ahead of what they count, so that
    one wrong token spoils the rest. SMILES marks where they begin and end. Here valid SMILES is
    read as it is; anything else is repaired (`molvae.chem.repair`) within the constraints.

    References:
        Skinnider (2024), doi:10.1038/s42256-024-00821-x, on what SELFIES costs a language model;
        Krenn et al. (2020), doi:10.1088/2632-2153/aba947, for the constraints.
    """

    name = "robust-smiles"

    def tokenize(self, smiles: str) -> list[str]:
        """The tokens of a molecule's Kekulé SMILES.

        Raises:
            InvalidMoleculeError: Not a molecule, or one whose Kekulé form is read as another.
        """
        mol = parse(smiles)
        Chem.Kekulize(mol, clearAromaticFlags=True)
        kekule = Chem.MolToSmiles(mol, kekuleSmiles=True)
        if canonical(kekule) != canonical(smiles):
            raise InvalidMoleculeError(f"{smiles!r} has no Kekule SMILES that is read as itself")
        return Smiles().tokenize(kekule)

    def is_valid_as_written(self, tokens: Sequence[str]) -> bool:
        """Whether they are valid SMILES."""
        return canonical_or_none("".join(tokens)) is not None

    def detokenize(self, tokens: Sequence[str]) -> str:
        """The molecule.

        Raises:
            InvalidMoleculeError: The tokens hold no atom, or RDKit refuses the repaired text (atoms
                of unusual valence, or aromatic ones, which Kekulé SMILES does not have).
        """
        if not any(token[0].isalpha() or token[0] == "[" for token in tokens):
            raise InvalidMoleculeError(f"the {len(tokens)} SMILES tokens hold no atom")
        as_written = canonical_or_none("".join(tokens))
        return as_written or canonical(repair(tokens, self.constraints))


REPRESENTATIONS: dict[str, type[Representation]] = {
    kind.name: kind for kind in (Selfies, Smiles, RobustSmiles)
}
"""Every representation by its name."""


def get_representation(name: str, settings: Mapping[str, Any] | None = None) -> Representation:
    """A representation by its name, with settings as its `settings()` returns them.

    Raises:
        UnknownNameError: The name is unknown.
        ConfigError: A setting is unknown or out of range.
    """
    kind = lookup("representation", name, REPRESENTATIONS)
    try:
        return kind(**(settings or {}))
    except TypeError as error:
        raise ConfigError(f"representation {name!r} has no such settings: {settings}") from error


_LOCK = RLock()


@contextmanager
def _in_force(constraints: Mapping[str, int]) -> Iterator[None]:
    """Replace the global constraints of the selfies library during the block."""
    with _LOCK:
        before = selfies.get_semantic_constraints()
        if before != constraints:
            selfies.set_semantic_constraints(dict(constraints))
        try:
            yield
        finally:
            if before != constraints:
                selfies.set_semantic_constraints(before)


def _why(error: Exception) -> str:
    """The reason in an error of the selfies library, whose message has several lines."""
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = [
        line for line in lines if line and not line.startswith(("SMILES:", "SELFIES:", "Errors:"))
    ]
    if isinstance(reason := getattr(error.__cause__, "reason", None), str):
        reasons.append(reason)
    return ", ".join(reasons)
