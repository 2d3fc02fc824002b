from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from molvae.bo.surrogate import KERNELS, leave_one_out, molecule_gp
from molvae.chem.fingerprints import morgan_counts
from tests.chem.molecules import zinc

D = 4
BOUNDS = torch.tensor([[-2.575], [2.575]], dtype=torch.float64).repeat(1, D)  # sd 1


@pytest.fixture(scope="module")
def x() -> Tensor:
    counts = morgan_counts(list(zinc()[:30]), radius=2, size=256).astype(np.float64)
    z = torch.randn(30, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.cat([z, torch.from_numpy(counts)], dim=1)


@pytest.mark.parametrize("kind", KERNELS)
def test_told_values_are_known_and_far_away_nothing_is(x: Tensor, kind: str) -> None:
    y = x[:, :1].sigmoid()
    model = molecule_gp(x, y, BOUNDS, kind=kind)
    at_data = model.posterior(x)
    if kind != "linear":  # which has fewer weights than there are values
        torch.testing.assert_close(at_data.mean, y, atol=0.05, rtol=0)
        assert bool((at_data.variance < 2e-3).all())
    far = torch.cat([torch.full((1, D), 100.0), torch.zeros(1, 256)], dim=1).double()
    far[0, -1] = 9.0
    if kind not in ("linear", "sum"):
        with torch.no_grad():
            said = model.posterior(far)
        assert abs(float(said.mean)) < 0.05
        assert float(said.variance) > 0.9


@pytest.mark.parametrize("kind", KERNELS)
def test_leave_one_out_is_what_a_model_without_it_says(x: Tensor, kind: str) -> None:
    y = x[:, :1].sigmoid() + x[:, -1:] / 10
    mean, sd, log_density = leave_one_out(molecule_gp(x, y, BOUNDS, kind=kind))
    for i in (0, 7, 29):
        rest = [k for k in range(30) if k != i]
        model = molecule_gp(x[rest], y[rest], BOUNDS, kind=kind)
        with torch.no_grad():
            said = model.posterior(x[[i]], observation_noise=True)
        assert float(mean[i]) == pytest.approx(float(said.mean), abs=1e-5)
        assert float(sd[i] ** 2) == pytest.approx(float(said.variance), abs=1e-5)
        expected = torch.distributions.Normal(said.mean, said.variance.sqrt()).log_prob(y[i])
        assert float(log_density[i]) == pytest.approx(float(expected), abs=1e-3)


def test_auto_takes_the_kernel_that_explains_the_values(x: Tensor) -> None:
    alike = torch.randn(10, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    of_z = torch.sin(x[:, :1] + x[:, 1:2]) / 2 + 0.5
    smooth = molecule_gp(x, of_z, BOUNDS, kind="auto")
    likeliest = max(
        KERNELS,
        key=lambda k: float(leave_one_out(molecule_gp(x, of_z, BOUNDS, kind=k))[2].mean()),
    )
    assert likeliest != "structure"
    again = molecule_gp(x, of_z, BOUNDS, kind=likeliest)
    far = torch.cat([alike, x[:10, D:]], dim=1)
    torch.testing.assert_close(smooth.posterior(far).mean, again.posterior(far).mean)
