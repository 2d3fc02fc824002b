"""QED, equal to RDKit's bit for bit, in less than half of the time.

RDKit searches every molecule for 11 acceptors and 116 structural alerts, though few can match. Here
bonds and rings are counted first (a C=O, two c-Cl, a ring of four, ...), and only patterns whose
parts all exist are searched. No matching pattern is dropped, so the counts are RDKit's. Patterns,
parameters and arithmetic are those of `rdkit.Chem.QED`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from rdkit import Chem
from rdkit.Chem import QED, rdFingerprintGenerator, rdMolDescriptors

T = TypeVar("T")

Atom = tuple[int, bool, bool]
"""Atomic number, whether aromatic, whether marked by a charge or an isotope."""

Bond = tuple[tuple[int, bool], tuple[int, bool], int]
"""Atomic number and aromaticity of both ends, the smaller first, and RDKit's bond type."""

Part = Bond | int | str
"""A countable part: a bond, a ring by its size, `_SHARED` or `_MARKED`."""

Rings = Sequence[Sequence[int]]
"""Atoms of each ring, in order."""

_SHARED = "atoms that rings share, once for every ring but the first"

_MARKED = "charged or isotopic atoms, once"

_TYPES = {int(kind): kind for kind in map(Chem.BondType, (1, 2, 3, 12))}

_ELEMENTS = (6, 7, 8, 16, 9, 17, 35, 53, 15, 5, 14, 34, 1)
"""Molecules with other elements are not screened. The most frequent first, for speed."""

_ENDS = sorted(itertools.product(_ELEMENTS, (False, True)))

_ATOMS = frozenset((z, aromatic, marked) for z, aromatic in _ENDS for marked in (False, True))

_BONDS = frozenset(
    (a, b, kind) for a, b in itertools.combinations_with_replacement(_ENDS, 2) for kind in _TYPES
)

_LARGE = 20
"""Larger rings are counted as rings of this size."""

_SIZES = range(3, _LARGE + 1)


# Atoms without bonds, and other elements, whose bits in the fingerprint are ambiguous.
_UNSEEN_ATOM = Chem.MolFromSmarts("[D0," + "&".join(f"!#{z}" for z in _ELEMENTS) + "]")

_MARKED_ATOM = Chem.MolFromSmarts("[!+0,!0*]")


# A bond sets one bit, which depends only on the fields of `Bond`. Some kinds share a bit.
_BOND_COUNTER = rdFingerprintGenerator.GetRDKitFPGenerator(
    minPath=1, maxPath=1, numBitsPerFeature=1
)

_LANE = 16

_HALF = 1 << (_LANE - 1)

_MANY = 1_000
"""Largest number of bonds of a screened molecule: counts must stay below `_HALF`."""


def qed(mol: Chem.Mol) -> float:
    """Quantitative estimate of drug-likeness with mean weights, in (0, 1), larger is better.

    Args:
        mol: Sanitized, as from `molvae.chem.molecules.parse`.

    Returns:
        The number that `rdkit.Chem.QED.qed` returns, bit for bit.

    References:
        Bickerton et al. (2012), doi:10.1038/nchem.1243.
    """
    return float(QED.qed(mol, qedProperties=qed_properties(mol)))  # type: ignore[no-untyped-call]


def qed_properties(mol: Chem.Mol) -> QED.QEDproperties:
    """The eight numbers that QED combines, equal to `rdkit.Chem.QED.properties`.

    Args:
        mol: Sanitized, as from `molvae.chem.molecules.parse`.
    """
    # Without explicit hydrogens, RemoveHs would only sanitize again and drop the cached logP.
    if mol.GetNumHeavyAtoms() < mol.GetNumAtoms():
        mol = Chem.RemoveHs(mol)
    rings = mol.GetRingInfo().AtomRings()
    acceptors, alerts = _screen().possible(mol, rings)
    return QED.QEDproperties(  # type: ignore[no-untyped-call]
        MW=rdMolDescriptors._CalcMolWt(mol),
        ALOGP=rdMolDescriptors.CalcCrippenDescriptors(mol)[0],
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in acceptors),
        HBD=rdMolDescriptors.CalcNumHBD(mol),
        PSA=rdMolDescriptors.CalcTPSA(mol),
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(
            mol, rdMolDescriptors.NumRotatableBondsOptions.Strict
        ),
        AROM=_aromatic_rings(mol, rings),
        ALERTS=sum(map(mol.HasSubstructMatch, alerts)),
    )


def _aromatic_rings(mol: Chem.Mol, rings: Rings) -> int:
    """Number of rings left when QED's aliphatic ring atoms are deleted.

    The size of a smallest set of smallest rings: bonds - atoms + components of the remaining graph,
    for which only bonds in rings matter.
    """
    if not rings:
        return 0
    deleted = set(itertools.chain(*mol.GetSubstructMatches(QED.AliphaticRings)))
    if not _shared(rings):
        return sum(map(deleted.isdisjoint, rings))
    bonds = {
        (a, b) if a < b else (b, a)
        for ring in rings
        for a, b in zip(ring, (*ring[1:], ring[0]), strict=True)
        if a not in deleted and b not in deleted
    }
    # A bond whose ends are already connected closes a ring (union-find).
    towards: dict[int, int] = {}
    closed = 0
    for a, b in bonds:
        while a in towards:
            a = towards[a]
        while b in towards:
            b = towards[b]
        if a == b:
            closed += 1
        else:
            towards[a] = b
    return closed


