"""`Observations`: shapes and values are checked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from molvae.errors import CampaignError
from tests.contracts import toy_observations


def test_observations_of_unequal_shapes_raise() -> None:
    observations = toy_observations(n=4)
    with pytest.raises(CampaignError, match=r"observations.z must be 4 x 3, got 3 x 3"):
        replace(observations, z=observations.z[:3])
    with pytest.raises(CampaignError, match=r"y .*4 x 1, got 3 x 1"):
        replace(observations, y=observations.y[:3])


def test_observations_with_nan_values_raise() -> None:
    observations = toy_observations(n=4)
    with pytest.raises(CampaignError, match=r"observations\.y holds numbers that are not finite"):
        replace(observations, y=torch.full_like(observations.y, torch.nan))
