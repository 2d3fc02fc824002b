"""Terms of GuacaMol's scores: measures of molecules, score modifiers, fingerprints."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import GraphDescriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Pharm2D import Gobbi_Pharm2D

from molvae.chem.molecules import parse

Measure = Callable[[Chem.Mol], float]


def gaussian(x: float, *, mu: float, sigma: float) -> float:
    """Gaussian score: 1 at `mu`, falling to both sides; `sigma` in the unit of `x`."""
    return math.exp(-0.5 * ((x - mu) / sigma) ** 2)


def min_gaussian(x: float, *, mu: float, sigma: float) -> float:
    """Gaussian score to minimize: 1 up to `mu`, falling beyond."""
    return gaussian(max(x, mu), mu=mu, sigma=sigma)


def max_gaussian(x: float, *, mu: float, sigma: float) -> float:
    """Gaussian score to maximize: 1 from `mu` on, falling below."""
    return gaussian(min(x, mu), mu=mu, sigma=sigma)


def thresholded(x: float, *, threshold: float) -> float:
    """Linear from 0 at 0 to 1 at `threshold`, and 1 beyond; `x` not negative."""
    return min(x, threshold) / threshold


def geometric(values: Sequence[float]) -> float:
    """The geometric mean; 0 if a value is 0."""
    return float(math.prod(values) ** (1 / len(values)))


def arithmetic(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)


def aromatic_rings(mol: Chem.Mol) -> float:
    """Number of rings that are aromatic, in the smallest set of smallest rings."""
    return float(rdMolDescriptors.CalcNumAromaticRings(mol))


def fluorines(mol: Chem.Mol) -> float:
    """Number of fluorine atoms."""
    return float(_elements(mol)["F"])


def bertz(mol: Chem.Mol) -> float:
    """Bertz's topological index of complexity, without unit, from 0.

    Bertz (1981), doi:10.1021/ja00402a071.
    """
    return float(GraphDescriptors.BertzCT(mol))  # type: ignore[no-untyped-call]


def atoms(mol: Chem.Mol) -> float:
    """Number of atoms, hydrogens included."""
    return float(_elements(mol).total())


def atoms_in_text(mol: Chem.Mol) -> float:
    """Number of atoms as `PyTDC` before 0.3.7 counted them, by mistake.

    It read the canonical SMILES as if it were a formula: a capital letter, with the lower-case ones
    that follow it, counts as often as the digits behind say, and once without digits. But those
    digits close rings, and aromatic atoms and most hydrogens are not seen: `Cc1ccccc1N` gives
    1 + 1, `C1CC12CC2` gives 1 + 1 + 12 + 1 + 2.
    """
    counts = re.findall(r"[A-Z][a-z]*(\d*)", Chem.MolToSmiles(mol))
    return float(sum(int(digits or 1) for digits in counts))


def pharmacophores(mol: Chem.Mol) -> Any:
    """Pairs and triples of pharmacophoric points, as bits (Gobbi and Poppinger 1998).

    The bits of RDKit's `Generate.Gen2DFingerprint`, which goes through all triples one by one: a
    minute for some of the large molecules that searches come upon. Here all triples are binned at
    once, and each kind, families with bins, is looked up once.
    """
    factory: Any = Gobbi_Pharm2D.factory
    points = [
        (family, list(atoms))
        for family, found in enumerate(factory.GetMolFeats(mol))
        for atoms in sorted(found)
    ]
    bits = factory.GetSignature()
    if not points:
        return bits
    family = np.array([f for f, _ in points])
    # Distances between the nearest atoms of two points.
    bonds = Chem.GetDistanceMatrix(mol)
    to_atoms = np.stack([bonds[atoms].min(axis=0) for _, atoms in points])
    apart = np.stack([to_atoms[:, atoms].min(axis=1) for _, atoms in points], axis=1)
    bins = factory.GetBins()
    fits = (apart >= bins[0][0]) & (apart < bins[-1][1])
    starts = np.array([start for start, _ in bins])
    steps = np.searchsorted(starts, np.where(fits, apart, starts[0]), side="right") - 1
    kinds = []
    for i in range(len(points)):
        j = i + 1 + np.flatnonzero(fits[i, i + 1 :])
        first, second = (j[k] for k in np.triu_indices(len(j), k=1))
        both = fits[first, second]
        first, second = first[both], second[both]
        apart_by = (steps[i, first], steps[i, second], steps[first, second])
        # One number for each kind, of octal digits: there are eight families and seven bins.
        for n, digits in (
            (2, (family[j], 0, steps[i, j], 0, 0)),
            (3, (family[first], family[second], *apart_by)),
        ):
            kind = n * 8 + family[i]
            for digit in digits:
                kind = kind * 8 + digit
            kinds.append(kind)
    for kind in np.unique(np.concatenate(kinds)).tolist():
        bits.SetBit(_pharmacophore_bit(kind))
    return bits


@cache
def _pharmacophore_bit(kind: int) -> int:
    """Index of the bit of two families and a bin, or of three families and theirs."""
    n, *digits = (int(digit) for digit in f"{kind:o}")
    factory: Any = Gobbi_Pharm2D.factory
    distances = [factory.GetBins()[digit][0] for digit in digits[3 : 4 if n == 2 else 6]]
    return int(factory.GetBitIdx(digits[:n], distances, sortIndices=False))


def _morgan(radius: int, **invariants: Any) -> Callable[[Chem.Mol], Any]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, **invariants)
    return generator.GetSparseCountFingerprint


FINGERPRINTS: dict[str, Callable[[Chem.Mol], Any]] = {
    "ECFP4": _morgan(2),
    "ECFP6": _morgan(3),
    "FCFP4": _morgan(
        2, atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
    ),
    "AP": rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint,
    "PHCO": pharmacophores,
}
"""Atom-centered neighborhoods of radius 2 and 3, those of pharmacophoric features, pairs of atoms
up to 10 bonds apart: counts. Pharmacophores: bits."""


@dataclass(frozen=True)
class PropertyTerm:
    """A modified measure, in [0, 1]."""

    measure: Measure
    modifier: Callable[[float], float]

    def __call__(self, mol: Chem.Mol) -> float:
        """Modified measure of a molecule, in [0, 1]."""
        return self.modifier(self.measure(mol))


@dataclass(frozen=True)
class Tanimoto:
    """Similarity to a target, in [0, 1]."""

    target: str
    fingerprint: str  # a key of `FINGERPRINTS`

    def __call__(self, mol: Chem.Mol) -> float:
        """Similarity of a molecule to the target, 1 for the target itself."""
        wanted = _fingerprint(self.target, self.fingerprint)
        return float(DataStructs.TanimotoSimilarity(FINGERPRINTS[self.fingerprint](mol), wanted))


@dataclass(frozen=True)
class TargetValue:
    """How near a measure comes to that of a target, in [0, 1]."""

    measure: Measure
    target: str
    sigma: float  # in the unit of the measure

    def __call__(self, mol: Chem.Mol) -> float:
        """Nearness of a molecule to the target, 1 for the target itself."""
        wanted = _value(self.target, self.measure)
        return gaussian(self.measure(mol), mu=wanted, sigma=self.sigma)


@dataclass(frozen=True)
class Formula:
    """How near a molecule comes to a formula, in [0, 1].

    The geometric mean over the elements of the formula, of which one atom is a standard deviation,
    and the number of all atoms, of which two are.
    """

    formula: str  # as C7H8N2O2
    atoms: Measure = atoms

    def __call__(self, mol: Chem.Mol) -> float:
        """Nearness of a molecule to the formula, 1 for isomers."""
        wanted = {
            element: int(count or 1)
            for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", self.formula)
        }
        there = _elements(mol)
        parts = [gaussian(there[element], mu=n, sigma=1.0) for element, n in wanted.items()]
        parts.append(gaussian(self.atoms(mol), mu=sum(wanted.values()), sigma=2.0))
        return geometric(parts)


@dataclass(frozen=True)
class Substructure:
    """1 if a substructure is there or, unless it is wanted, if it is not; else 0."""

    smarts: str
    wanted: bool = True

    def __call__(self, mol: Chem.Mol) -> float:
        """Score of a molecule, 0 or 1."""
        return float(mol.HasSubstructMatch(_pattern(self.smarts)) == self.wanted)


def _elements(mol: Chem.Mol) -> Counter[str]:
    """How many atoms of each element, implicit hydrogens included."""
    found = Counter(atom.GetSymbol() for atom in mol.GetAtoms())
    found["H"] += sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    return found


@cache
def _fingerprint(target: str, kind: str) -> Any:
    return FINGERPRINTS[kind](parse(target))


@cache
def _value(target: str, measure: Measure) -> float:
    return measure(parse(target))


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)
