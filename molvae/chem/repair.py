"""Repair: any sequence of SMILES tokens becomes a molecule, so no output of a model is lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

ORDERS = {"": 1, "-": 1, "/": 1, "\\": 1, "~": 1, ":": 1, "=": 2, "#": 3, "$": 4}
"""Order of each bond token."""
BRACKET = re.compile(
    r"\[\d*(?P<element>[A-Za-z][a-z]?|\*)@{0,2}(?:H(?P<hydrogens>\d*))?(?P<charge>[+-]+\d*)?"
)


@dataclass
class _Atom:
    token: str
    bond: str
    """Bond to the preceding atom; empty for a single bond."""
    before: int | None
    free: int
    """Free valence."""
    rings: list[tuple[int, str]] = field(default_factory=list)
    """Numbers of the rings that open or close here, and the bond written with each."""
    after: list[int] = field(default_factory=list)
    """Atoms attached to this one, in the order written."""


def repair(tokens: Iterable[str], constraints: Mapping[str, int]) -> str:
    """Valid SMILES close to what the tokens say; the same molecule if nothing needs repair.

    Brackets and ring numbers without a partner are left out. Bond orders are reduced to the free
    valence of both atoms; if there is none, the atom is attached to the nearest preceding atom with
    free valence.

    Args:
        tokens: Atoms, bonds, brackets, ring numbers and dots of Kekulé SMILES, in any order.
        constraints: Maximal number of bonds of each element and charge, e.g. `N` or `N+1`; `?` for
            all others.
    """
    atoms, roots, branches = list[_Atom](), list[int](), list[int]()
    rings: dict[str, tuple[int, int, str]] = {}  # label -> atom, number and bond of open rings
    bonded: set[frozenset[int]] = set()
    kept: dict[int, str] = {}  # number -> bond of rings that are closed
    here: int | None = None
    bond = ""
    numbers = count()
    for token in tokens:
        if token in ORDERS:
            bond = token
            continue
        if token == "(":
            if here is not None:
                branches.append(here)
        elif token == ")":
            if branches:
                here = branches.pop()
        elif token == ".":
            here = None
            branches.clear()
        elif token[0].isdigit() or token[0] == "%":
            if here is not None and token not in rings:
                rings[token] = here, next(numbers), bond
                atoms[here].rings.append((rings[token][1], bond))
            elif here is not None:
                there, number, opened = rings.pop(token)
                one, other = atoms[here], atoms[there]
                ends = frozenset((here, there))
                order = min(ORDERS[bond or opened], one.free, other.free)
                if len(ends) == 2 and ends not in bonded and order > 0:
                    bonded.add(ends)
                    one.free, other.free = one.free - order, other.free - order
                    one.rings.append((number, ""))
                    kept[number] = _written(bond or opened, order)
        else:
            free = _capacity(token, constraints)
            before = here
            while before is not None and atoms[before].free == 0:
                before = atoms[before].before
            if before is None and here is None:
                roots.append(len(atoms))
                atoms.append(_Atom(token, "", None, free))
            elif before is None or (order := min(ORDERS[bond], free, atoms[before].free)) == 0:
                continue
            else:
                atoms[before].free -= order
                atoms[before].after.append(len(atoms))
                bonded.add(frozenset((before, len(atoms))))
                atoms.append(_Atom(token, _written(bond, order), before, free - order))
            here = len(atoms) - 1
        bond = ""
    return ".".join(_write(atoms, root, kept) for root in roots)


def _capacity(token: str, constraints: Mapping[str, int]) -> int:
    """Valence of an atom left for other atoms, after the hydrogens in its token."""
    if not (match := BRACKET.match(token)):
        return constraints.get(token.capitalize(), constraints["?"])
    element, hydrogens, charge = match.group("element", "hydrogens", "charge")
    key = element.capitalize()
    if charge:
        size = int(charge.strip("+-") or len(charge))
        key += f"{charge[0]}{size}"
    taken = 0 if hydrogens is None else int(hydrogens or 1)
    return max(0, constraints.get(key, constraints["?"]) - taken)


def _written(bond: str, order: int) -> str:
    """The bond's own token if it has kept its order."""
    return bond if ORDERS[bond] == order else {1: "", 2: "=", 3: "#"}[order]


def _write(atoms: list[_Atom], root: int, kept: Mapping[int, str]) -> str:
    """SMILES of the tree below an atom; without recursion, since chains may be long."""
    text: list[str] = []
    todo: list[int | str] = [root]
    labels: dict[int, int] = {}  # of the rings that are open
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            text.append(item)
            continue
        atom = atoms[item]
        text += [atom.bond, atom.token]
        closed = []
        for number, bond in atom.rings:
            if number not in kept:
                continue
            if number in labels:
                closed.append(number)
                bond = kept[number]
            else:
                labels[number] = next(n for n in count(1) if n not in labels.values())
                bond = bond if bond in "/\\" else ""
            text += [bond, f"{labels[number]}" if labels[number] < 10 else f"%{labels[number]}"]
        for number in closed:
            del labels[number]
        todo += atom.after[-1:]
        for branch in reversed(atom.after[:-1]):
            todo += [")", branch, "("]
    return "".join(text)
