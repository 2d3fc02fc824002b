"""Objectives by name: built-in ones, those registered with `@objective`, and `module:attribute`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from functools import partial
from typing import Any, cast

from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.chem.properties import NEAREST_PREFIX, PROPERTIES, RDKIT_PREFIX, Property, get_property
from molvae.errors import ConfigError, ObjectiveError, UnknownNameError
from molvae.objectives.counts import COUNTS, LargestRingSize
from molvae.objectives.guacamol import TASKS, Task
from molvae.objectives.parsing import current_spec
from molvae.objectives.printing import prints_to_stderr
from molvae.objectives.process_guard import in_this_process
from molvae.objectives.program import COMMAND_PREFIX, Program
from molvae.objectives.scoring import (
    Batched,
    Direction,
    PerMolecule,
    Properties,
    ScoringFunction,
    Similarity,
    Typicality,
    _first_line,
    _place,
    _tell,
    checked_direction,
)


def _of_property(known: Property) -> ScoringFunction:
    return Properties(
        name=known.name
        if known.name.startswith((RDKIT_PREFIX, NEAREST_PREFIX))
        else known.name.lower(),
        direction="minimize" if known.is_cost else "maximize",
        terms=((known.name, 1.0),),
        doc=known.doc,
        bounds=known.bounds,
    )


BUILT_IN: dict[str, ScoringFunction] = {
    made.name: made
    for made in (
        *map(_of_property, PROPERTIES.values()),
        Typicality(),
        LargestRingSize(name="largest_ring", direction="minimize"),
        Properties(
            name="5*qed-sas",
            direction="maximize",
            terms=(("QED", 5.0), ("SAS", -1.0)),
            # Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572.
            doc="5 QED - SAS, the objective of Gómez-Bombarelli et al. (2018)",
        ),
    )
}
"""Objectives that come with molvae, by name."""
BUILT_IN.update(TASKS)

SIMILARITY_PREFIX = "similarity:"

_registered: dict[str, PerMolecule] = {}


def objective(
    name: str, *, direction: Direction = "maximize", cheap: bool = False
) -> Callable[[Callable[[Chem.Mol], float]], PerMolecule]:
    """Decorator: make a function of one molecule an objective that is known by a name.

        >>> @objective("oxygens", direction="minimize")
        ... def oxygens(mol):
        ...     "Number of oxygen atoms."
        ...     return sum(atom.GetSymbol() == "O" for atom in mol.GetAtoms())
        >>> oxygens(["CCO", "CC"])
        [1.0, 0.0]

    The name is known once the function's module is imported; `module:attribute` always works. The
    function itself is the attribute `function`. With `cheap`, it is computed for every candidate
    where there are several objectives or constraints.

    Raises:
        ConfigError: The name is empty, holds a colon, or is taken; or what is decorated cannot be
            called.
        UnknownNameError: Another direction.
    """
    direction = checked_direction(direction)
    if not isinstance(name, str):
        raise ConfigError(f'a decorator needs the name, as in @objective("mine"); got {name!r}')
    if not name.strip() or ":" in name:
        raise ConfigError(f"an objective's name must not be empty or hold a colon, got {name!r}")

    def register(function: Callable[[Chem.Mol], float]) -> PerMolecule:
        if not callable(function):
            raise ConfigError(f"@objective({name!r}) decorates a function, got {function!r}")
        made = PerMolecule(
            name=name,
            direction=direction,
            function=function,
            of="mol",
            doc=_first_line(function),
            is_cheap=cheap,
        )
        before = _registered.get(name)
        # The same function comes again when its module is reloaded.
        if current_spec(name) in BUILT_IN or (before and _place(before) != _place(made)):
            raise ConfigError(f"an objective called {name!r} exists already; choose another name")
        _registered[name] = made
        return made

    return register


def built_in_name(spec: str) -> str:
    """A spec with the name of an objective of molvae as `list_objectives` shows it."""
    spec = current_spec(spec)
    key = spec.lower()
    if key.startswith(RDKIT_PREFIX):
        return get_property(spec).name
    if spec in _registered:
        return spec
    return next((one for one in (key, key.replace("-", "_")) if one in BUILT_IN), spec)


def get_objective(
    spec: str | ScoringFunction | Callable[[str], float],
    *,
    direction: Direction | None = None,
    name: str | None = None,
) -> ScoringFunction:
    """An objective by its name; anything but a finite number that it answers becomes NaN.

    Args:
        spec: One of

            * a name that `list_objectives` shows, such as `qed` or `guacamol/osimertinib_mpo`, or
              one given with `@objective`;
            * `rdkit:NAME`: a descriptor of `rdkit.Chem.Descriptors`, such as `rdkit:BertzCT`;
            * `nearest:FILE`: Tanimoto similarity to the nearest molecule of a file;
            * `similarity:SMILES`: Tanimoto similarity to that molecule;
            * `matches:SMARTS`, `alerts:CATALOGS`, `elements-outside:ELEMENTS`: counts;
            * `command:WORDS`: another program, see `molvae.objectives.program.Program`;
            * `module:attribute`: a function of a SMILES text that returns a number; a function
              decorated with `@objective`; or an object, or a class that is made without arguments,
              that is called with a list of SMILES and returns a list of numbers. Of an object,
              attributes `name`, `direction`, `batch_size` and `version` are respected. The current
              directory is searched first.
        direction: Direction instead of the objective's own.
        name: Name of a function, by default its own; a lambda has none. A `functools.partial` has
            that of its function.

    Raises:
        UnknownNameError: No objective, attribute or direction has the name; suggests the nearest.
        InvalidMoleculeError: The text after `similarity:` is not a molecule.
        ObjectiveError: The module cannot be imported, or its attribute cannot be called; shows its
            own error.
    """
    if direction is not None:
        direction = checked_direction(direction)
    if not isinstance(spec, str):
        own: ScoringFunction = _adapted(spec, name)
        if direction is None or direction == own.direction:
            return own
        if not is_dataclass(own):
            raise ConfigError(f"{own.name!r} is an object of yours: set its direction there")
        return cast(ScoringFunction, replace(cast(Any, own), direction=direction))
    spec = current_spec(spec)
    known: dict[str, Any] = {**BUILT_IN, **_registered}
    key = spec.lower()
    if found := known.get(spec, BUILT_IN.get(key, BUILT_IN.get(key.replace("-", "_")))):
        made = found
    elif key.startswith((RDKIT_PREFIX, NEAREST_PREFIX)):
        made = _of_property(get_property(spec))
    elif spec.startswith(SIMILARITY_PREFIX):
        target = canonical(spec.removeprefix(SIMILARITY_PREFIX))
        made = Similarity(name=SIMILARITY_PREFIX + target, direction="maximize", target=target)
    elif (start := spec.partition(":")[0] + ":") in COUNTS:
        made = COUNTS[start](name=spec, direction="maximize", of=spec.removeprefix(start))
    elif spec.startswith(COMMAND_PREFIX):
        made = Program(
            name="command", direction="maximize", command=spec.removeprefix(COMMAND_PREFIX)
        )
    elif ":" in spec:
        made = _imported(spec)
    else:
        raise UnknownNameError("objective", spec, _meant(spec, [*known]))
    redirected: ScoringFunction = made if direction is None else replace(made, direction=direction)
    return redirected


def list_objectives() -> list[tuple[str, str, str]]:
    """Name, direction and one line about each objective that goes by a name."""
    named: list[Any] = [*BUILT_IN.values(), *_registered.values()]
    counts = zip(("SMARTS", "CATALOGS", "ELEMENTS"), COUNTS.items(), strict=True)
    return [
        *(
            (made.name, made.direction, made.doc or "A function without a docstring")
            for made in named
        ),
        (RDKIT_PREFIX + "NAME", "maximize", "Any descriptor of rdkit.Chem.Descriptors"),
        (
            NEAREST_PREFIX + "FILE",
            "maximize",
            "Tanimoto similarity to the nearest molecule of a file",
        ),
        (SIMILARITY_PREFIX + "SMILES", "maximize", Similarity.doc),
        *((start + word, "", _first_line(count)) for word, (start, count) in counts),
        ("module:attribute", "maximize", "Your own function of a SMILES, or class"),
        (COMMAND_PREFIX + "WORDS", "maximize", "Another program, e.g. command:dock.sh {smiles}"),
    ]


def _meant(spec: str, names: Sequence[str]) -> list[str]:
    """Names to show for one that is not known: those of its suite, else one for each suite."""
    suite, slash, _ = spec.partition("/")
    of_suite = [name for name in TASKS if slash and name.startswith(f"{suite}/")]
    return of_suite or [
        *(name for name in names if name not in TASKS),
        *{f"{name.split('/')[0]}/NAME" for name in TASKS},
        RDKIT_PREFIX + "NAME",
        NEAREST_PREFIX + "FILE",
        SIMILARITY_PREFIX + "SMILES",
        "module:attribute",
        COMMAND_PREFIX + "WORDS",
    ]


def import_attribute(spec: str) -> Any:
    """What `module:attribute` names; the current directory is searched first.

    Raises:
        UnknownNameError: The module has no such attribute; suggests the nearest one.
        ObjectiveError: The module cannot be imported; shows its own error.
    """
    module_name, _, path = spec.partition(":")
    target: Any = _import(module_name, spec)
    for part in path.split("."):
        if not hasattr(target, part):
            found = vars(target).items()
            public = [name for name, one in found if callable(one) and not name.startswith("_")]
            raise UnknownNameError(f"attribute of {module_name!r}", part, public)
        target = getattr(target, part)
    return target


def import_object(spec: Any) -> Any:
    """The object that `module:attribute` names, created if it is a class; others are returned."""
    if not isinstance(spec, str):
        return spec
    target = import_attribute(spec)
    return target() if isinstance(target, type) else target


def _adapted(given: Any, name: str | None) -> Any:
    """A scoring function from an object or a plain function of a SMILES."""
    if callable(given) and all(hasattr(given, a) for a in ("name", "direction")):
        checked_direction(given.direction)
        return given
    if _is_function(given):
        function = _without_arguments(given)
        name = name or str(getattr(function, "__name__", type(function).__name__))
        if name == "<lambda>":
            raise ConfigError(
                f"{given!r} has no name; define it with def NAME(smiles), or give a name, "
                "e.g. Campaign.create(..., name='mine') or Objective('mine', spec=...)"
            )
        doc = _first_line(function)
        return PerMolecule(name=name, direction="maximize", function=given, of="smiles", doc=doc)
    raise ConfigError(
        "an objective is a name, a function of a SMILES, or has a name, a direction and "
        f"__call__(list of SMILES), got {given!r}"
    )


def _without_arguments(function: Any) -> Any:
    """The function of a `functools.partial`; others are returned."""
    while isinstance(function, partial):
        function = function.func
    return function


def _is_function(target: Any) -> bool:
    return isinstance(target, partial) or inspect.isroutine(inspect.unwrap(target))


def _imported(spec: str) -> Any:
    target = import_attribute(spec)
    if isinstance(target, Properties | Similarity | Task | PerMolecule | Batched | Program):
        return target
    if not callable(target):
        raise ObjectiveError(
            f"{spec} is {target!r}, which cannot be called; give a function of a SMILES text, or a "
            "class with __call__(list of SMILES)"
        )
    if _is_function(target):
        doc = _first_line(_without_arguments(target))
        return PerMolecule(name=spec, direction="maximize", function=target, of="smiles", doc=doc)
    if isinstance(target, type):
        try:
            with prints_to_stderr(), in_this_process():
                target = target()
        except Exception as error:
            raise ObjectiveError(f"{spec}() failed: {_tell(error)}") from error
        if not callable(target):
            raise ObjectiveError(f"{spec} lacks __call__(list of SMILES); add it")
    direction = checked_direction(getattr(target, "direction", "maximize"))
    return Batched(
        name=str(getattr(target, "name", spec)),
        direction=direction,
        function=target,
        batch_size=getattr(target, "batch_size", 1),
        doc=_first_line(target),
        version=getattr(target, "version", None),
    )


def _import(name: str, spec: str) -> Any:
    # The console script's path does not hold the current directory, where users keep their
    # functions.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        with prints_to_stderr(), in_this_process():
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        advice = "correct it, then try again"
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            advice = f"it is neither in {os.getcwd()} nor an installed package"
        raise ObjectiveError(
            f"cannot import {name!r} for {spec}: {_tell(error)}; {advice}"
        ) from error
