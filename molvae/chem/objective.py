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
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, get_args

from rdkit import Chem

from molvae._messages import described
from molvae._printing import prints_to_stderr
from molvae._scalar import scalar
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.guacamol import TASKS, Task
from molvae.chem.mol import canonical, canonical_or_none, parse
from molvae.chem.program import COMMAND, Program
from molvae.chem.properties import PROPERTIES, score
from molvae.chem.structure import COUNTS, LargestRing
from molvae.errors import (
    CampaignError,
    ConfigError,
    InvalidMoleculeError,
    MachineError,
    ObjectiveError,
    UnknownNameError,
)

Direction = Literal["maximise", "minimise"]


class Objective(Protocol):
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
        return [_numbers(answer) for answer in self.answers(smiles)]

    def answers(self, smiles: Sequence[str], /) -> list[Any]:
        """What the object returns, as it is; errors as of a call."""
        smiles = list(smiles)
        what = ", ".join(map(repr, smiles[:1])) + (", ..." if len(smiles) > 1 else "")
        try:
            values = list(self.function(smiles))
        except (CampaignError, MachineError):
            raise
        except Exception as error:
            raise _broke(self.name, what, error) from error
        if len(values) != len(smiles):
            raise ObjectiveError(
                f"objective {self.name!r} gave {len(values)} values for {len(smiles)} molecules; "
                "it must return one per molecule, in order, NaN where it cannot score"
            )
        return values


def _of_property(name: str, property_name: str, direction: Direction) -> Properties:
    return Properties(
        name=name,
        direction=direction,
        terms=((property_name, 1.0),),
        doc=PROPERTIES[property_name].doc,
        bounds={"QED": (0.0, 1.0), "SAS": (1.0, 10.0)}.get(property_name),
    )


BUILT_IN: dict[str, Objective] = {
    made.name: made
    for made in (
        _of_property("qed", "QED", "maximise"),
        _of_property("sas", "SAS", "minimise"),
        _of_property("logp", "logP", "maximise"),
        _of_property("penalised-logp", "penalised_logP", "maximise"),
        _of_property("mw", "MW", "maximise"),
        _of_property("tpsa", "TPSA", "maximise"),
        _of_property("rings", "rings", "maximise"),
        _of_property("heavy-atoms", "heavy_atoms", "maximise"),
        LargestRing(name="largest-ring", direction="minimise"),
        Properties(
            name="5*qed-sas",
            direction="maximise",
            terms=(("QED", 5.0), ("SAS", -1.0)),
            # Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
            doc="5 QED - SAS, the objective of Gómez-Bombarelli et al. (2018)",
        ),
    )
}
"""Objectives that come with molvae, by name."""
BUILT_IN.update(TASKS)
ALIASES = {"penalized-logp": "penalised-logp"}
SIMILARITY = "similarity:"

_registered: dict[str, PerMolecule] = {}


def objective(
    name: str, *, direction: Direction = "maximise"
) -> Callable[[Callable[[Chem.Mol], float]], PerMolecule]:
    """Decorator: make a function of one molecule an objective, and let it go by a name.

        >>> @objective("oxygens", direction="minimise")
        ... def oxygens(mol):
        ...     "Number of oxygen atoms."
        ...     return sum(atom.GetSymbol() == "O" for atom in mol.GetAtoms())
        >>> oxygens(["CCO", "CC"])
        [1.0, 0.0]

    The name is known while the function's module is imported; `module:attribute` works always. The
    function itself stays there as `.function`.

    Args:
        name: Without a colon; not that of another objective.
        direction: What is better.

    Raises:
        ConfigError: The name is empty, holds a colon, or is taken.
        UnknownNameError: No such direction.
    """
    _check_direction(direction)
    if not name.strip() or ":" in name:
        raise ConfigError(f"an objective's name must not be empty or hold a colon, got {name!r}")

    def register(function: Callable[[Chem.Mol], float]) -> PerMolecule:
        made = PerMolecule(
            name=name, direction=direction, function=function, of="mol", doc=_first_line(function)
        )
        before = _registered.get(name)
        # The same function comes again when its module is reloaded.
        if name in BUILT_IN or name in ALIASES or (before and _place(before) != _place(made)):
            raise ConfigError(f"an objective called {name!r} exists already; choose another name")
        _registered[name] = made
        return made

    return register


