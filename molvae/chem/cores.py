"""The core that molecules keep: whether they hold it, where groups may grow, and what can be cut.

A core is a SMILES, or a SMARTS where it is no SMILES. An atom `*` with one bond is an attachment
point: a fragment that has any is substituted at these alone, one without anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from rdkit import Chem, rdBase

from molvae.chem.molecules import canonical, canonical_or_none, shared_molecule
from molvae.errors import InvalidMoleculeError, require, shown

WILDCARD = re.compile(r"\[?\d*\*(:\d+)?\]?$")  # SMARTS of an atom that may be any
MAX_FRAGMENTS = 2


class Held(NamedTuple):
    """A core in a molecule."""

    atoms: frozenset[int]  # atoms of the core
    sites: tuple[int, ...]  # atoms of the core of which a hydrogen may be replaced


@dataclass(frozen=True, eq=False)
class Core:
    """A substructure that molecules keep; see `core_of`."""

    text: str  # as given
    query: Chem.Mol  # with the attachment points, which match any atom
    points: frozenset[int]  # atoms of the query that are attachment points
    closed: frozenset[int]  # atoms of the query that have no other neighbors than the query says
    bare: Chem.Mol  # the query without attachment points
    # Two fragments on a linker of one atom: one of its points is two. The query without the other,
    # and the atom of this query for each atom of `query`.
    joined: tuple[tuple[Chem.Mol, tuple[int, ...]], ...]
    # Canonical SMILES with hydrogens at the attachment points; None for a SMARTS.
    smiles: str | None

    def forms(self) -> tuple[str, ...]:
        """The core with hydrogens and with methyl groups at its attachment points, as SMILES.

        Nothing of a SMARTS.
        """
        if self.smiles is None:
            return ()
        return self.smiles, canonical(Chem.MolToSmiles(capped(Chem.MolFromSmiles(self.text), 6)))

    def labeled(self) -> Chem.Mol:
        """The core for an R-group decomposition, each attachment point with a number of its own.

        These are the given ones, or else 1, 2, ...
        """
        mol = Chem.MolFromSmiles(self.text) if self.smiles is not None else Chem.Mol(self.query)
        points = [mol.GetAtomWithIdx(i) for i in sorted(self.points)]
        given = [atom.GetAtomMapNum() for atom in points]
        if 0 in given or len({*given}) < len(given):
            given = [*range(1, len(points) + 1)]
        for atom, number in zip(points, given, strict=True):
            atom.SetAtomMapNum(number)
        return mol

    def holds(self, smiles: str) -> bool:
        """Whether a molecule holds the core with its stereocenters, substituted where it may be."""
        mol = shared_molecule(smiles)
        if not self.points:
            return bool(mol.HasSubstructMatch(self.query, useChirality=True))
        return bool(mol.HasSubstructMatch(self.bare) and self._match(Chem.AddHs(mol)))

    def find(self, mol: Chem.Mol) -> Held | None:
        """The core in a molecule without explicit hydrogens; None if it is not there."""
        n, with_hydrogens = mol.GetNumAtoms(), Chem.AddHs(mol)
        match = self._match(with_hydrogens)
        if not match:
            return None
        atoms = [image for i, image in enumerate(match) if i not in self.points]
        open_sites = {
            self.query.GetAtomWithIdx(i).GetNeighbors()[0].GetIdx()
            for i in self.points
            if match[i] >= n
        }
        sites = {match[i] for i in open_sites}
        closed = {match[i] for i in self.closed}
        sites |= {i for i in atoms if i not in closed and mol.GetAtomWithIdx(i).GetTotalNumHs()}
        return Held(frozenset(atoms), tuple(sorted(sites)))

    def scaffold(self, smiles: str) -> str | None:
        """The core as it is in a molecule, a SMILES with attachment points.

        None where it is not there, or cannot be cut out.
        """
        mol = Chem.AddHs(shared_molecule(smiles))
        match = self._match(mol)
        if not match:
            return None
        atoms = {image for i, image in enumerate(match) if i not in self.points}
        ends = {match[i] for i in self.points}
        bonds = []
        for bond in mol.GetBonds():
            outside = {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} - atoms
            if len(outside) == 1 and any(
                i in ends or mol.GetAtomWithIdx(i).GetAtomicNum() > 1 for i in outside
            ):
                bonds.append(bond.GetIdx())
        if bonds:
            mol = Chem.FragmentOnBonds(mol, bonds, dummyLabels=[(0, 0)] * len(bonds))
        parts = zip(Chem.GetMolFrags(mol), Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False),
                    strict=True)  # fmt: skip
        kept = [part for places, part in parts if atoms.intersection(places)]
        try:
            kept = [Chem.RemoveHs(part) if self.points else capped(part) for part in kept]
        except Chem.MolSanitizeException:  # a ring or a double bond was cut
            return None
        return canonical_or_none(".".join(map(Chem.MolToSmiles, kept)))

    def _match(self, mol: Chem.Mol) -> tuple[int, ...]:
        """Atoms of a molecule with explicit hydrogens, for each of the query; empty if none fit."""
        whole = self.query, tuple(range(self.query.GetNumAtoms()))
        for query, places in (whole, *self.joined):
            found = mol.GetSubstructMatches(query, self._parameters(query, places))
            if found:
                return tuple(found[0][place] for place in places)
        return ()

    def _parameters(self, query: Chem.Mol, places: Sequence[int]) -> Any:
        parameters: Any = Chem.SubstructMatchParameters()
        parameters.useChirality, parameters.maxMatches = True, 1
        if self.closed:
            neighbors = {
                places[i]: [a.GetIdx() for a in query.GetAtomWithIdx(places[i]).GetNeighbors()]
                for i in self.closed
            }

            def is_closed(mol: Chem.Mol, match: Any) -> bool:
                return all(
                    atom.GetAtomicNum() == 1 or atom.GetIdx() in {match[j] for j in around}
                    for i, around in neighbors.items()
                    for atom in mol.GetAtomWithIdx(match[i]).GetNeighbors()
                )

            parameters.setExtraFinalCheck(is_closed)
        return parameters


def numbered_points(text: str) -> str:
    """The text with `[*:1]` for attachment points that are written `[1*]`, as pieces of RDKit."""
    return re.sub(r"\[(\d+)\*\]", r"[*:\1]", text)


@lru_cache(maxsize=64)
def core_of(text: str) -> Core:
    """Read a core: a SMILES without radicals, else a SMARTS; of two fragments at most.

    Raises:
        InvalidMoleculeError: Neither a SMILES nor a SMARTS.
        ConfigError: It has more than two fragments, or one that is an attachment point alone.
    """
    text = numbered_points(text)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
        is_smiles = (
            mol is not None
            and not any(bond.HasQuery() for bond in mol.GetBonds())
            and all(
                atom.GetDegree() == 1 if atom.GetAtomicNum() == 0
                else atom.GetNumRadicalElectrons() == 0 and not atom.HasQuery()
                for atom in mol.GetAtoms()
            )
        )  # fmt: skip
        if not is_smiles:
            mol = Chem.MolFromSmarts(text)
    if mol is None or not mol.GetNumAtoms():
        raise InvalidMoleculeError(f"{shown(text)} is neither a SMILES nor a SMARTS; correct it")
    wild = {
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if (atom.GetAtomicNum() == 0 if is_smiles else WILDCARD.match(atom.GetSmarts()))
    }
    points = {i for i in wild if mol.GetAtomWithIdx(i).GetDegree() == 1}
    single = all(mol.GetAtomWithIdx(i).GetBonds()[0].GetBondTypeAsDouble() == 1 for i in points)
    require(single, f"an attachment point of {shown(text)} needs one single bond")
    fragments = Chem.GetMolFrags(mol)
    require(
        len(fragments) <= MAX_FRAGMENTS and all({*part} - wild for part in fragments),
        f"a core is one connected group of atoms beside its attachment points, or two fragments "
        f"that are linked; got {shown(text)}",
    )
    for part in fragments if len(fragments) > 1 else ():
        elements = {mol.GetAtomWithIdx(i).GetAtomicNum() for i in part}
        require(
            6 in elements or not is_smiles or bool(points.intersection(part)),
            f"a part of {shown(text)} without carbon and attachment points is a counter-ion or a "
            "solvent: leave it out, or give it a point as in [*:1]O",
        )
    closed = {i for part in fragments if points.intersection(part) for i in part} - points
    query, bare = mol, Chem.RWMol(mol)
    for i in sorted(points, reverse=True):
        bare.RemoveAtom(i)
    if is_smiles:
        adjust: Any = Chem.AdjustQueryParameters.NoAdjustments()
        adjust.makeDummiesQueries = True
        query = Chem.AdjustQueryProperties(mol, adjust)
    return Core(
        text=text,
        query=query,
        points=frozenset(points),
        closed=frozenset(closed),
        bare=bare.GetMol(),
        joined=_joined(query, points),
        smiles=canonical(Chem.MolToSmiles(capped(mol))) if is_smiles else None,
    )


def _joined(query: Chem.Mol, points: set[int]) -> tuple[tuple[Chem.Mol, tuple[int, ...]], ...]:
    """Queries in which a point of one fragment is also one of the other; see `Core.joined`."""
    found = []
    parts = [points.intersection(part) for part in Chem.GetMolFrags(query)]
    for kept, lost in product(*map(sorted, parts)) if len(parts) == MAX_FRAGMENTS else ():
        new = Chem.RWMol(query)
        near = new.GetAtomWithIdx(lost).GetNeighbors()[0]
        ends = [bond.GetOtherAtomIdx(near.GetIdx()) for bond in near.GetBonds()]
        if (len(ends) - ends.index(lost)) % 2 == 0:  # its bond becomes the last
            near.InvertChirality()
        new.AddBond(near.GetIdx(), kept, Chem.BondType.SINGLE)
        for bond in new.GetBonds():
            if lost in (around := list(bond.GetStereoAtoms())):
                bond.SetStereoAtoms(*(kept if i == lost else i for i in around))
        new.RemoveAtom(lost)
        places = [i - (i > lost) for i in range(query.GetNumAtoms())]
        places[lost] = places[kept]
        new.UpdatePropertyCache(strict=False)
        found.append((new.GetMol(), tuple(places)))
    return tuple(found)


def cuts(mol: Chem.Mol, core: frozenset[int] = frozenset()) -> list[tuple[int, int]]:
    """Single bonds outside of rings, each as its atom on the core's side and that on the other.

    Without a core each bond is there twice.
    """
    found = []
    for bond in mol.GetBonds():
        if bond.IsInRing() or bond.GetBondType() != Chem.BondType.SINGLE:
            continue
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        found += [
            (near, far)
            for near, far in (ends, ends[::-1])
            if not core.intersection(beyond(mol, near, far))
        ]
    return found


def beyond(mol: Chem.Mol, near: int, far: int) -> set[int]:
    """Atoms on the far side of a bond that is in no ring."""
    found, waiting = {far}, [far]
    while waiting:
        for atom in mol.GetAtomWithIdx(waiting.pop()).GetNeighbors():
            place = atom.GetIdx()
            if place not in found and place != near:
                found.add(place)
                waiting.append(place)
    return found


def with_point(mol: Chem.Mol, near: int, far: int | None = None) -> Chem.Mol:
    """A molecule with the attachment point `[*:1]` at an atom.

    It is there in place of the group that begins at the atom `far`, or of a hydrogen. The places of
    the other atoms may change.
    """
    new = Chem.RWMol(mol)
    point = Chem.Atom(0)
    point.SetAtomMapNum(1)
    if far is None:
        if n_hydrogens := (atom := new.GetAtomWithIdx(near)).GetNumExplicitHs():
            atom.SetNumExplicitHs(n_hydrogens - 1)
        new.AddBond(near, new.AddAtom(point), Chem.BondType.SINGLE)
    else:
        group = beyond(mol, near, far)
        new.ReplaceAtom(far, point)  # keeps the order of bonds, and so the stereocenter
        for i in sorted(group - {far}, reverse=True):
            new.RemoveAtom(i)
    Chem.SanitizeMol(new)
    return new.GetMol()


def graft(mol: Chem.Mol, group: Chem.Mol) -> str | None:
    """Two molecules joined at their attachment points `[*:1]`, as canonical SMILES.

    None if that is no molecule.
    """
    try:
        return canonical_or_none(Chem.MolToSmiles(Chem.molzip(mol, group)))
    except (RuntimeError, ValueError):  # by RDKit, for valences
        return None


def capped(mol: Chem.Mol, element: int = 1) -> Chem.Mol:
    """A molecule with hydrogens, or saturated atoms of an element, at its attachment points."""
    mol = Chem.Mol(mol)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            atom.SetAtomicNum(element)
            atom.SetNoImplicit(element == 1)
            atom.SetIsotope(0)
            atom.SetAtomMapNum(0)
    Chem.SanitizeMol(mol)
    return Chem.RemoveHs(mol)