def _shared(rings: Rings) -> int:
    return sum(map(len, rings)) - len(set().union(*rings))


@dataclass(frozen=True)
class _Screen:
    """The demands of patterns: minimal numbers of parts out of sets of parts.

    The counts of all demands are lanes of bits in one integer, so that those of a molecule are
    summed, and compared with the wanted numbers, all at once.
    """

    acceptors: Sequence[tuple[Chem.Mol, int]]
    """Patterns, and the highest bits of the lanes of their demands."""
    alerts: Sequence[tuple[Chem.Mol, int]]
    lanes: dict[Part, int]
    """1 in the lane of each demand that a part counts towards; bonds by their bit."""
    wanted: int
    """The wanted number of each demand, in its lane."""
    highest: int

    def possible(self, mol: Chem.Mol, rings: Rings) -> tuple[list[Chem.Mol], list[Chem.Mol]]:
        """The acceptors and alerts that may match a molecule; no other one does."""
        lacking = self._lacking(mol, rings)
        return (
            [pattern for pattern, asked in self.acceptors if not asked & lacking],
            [pattern for pattern, asked in self.alerts if not asked & lacking],
        )

    def _lacking(self, mol: Chem.Mol, rings: Rings) -> int:
        """The demands that a molecule does not meet; 0 (all met) if that is unknown."""
        if mol.HasSubstructMatch(_UNSEEN_ATOM):
            return 0
        lanes, total, bonds = self.lanes, 0, 0
        for bit, count in _BOND_COUNTER.GetSparseCountFingerprint(mol).GetNonzeroElements().items():
            if bit not in lanes:  # a bond of another type
                return 0
            total += count * lanes[bit]
            bonds += count
        if bonds != mol.GetNumBonds() or bonds > _MANY:
            return 0
        if mol.HasSubstructMatch(_MARKED_ATOM):
            total += lanes[_MARKED]
        for ring in rings:
            total += lanes[_ring(len(ring))]
        if len(rings) > 1:
            total += _shared(rings) * lanes[_SHARED]
        # The highest bit of a lane survives if and only if the count reaches the wanted number.
        return ((total | self.highest) - self.wanted & self.highest) ^ self.highest


@lru_cache(maxsize=1)
def _screen() -> _Screen:
    demands: dict[tuple[frozenset[Part], int], int] = {}

    def asked(pattern: Chem.Mol) -> int:
        wants = {demands.setdefault(want, len(demands)) for want in _demands(pattern)}
        return sum(_HALF << _LANE * demand for demand in wants)

    acceptors = [(pattern, asked(pattern)) for pattern in QED.Acceptors]
    alerts = [(pattern, asked(pattern)) for pattern in QED.StructuralAlerts]
    others: list[Part] = [_SHARED, _MARKED, *map(_ring, _SIZES)]
    parts: dict[Part, set[Part]] = {part: {part} for part in others}
    for bond in _BONDS:
        # Kinds that share a bit count as each other, which never drops a matching pattern.
        parts.setdefault(_bit(bond), set()).add(bond)
    return _Screen(
        acceptors=acceptors,
        alerts=alerts,
        lanes={
            key: sum(
                1 << _LANE * demand
                for (counted, _), demand in demands.items()
                if not counted.isdisjoint(kinds)
            )
            for key, kinds in parts.items()
        },
        wanted=sum(number << _LANE * demand for (_, number), demand in demands.items()),
        highest=sum(_HALF << _LANE * demand for demand in demands.values()),
    )


def _demands(pattern: Chem.Mol) -> Iterator[tuple[frozenset[Part], int]]:
    """Sets of parts, and the minimal number of each in a molecule that the pattern matches.

    Different bonds and atoms of a pattern match different ones of the molecule.
    """
    bonds: list[frozenset[Part]] = [
        _between(_atoms(bond.GetBeginAtom()), _atoms(bond.GetEndAtom()), _types(bond))
        for bond in pattern.GetBonds()
    ]
    for kinds in set(bonds):
        yield kinds, sum(other <= kinds for other in bonds)
    for atom in pattern.GetAtoms():
        if atom.GetDegree() == 0:
            yield _between(_atoms(atom), _ATOMS, frozenset(_TYPES)), 1
        if all(marked for _, _, marked in _atoms(atom)):
            yield frozenset({_MARKED}), 1
    rings = Chem.GetSSSR(Chem.Mol(pattern))
    if len(rings):
        yield frozenset(map(_ring, _SIZES)), len(rings)
    for ring in rings:
        same = _ring(len(ring))
        # The smallest ring of a molecule is in its set of rings.
        yield frozenset(_ring(size) for size in _SIZES if _ring(size) >= same), 1
        # A cycle that is not in the set is made of rings that share atoms; one whose atoms are
        # each in a single ring is that ring.
        single = all(_memberships(pattern.GetAtomWithIdx(atom)) == {1} for atom in ring)
        yield frozenset({same} if single else {same, _SHARED}), 1
    shared = sum(all(n >= 2 for n in _memberships(atom)) for atom in pattern.GetAtoms())
    if shared:
        yield frozenset({_SHARED}), shared