def get_objective(spec: str, *, direction: Direction | None = None) -> Objective:
    """An objective by its name.

    Args:
        spec: One of

            * a name that `list_objectives` shows, such as `qed` or `guacamol/osimertinib_mpo`, or
              one given with `@objective`;
            * `similarity:SMILES`: Tanimoto similarity to that molecule;
            * `matches:SMARTS`, `alerts:CATALOGUES`, `other-elements:ELEMENTS`: counts, for limits;
            * `command:WORDS`: another program, see `molvae.chem.program.Program`;
            * `module:attribute`: a function of a SMILES text that returns a number; a function
              decorated with `@objective`; or an object, or a class that is made without arguments,
              that is called with a list of SMILES and returns a list of numbers. Of an object,
              attributes `name`, `direction`, `batch_size` and `version` are respected. The current
              directory is searched first.
        direction: Instead of the objective's own.

    Returns:
        The objective. What it gets back that is no finite number becomes NaN.

    Raises:
        UnknownNameError: No objective, attribute or direction of that name; says the nearest.
        InvalidMoleculeError: What follows `similarity:` is not a molecule.
        ObjectiveError: The module cannot be imported, or its attribute cannot be called; shows its
            own error.
    """
    if direction is not None:
        _check_direction(direction)
    spec = spec.strip()
    known: dict[str, Any] = {**BUILT_IN, **_registered}
    name = ALIASES.get(spec.lower(), spec.lower())
    if found := known.get(spec, BUILT_IN.get(name)):
        made = found
    elif spec.startswith(SIMILARITY):
        target = canonical(spec.removeprefix(SIMILARITY))
        made = Similarity(name=SIMILARITY + target, direction="maximise", target=target)
    elif begins := [start for start in COUNTS if spec.startswith(start)]:
        (start,) = begins
        of = spec.removeprefix(start)
        made = COUNTS[start](name=spec, direction="maximise", of=of)
    elif spec.startswith(COMMAND):
        command = spec.removeprefix(COMMAND)
        made = Program(name="command", direction="maximise", command=command)
    elif ":" in spec:
        made = _imported(spec)
    else:
        raise UnknownNameError("objective", spec, _meant(spec, [*known, *ALIASES]))
    redirected: Objective = made if direction is None else replace(made, direction=direction)
    return redirected


def list_objectives() -> list[tuple[str, str, str]]:
    """Name, direction and one line about each objective that goes by a name."""
    rows = [(made.name, made.direction, made.doc) for made in _all()]
    rows.append((SIMILARITY + "SMILES", "maximise", Similarity.doc))
    names = ("matches:SMARTS", "alerts:CATALOGUES", "other-elements:ELEMENTS")
    rows += [(n, "", _first_line(of)) for n, of in zip(names, COUNTS.values(), strict=True)]
    rows.append(("module:attribute", "maximise", "Your own function of a SMILES, or class"))
    rows.append((COMMAND + "WORDS", "maximise", "Another program, e.g. command:dock.sh {smiles}"))
    return rows


def _all() -> list[Any]:
    return [*BUILT_IN.values(), *_registered.values()]


def _meant(spec: str, names: Sequence[str]) -> list[str]:
    """Names to show for one that is not known: those of its suite, else one for each suite."""
    suite, slash, _ = spec.partition("/")
    of_suite = [name for name in TASKS if slash and name.startswith(f"{suite}/")]
    return of_suite or [
        *(name for name in names if name not in TASKS),
        *{f"{name.split('/')[0]}/NAME" for name in TASKS},
        SIMILARITY + "SMILES",
        "module:attribute",
        COMMAND + "WORDS",
    ]


def _imported(spec: str) -> Any:
    module_name, _, path = spec.partition(":")
    module = _import(module_name, spec)
    target: Any = module
    for part in path.split("."):
        if not hasattr(target, part):
            public = [
                name
                for name, value in vars(target).items()
                if callable(value) and not name.startswith("_")
            ]
            raise UnknownNameError(f"attribute of {module_name!r}", part, public)
        target = getattr(target, part)
    if isinstance(target, Properties | Similarity | Task | PerMolecule | Batched | Program):
        return target
    if not callable(target):
        raise ObjectiveError(
            f"{spec} is {target!r}, which cannot be called; give a function of a SMILES text, or a "
            "class with __call__(list of SMILES)"
        )
    if isinstance(target, partial) or inspect.isroutine(inspect.unwrap(target)):
        doc = _first_line(target)
        return PerMolecule(name=spec, direction="maximise", function=target, of="smiles", doc=doc)
    if isinstance(target, type):
        try:
            with prints_to_stderr():
                target = target()
        except Exception as error:
            raise ObjectiveError(f"{spec}() failed: {_tell(error)}") from error
        if not callable(target):
            raise ObjectiveError(f"{spec} lacks __call__(list of SMILES); add it")
    direction: Any = getattr(target, "direction", "maximise")
    _check_direction(direction)
    return Batched(
        name=str(getattr(target, "name", spec)),
        direction=direction,
        function=target,
        batch_size=getattr(target, "batch_size", 1),
        doc=_first_line(target),
    )


def _import(name: str, spec: str) -> Any:
    # The console script's path does not hold the current directory, where users keep their
    # functions.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        with prints_to_stderr():
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name in _parents(name)
        advice = (
            f"; it is neither in {os.getcwd()} nor an installed package"
            if missing
            else "; mend it, then try again"
        )
        raise ObjectiveError(
            f"cannot import {name!r} for {spec}: {_tell(error)}{advice}"
        ) from error


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _tell(error: BaseException) -> str:
    """A foreign error in one line, with the place in its file."""
    text = described(error)
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, SyntaxError):  # which says its place itself
        here = frames[-1]
        if here.filename != __file__ and not here.filename.startswith("<frozen"):
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


__all__ = ["BUILT_IN", "Direction", "Objective", "get_objective", "list_objectives", "objective"]
