"""What was drawn badly is drawn again, a few times, and of each the best draw is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

REDRAWS = 10
"""How often what is at fault is drawn again."""
REDRAWN_SEED = 1_000_003
"""From one such draw to the next, added to the seed: far from the seeds that a user counts up."""


class Draws(NamedTuple):
    """Molecules that were drawn together, and what is wrong with each."""

    molecules: list[str | None]
    """Canonical SMILES; None where there is no molecule."""
    mended: list[bool]
    """Whether what was written had to be mended."""
    missed: list[float]
    """By how much it misses what was wanted; 0 where nothing was."""


def best_draws(
    draw: Callable[[int, int], Draws], n: int, *, seed: int, redraws: int, tolerance: float
) -> Draws:
    """Draw, and draw again what was mended or misses what was wanted by more than the tolerance.

    A mended molecule is worse than any that was not, and of both kinds the nearer one is better. If
    most of the first draws were mended, being mended is no fault: a model that mostly slips is not
    worth waiting for.

    Args:
        draw: So many, with a seed.
        n: How many are kept.
        seed: Of the first draws.
        redraws: How often at most draws are made again.
        tolerance: That `missed` may come to.
    """
    best = Draws([None] * n, [True] * n, [math.inf] * n)
    places, slips = list(range(n)), False
    for turn in range(redraws + 1):
        drawn = draw(len(places), seed + turn * REDRAWN_SEED)
        slips = slips or (turn == 0 and 2 * sum(drawn.mended) > n)
        for place, molecule, mended, missed in zip(places, *drawn, strict=True):
            fault = (mended and not slips, missed)
            if fault <= (best.mended[place], best.missed[place]):
                best.molecules[place] = molecule
                best.mended[place], best.missed[place] = fault
        places = [i for i in places if best.mended[i] or best.missed[i] > tolerance]
        if not places:
            break
    return best


__all__ = ["REDRAWS", "Draws", "best_draws"]
