"""One thread: small problems are several times faster with it, and repeat exactly."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

# What is remembered for the user stays out of the home of whoever runs the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="molvae-tests-")
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # before torch is imported
    os.environ.setdefault(_name, "1")
# A shell that starts tests in the background has them ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from molvae.latent.loading import load  # noqa: E402
from molvae.latent.space import LatentSpace  # noqa: E402

# The same examples in every run; `pytest --hypothesis-profile=default` looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def space() -> LatentSpace:
    """The bundled latent space."""
    return load("zinc250k")


@pytest.fixture(scope="module")
def few_samplings() -> Iterator[None]:
    """Trainings choose the noise and temperature of `generate` from 4 settings, not from 36."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("molvae.latent.sampling_calibration.NOISES", (0.8, 0.95))
        patch.setattr("molvae.latent.sampling_calibration.TEMPERATURES", (0.6, 1.0))
        yield


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, also where tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
