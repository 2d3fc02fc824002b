"""`errors_by_batch` and `variance_factor`: calibration of the surrogate by earlier batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from molvae.bo.calibration import errors_by_batch, variance_factor
from molvae.bo.surrogate import molecule_gp
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS
from tests.bo.test_molecule_gp import BOUNDS, gp, x

__all__ = ["x"]


def test_errors_by_batch_equal_errors_of_models_of_earlier_batches(x: torch.Tensor) -> None:
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


def test_errors_by_batch_of_first_molecules_are_empty(x: torch.Tensor) -> None:
    values = x[:, 0]
    assert len(errors_by_batch(gp(x, values[:, None], "tanimoto"), values, "high", [0, 1], 5)) == 0
    assert variance_factor(np.empty(0)) == 1.0


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_variance_factor_is_the_mean_square_of_the_errors(scale: float) -> None:
    errors = scale * np.array([-1.0, 1.0] * 15)
    assert variance_factor(errors) == pytest.approx(scale**2, rel=0.4)


def test_variance_factor_clips_gross_errors() -> None:
    assert variance_factor(np.array([1e6])) == variance_factor(np.array([-10.0])) < 20
