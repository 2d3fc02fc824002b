"""Call objectives: from molecules to values, in order. This part may run on another machine."""

from __future__ import annotations

import contextlib
import errno
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from molvae.campaign.trial import Outcome
from molvae.chem import values as _numbers
from molvae.chem.values import (
    LIMIT_SIGNS,
    Censored,
    Operator,
    finite,
    listed_values,
    one_per_molecule,
    parse_measurement,
    scalar,
)
from molvae.config import is_list
from molvae.errors import (
    CampaignError,
    ConfigError,
    MachineError,
    ObjectiveError,
    UnknownNameError,
    described,
    encodable,
    message_of,
    one_line,
    require,
    shown,
)
from molvae.objectives.computing import computed, is_cheap
from molvae.objectives.interrupts import take_back
from molvae.objectives.parsing import ManualScoring, told_names
from molvae.objectives.printing import prints_to_stderr
from molvae.objectives.problem import OptimizationProblem
from molvae.objectives.process_guard import in_this_process, kill_marked, marked
from molvae.objectives.program import Program

if TYPE_CHECKING:
    from molvae.objectives.scoring import ScoringFunction

NAN_MESSAGE = "could not be scored"
"""The message of NaN, which is an objective's answer, and no trouble."""

MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH,
}  # fmt: skip
"""Errors of a full disk, of too many open files, of the network: never a molecule's fault."""


class LostCallError(Exception):
    """A call was lost to trouble of the machine, not of its molecules: it is made again."""


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """An objective, and the names of its values."""

    objective: ScoringFunction
    names: tuple[str, ...]  # with several, the objective returns a mapping for each molecule
    fidelity: str = ""  # name of the lower fidelity that it evaluates; empty: the objectives


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """The result of calling objectives with one molecule."""

    # Values by name, in the objective's own sign, finite; without those that are not known.
    values: Mapping[str, float] = field(default_factory=dict)
    message: str = ""  # why values are missing
    broke: bool = False  # an objective raised or was too late: another try may work


def evaluate(
    calls: Sequence[EvaluationTask], smiles: Sequence[str], fidelity: str = ""
) -> list[EvaluationResult]:
    """Score molecules at a fidelity: call each of its objectives with all of them.

    An objective that raises with several molecules gets them again one by one, so that only the
    one at fault fails. Prints go to standard error; programs that objectives start are ended if
    this process is killed. A forked child that comes back here ends: its parent answers.

    Returns:
        One result a molecule. An `Exception` is a result without values, and so is an answer that
        is no finite number.

    Raises:
        CampaignError: Values of the objective are measured, and reported with `tell`.
        LostCallError: The operating system is in trouble, e.g. its disk is full.
        MachineError: The objective says that it is not the molecule's fault.
        ObjectiveError: It did not return one value per molecule.
    """
    calls = [call for call in calls if call.fidelity == fidelity]
    starts_nothing = all(is_cheap(call.objective) for call in calls)
    take_back()
    with prints_to_stderr(), contextlib.nullcontext("") if starts_nothing else marked() as mark:
        try:
            with in_this_process():
                found = [_call(call, smiles) for call in calls]
        except BaseException as error:
            if mark and not isinstance(error, Exception):  # interrupted
                kill_marked(mark)
            raise
    return [
        EvaluationResult(
            values={name: value for one in row for name, value in one.values.items()},
            message=one_line("; ".join(dict.fromkeys(one.message for one in row if one.message))),
            broke=any(one.broke for one in row),
        )
        for row in zip(*found, strict=True)
    ]


def _call(call: EvaluationTask, smiles: Sequence[str]) -> list[EvaluationResult]:
    objective = call.objective
    ask: Callable[[list[str]], Any] = getattr(objective, "answers", objective)
    try:
        answers = listed_values(ask(list(smiles)))
    except (CampaignError, MachineError):
        raise
    except Exception as error:  # others end a process, or are meant to
        if reason := _machine_trouble(error):
            raise LostCallError(reason) from error
        if len(smiles) > 1:
            return [_call(call, [one])[0] for one in smiles]
        say = message_of if isinstance(error, ObjectiveError) else described
        return [EvaluationResult(message=say(error), broke=True)]
    answers = one_per_molecule(objective.name, answers, len(smiles))
    return [_scored(answer, call.names) for answer in answers]


