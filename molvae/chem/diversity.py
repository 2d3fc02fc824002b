"""How unlike the molecules of a batch are, and how many molecules of a scaffold are tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical_or_none, parse

CACHE_SIZE = 20_000
DISTANCE_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Diversity:
    """What a molecule needs to stand in a batch beside others."""

    batch_distance: float = 0.0
    """Least Tanimoto distance of Morgan bits (radius 2, 2,048) between two of a batch, and from
    pending molecules."""
    per_scaffold: int = 0
    """Most trials with the same Bemis-Murcko scaffold; 0: any number. Molecules without rings have
    none."""
    pending: tuple[str, ...] = ()
    """Molecules that wait for a value."""
    trials: tuple[str, ...] = ()
    """All molecules of the campaign, pending ones included."""

    def allows(self, smiles: str, chosen: Sequence[str] = ()) -> bool:
        """Whether a molecule may be proposed beside those already chosen for the batch."""
        if self.per_scaffold and (own := murcko_scaffold(smiles)[0]):
            n = _counts(self.trials)[own] + sum(murcko_scaffold(one)[0] == own for one in chosen)
            if n >= self.per_scaffold:
                return False
        others = [*self.pending, *chosen] if self.batch_distance else ()
        if not others:
            return True
        nearest = tanimoto(_bits(smiles)[None], np.stack([_bits(one) for one in others])).max()
        return bool(1 - nearest >= self.batch_distance - DISTANCE_TOLERANCE)


@lru_cache(maxsize=CACHE_SIZE)
def murcko_scaffold(molecule: str) -> tuple[str, int]:
    """Canonical Bemis-Murcko scaffold and how many rings it has; empty and 0 if there is none.

    Bemis and Murcko (1996), doi:10.1021/jm9602928.
    """
    try:
        scaffold = MurckoScaffold.GetScaffoldForMol(parse(molecule))  # type: ignore[no-untyped-call]
        text: str = Chem.MolToSmiles(scaffold)
    except (ValueError, RuntimeError):  # RDKit's, on molecules that it did not foresee
        return "", 0
    # Cut out of its molecule, a scaffold may carry marks of stereochemistry that it has no more;
    # reading it again drops them.
    return canonical_or_none(text) or text, scaffold.GetRingInfo().NumRings()


@lru_cache(maxsize=2)
def _counts(molecules: tuple[str, ...]) -> Counter[str]:
    return Counter(murcko_scaffold(one)[0] for one in molecules)


@lru_cache(maxsize=CACHE_SIZE)
def _bits(smiles: str) -> NDArray[np.bool_]:
    row: NDArray[np.bool_] = morgan_bits([smiles])[0]
    return row
