"""Objectives by name: built-in ones, those registered with `@objective`, and `module:attribute`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.chem.properties import get_property
from molvae.errors import ConfigError, ObjectiveError, UnknownNameError
from molvae.objectives.counts import COUNTS, LargestRingSize
from molvae.objectives.guacamol import TASKS, Task
from molvae.objectives.printing import prints_to_stderr
from molvae.objectives.process_guard import in_this_process
from molvae.objectives.program import COMMAND, Program
from molvae.objectives.scoring import (
    Batched,
    Direction,
    PerMolecule,
    Properties,
    ScoringFunction,
    Similarity,
    _check_direction,
    _first_line,
    _place,
    _tell,
)


def _of_property(name: str, property_name: str, direction: Direction) -> Properties:
    return Properties(
        name=name,
        direction=direction,
        terms=((property_name, 1.0),),
        doc=get_property(property_name).doc,
        bounds=get_property(property_name).bounds,
    )


BUILT_IN: dict[str, ScoringFunction] = {
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
        LargestRingSize(name="largest-ring", direction="minimise"),
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


def get_objective(spec: str, *, direction: Direction | None = None) -> ScoringFunction:
    """An objective by its name.

    Args:
        spec: One of

            * a name that `list_objectives` shows, such as `qed` or `guacamol/osimertinib_mpo`, or
              one given with `@objective`;
            * `similarity:SMILES`: Tanimoto similarity to that molecule;
            * `matches:SMARTS`, `alerts:CATALOGUES`, `other-elements:ELEMENTS`: counts, for limits;
            * `command:WORDS`: another program, see `molvae.objectives.program.Program`;
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
    redirected: ScoringFunction = made if direction is None else replace(made, direction=direction)
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
            with prints_to_stderr(), in_this_process():
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
        with prints_to_stderr(), in_this_process():
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


__all__ = ["BUILT_IN", "get_objective", "list_objectives", "objective"]
