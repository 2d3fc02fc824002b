"""`ScoreTransform` and `standardized`: values as scores for the surrogate."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from molvae.bo.transforms import GoodEnd, ScoreTransform, standardized, standardized_variances
from molvae.objectives.problem import outlier_floor

ENDS: tuple[GoodEnd, ...] = ("high", "low", "neither")


def draws(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def screen() -> Tensor:
    """Many inactive molecules, all nearly the same, and a few actives."""
    return torch.cat([5 + 0.02 * draws(85), torch.linspace(5.2, 9, 15, dtype=torch.float64)])


SETS = {
    "uniform": draws(40),
    "screen": screen(),
    "ties": torch.tensor([0.0] * 30 + [0.1, 0.5, 0.5, 0.9], dtype=torch.float64),
    "mostly the best": torch.tensor([1.0] * 9 + [0.2, 0.3], dtype=torch.float64),
    "bad outlier": torch.cat([draws(30), torch.tensor([-1e6], dtype=torch.float64)]),
    "good outlier": torch.cat([draws(30), torch.tensor([1e6], dtype=torch.float64)]),
    "both ends": torch.cat([draws(30), torch.tensor([-1e100, 1e100], dtype=torch.float64)]),
    "two": torch.tensor([2.0, 1.0], dtype=torch.float64),
    "one": torch.tensor([-3.0], dtype=torch.float64),
    "equal": torch.full((7,), 1e-9, dtype=torch.float64),
}


@pytest.mark.parametrize("good", ENDS)
@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_score_transform_keeps_the_order_and_has_an_inverse(values: Tensor, good: GoodEnd) -> None:
    transform = ScoreTransform(values, good)
    scores = transform(values)
    assert bool(torch.isfinite(scores).all())
    different = values.sort().values.diff() > 1e-9 * (values.max() - values.min())
    sign = -1 if good == "low" else 1
    assert bool((sign * scores[values.argsort()].diff()[different] > 0).all())
    reach = max(float(values.max() - values.min()), float(values.abs().max()))
    torch.testing.assert_close(transform.inverse(scores), values, rtol=0, atol=1e-9 * reach)
    beyond = torch.tensor([-9.0, -4.0, 4.0, 9.0], dtype=torch.float64)
    there = transform.inverse(beyond)
    assert bool((sign * there.diff() > 0).all())
    torch.testing.assert_close(transform(there), beyond)


@pytest.mark.parametrize("good", ENDS)
@pytest.mark.parametrize(("factor", "offset"), [(1e-9, 0.0), (1e9, 0.0), (1.0, -50.0), (-1.0, 3.0)])
def test_score_transform_is_independent_of_the_unit(
    good: GoodEnd, factor: float, offset: float
) -> None:
    values = screen()
    turned: GoodEnd = good
    if factor < 0 and good != "neither":
        turned = "low" if good == "high" else "high"
    scores = ScoreTransform(values, good)(values)
    other = factor * values + offset
    expected = -scores if factor < 0 and good == "neither" else scores
    torch.testing.assert_close(ScoreTransform(other, turned)(other), expected, atol=1e-7, rtol=0)


def test_score_transform_good_end_is_linear() -> None:
    scores = ScoreTransform(screen(), "high")(screen())
    best = scores[-15:]
    torch.testing.assert_close(best.diff(), best.diff().mean().expand(14))
    assert float(best.max() - best.min()) > 1.5
    mirrored = ScoreTransform(-screen(), "low")(-screen())
    torch.testing.assert_close(mirrored, scores)


def test_score_transform_keeps_differences_of_bad_values_small() -> None:
    """What is inactive differs by noise, which ranks alone would blow up."""
    inactive = ScoreTransform(screen(), "high")(screen())[:85]
    assert float(inactive.max() - inactive.min()) < 0.05


@pytest.mark.parametrize("good", ["high", "low"])
def test_score_transform_is_independent_of_the_size_of_an_outlier(good: GoodEnd) -> None:
    sign = 1 if good == "high" else -1
    values = draws(50)
    scores = []
    for worst in (-2.0, -1e3, -1e6, -1e90):
        spoilt = sign * torch.cat([values, values.new_tensor([worst])])
        scores.append(ScoreTransform(spoilt, good)(spoilt))
        torch.testing.assert_close(scores[-1], scores[0], atol=1e-6, rtol=0)
    assert float(scores[0][-1]) == pytest.approx(norm.ppf(0.5 / 51))
    without = ScoreTransform(sign * values, good)(sign * values)
    torch.testing.assert_close(scores[0][:-1], without, atol=0.1, rtol=0)


def test_score_transform_with_no_good_end_gives_normal_scores() -> None:
    values = draws(21)
    expected = norm.ppf((values.argsort().argsort().numpy() + 0.5) / 21)
    scores = ScoreTransform(values, "neither")(values)
    torch.testing.assert_close(scores, torch.from_numpy(expected))


def test_score_transform_variances_follow_the_slope() -> None:
    values = draws(200)
    transform = ScoreTransform(values, "high")
    noise = torch.full((200,), 1e-6, dtype=torch.float64)
    found = transform.variances(values, noise).sqrt() / 1e-3
    top = values > 0.55
    slope = transform(values.new_tensor([0.9])) - transform(values.new_tensor([0.6]))
    torch.testing.assert_close(found[top], (slope / 0.3).expand(int(top.sum())))
    assert bool((transform.variances(values, torch.zeros_like(noise)) == 0).all())
    spoilt = torch.cat([values, values.new_tensor([-1e6])])
    squeezed = ScoreTransform(spoilt, "high").variances(spoilt, spoilt.new_full((201,), 1e-2))
    assert float(squeezed[-1]) < 1e-6  # what is known to be the worst stays the worst


@pytest.mark.parametrize("factor", [1e-200, 1e-15, 1e-9, 1e9, 1e15, 1e99])
def test_standardized_in_another_unit_is_the_same(factor: float) -> None:
    y = torch.stack([draws(60), screen()[:60]], dim=1)
    assert torch.equal(standardized(y * factor), standardized(y))


@pytest.mark.parametrize("outlier", [-1e3, -1e6, -1.7e308])
def test_standardized_with_an_outlier_keeps_other_values_apart(outlier: float) -> None:
    usual, among = (
        standardized(torch.cat([draws(50), draws(1) - 2 + bad])[:, None]) for bad in (0.0, outlier)
    )
    torch.testing.assert_close(among, usual, atol=1e-6, rtol=0)


def test_standardized_of_no_or_equal_values_is_empty_or_zero() -> None:
    assert standardized(torch.empty(0, 2, dtype=torch.float64)).shape == (0, 2)
    assert standardized(torch.full((3, 1), 2.0, dtype=torch.float64)).tolist() == [[0.0]] * 3


def test_standardized_variances_are_independent_of_the_unit_and_keep_nan() -> None:
    y, noise = draws(60)[:, None], torch.full((60, 1), 1e-4, dtype=torch.float64)
    noise[3] = torch.nan
    found = standardized_variances(y, noise)
    assert found.isnan().nonzero().tolist() == [[3, 0]]
    torch.testing.assert_close(
        standardized_variances(1e-9 * y, 1e-18 * noise), found, equal_nan=True
    )


PENALTIES = (-10.0, -1e3, -1e6, -1e99)
GOOD = torch.linspace(1, 9, 9, dtype=torch.float64)


@pytest.mark.parametrize("share", [0.3, 0.55, 0.75, 0.95])
@pytest.mark.parametrize("good", ENDS)
def test_score_transform_of_good_values_is_independent_of_a_penalty(
    share: float, good: GoodEnd
) -> None:
    sign = -1 if good == "low" else 1
    n = round(9 * share / (1 - share))
    scores = []
    for penalty in PENALTIES:
        values = sign * torch.cat([GOOD, GOOD.new_full((n,), penalty)])
        scores.append(ScoreTransform(values, good)(values))
        torch.testing.assert_close(scores[-1][:9], scores[0][:9], atol=1e-6, rtol=0)
    assert bool((scores[0][:9].diff() > 0.05).all())
    assert bool((scores[0][9:] < scores[0][0]).all())


def test_standardized_good_values_are_independent_of_unequal_penalties() -> None:
    clash = torch.logspace(2, 4, 15, dtype=torch.float64)
    first, second = (
        standardized(torch.cat([GOOD, -scale * clash])[:, None])[:, 0] for scale in (1, 1e6)
    )
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)
    assert float(first[8] - first[0]) > 1


def test_outlier_floor_of_ordinary_values_is_minus_infinity() -> None:
    for values in (draws(100), screen(), draws(100).log(), -draws(100).log()):
        assert outlier_floor(values.numpy()) == -float("inf")