def _machine_trouble(error: BaseException | None) -> str:
    """The operating system's error behind this one, if molecules cannot be its cause."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            return described(error)
        error = error.__cause__
    return ""


def _scored(answer: Any, names: Sequence[str]) -> EvaluationResult:
    if not isinstance(answer, Mapping):
        is_nan = isinstance(answer, float) and math.isnan(answer)
        if len(names) > 1 and not is_nan:
            text = f"expected values of {', '.join(names)}, the objective returned {shown(answer)}"
            return EvaluationResult(message=text)
        answer = dict.fromkeys(names, answer)
    answer = {encodable(str(name)): value for name, value in answer.items()}
    values, messages = dict[str, float](), []
    for name in names:
        if name not in answer:
            there = one_line(", ".join(answer) or "nothing", 200)
            messages.append(f"the objective returned {there}, no {name}")
            continue
        said = f"{shown(answer[name])},"
        try:
            number = scalar(answer[name])
            said = f"{number}, which"
            finite(number)
        except ValueError as error:
            messages.append(f"the objective returned {said} {error}")
            continue
        if math.isnan(number):
            messages.append(NAN_MESSAGE)
        else:
            values[name] = number
    return EvaluationResult(values=values, message="; ".join(dict.fromkeys(messages)))


def parse_outcome(
    problem: OptimizationProblem,
    value: Any,
    *,
    error: Any,
    notes: Mapping[str, str] | None,
    message: str,
) -> Outcome:
    """The outcome that `Campaign.tell` reports; arguments and errors as for `Campaign.tell`."""
    require(isinstance(message, str), f"a message must be a text, got {message!r}")
    of_texts = isinstance(notes, Mapping) and all(
        isinstance(text, str) for note in notes.items() for text in note
    )
    require(notes is None or of_texts, f"notes must be texts by name, got {notes!r}")
    missing = "give None if the molecule could not be scored"
    require(not isinstance(value, Mapping) or bool(value), f"there is no value; {missing}")
    found = dict[str, Sequence[float | Censored]]()
    for name, of in values_by_name(value, problem).items():
        found[name] = measurements(of)
        require(bool(found[name]), f"there is no value of {name}; {missing}")
    known = combined(found)
    values, replicates = known.values, known.replicates
    errors = {} if error is None else values_by_name(error, problem)
    for name, one in errors.items():
        require(
            name in values
            and name not in replicates
            and name not in known.operators
            and 0 <= _number(one) < math.inf,
            f"a standard error must be a finite number from 0, beside one value; got {one!r}",
        )
    return replace(
        known,
        complete=set(problem.names) <= set(values),
        errors={**known.errors, **{name: _number(one) for name, one in errors.items()}},
        notes={**known.notes, **(notes or {})},
        message=message,
    )


def combined(found: Mapping[str, Sequence[float | Censored]]) -> Outcome:
    """The outcome of measurements by name: the mean of the numbers, else the tightest limit.

    Several numbers are replicates; NaN is a failed measurement. Notes tell limits that are not
    used, and how many measurements failed beside others.

    Raises:
        ConfigError: A molecule has limits in both directions, and no number.
    """
    values, operators = dict[str, float](), dict[str, Operator]()
    replicates, notes = dict[str, list[float]](), dict[str, str]()
    for name, several in found.items():
        numbers = [one for one in several if isinstance(one, float) and not math.isnan(one)]
        limits = [one for one in several if isinstance(one, Censored)]
        if numbers:
            values[name] = statistics.fmean(numbers)
        elif limits:
            said = ", ".join(dict.fromkeys(map(str, limits)))
            signs = {limit.operator for limit in limits}
            require(len(signs) == 1, f"{name} has limits in both directions ({said}); give one")
            (operators[name],) = signs
            tightest = min if operators[name] == "<" else max
            values[name] = tightest(limit.limit for limit in limits)
        if len(numbers) > 1:
            replicates[name] = numbers
        if limits and (numbers or len(limits) > 1):
            notes[limits_note(name)] = "; ".join(map(str, limits))
        if name in values and (failures := len(several) - len(numbers) - len(limits)):
            notes[failures_note(name)] = str(failures)
    return Outcome(
        complete=len(values) == len(found),
        values=values,
        operators=operators,
        errors={name: standard_error(several) for name, several in replicates.items()},
        replicates=replicates,
        notes=notes,
    )


def limits_note(name: str) -> str:
    """Name of the note with the limits of a value."""
    return f"limits of {name}"


def failures_note(name: str) -> str:
    """Name of the note with the number of failed measurements beside a value."""
    return f"failed measurements of {name}"


def with_computed(
    outcome: Outcome,
    smiles: str,
    problem: OptimizationProblem,
    function: Callable[[str], ScoringFunction],
) -> Outcome:
    """The outcome with the computed values of its molecule, if anything was measured.

    Where people measure some values and functions others, those are called if all that people
    measure is there. `function` gives the scoring function of a value's name.

    Raises:
        CampaignError: The machine is in trouble, so that a function cannot be called.
    """
    if not outcome.values:
        return outcome
    values, message = dict(outcome.values), outcome.message
    if lacking := [name for name in problem.computed if name not in values]:
        try:
            values |= computed({name: function(name) for name in lacking}, [smiles])[0]
        except ObjectiveError as error:  # of a user's function
            message = "; ".join(filter(None, [message, message_of(error)]))
    told = told_names(problem)
    called = [name for name in problem.measured if name not in told and name not in values]
    if called and set(told) <= set(values):
        try:
            (found,) = evaluate(tasks_of(problem, called, function), [smiles])
        except LostCallError as error:
            raise CampaignError(f"{error}; nothing was written, tell it again") from error
        values |= found.values
        message = "; ".join(filter(None, [message, found.message]))
    complete = set(problem.names) <= set(values)
    return replace(outcome, values=values, complete=complete, message=message)


def tasks_of(
    problem: OptimizationProblem,
    names: Sequence[str],
    function: Callable[[str], ScoringFunction],
    timeout: float | None = None,
) -> list[EvaluationTask]:
    """The calls for some values of a molecule: each objective once, whatever it measures."""
    by_spec: dict[object, list[str]] = {}
    for name in names:
        by_spec.setdefault(problem.parts[name].spec or id(function(name)), []).append(name)
    tasks = []
    for several in by_spec.values():
        objective = function(several[0])
        if isinstance(objective, ManualScoring):
            objective([])  # raises, and says what to do instead
        if isinstance(objective, Program) and timeout is not None:  # else its own, if it has one
            objective = replace(objective, timeout=timeout)
        tasks.append(EvaluationTask(objective=objective, names=tuple(several)))
    return tasks


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of two measurements or more."""
    return statistics.stdev(values) / math.sqrt(len(values))


