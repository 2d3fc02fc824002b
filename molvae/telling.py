"""What somebody says of a trial, as an outcome to be recorded."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from molvae import _numbers
from molvae._finite import MAX_VALUE, finite
from molvae._scalar import scalar
from molvae.bo.goals import Aim
from molvae.bo.store import Outcome
from molvae.config import is_list, require
from molvae.errors import ConfigError, UnknownNameError


def outcome_of(
    aim: Aim, value: Any, *, error: Any, notes: Mapping[str, str] | None, message: str
) -> Outcome:
    """Arguments and errors as of `Campaign.tell`."""
    require(isinstance(message, str), f"a message must be a text, got {message!r}")
    require(
        notes is None
        or (
            isinstance(notes, Mapping)
            and all(isinstance(text, str) for note in notes.items() for text in note)
        ),
        f"notes must be texts by name, got {notes!r}",
    )
    values, replicates = dict[str, float](), dict[str, list[float]]()
    for name, of in _by_name(value, aim).items():
        numbers = [_number(one) for one in (of if is_list(of) else [of])]
        known = [number for number in numbers if not math.isnan(number)]
        if known:
            values[name] = statistics.fmean(known)
        if len(known) > 1:
            replicates[name] = known
    errors = {} if error is None else _by_name(error, aim)
    for name, one in errors.items():
        require(
            name in values and name not in replicates and 0 <= _number(one) < math.inf,
            f"a standard error must be a finite number from 0, beside one value; got {one!r}",
        )
    for name, known in replicates.items():
        errors[name] = statistics.stdev(known) / math.sqrt(len(known))
    return Outcome(
        told=set(aim.names) <= set(values),
        values=values,
        errors={name: _number(one) for name, one in errors.items()},
        replicates=replicates,
        notes=notes or {},
        message=message,
    )


def completed_by(outcome: Outcome, more: Mapping[str, float], aim: Aim) -> Outcome:
    """With further values, which may be all that it lacked."""
    values = {**outcome.values, **more}
    return replace(outcome, values=values, told=set(aim.names) <= set(values))


def _by_name(value: Any, aim: Aim) -> dict[str, Any]:
    """A value, or values, of what is measured."""
    if not isinstance(value, Mapping):
        measured = aim.measured or aim.names
        if value is None:
            return {}
        require(
            len(measured) == 1,
            f"this campaign measures {', '.join(measured)}; give values by name, got {value!r}",
        )
        return {measured[0]: value}
    for name in value:
        if name not in aim.names:
            raise UnknownNameError("value", str(name), aim.names)
    return dict(value)


def _number(value: object) -> float:
    require(
        str(getattr(value, "dtype", type(value).__name__)) not in ("bool", "torch.bool"),
        f"a value must be a number, or NaN if it could not be scored; got {value!r}: if it stands "
        "for a number, write 1.0 or 0.0",
    )
    if isinstance(value, str):
        try:
            return math.nan if value.strip().lower() == "nan" else _numbers.number(value)
        except ValueError as error:
            said = _numbers.not_a_number(value, error)
            raise ConfigError(f"a value must be a number, or NaN; {said}") from error
    try:
        number = math.nan if value is None else scalar(value)
    except ValueError as error:
        raise ConfigError(
            f"a value must be a number, or NaN if it could not be scored; got {value!r}"
        ) from error
    try:
        return finite(number)
    except ValueError as error:
        raise ConfigError(
            f"a value must be at most {MAX_VALUE:g} in magnitude; {number:g} {error}"
        ) from error


__all__ = ["completed_by", "outcome_of"]
