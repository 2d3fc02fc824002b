"""Choose molecules: by a strategy, and in a separate thread while workers score others."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from molvae.campaign.history import predictions_of
from molvae.campaign.trial import NewTrial
from molvae.errors import CampaignError
from molvae.objectives.interrupts import get

if TYPE_CHECKING:
    from molvae.bo.base import Observations, Strategy
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.problem import OptimizationProblem

Batch = tuple[int, Sequence[NewTrial]]
"""Number of trials when a batch was chosen, and the batch."""

STOP_SECONDS = 5.0
"""Time that the choice of molecules is given to end when a run is interrupted."""


def choose_batch(
    strategy: Strategy,
    observations: Observations,
    space: LatentSpaceProtocol,
    problem: OptimizationProblem,
    n: int,
    seed: int,
) -> Batch:
    """New trials of the `n` candidates that a strategy proposes.

    Raises:
        CampaignError: It did not propose `n` distinct new molecules.
    """
    from molvae.bo.candidates import spawn_seed
    from molvae.latent.density import density_percentiles

    n_trials = len(observations.known)
    found = strategy.propose(observations, space, n, seed=spawn_seed(seed, n_trials))
    smiles = [candidate.smiles for candidate in found]
    if len(set(smiles)) != n or observations.known.intersection(smiles):
        raise CampaignError(
            f"strategy {strategy.name!r} did not give {n} distinct new molecules: {smiles}; "
            "correct it, or use another strategy"
        )
    return n_trials, [
        NewTrial(
            smiles=c.smiles,
            z=c.z.tolist(),
            origin=" ".join(part for part in (strategy.name, c.operator) if part),
            percentile=percentile,
            predictions=predictions_of(c, problem),
        )
        for c, percentile in zip(found, density_percentiles(space, smiles), strict=True)
    ]


class Choice:
    """A choice of molecules in progress.

    Args:
        work: Makes the choice.
        done: Called when `work` has ended.
    """

    def __init__(self, work: Callable[[], Any], done: Callable[[], None]) -> None:
        self.result: Future[tuple[Any, float]] = Future()
        """The choice, and the seconds that it took."""
        self._work, self._done, self._ended = work, done, SimpleQueue[None]()
        self._thread = threading.Thread(target=self._run, name="choosing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):  # which may come at any step, see `stop`
            try:
                self.result.set_result((self._work(), time.monotonic() - began))
            except BaseException as error:
                self.result.set_exception(error)
            self._ended.put(None)
            self._done()

    def wait(self) -> None:
        """Wait for the end of the choice; Ctrl-C interrupts."""
        get(self._ended)
        self._ended.put(None)

    def stop(self) -> None:
        """Interrupt the thread at its next step in Python, and wait a little for its end."""
        if self._thread.is_alive() and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
            self._thread.join(STOP_SECONDS)


__all__ = ["Batch", "Choice", "choose_batch"]
