"""What was drawn badly is drawn again, a few times, and of each the best draw is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from molvae.config import later_seed

MAX_RESAMPLES = 10
"""How often what is at fault is drawn again."""


MAX_RESAMPLES_CONDITIONAL = 20
"""How often, where something is wanted of a molecule: of more draws the best is nearer."""


FIRST = 20
"""Draws at least, by whose first turn a model is judged."""


REDRAWN_SEED = 1_000_003
"""From one such draw to the next, added to the seed: far from the seeds that a user counts up."""


class Sample(NamedTuple):
    """A molecule that was drawn, and what is wrong with it."""

    molecule: str | None
    """Canonical SMILES; None where there is no molecule."""
    mended: bool
    """Whether what was written had to be mended to be a molecule."""
    missed: float
    """By how much it misses what was wanted; 0 where nothing was."""


def rejection_sample(
    draw: Callable[[int, int], list[Sample]], n: int, *, seed: int, redraws: int, tolerance: float
) -> list[Sample]:
    """Draw, and draw again what was mended or misses what was wanted by more than the tolerance.

    A molecule is better than none, one that was not mended than one that was, and then the nearer
    one. If most of the first draws were mended, being mended is no fault: a model that mostly slips
    is not worth waiting for.

    Args:
        draw: So many, with a seed.
        n: How many are kept.
        seed: Of the first draws.
        redraws: How often at most draws are made again.
        tolerance: That `missed` may come to.

    Returns:
        n draws, each the best of its turns.
    """
    best, places, slips = [Sample(None, True, math.inf)] * n, list(range(n)), False

    def fault(one: Sample) -> tuple[bool, bool, float]:
        return one.molecule is None, one.mended and not slips, one.missed

    for turn in range(redraws + 1):
        drawn = draw(len(places), later_seed(seed, turn * REDRAWN_SEED))
        if turn == 0:
            slips = 2 * sum(one.mended for one in drawn) > max(n, FIRST)
        for place, one in zip(places, drawn, strict=True):
            best[place] = min(one, best[place], key=fault)
        # No molecule is an outcome like others, unless something was wanted of it.
        places = [i for i in places if fault(best[i])[1:] > (False, tolerance)]
        if not places:
            break
    return best


__all__ = ["MAX_RESAMPLES", "MAX_RESAMPLES_CONDITIONAL", "Sample", "rejection_sample"]
