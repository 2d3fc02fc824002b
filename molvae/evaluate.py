"""Calling objectives: from molecules to values, in order, one for one.

What is called, what came back, and what that means. Knows neither records nor processes: this is
the part that may run on another machine.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from molvae._finite import finite
from molvae._guard import kill_marked, marked
from molvae._interrupts import take_back
from molvae._messages import described, encodable, message_of, one_line, shown
from molvae._printing import prints_to_stderr
from molvae._scalar import scalar
from molvae.errors import CampaignError, MachineError, ObjectiveError

if TYPE_CHECKING:
    from molvae.chem.objective import Objective

ANSWERED_NAN = "could not be scored"
"""The message of NaN, which is what an objective says of a molecule, and no trouble."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """An objective, and the values that it brings."""

    objective: Objective
    names: tuple[str, ...]
    """Of the values; an objective that brings several gives a mapping for each molecule."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What came of one molecule."""

    values: Mapping[str, float] = field(default_factory=dict)
    """By name, in the objective's own sign, finite; what could not be scored is not there."""
    message: str = ""
    """Why not, if so."""
    broke: bool = False
    """It did not answer: another try may."""


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """An objective that nobody can call: its values come from a laboratory, by `tell`."""

    name: str
    direction: str = "maximise"

    def __call__(self, smiles: Sequence[str]) -> NoReturn:
        """Say so.

        Raises:
            CampaignError: Always.
        """
        raise CampaignError(
            f"values of {self.name!r} are told by hand: use ask and tell (run calls an objective)"
        )


def evaluate(calls: Sequence[Call], smiles: Sequence[str]) -> list[Scored]:
    """Score molecules.

    An objective that is better off with many molecules at once (a docking program, a model on a
    GPU) says so by an attribute `batch_size`; the caller hands over that many. If it breaks on
    many, it gets them again one by one, so that only the one that it breaks on is lost.

    What objectives print goes to standard error. What they start is ended if this process is
    killed meanwhile.

    Args:
        calls: Each is called with all of `smiles`.
        smiles: Canonical SMILES.

    Returns:
        One result a molecule. An `Exception` is a result: not scored, with its message. So is what
        is no finite number.

    Raises:
        CampaignError: Values of the objective are told by hand.
        MachineError: The objective says that it is not the molecule's fault.
        ObjectiveError: It gave another number of values than it got molecules.
    """
    starts_nothing = all(getattr(call.objective, "computed", False) for call in calls)
    take_back()
    with prints_to_stderr(), contextlib.nullcontext("") if starts_nothing else marked() as mark:
        try:
            found = [_call(call, smiles) for call in calls]
        except BaseException as error:
            if mark and not isinstance(error, Exception):  # the campaign is told to end
                kill_marked(mark)
            raise
    return [
        Scored(
            values={name: value for one in row for name, value in one.values.items()},
            message=one_line("; ".join(one.message for one in row if one.message)),
            broke=any(one.broke for one in row),
        )
        for row in zip(*found, strict=True)
    ]


def _call(call: Call, smiles: Sequence[str]) -> list[Scored]:
    objective = call.objective
    ask: Callable[[list[str]], Any] = getattr(objective, "answers", objective)
    try:
        answers = list(ask(list(smiles)))
    except (CampaignError, MachineError):
        raise
    except Exception as error:  # what is no Exception ends a process, or is meant to
        if len(smiles) > 1:
            return [_call(call, [one])[0] for one in smiles]
        say = message_of if isinstance(error, ObjectiveError) else described
        return [Scored(message=say(error), broke=True)]
    if len(answers) != len(smiles):
        raise ObjectiveError(
            f"objective {objective.name!r} gave {len(answers)} values for {len(smiles)} molecules; "
            "it must return one per molecule, NaN where it cannot score"
        )
    return [_scored(answer, call.names) for answer in answers]


def _scored(answer: Any, names: Sequence[str]) -> Scored:
    if not isinstance(answer, Mapping):
        if len(names) > 1:
            text = f"expected values of {', '.join(names)}, the objective returned {shown(answer)}"
            return Scored(message=text)
        answer = {names[0]: answer}
    answer = {encodable(str(name)): value for name, value in answer.items()}
    values, messages = dict[str, float](), []
    for name in names:
        if name not in answer:
            there = one_line(", ".join(answer) or "nothing", 200)
            messages.append(f"the objective returned {there}, no {name}")
            continue
        try:
            number = scalar(answer[name])
        except ValueError as error:
            messages.append(f"the objective returned {shown(answer[name])}, {error}")
            continue
        try:
            finite(number)
        except ValueError as error:
            messages.append(f"the objective returned {number}, which {error}")
            continue
        if math.isnan(number):
            messages.append(ANSWERED_NAN)
        else:
            values[name] = number
    return Scored(values=values, message="; ".join(messages))


__all__ = ["ANSWERED_NAN", "ByHand", "Call", "Scored", "evaluate"]