def values_by_name(value: Any, problem: OptimizationProblem) -> dict[str, Any]:
    """Measured values by name; of one measured objective the name may be left out."""
    if not isinstance(value, Mapping):
        measured = told_names(problem) or problem.names
        if value is None:
            return {}
        require(
            len(measured) == 1,
            f"this campaign measures {', '.join(measured)}; give values by name, got {value!r}",
        )
        return {measured[0]: value}
    for name in value:
        if name not in problem.names:
            raise UnknownNameError("value", str(name), problem.names)
    return dict(value)


def measurements(value: Any) -> list[float | Censored]:
    """The measurements that a value holds, one or several; NaN: it failed."""
    return [_measurement(one) for one in (value if is_list(value) else [value])]


def _measurement(value: object) -> float | Censored:
    """A number, or a limit such as `<5`."""
    if isinstance(value, Censored):
        return value
    if isinstance(value, str) and (_numbers.is_word(value) or value.strip()[:1] in LIMIT_SIGNS):
        try:
            found = parse_measurement(value, alone=False)  # n.d. of a trial that is told: it failed
        except ValueError as error:
            raise ConfigError(_numbers.not_a_number(value, error)) from error
        if found is not None:
            return found
    return _number(value)


def _number(value: object) -> float:
    require(
        str(getattr(value, "dtype", type(value).__name__)) not in ("bool", "torch.bool"),
        f"a value must be a number, or NaN if it could not be scored; got {value!r}: if it stands "
        "for a number, write 1.0 or 0.0",
    )
    try:
        if isinstance(value, str):
            return math.nan if value.strip().lower() == "nan" else _numbers.number(value)
        return math.nan if value is None else finite(scalar(value))
    except ValueError as error:
        said = f"got {value!r}: {error}"
        if isinstance(value, str):
            said = _numbers.not_a_number(value, error)
        raise ConfigError(
            f"a value must be a number, or NaN if it could not be scored; {said}"
        ) from error