def _between(a: frozenset[Atom], b: frozenset[Atom], types: frozenset[int]) -> frozenset[Part]:
    ends = itertools.product({atom[:2] for atom in a}, {atom[:2] for atom in b})
    return frozenset((min(pair), max(pair), kind) for pair in ends for kind in types)


def _atoms(query: Chem.Atom) -> frozenset[Atom]:
    """A superset of the atoms that an atom of a pattern matches."""

    def leaf(name: str, value: int) -> frozenset[Atom]:
        if name == "AtomType":
            return frozenset(atom for atom in _ATOMS if atom[0] + 1000 * atom[1] == value)
        if name == "AtomAtomicNum":
            return frozenset(atom for atom in _ATOMS if atom[0] == value)
        if name == "AtomIsAromatic":
            return frozenset(atom for atom in _ATOMS if atom[1] == value)
        if name in ("AtomFormalCharge", "AtomIsotope") and value != 0:
            return frozenset(atom for atom in _ATOMS if atom[2])
        return _ATOMS

    def recursive() -> frozenset[Atom]:
        smarts = query.GetSmarts()
        first = re.findall(r"\$\((\[[^]$]*\]|Cl|Br|[BCNOPSFIbcnops])", smarts)
        if len(first) != smarts.count("$("):
            return _ATOMS
        atoms = [_atoms(Chem.MolFromSmarts(text).GetAtomWithIdx(0)) for text in first]
        return frozenset[Atom]().union(*atoms)

    return _meaning(query.DescribeQuery(), _ATOMS, leaf, recursive)


def _memberships(query: Chem.Atom) -> frozenset[int]:
    """The possible numbers of rings of an atom of a pattern."""
    every = frozenset(range(10))

    def leaf(name: str, value: int) -> frozenset[int]:
        return frozenset({value}) if name == "AtomInNRings" and value in every else every

    return _meaning(query.DescribeQuery(), every, leaf, lambda: every)


def _types(query: Chem.Bond) -> frozenset[int]:
    """A superset of the bond types that a bond of a pattern matches."""
    every = frozenset(_TYPES)

    def leaf(name: str, value: int) -> frozenset[int]:
        if name == "BondOrder":
            return every & {value}
        if name == "SingleOrAromaticBond":
            return frozenset({int(Chem.BondType.SINGLE), int(Chem.BondType.AROMATIC)})
        return every

    return _meaning(query.DescribeQuery(), every, leaf, lambda: every)


def _meaning(
    description: str,
    everything: frozenset[T],
    leaf: Callable[[str, int], frozenset[T]],
    recursive: Callable[[], frozenset[T]],
) -> frozenset[T]:
    """A superset of what a query matches, from RDKit's description, a tree by indentation.

    Unknown words match everything, so that the screen stays correct.
    """
    lines = [line for line in description.split("\n") if line.strip()]

    def node() -> frozenset[T]:
        line = lines.pop(0)
        parts = []
        while lines and _depth(lines[0]) > _depth(line):
            parts.append(node())
        words = line.split()
        if words in (["AtomOr"], ["BondOr"]):
            return frozenset[T]().union(*parts)
        if words in (["AtomAnd"], ["BondAnd"]):
            return everything.intersection(*parts)
        if words[:3] == ["RecursiveStructure", "val", "in"]:
            return recursive()
        if found := re.fullmatch(r"\s*(\w+) (-?\d+) = val", line):
            return leaf(found[1], int(found[2]))
        return everything

    return node() if lines else everything


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _ring(size: int) -> int:
    """The part of a ring: negative, since bonds are the bits of a fingerprint."""
    return max(-size, -_LARGE)


def _bit(bond: Bond) -> int:
    """The bit that a bond sets in the fingerprint."""
    *ends, kind = bond
    mol = Chem.RWMol()
    for z, aromatic in ends:
        atom = Chem.Atom(z)
        atom.SetIsAromatic(aromatic)
        mol.AddAtom(atom)
    mol.AddBond(0, 1, _TYPES[kind])
    mol.GetBondWithIdx(0).SetIsAromatic(_TYPES[kind] == Chem.BondType.AROMATIC)
    Chem.FastFindRings(mol)
    (bit,) = _BOND_COUNTER.GetSparseCountFingerprint(mol).GetNonzeroElements()
    return int(bit)


__all__ = ["qed", "qed_properties"]
