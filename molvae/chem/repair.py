"""Reading any sequence of SMILES symbols as a molecule, so that nothing a model writes is lost.

SMILES fails in two ways. Its brackets and ring numbers need partners: here those without one are
left out. And its atoms can be given more bonds than they have: here a bond is lowered to what both
ends have left, and an atom that finds none left hangs on the nearest one before it that has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

ORDERS = {"": 1, "-": 1, "/": 1, "\\": 1, "~": 1, ":": 1, "=": 2, "#": 3, "$": 4}
"""How many bonds each bond symbol stands for."""

BRACKET = re.compile(
    r"\[\d*(?P<element>[A-Za-z][a-z]?|\*)@{0,2}(?:H(?P<hydrogens>\d*))?(?P<charge>[+-]+\d*)?"
)


@dataclass
class _Atom:
    symbol: str
    bond: str
    """To the atom before it; empty for a single one."""
    before: int | None
    free: int
    """Bonds that it can still have."""
    rings: list[tuple[int, str]] = field(default_factory=list)
    """Rings that open or close here, with the bond as written here, in the order written."""
    after: list[int] = field(default_factory=list)
    """Atoms that hang on this one, in the order written."""


def repair(symbols: Iterable[str], constraints: Mapping[str, int]) -> str:
    """SMILES that is a molecule, nearest to what the symbols say.

    Args:
        symbols: Atoms, bonds, brackets, ring numbers and dots of Kekule SMILES, in any order.
        constraints: Most bonds of each element and charge, e.g. `N` or `N+1`; `?` for all others.

    Returns:
        SMILES of the same molecule if there was nothing to mend. Left out are bonds that lead
        nowhere, brackets and ring numbers without a partner, rings for which an end has no bond
        left, and atoms that nothing in their fragment has a bond left for.
    """
    atoms: list[_Atom] = []
    roots: list[int] = []
    branches: list[int] = []
    rings: dict[str, tuple[int, int, str]] = {}  # label -> atom, number and bond of open rings
    bonded: set[frozenset[int]] = set()
    kept: dict[int, str] = {}  # number -> bond of rings that are closed
    here: int | None = None
    bond = ""
    numbers = count()
    for symbol in symbols:
        if symbol in ORDERS:
            bond = symbol
            continue
        if symbol == "(":
            if here is not None:
                branches.append(here)
        elif symbol == ")":
            if branches:
                here = branches.pop()
        elif symbol == ".":
            here = None
            branches.clear()
        elif symbol[0].isdigit() or symbol[0] == "%":
            if here is None:
                pass
            elif symbol not in rings:
                rings[symbol] = here, next(numbers), bond
                atoms[here].rings.append((rings[symbol][1], bond))
            else:
                there, number, opened = rings.pop(symbol)
                one, other = atoms[here], atoms[there]
                ends = frozenset((here, there))
                order = min(ORDERS[bond or opened], one.free, other.free)
                if len(ends) == 2 and ends not in bonded and order > 0:
                    bonded.add(ends)
                    one.free, other.free = one.free - order, other.free - order
                    one.rings.append((number, ""))
                    kept[number] = _written(bond or opened, order)
        else:
            free = _capacity(symbol, constraints)
            before = here
            while before is not None and atoms[before].free == 0:
                before = atoms[before].before
            if before is None:
                if here is not None:
                    continue
                roots.append(len(atoms))
                atoms.append(_Atom(symbol, "", None, free))
            else:
                order = min(ORDERS[bond], free, atoms[before].free)
                if order == 0:
                    continue
                atoms[before].free -= order
                atoms[before].after.append(len(atoms))
                bonded.add(frozenset((before, len(atoms))))
                atoms.append(_Atom(symbol, _written(bond, order), before, free - order))
            here = len(atoms) - 1
        bond = ""
    return ".".join(_write(atoms, root, kept) for root in roots)


def _capacity(symbol: str, constraints: Mapping[str, int]) -> int:
    """Bonds to other atoms that an atom can have; hydrogens in its symbol take some of them."""
    if not (match := BRACKET.match(symbol)):
        return constraints.get(symbol.capitalize(), constraints["?"])
    element, hydrogens, charge = match.group("element", "hydrogens", "charge")
    key = element.capitalize()
    if charge:
        size = int(charge.strip("+-") or len(charge))
        key += f"{charge[0]}{size}"
    taken = 0 if hydrogens is None else int(hydrogens or 1)
    return max(0, constraints.get(key, constraints["?"]) - taken)


def _written(bond: str, order: int) -> str:
    """The bond's own symbol if it has kept its order."""
    return bond if ORDERS[bond] == order else {1: "", 2: "=", 3: "#"}[order]


def _write(atoms: list[_Atom], root: int, kept: Mapping[int, str]) -> str:
    """The tree that hangs on an atom; without recursion, since chains may be long."""
    text: list[str] = []
    todo: list[int | str] = [root]
    labels: dict[int, int] = {}  # of the rings that are open
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            text.append(item)
            continue
        atom = atoms[item]
        text += [atom.bond, atom.symbol]
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


__all__ = ["repair"]
