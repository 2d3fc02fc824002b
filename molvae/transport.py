"""Objectives on their way to other processes and machines.

Code that the other side can import travels by its name; what was defined in a notebook, a script or
a console, a lambda or a local class travels as it is, by cloudpickle.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from molvae._messages import described, one_line
from molvae._printing import prints_to_stderr
from molvae.errors import ObjectiveError
from molvae.evaluate import Call, Scored, evaluate

Score = Callable[[Sequence[str]], list[Scored]]


def packed(calls: Sequence[Call]) -> bytes:
    """Objectives as bytes.

    Raises:
        ObjectiveError: One cannot be sent; says which and why.
    """
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

    from molvae.chem.objective import PerMolecule

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
    """What scores molecules by objectives that were `packed`; raises what their loading raises."""
    with prints_to_stderr():
        calls: tuple[Call, ...] = pickle.loads(payload)
    return partial(evaluate, calls)


_loaded: dict[str, Score] = {}
"""Of a worker of a cluster: what it has loaded, by key."""


class NotLoadedError(Exception):
    """A worker of a cluster has not loaded the objectives: it is new, or cannot load them."""


def key_of(payload: bytes) -> str:
    """By which a payload is known on workers."""
    return hashlib.sha256(payload).hexdigest()


def load_on_worker(payload: bytes) -> str | None:
    """Load objectives in this process, to be used by `score_on_worker`.

    Returns:
        Why they cannot be loaded, if so: as text, since an error may not travel.
    """
    try:
        _loaded[key_of(payload)] = unpacked(payload)
    except BaseException as error:
        return one_line(described(error))
    return None


def score_on_worker(key: str, smiles: Sequence[str]) -> list[Scored]:
    """Score molecules by objectives that this process has loaded.

    Raises:
        NotLoadedError: It has not.
    """
    if key not in _loaded:
        raise NotLoadedError("this worker has not loaded the objectives")
    return _loaded[key](smiles)


__all__ = [
    "NotLoadedError",
    "key_of",
    "load_on_worker",
    "packed",
    "score_on_worker",
    "unpacked",
]
