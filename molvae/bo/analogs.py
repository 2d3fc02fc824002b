"""Campaigns that start from analogues stay near them at first, and keep their common core."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.Scaffolds import rdScaffoldNetwork

from molvae.bo.base import Observations
from molvae.bo.origins import START
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import shared_molecule

ANALOG_SIMILARITY = 0.5
"""Tanimoto similarity of ECFP4 bits from which on two molecules are analogues."""
MAX_ANALOGS = 2000  # largest number of initial molecules that are compared with each other
MAX_SCAFFOLDED = 200  # molecules of which scaffolds are made
MIN_SUPPORT = 0.9
"""Share of the initial molecules that hold their common core."""
MIN_CORE_SHARE = 1 / 3
"""Least size of a common core, as a share of the median size of the initial molecules."""


@lru_cache(maxsize=4)
def nearest_similarities(smiles: tuple[str, ...]) -> NDArray[np.float64] | None:
    """Similarity of each molecule to the nearest other one; None if they are no analogues."""
    if not 2 <= len(smiles) <= MAX_ANALOGS:
        return None
    bits = morgan_bits(smiles)
    similar = tanimoto(bits, bits)
    np.fill_diagonal(similar, 0.0)
    nearest: NDArray[np.float64] = similar.max(axis=1)
    return None if np.median(nearest) < ANALOG_SIMILARITY else nearest


@lru_cache(maxsize=4)
def common_core(smiles: tuple[str, ...]) -> Chem.Mol | None:
    """The largest scaffold that nine tenths of the molecules hold; None if there is no large one.

    Scaffolds are the molecules, their rings with what links these, and parts of that.

    References:
        Kruger et al. (2020), doi:10.1021/acs.jcim.0c00296 (scaffold networks).
    """
    settings: Any = rdScaffoldNetwork.ScaffoldNetworkParams()
    settings.includeGenericScaffolds = settings.includeGenericBondScaffolds = False
    settings.includeScaffoldsWithAttachments = False
    mols = [shared_molecule(text) for text in smiles]
    nodes = rdScaffoldNetwork.CreateScaffoldNetwork(mols[:MAX_SCAFFOLDED], settings).nodes
    scaffolds = [mol for text in nodes if (mol := Chem.MolFromSmiles(text)) is not None]
    least = MIN_CORE_SHARE * float(np.median([mol.GetNumHeavyAtoms() for mol in mols]))
    for scaffold in sorted(scaffolds, key=Chem.Mol.GetNumHeavyAtoms, reverse=True):
        if scaffold.GetNumHeavyAtoms() < least:
            break
        if sum(mol.HasSubstructMatch(scaffold) for mol in mols) >= MIN_SUPPORT * len(mols):
            return scaffold
    return None


def similarity_floor(observations: Observations) -> float:
    """Similarity to an observed molecule that candidates need at first; 0: none.

    If the initial molecules are analogues, candidates must be as similar to one of them as these
    are to each other, all but a tenth, until half as many molecules were proposed. From there on
    the floor sinks, to 0 at as many.
    """
    start = _start(observations)
    nearest = nearest_similarities(start)
    if nearest is None:
        return 0.0
    return min(1.0, _caution(observations, start)) * float(np.quantile(nearest, 0.1))


def core_at_first(observations: Observations) -> Chem.Mol | None:
    """What candidates must hold at first: the common core of initial molecules that are analogues.

    None from where half as many molecules were proposed.
    """
    start = _start(observations)
    if nearest_similarities(start) is None or _caution(observations, start) <= 1:
        return None
    return common_core(start)


def _start(observations: Observations) -> tuple[str, ...]:
    """The initial molecules."""
    pairs = zip(observations.smiles, observations.origins, strict=False)
    return tuple(smiles for smiles, origin in pairs if origin == START)


def _caution(observations: Observations, start: tuple[str, ...]) -> float:
    """2 before the first proposal, 1 after half as many as initial molecules, 0 after as many."""
    return max(0.0, 2 * (1 - (len(observations.smiles) - len(start)) / len(start)))
