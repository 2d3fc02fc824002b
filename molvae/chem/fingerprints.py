"""Molecules as vectors: Morgan counts and bits, Tanimoto similarity, and descriptors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdqueries

from molvae.chem.molecules import list_of_smiles, shared_molecule
from molvae.chem.properties import PROPERTIES
from molvae.errors import ConfigError


def morgan_counts(
    smiles: Sequence[str], *, radius: int = 3, size: int = 2048
) -> NDArray[np.uint16]:
    """Counts of circular neighborhoods (Morgan fingerprints), hashed to a fixed length.

    Stereochemistry is ignored; counts are capped at 65,535. Rogers and Hahn (2010),
    doi:10.1021/ci100050t.

    Args:
        smiles: SMILES in any form.
        radius: Bonds around an atom, from 0; 3 is ECFP6.
        size: Number of columns, at least 1. Fewer columns, more collisions.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
        ConfigError: `radius` or `size` is out of range, or a single text instead of a list.
    """
    if radius < 0 or size < 1:
        raise ConfigError(f"radius must be from 0 and size from 1, got {radius} and {size}")
    smiles = list_of_smiles(smiles)
    generator = _generator(radius, size)
    counts = np.zeros((len(smiles), size), dtype=np.uint16)
    for row, text in enumerate(smiles):
        found = generator.GetCountFingerprintAsNumPy(shared_molecule(text))
        counts[row] = np.minimum(found, np.iinfo(np.uint16).max)
    return counts


@lru_cache(maxsize=8)
def _generator(radius: int, size: int) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=size)


def morgan_bits(smiles: Sequence[str], *, radius: int = 2, size: int = 2048) -> NDArray[np.bool_]:
    """Presence of circular neighborhoods, `n x size`; radius 2 is ECFP4.

    Arguments and errors as `morgan_counts`.
    """
    return morgan_counts(smiles, radius=radius, size=size) > 0


def tanimoto(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Tanimoto similarity of bits: common bits over bits of either, in [0, 1].

    `n x m` for counts or bits of `n x size` and `m x size`; 1 for two rows without any bit.
    """
    _check(a, b)
    a, b = (np.asarray(side > 0, dtype=np.float64) for side in (a, b))
    common = a @ b.T
    return _ratio(common, a.sum(axis=1)[:, None] + b.sum(axis=1) - common)


def tanimoto_pairs(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """`tanimoto` of each row of `a` with the same row of `b`: both `n x size`, result `n`."""
    _check(a, b)
    if len(a) != len(b):
        raise ConfigError(f"pairs need as many rows on both sides, got {len(a)} and {len(b)}")
    a, b = a > 0, b > 0
    return _ratio((a & b).sum(axis=1), (a | b).sum(axis=1))


def _ratio(common: NDArray[Any], either: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(
        common, either, out=np.ones(common.shape), where=either > 0
    )
    return shares


def _check(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ConfigError(
            f"fingerprints must be n x size and m x size, got {a.shape} and {b.shape}"
        )


def _atoms(number: int) -> Callable[[Chem.Mol], float]:
    """A function that counts the atoms of an element."""
    query = rdqueries.AtomNumEqualsQueryAtom(number)
    return lambda mol: float(len(mol.GetAtomsMatchingQuery(query)))


DESCRIPTORS: dict[str, tuple[Callable[[Chem.Mol], float], float, float]] = {
    **{
        name: (PROPERTIES[name].compute, mean, std)
        for name, mean, std in (
            ("logP", 2.46, 1.43),
            ("TPSA", 65.0, 22.5),
            ("heavy_atoms", 23.2, 4.5),
            ("rotatable_bonds", 4.6, 1.6),
            ("rings", 2.8, 1.0),
            ("aromatic_rings", 1.9, 1.0),
            ("Fsp3", 0.41, 0.22),
            ("donors", 1.2, 0.9),
            ("acceptors", 3.7, 1.5),
        )
    },
    "H": (lambda mol: mol.GetNumAtoms(onlyExplicit=False) - mol.GetNumHeavyAtoms(), 20.6, 5.7),
    "C": (_atoms(6), 17.2, 3.8),
    "N": (_atoms(7), 2.8, 1.4),
    "O": (_atoms(8), 2.3, 1.3),
    "F": (_atoms(9), 0.33, 0.8),
    "P": (_atoms(15), 0.0, 0.5),
    "S": (_atoms(16), 0.42, 0.6),
    "Cl": (_atoms(17), 0.17, 0.5),
}
"""Function, mean and standard deviation over ZINC250k of each descriptor: a scale that is the same
for all data, on which 1 is a clear difference among drug-like molecules. The deviation is at least
half an atom, for rare elements."""


def descriptors(smiles: Sequence[str]) -> NDArray[np.float64]:
    """Standardized descriptors, `n x 17`, in the order of `DESCRIPTORS`.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
        ConfigError: A single text instead of a list.
    """
    rows = [
        [(of(mol) - mean) / std for of, mean, std in DESCRIPTORS.values()]
        for mol in map(shared_molecule, list_of_smiles(smiles))
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(DESCRIPTORS))
