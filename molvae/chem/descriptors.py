"""Numbers that say what kind of molecule one is, on a common scale: what a surrogate may look at.

Size, lipophilicity, polarity, rings, flexibility and elements: what many values depend on,
whatever the structure. Not properties to be shown or optimised, which carry units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors, rdqueries

from molvae.chem.mol import parse
from molvae.chem.properties import heavy_atoms, logp, rings, tpsa
from molvae.errors import ConfigError


def _atoms(number: int) -> Callable[[Chem.Mol], float]:
    """Counts the atoms of an element."""
    query = rdqueries.AtomNumEqualsQueryAtom(number)
    return lambda mol: float(len(mol.GetAtomsMatchingQuery(query)))


def _hydrogens(mol: Chem.Mol) -> float:
    return float(mol.GetNumAtoms(onlyExplicit=False) - mol.GetNumHeavyAtoms())


DESCRIPTORS: dict[str, tuple[Callable[[Chem.Mol], float], float, float]] = {
    "logP": (logp, 2.46, 1.43),
    "TPSA": (tpsa, 65.0, 22.5),
    "heavy atoms": (heavy_atoms, 23.2, 4.5),
    "rotatable bonds": (rdMolDescriptors.CalcNumRotatableBonds, 4.6, 1.6),
    "rings": (rings, 2.8, 1.0),
    "aromatic rings": (rdMolDescriptors.CalcNumAromaticRings, 1.9, 1.0),
    "sp3 carbon": (rdMolDescriptors.CalcFractionCSP3, 0.41, 0.22),
    "donors": (rdMolDescriptors.CalcNumHBD, 1.2, 0.9),
    "acceptors": (rdMolDescriptors.CalcNumHBA, 3.7, 1.5),
    "H": (_hydrogens, 20.6, 5.7),
    "C": (_atoms(6), 17.2, 3.8),
    "N": (_atoms(7), 2.8, 1.4),
    "O": (_atoms(8), 2.3, 1.3),
    "F": (_atoms(9), 0.33, 0.8),
    "P": (_atoms(15), 0.0, 0.5),
    "S": (_atoms(16), 0.42, 0.6),
    "Cl": (_atoms(17), 0.17, 0.5),
}
"""Of each, the function, and mean and standard deviation over ZINC250k (of rare elements at least
half an atom): a scale, the same for all data, on which 1 is a difference that one sees among
drug-like molecules."""


def descriptors(smiles: Sequence[str]) -> NDArray[np.float64]:
    """Standardised descriptors, `n x 17`, in the order of `DESCRIPTORS`.

    Args:
        smiles: SMILES in any form.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
        ConfigError: A single text instead of a list.
    """
    if isinstance(smiles, str):
        raise ConfigError(
            f"expected a list of SMILES, got the single text {smiles!r}; use [smiles]"
        )
    values = np.empty((len(smiles), len(DESCRIPTORS)))
    for row, text in enumerate(smiles):
        mol = parse(text)
        values[row] = [(of(mol) - mean) / sd for of, mean, sd in DESCRIPTORS.values()]
    return values


__all__ = ["DESCRIPTORS", "descriptors"]
