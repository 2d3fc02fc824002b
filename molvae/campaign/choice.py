"""Choose molecules: by a strategy, and in a separate thread while workers score others."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from molvae.campaign.history import predictions_of
from molvae.campaign.trial import NewTrial, Reason
from molvae.errors import CampaignError, InvalidMoleculeError, shown
from molvae.objectives.interrupts import wait

if TYPE_CHECKING:
    from molvae.bo.base import Candidate, Observations, Strategy
    from molvae.chem.plausibility import Plausibility
    from molvae.latent.library import Library
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.objectives.problem import OptimizationProblem

Batch = tuple[int, Sequence[NewTrial]]  # number of trials when a batch was chosen, and the batch
N_SUGGESTED = 3  # molecules to buy that are noted beside a proposal
STOP_SECONDS = 5.0  # time that the choice of molecules is given to end when a run is interrupted


def choose_batch(
    strategy: Strategy,
    observations: Observations,
    space: LatentSpaceProtocol,
    problem: OptimizationProblem,
    n: int,
    seed: int,
    check: Plausibility | None = None,
    library: Library | None = None,
    n_trials: int | None = None,
) -> Batch:
    """New trials of the `n` distinct new molecules that a strategy has to propose.

    `check` finds alerts and unstable groups in the new molecules; the most similar molecules of the
    library become their notes; `n_trials` is the number of trials so far, by default that of the
    known molecules.
    """
    from molvae.latent.density import density_percentiles
    from molvae.model.isolation import spawn_seed

    n_trials = len(observations.known) if n_trials is None else n_trials
    seed = spawn_seed(seed, n_trials)
    found = _checked(strategy, strategy.propose(observations, space, n, seed=seed), space.dim)
    smiles = [candidate.smiles for candidate in found]
    core = observations.core
    if core is not None and (lacking := [one for one in smiles if not core.holds(one)]):
        raise CampaignError(
            f"strategy {strategy.name!r} proposed molecules without the core {core.text}: "
            f"{lacking}; let it ask observations.accepts, or use another strategy"
        )
    diversity = observations.diversity
    if diversity is not None:
        too_near = [one for i, one in enumerate(smiles) if not diversity.allows(one, smiles[:i])]
        if too_near:
            raise CampaignError(
                f"strategy {strategy.name!r} did not keep the batch distance or the limit of "
                f"trials for a scaffold: {too_near}; let it ask observations.accepts with the "
                "molecules chosen so far, or use another strategy"
            )
    # A library may have fewer.
    enough = 0 < len(smiles) <= n if getattr(strategy, "library", "") else len(smiles) == n
    distinct = len(set(smiles)) == len(smiles)
    if not (enough and distinct) or observations.known.intersection(smiles):
        raise CampaignError(
            f"strategy {strategy.name!r} did not give {n} distinct new molecules: {smiles}; "
            "correct it, or use another strategy"
        )
    of = {one.name: one for one in observations.fidelities}
    if again := [c.smiles for c in found if c.fidelity and c.smiles in of[c.fidelity].known]:
        raise CampaignError(f"strategy {strategy.name!r} proposed again at one fidelity: {again}")
    return n_trials, [
        NewTrial(
            smiles=c.smiles,
            z=c.z.tolist(),
            origin=" ".join(part for part in (strategy.name, c.operator) if part),
            percentile=percentile,
            fidelity=c.fidelity,
            predictions=predictions_of(c, problem),
            notes=notes,
            reason=Reason(
                kappa=c.kappa,
                parents=c.parents,
                nearest=near,
                similarity=similarity,
                findings=() if check is None else tuple(check.findings(c.smiles)),
            ),
        )
        for c, percentile, (near, similarity), notes in zip(
            found, density_percentiles(space, smiles), nearest(smiles, observations.smiles),
            suggestions(smiles, library), strict=True,
        )
    ]  # fmt: skip


def _checked(strategy: Strategy, proposed: Any, dim: int) -> list[Candidate]:
    """Proposed candidates with canonical SMILES.

    Raises:
        CampaignError: A proposal of an own strategy is no candidate, no molecule, or its vector has
            not the dimensions of the space.
    """
    import torch

    from molvae.bo.base import Candidate
    from molvae.chem.molecules import canonical

    found = list[Candidate]()
    for one in proposed if isinstance(proposed, Iterable) else [proposed]:
        if not isinstance(one, Candidate):
            raise CampaignError(
                f"strategy {strategy.name!r} proposed {shown(one)}; expected a list of "
                "molvae.bo.Candidate"
            )
        z = torch.as_tensor(one.z, device="cpu")
        if z.shape != (dim,):
            raise CampaignError(
                f"strategy {strategy.name!r} proposed {one.smiles} with a vector of shape "
                f"{tuple(z.shape)}; expected {dim} numbers, such as space.encode([smiles])[0]"
            )
        try:
            found.append(replace(one, smiles=canonical(one.smiles), z=z))
        except InvalidMoleculeError as error:
            raise CampaignError(f"strategy {strategy.name!r} proposed {error}") from error
    return found


def nearest(smiles: Sequence[str], known: Sequence[str]) -> list[tuple[str | None, float | None]]:
    """The most similar known molecule of each, and its Tanimoto similarity."""
    from molvae.chem.fingerprints import morgan_bits, tanimoto

    try:
        similar = tanimoto(morgan_bits(smiles), morgan_bits(known))
    except InvalidMoleculeError:  # in a file that molvae did not write
        known = ()
    if not known:
        return [(None, None)] * len(smiles)
    return [(known[row.argmax()], float(row.max())) for row in similar]


def suggestions(smiles: Sequence[str], library: Library | None) -> list[dict[str, str]]:
    """Notes of each molecule: names, SMILES and similarities of those to buy instead."""
    if library is None:
        return [{} for _ in smiles]
    found = []
    for hits in library.most_similar(smiles, N_SUGGESTED):
        table = library.rows(hits, ("id", "smiles"))
        table["similarity"] = [f"{hit.value:.2f}" for hit in hits]
        rows = enumerate(table.to_dict("records"), 1)
        found.append(
            {f"purchasable_{k}_{name}": str(v) for k, row in rows for name, v in row.items()}
        )
    return found


class Choice(threading.Thread):
    """A choice of molecules by `work`, in a thread of its own; `done` is called at its end."""

    def __init__(self, work: Callable[[], Any], done: Callable[[], None]) -> None:
        super().__init__(name="choosing", daemon=True)
        self.result: Future[tuple[Any, float]] = Future()
        """The choice, and the seconds that it took."""
        self._work, self._when_done = work, done
        self._done, self._cancelled = threading.Event(), False

    def run(self) -> None:
        """Make the choice; an interruption by `stop` may come at any step."""
        began = time.monotonic()
        if self._cancelled:
            return
        try:
            found = self._work()
            settle = partial(self.result.set_result, (found, time.monotonic() - began))
        except BaseException as error:
            settle = partial(self.result.set_exception, error)
        settle()
        self._done.set()
        self._when_done()

    def wait(self) -> None:
        """Wait for the end of the choice; Ctrl-C interrupts."""
        wait(self._done)

    def stop(self) -> None:
        """Interrupt the thread at its next step in Python, and wait a little for its end."""
        self._cancelled = True  # if it is only about to begin
        if self.is_alive() and self.ident is not None:
            # No thread prints this exception when it ends.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident), ctypes.py_object(SystemExit)
            )
            self.join(STOP_SECONDS)
