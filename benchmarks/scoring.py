"""How fast are properties computed? `molvae.properties` against a loop over RDKit's own functions.

Both get the same molecules in the same number of processes, one after the other in one run; neither
is warmed up. Equal means equal bit for bit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen

import molvae
from molvae.chem._parallel import parallel_map
from molvae.chem.datasets import read, sample_molecules
from molvae.config import DEFAULT_PROPERTIES

TITLE = "Scoring"


def plainly(smiles: str) -> tuple[float, float, float]:
    """What a user would write: each number by the function that RDKit has for it."""
    contrib = str(Path(RDConfig.RDContribDir) / "SA_Score")
    if contrib not in sys.path:
        sys.path.append(contrib)
    import sascorer  # type: ignore[import-not-found]

    mol = Chem.MolFromSmiles(smiles)
    return (
        Crippen.MolLogP(mol),  # type: ignore[attr-defined]
        sascorer.calculateScore(mol),
        QED.qed(mol),  # type: ignore[no-untyped-call]
    )


def measure(*, quick: bool, jobs: int, folder: Path) -> dict[str, Any]:
    """Seconds of both on ZINC250k, their ratio, and how many of the numbers differ."""
    del folder
    few = sample_molecules("zinc250k", 500, seed=0) if quick else None
    molecules = few or [text for _, text in read("zinc250k")]
    ours, seconds = timed(
        lambda m: molvae.properties(m, DEFAULT_PROPERTIES, workers=jobs), molecules
    )
    theirs, plain_seconds = timed(
        lambda m: np.array(parallel_map(plainly, m, workers=jobs)), molecules
    )
    return {
        "molecules": len(molecules),
        "molvae_seconds": round(seconds, 1),
        "rdkit_seconds": round(plain_seconds, 1),
        "ratio": round(seconds / plain_seconds, 3),
        "different_numbers": int((ours[[*DEFAULT_PROPERTIES]].to_numpy() != theirs).sum()),
    }


def timed(function: Callable[[Sequence[str]], Any], molecules: Sequence[str]) -> tuple[Any, float]:
    """The result, and the seconds that it took."""
    start = time.monotonic()
    return function(molecules), time.monotonic() - start


def table(result: Mapping[str, Any]) -> list[str]:
    """One sentence."""
    return [
        f"Scoring logP, SAS and QED of {result['molecules']:,} molecules of ZINC250k with "
        f"`molvae.properties` takes {result['ratio']:.2f} times as long as a loop over RDKit's own "
        f"functions in as many processes, {result['molvae_seconds']:.0f} and "
        f"{result['rdkit_seconds']:.0f} seconds in one run, and {result['different_numbers']} "
        "numbers differ."
    ]
