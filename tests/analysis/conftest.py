"""One real space for all tests of this folder."""

from __future__ import annotations

import pytest

from molvae.latent.loading import load
from molvae.latent.space import LatentSpace


@pytest.fixture(scope="session")
def qm9() -> LatentSpace:
    """The bundled space of small molecules."""
    return load("qm9")
