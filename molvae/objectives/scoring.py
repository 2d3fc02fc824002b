"""Scoring functions: functions of molecules with a name and a direction."""

from __future__ import annotations

import importlib
import inspect
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, cast, get_args

from rdkit import Chem, rdBase

from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical_or_none, list_of_smiles, parse
from molvae.chem.properties import get_property
from molvae.chem.values import listed_values, one_per_molecule, scalar
from molvae.config import CHOICE_ALIASES
from molvae.errors import (
    CampaignError,
    ConfigError,
    InvalidMoleculeError,
    MachineError,
    ObjectiveError,
    UnknownNameError,
    described,
)

Direction = Literal["maximize", "minimize"]


class ScoringFunction(Protocol):
    """Anything with a name and a direction that turns molecules into numbers.

    An optional attribute `batch_size` is the number of molecules that are best given at once.
    """

    @property
    def name(self) -> str:
        """Name of the values in campaign files and tables."""
        ...

    @property
    def direction(self) -> str:
        """Direction of the values: `maximize` or `minimize`."""
        ...

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """One value per molecule, order kept; NaN if it could not be scored.

        A function that measures several things returns a mapping of values by name per molecule.
        """
        ...


class ComputedScoring:
    """Base of scoring functions that RDKit computes, molecule by molecule."""

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """The values; NaN for texts that are not molecules."""
        return [self._one(text) for text in list_of_smiles(smiles)]

    def _one(self, text: str) -> float:
        try:
            with rdBase.BlockLogs():  # warnings about odd molecules, which nobody asked for
                return _finite(self._value(parse(text)))
        # RDKit's own code raises these on molecules that it does not expect.
        except (InvalidMoleculeError, ValueError, RuntimeError, ArithmeticError):
            return math.nan

    def _value(self, mol: Chem.Mol) -> float:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Properties(ComputedScoring):
    """A weighted sum of properties."""

    name: str
    direction: Direction
    terms: tuple[tuple[str, float], ...]  # properties and their weights
    doc: str
    bounds: tuple[float, float] | None = None  # smallest and largest possible value, if known

    is_cheap: ClassVar[bool] = True  # RDKit computes the values, so that they cost nothing

    def _value(self, mol: Chem.Mol) -> float:
        return sum(weight * float(get_property(name).compute(mol)) for name, weight in self.terms)


@dataclass(frozen=True, kw_only=True)
class Typicality:
    """Density percentile of a molecule in the latent space of the campaign, from 0 to 100."""

    name: str = "typicality"
    direction: Direction = "maximize"
    doc: str = "Density percentile in the latent space of the campaign, 0 to 100"
    compute: Callable[[Sequence[str]], Sequence[float | None]] | None = None
    """Computes them; a campaign sets it for its space."""

    is_cheap: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """The values; NaN for molecules that the space cannot encode.

        Raises:
            ConfigError: There is no space.
        """
        smiles = list_of_smiles(smiles)
        if self.compute is None:
            raise ConfigError(
                "typicality depends on the latent space of a campaign; without one, use molvae "
                "explore density"
            )
        known = [text for text in smiles if canonical_or_none(text) is not None]
        found = dict(zip(known, self.compute(known), strict=True))
        values = [found.get(text) for text in smiles]
        return [math.nan if value is None else value for value in values]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Tanimoto similarity to a molecule: Morgan bits of radius 2, folded to 2,048; in [0, 1].

    Rogers and Hahn (2010), doi:10.1021/ci100050t.
    """

    name: str
    direction: Direction
    target: str
    doc: str = "Tanimoto similarity to a molecule (Morgan, radius 2, 2048 bits)"

    is_cheap: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """The values; NaN for texts that are not molecules."""
        smiles = list_of_smiles(smiles)
        valid = [canonical_or_none(text) is not None for text in smiles]
        bits = morgan_bits([*compress(smiles, valid)])
        values = iter(tanimoto(bits, morgan_bits([self.target]))[:, 0].tolist())
        return [next(values) if one else math.nan for one in valid]


@dataclass(frozen=True, kw_only=True)
class PerMolecule:
    """A user's function of one molecule; it returns a number, or numbers by name."""

    name: str
    direction: Direction
    function: Callable[[Any], Any]
    of: Literal["mol", "smiles"]  # argument of the function: an RDKit molecule or a SMILES text
    doc: str = ""
    is_cheap: bool = False  # whether it may be computed for every candidate

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """Finite numbers, else NaN; NaN for invalid molecules.

        Raises:
            ObjectiveError: The function raised; names the molecule, chains the error.
        """
        return [_numbers(answer) for answer in self.answers(smiles)]

    def answers(self, smiles: Sequence[str], /) -> list[Any]:
        """The unchanged answers of the function."""
        return [self._one(text) for text in list_of_smiles(smiles)]

    def _one(self, text: str) -> Any:
        try:
            argument = parse(text) if self.of == "mol" else text
        except InvalidMoleculeError:
            return math.nan
        try:
            return self.function(argument)
        except (CampaignError, MachineError):  # which are not about the molecule
            raise
        except Exception as error:
            raise _broke(self.name, repr(text), error) from error

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(vars(self))
        if self.of == "smiles":
            return partial(PerMolecule, **state), ()
        # The decorator's result stands where pickle would look for the function.
        del state["function"]
        return _found, (*_place(self), state)


