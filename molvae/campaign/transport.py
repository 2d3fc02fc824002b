"""Send objectives to other processes and machines.

Code that the other side can import travels by its name; code of a notebook, a script or a console,
lambdas and local classes travel by value, with cloudpickle.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from molvae.campaign.evaluation import EvaluationResult, EvaluationTask, evaluate
from molvae.errors import ObjectiveError, described
from molvae.objectives.printing import prints_to_stderr
from molvae.objectives.process_guard import in_this_process

Score = Callable[[Sequence[str], str], list[EvaluationResult]]


def packed(calls: Sequence[EvaluationTask]) -> bytes:
    """Pickle objectives; `ObjectiveError` names one that cannot be pickled."""
    for call in calls:
        try:
            _pickled(call)
        except Exception as error:  # whatever a class of a user's raises when it is pickled
            raise ObjectiveError(
                f"objective {call.objective.name!r} cannot be sent to other processes: "
                f"{described(error)}; let it make what cannot be sent when it is first called, or "
                "go on without workers and timeout"
            ) from error
    return _pickled(tuple(calls))


def _pickled(thing: Any) -> bytes:
    import cloudpickle

    from molvae.objectives.scoring import PerMolecule

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            # By itself it goes by the place of its function, which in a script is nowhere else.
            if isinstance(obj, PerMolecule) and obj.function.__module__ == "__main__":
                return partial(PerMolecule, **vars(obj)), ()
            return super().reducer_override(obj)

    file = io.BytesIO()
    Pickler(file).dump(thing)
    return file.getvalue()


def unpacked(payload: bytes) -> Score:
    """A function that scores molecules by `packed` objectives; raises the errors of loading."""
    with prints_to_stderr(), in_this_process():
        calls: tuple[EvaluationTask, ...] = pickle.loads(payload)
    return partial(evaluate, calls)


class NotLoadedError(Exception):
    """A worker of a cluster has not loaded the objectives."""


_loaded: dict[str, tuple[Score | str, float]] = {}
"""Objectives on a worker of a cluster, by key, or why they cannot be loaded; and the time."""


def key_of(payload: bytes) -> str:
    """The key of packed objectives on workers."""
    return hashlib.sha256(payload).hexdigest()


def load_on_worker(payload: bytes) -> None:
    """Load objectives on a worker of a cluster."""
    found: Score | str
    try:
        found = unpacked(payload)
    except BaseException as error:
        found = described(error)
    _loaded[key_of(payload)] = found, time.monotonic()


def forget_on_worker(payload: bytes) -> None:
    """Drop objectives when the campaign has ended."""
    _loaded.pop(key_of(payload), None)


def loaded_on_worker(key: str) -> tuple[Score, float]:
    """Objectives that this process has loaded, and the time; else `NotLoadedError` says why."""
    score, since = _loaded.get(key, ("they were not loaded", 0.0))
    if isinstance(score, str):
        raise NotLoadedError(score)
    return score, since
