"""`variances_of_means` and `complete`: noise of values from errors and replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from molvae.bo.measurement_noise import (
    PRIOR_DEGREES,
    PRIOR_SHARE,
    complete,
    variances_of_means,
)


def without_prior(
    errors: Sequence[float | None], replicates: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """With nothing known of the spread of the values."""
    return variances_of_means([None] * len(errors), errors, replicates)


def test_variances_without_replicates_are_pooled_over_other_molecules() -> None:
    """Variances .04 (of 3) and .02 (of 2): pooled (2 * .04 + .02) / 3."""
    replicates = [[], [6.2, 6.0, 6.4], [5.1, 5.3], []]
    found = without_prior([None, 0.1155, 0.1, None], replicates)
    pooled = (2 * 0.04 + 0.02) / 3
    assert found[[0, 3]] == pytest.approx(pooled)
    assert found[1] == pytest.approx((PRIOR_DEGREES * pooled + 0.08) / (PRIOR_DEGREES + 2) / 3)
    assert found[2] == pytest.approx((PRIOR_DEGREES * pooled + 0.02) / (PRIOR_DEGREES + 1) / 2)
    assert found[0] >= found[1:3].max()


def test_variances_of_agreeing_replicates_are_positive() -> None:
    found = without_prior([0.0, 0.1155, None], [[4.9, 4.9], [6.2, 6.0, 6.4], []])
    assert found[0] > 0.2 * found[1]
    assert found[2] > found[0]


def test_variances_of_many_replicates_are_their_own() -> None:
    rng = np.random.default_rng(0)
    calm, wild = rng.normal(0, 0.01, 500).tolist(), rng.normal(0, 1, 500).tolist()
    found = without_prior([None, None], [calm, wild])
    assert found[1] / found[0] > 50


def test_variances_of_others_are_robust_to_a_gross_replicate_error() -> None:
    """Of five molecules in duplicate, one docking failed."""
    good = [[5.0, 5.2], [6.1, 6.0], [4.4, 4.7], [7.0, 7.1]]
    usual = without_prior([None] * 5, [*good, []])
    spoilt = without_prior([None] * 6, [*good, [], [5.0, -1e6]])
    assert spoilt[4] < 50 * usual[4]
    assert spoilt[5] > 1e9  # but that one is not believed
    one_wrong_error = without_prior([0.1, 0.1, None, 1e9], [[]] * 4)
    assert one_wrong_error[2] == pytest.approx(0.01)


def test_variances_of_others_depend_little_on_one_pair_of_replicates() -> None:
    values = [5.0, 5.4, 5.8, 6.2, 6.6, 7.0, 7.4]
    spread = float(1.4826 * np.median(abs(np.array(values) - 6.2))) ** 2
    errors, replicates = [0.8] + [None] * 6, [[4.2, 5.8], *[[]] * 6]
    single = variances_of_means(values, errors, replicates)[1]
    assert single < 0.5 * without_prior(errors, replicates)[1]
    assert PRIOR_SHARE * spread < single < 0.5 * spread
    many = [[v - 0.8, v + 0.8] for v in values * 20]
    found = variances_of_means(values * 20, [0.8] * 140, many)
    assert found * 2 == pytest.approx(np.full(140, 1.28), rel=0.1)


def test_variances_of_agreeing_replicates_alone_are_nan() -> None:
    """They may be rounded; that is no reason to believe in exact values."""
    assert np.isnan(without_prior([0.0, None], [[4.9, 4.9], []])).all()
    found = without_prior([0.0, None, 0.2], [[4.9, 4.9], [], []])
    assert found == pytest.approx([0.8 * 0.04 / 2, 0.04, 0.04])


def test_variances_of_given_errors_are_kept_and_lent_to_others() -> None:
    found = without_prior([0.2, None, 0.4, 0.3], [[]] * 4)
    assert found == pytest.approx([0.04, 0.09, 0.16, 0.09])
    both = without_prior([0.2, None, None], [[], [1.0, 3.0], []])
    assert both == pytest.approx([0.04, 1.0, 2.0])


def test_variances_without_errors_and_replicates_are_nan() -> None:
    assert np.isnan(without_prior([None, None], [[], [3.0]])).all()
    assert len(without_prior([], [])) == 0


def test_complete_fills_each_column_from_itself() -> None:
    nan = math.nan
    found = complete(torch.tensor([[nan, nan, 0.0], [0.02, nan, nan], [0.04, nan, 0.0]]))
    expected = torch.tensor([[0.03, 0.0, 0.0], [0.02, 0.0, 0.0], [0.04, 0.0, 0.0]])
    torch.testing.assert_close(found, expected)
