"""What is drawn again, how often, and what is kept."""

from __future__ import annotations

from collections.abc import Callable

from molvae.redraw import REDRAWN_SEED, Draws, best_draws


def drawing(*turns: Draws) -> tuple[Callable[[int, int], Draws], list[tuple[int, int]]]:
    """Hands out these draws in turn, and notes how many were asked for with which seed."""
    asked: list[tuple[int, int]] = []

    def draw(n: int, seed: int) -> Draws:
        asked.append((n, seed))
        return turns[len(asked) - 1]

    return draw, asked


def test_what_is_good_is_not_drawn_again() -> None:
    first = Draws(["C", "CC", "CCC"], [False, True, False], [0.1, 0.0, 0.9])
    second = Draws(["N", "NC"], [False, False], [0.2, 0.3])
    draw, asked = drawing(first, second)
    best = best_draws(draw, 3, seed=7, redraws=5, tolerance=0.5)
    assert best.molecules == ["C", "N", "NC"]
    assert best.missed == [0.1, 0.2, 0.3]
    assert asked == [(3, 7), (2, 7 + REDRAWN_SEED)]


def test_the_nearest_is_kept_where_all_miss() -> None:
    draw, asked = drawing(
        Draws(["C"], [False], [0.9]), Draws(["CC"], [False], [0.6]), Draws([None], [False], [0.8])
    )
    best = best_draws(draw, 1, seed=0, redraws=2, tolerance=0.5)
    assert (best.molecules, best.missed) == (["CC"], [0.6])
    assert len(asked) == 3


def test_what_was_not_mended_is_better_though_it_misses() -> None:
    good = Draws(["O", "N"], [False, False], [0.0, 0.0])
    draw, _ = drawing(Draws(["C", "N"], [True, False], [0.0, 0.0]), Draws(["CC"], [False], [0.9]))
    best = best_draws(draw, 2, seed=0, redraws=1, tolerance=0.5)
    assert best.molecules == ["CC", "N"]
    draw, asked = drawing(good)
    assert best_draws(draw, 2, seed=0, redraws=9, tolerance=0.5) == good
    assert len(asked) == 1


def test_a_model_that_mostly_slips_is_not_waited_for() -> None:
    draw, asked = drawing(Draws(["C", "CC", "CCC"], [True, True, False], [0.0, 0.0, 0.0]))
    assert best_draws(draw, 3, seed=0, redraws=9, tolerance=0.5).molecules == ["C", "CC", "CCC"]
    assert len(asked) == 1
