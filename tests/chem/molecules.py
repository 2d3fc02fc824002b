"""Molecules to test with: of the data set that is always installed, and grown from fragments."""

from __future__ import annotations

from functools import lru_cache
from random import Random

from hypothesis import strategies as st

from molvae.chem.datasets import locate


@lru_cache(maxsize=1)
def zinc(n: int = 2_000) -> tuple[str, ...]:
    lines = locate("zinc250k")[0].read_text().split()
    return tuple(Random(0).sample(lines, n))


# Each bonds by its first atom.
FRAGMENTS = (
    *("C", "N", "O", "S", "F", "Cl", "Br", "C#N", "C=C", "C(=O)O", "C(=O)N", "S(=O)(=O)C"),
    *("[N+](=O)[O-]", "c1ccccc1", "c1ccncc1", "c1ccc2[nH]ccc2c1", "C1CC1", "C1CCOC1"),
    *("[C@@H](C)O", "[C@H](F)N", "C12CC3CC(C1)CC(C3)C2", "/C=C/C", "/C=C\\C", "[13CH3]"),
    *("[NH3+]", "P(=O)(O)O", "B(O)O", "[Si](C)(C)C"),
)


@st.composite
def grown(draw: st.DrawFn) -> str:
    """A chain with fragments as branches, sometimes a salt: valid and rarely canonical."""
    chain = ""
    for _ in range(draw(st.integers(1, 8))):
        chain += draw(st.sampled_from(["C", "N", "O", "S"]))
        if chain[-1] == "C" and draw(st.booleans()):
            chain += f"({draw(st.sampled_from(FRAGMENTS))})"
    return chain + draw(st.sampled_from(["", "", "", ".Cl", ".[Na+].[Cl-]"]))


molecules = grown() | st.sampled_from(zinc())
