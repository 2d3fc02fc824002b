"""`impute_censored`: expected values in the place of censored values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import truncnorm

from molvae.bo.censoring import impute_censored, truncated_mean

DATA = Path(__file__).parents[1] / "data"
ANALOGUES = pd.read_csv(DATA / "analogues.csv")


def test_truncated_mean_equals_scipy_and_keeps_to_the_limit() -> None:
    mean, std = np.linspace(-3, 3, 13), np.full(13, 0.7)
    limit = np.full(13, 0.2)
    ends = (limit - mean) / std
    below = truncnorm(-np.inf, ends, loc=mean, scale=std).mean()
    above = truncnorm(ends, np.inf, loc=mean, scale=std).mean()
    np.testing.assert_allclose(truncated_mean(mean, std, limit, np.full(13, -1.0)), below)
    np.testing.assert_allclose(truncated_mean(mean, std, limit, np.full(13, 1.0)), above)
    far = truncated_mean(np.array([100.0]), np.ones(1), np.zeros(1), np.array([-1.0]))
    assert -0.011 < far[0] <= 0


def test_impute_censored_values_keep_to_limits_and_are_closer_to_truth() -> None:
    smiles, y = list(ANALOGUES["SMILES"]), torch.tensor(ANALOGUES["pIC50"], dtype=torch.float64)
    rng = np.random.default_rng(0)
    for sign, operator in ((1.0, "<"), (-1.0, ">")):
        censored = rng.permutation(len(y))[:12]
        limits = y.clone()
        limits[censored] += sign * torch.from_numpy(rng.uniform(0.5, 2.0, size=12))
        operators = [operator if i in set(censored) else None for i in range(len(y))]
        found = impute_censored(smiles, limits, operators)
        measured = [i for i in range(len(y)) if operators[i] is None]
        assert torch.equal(found[measured], y[measured])
        assert bool((sign * (limits - found)[censored] >= 0).all())
        error, error_of_limits = ((v - y)[censored].abs().mean() for v in (found, limits))
        assert error < 0.6 * error_of_limits


def test_impute_censored_is_independent_of_the_unit() -> None:
    smiles, y = list(ANALOGUES["SMILES"]), torch.tensor(ANALOGUES["pIC50"], dtype=torch.float64)
    operators = ["<" if value < 5.5 else None for value in y]
    limits = y.clamp_min(5.5)
    found = impute_censored(smiles, limits, operators)
    scaled = impute_censored(smiles, 1e-9 * limits + 3e-9, operators)
    torch.testing.assert_close(1e9 * scaled - 3, found, rtol=1e-6, atol=1e-6)


def test_impute_censored_without_limits_or_exact_values_is_identity() -> None:
    y = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert impute_censored(["C", "CC"], y, [None, None]) is y
    assert impute_censored(["C", "CC"], y, ["<", ">"]) is y
