"""What a campaign looks for: functions of molecules with a name and a direction.

Knows how an objective is found by its name and what its answers may be. Knows nothing of campaigns,
budgets and records, and calls molecules one after the other: processes and clusters are others'
business.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical_or_none, parse
from molvae.chem.properties import score
from molvae.chem.values import listed_values, one_per_molecule, scalar
from molvae.errors import (
    CampaignError,
    InvalidMoleculeError,
    MachineError,
    ObjectiveError,
    UnknownNameError,
    described,
)

Direction = Literal["maximise", "minimise"]


class ScoringFunction(Protocol):
    """Anything with a name and a direction that turns molecules into numbers.

    An attribute `batch_size`, if there is one, says how many molecules are best given at once.
    """

    @property
    def name(self) -> str:
        """Names the values in records and tables."""
        ...

    @property
    def direction(self) -> str:
        """`maximise` or `minimise`."""
        ...

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """One value a molecule, order kept; NaN = could not be scored.

        An objective that measures several things at once gives a mapping of values by name for each
        molecule.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Properties:
    """A weighted sum of properties."""

    name: str
    direction: Direction
    terms: tuple[tuple[str, float], ...]
    """Names of properties and their weights."""
    doc: str
    bounds: tuple[float, float] | None = None
    """Between which all values lie, if that is known."""

    computed: ClassVar[bool] = True
    """It is known for every molecule, without a call: RDKit computes it."""

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """NaN for texts that are no molecules."""
        values = score(smiles, [name for name, _ in self.terms], workers=1)
        weights = [weight for _, weight in self.terms]
        return [
            _finite(sum(w * v for w, v in zip(weights, row, strict=True)))
            for row in values.tolist()
        ]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Tanimoto similarity to a molecule: Morgan bits of radius 2, folded to 2,048; in [0, 1].

    References:
        Rogers and Hahn (2010), doi:10.1021/ci100050t.
    """

    name: str
    direction: Direction
    target: str
    doc: str = "Tanimoto similarity to that molecule (Morgan, radius 2, 2048 bits)"

    computed: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """NaN for texts that are no molecules."""
        values = [math.nan] * len(smiles)
        rows = [row for row, text in enumerate(smiles) if canonical_or_none(text) is not None]
        if rows:
            bits = morgan_bits([smiles[row] for row in rows])
            similarities = tanimoto(bits, morgan_bits([self.target]))[:, 0]
            for row, value in zip(rows, similarities, strict=True):
                values[row] = float(value)
        return values


@dataclass(frozen=True, kw_only=True)
class PerMolecule:
    """A user's function of one molecule, called for each in turn.

    It returns a number, or a mapping of numbers by name.
    """

    name: str
    direction: Direction
    function: Callable[[Any], Any]
    """Of an RDKit molecule, or of a SMILES text."""
    of: Literal["mol", "smiles"]
    """Which of the two."""
    doc: str = ""

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """NaN where the function returns no finite number or, if it takes molecules, gets none.

        Raises:
            ObjectiveError: The function raised; names the molecule, chains the function's own
                error.
        """
        return [_numbers(answer) for answer in self.answers(smiles)]

    def answers(self, smiles: Sequence[str], /) -> list[Any]:
        """What the function returns, as it is; errors as of a call."""
        return [self._one(text) for text in smiles]

    def _one(self, text: str) -> Any:
        argument: Chem.Mol | str = text
        if self.of == "mol":
            try:
                argument = parse(text)
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
        # The decorator put this object where pickle would look for the function: found by its
        # place.
        del state["function"]
        return _found, (*_place(self), state)


@dataclass(frozen=True, kw_only=True)
class Batched:
    """A user's object that is called with a list of SMILES."""

    name: str
    direction: Direction
    function: Callable[[list[str]], Any]
    batch_size: int = 1
    """How many molecules it wants at once."""
    doc: str = ""

    def __call__(self, smiles: Sequence[str], /) -> list[Any]:
        """NaN where the object returns no finite number.

        Raises:
            ObjectiveError: It raised, or did not return one value per molecule.
        """
        answers = one_per_molecule(self.name, self.answers(smiles), len(smiles))
        return [_numbers(answer) for answer in answers]

    def answers(self, smiles: Sequence[str], /) -> Any:
        """What the object returns, as it is; errors as of a call."""
        smiles = list(smiles)
        what = ", ".join(map(repr, smiles[:1])) + (", ..." if len(smiles) > 1 else "")
        try:
            return listed_values(self.function(smiles))
        except (CampaignError, MachineError):
            raise
        except Exception as error:
            raise _broke(self.name, what, error) from error


def _tell(error: BaseException) -> str:
    """A foreign error in one line, with the place in its file."""
    text = described(error)
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, SyntaxError):  # which says its place itself
        here = frames[-1]
        if Path(here.filename).parent != Path(__file__).parent and not here.filename.startswith(
            "<frozen"
        ):
            text += f" ({os.path.basename(here.filename)}, line {here.lineno})"
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


def _check_direction(direction: str) -> None:
    if direction not in get_args(Direction):
        raise UnknownNameError("direction", str(direction), get_args(Direction))


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0].rstrip(".")


def _place(made: PerMolecule) -> tuple[str, str]:
    return made.function.__module__, made.function.__qualname__


def _found(module: str, qualname: str, state: dict[str, Any]) -> PerMolecule:
    """The inverse of pickling: the function from its module, the rest as it was."""
    target: Any = importlib.import_module(module)
    for part in qualname.split("."):
        target = getattr(target, part)
    function = target.function if isinstance(target, PerMolecule) else target
    return PerMolecule(**state, function=function)


__all__ = ["Direction", "ScoringFunction"]
