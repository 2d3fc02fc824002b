from __future__ import annotations

import numpy as np
import pytest
import torch

from molvae.bo.calibration import errors_by_batch, interval_factors, quantiles
from molvae.bo.surrogate import molecule_gp, predictions
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS
from tests.bo.test_molecule_gp import BOUNDS, gp, x

__all__ = ["x"]


def test_errors_are_those_of_models_that_know_earlier_batches_alone(x: torch.Tensor) -> None:
    values = x[:, 0].exp()
    whole = gp(x, ScoreTransform(values, "high")(values)[:, None], "tanimoto")
    found = errors_by_batch(whole, values, "high", list(range(20, 30)), 5)
    for first in (20, 25):
        transform = ScoreTransform(values[:first], "high")
        model = molecule_gp(
            x[:first],
            transform(values[:first])[:, None],
            BOUNDS,
            kernel="tanimoto",
            n_descriptors=len(DESCRIPTORS),
        )
        rows = slice(first, first + 5)
        said = model.posterior(x[rows], observation_noise=True)
        expected = (transform(values[rows]) - said.mean[:, 0]) / said.variance[:, 0].sqrt()
        np.testing.assert_allclose(found[first - 20 : first - 15], expected, atol=1e-6)


def test_first_molecules_have_no_errors(x: torch.Tensor) -> None:
    values = x[:, 0]
    assert len(errors_by_batch(gp(x, values[:, None], "tanimoto"), values, "high", [0, 1], 5)) == 0
    assert interval_factors(np.empty(0)) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("scale", "low", "high"), [(0.3, 0.2, 0.95), (1.0, 0.9, 1.3), (3.0, 1.5, 9.0)]
)
def test_intervals_are_as_wide_as_errors_are_large(scale: float, low: float, high: float) -> None:
    errors = scale * quantiles((np.arange(30) + 0.5) / 30)
    assert all(low < factor < high for factor in interval_factors(errors))


def test_factors_widen_the_intervals_around_the_same_median() -> None:
    transform = ScoreTransform(torch.linspace(0, 1, 20).double(), "high")
    mean, variance = torch.tensor([0.2]).double(), torch.tensor([0.01]).double()
    (plain,), (wide,) = (
        predictions(mean, variance, transform, factors) for factors in ((1.0, 1.0), (1.5, 3.0))
    )
    assert wide.q50 == plain.q50
    assert wide.q75 - wide.q50 == pytest.approx(1.5 * (plain.q75 - plain.q50), rel=0.05)
    assert wide.q95 - wide.q50 > 2.5 * (plain.q95 - plain.q50)