@dataclass(frozen=True, kw_only=True)
class Batched:
    """A user's object that is called with a list of SMILES."""

    name: str
    direction: Direction
    function: Callable[[list[str]], Any]
    batch_size: int = 1  # number of molecules given at once
    doc: str = ""
    version: str | None = None  # recorded in campaign files

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """Finite numbers, else NaN.

        Raises:
            ObjectiveError: The object raised, or did not return one value per molecule.
        """
        smiles = list_of_smiles(smiles)
        answers = one_per_molecule(self.name, self.answers(smiles), len(smiles))
        return [_numbers(answer) for answer in answers]

    def answers(self, smiles: Sequence[str], /) -> Any:
        """The unchanged answers of the object, as a list."""
        smiles = list_of_smiles(smiles)
        what = ", ".join(map(repr, smiles[:1])) + (", ..." if len(smiles) > 1 else "")
        try:
            return listed_values(self.function(smiles))
        except (CampaignError, MachineError):
            raise
        except Exception as error:
            raise _broke(self.name, what, error) from error


def _tell(error: BaseException) -> str:
    """An error of a user's code in one line, with file and line."""
    text = described(error)
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, SyntaxError):  # which says its place itself
        path = Path(frames[-1].filename)
        if path.parent != Path(__file__).parent and not path.name.startswith("<frozen"):
            text += f" ({path.name}, line {frames[-1].lineno})"
    return text


def _broke(name: str, what: str, error: Exception) -> ObjectiveError:
    return ObjectiveError(f"objective {name!r} broke on {what}: {_tell(error)}")


def _numbers(answer: Any) -> float | dict[str, float]:
    """Finite numbers, or NaN for everything else: None, infinite, text, True, a complex number."""
    if isinstance(answer, Mapping):
        return {str(name): _finite(one) for name, one in answer.items()}
    return _finite(answer)


def _finite(value: Any) -> float:
    try:
        number = scalar(value)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def checked_direction(direction: Any) -> Direction:
    """A direction; the old spellings are read."""
    current = CHOICE_ALIASES.get(direction, direction) if isinstance(direction, str) else direction
    if current not in get_args(Direction):
        raise UnknownNameError("direction", str(direction), get_args(Direction))
    return cast(Direction, current)


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0].rstrip(".")


def _place(made: PerMolecule) -> tuple[str, str]:
    return made.function.__module__, made.function.__qualname__


def _found(module: str, qualname: str, state: dict[str, Any]) -> PerMolecule:
    """A pickled scoring function, with its function from the module."""
    target = attrgetter(qualname)(importlib.import_module(module))
    function = target.function if isinstance(target, PerMolecule) else target
    return PerMolecule(**state, function=function)
