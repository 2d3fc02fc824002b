"""Commands that write what was measured into campaigns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from molvae.chem.measurements import parse_value
from molvae.cli.campaign_output import open_campaign, pending_trials, print_start_rows, say_notes
from molvae.cli.shared_flags import CampaignFile, Verbose
from molvae.cli.terminal import InFile, Signed, Switch, print_table, say
from molvae.errors import DataError, listed, require, shown
from molvae.objectives.printing import process_prints_to_stderr

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign


def tell(
    campaign_file: CampaignFile,
    trial: int | None = None,
    value: Signed | None = None,
    /,
    *others: Signed,
    file: InFile | None = None,
    error: float | None = None,
    message: Signed = "",
    correct: Switch = False,
    add: Switch = False,
    yes: Switch = False,
) -> None:
    """Write measured values into a campaign file.

    What was told stays in the file. A value more than ten robust standard deviations from the
    median of the others is not written without --yes.

    Args:
        trial: The id that molvae ask printed.
        value: A number; a limit as in "<5" or ">10"; or "failed" if it could not be measured.
            Replicates separated by ; as in "-7.31;-7.5" become their mean and its standard error.
        others: Further ids and values, as in 5 7.31 6 failed. Either all are written or none.
        file: Table (CSV, Excel, SDF, Parquet) with columns id, value and perhaps error and message;
            if several things are measured, with NAME and NAME_error for each. Rows
            without a value stay pending, unless there is a message; NaN, n.d. or failed as a value
            mean failed. Other columns are kept as notes, and molecules must match the trials.
            Either all rows are written or none; rows that were written before are skipped.
        error: Standard error of the value.
        message: Text kept with each value, e.g. why it failed, or why it is corrected.
        correct: Replace outcomes that were told before, and say why (--message, or a column).
        add: Add replicates to values that were told before.
        yes: Accept implausible values.
    """
    from molvae.campaign.told_values import told_in_table
    from molvae.chem.readers import read_table
    from molvae.objectives.parsing import all_told_names, told_names

    require(not (correct and add), "--correct replaces values, and --add adds to them; use one")
    with open_campaign(campaign_file) as campaign:
        problem, names = campaign.problem, all_told_names(campaign.problem)
        earlier = {trial.id: trial for trial in campaign.trials}
        own = {id_: told_names(problem.at(one.fidelity)) for id_, one in earlier.items()}
        if file is None and trial is not None and value is not None:
            values: dict[int, Any] = {}
            for id_, measured in _by_trial([str(trial), value, *others]).items():
                (name, *more) = own.get(id_, names)
                if more:
                    said = ", ".join(names)
                    raise DataError(f"this campaign measures {said}; tell them by --file")
                values[id_] = {name: measured}
            require(error is None or len(values) == 1, "--error is that of one value; use --file")
            _ask_back(campaign, values, yes=yes)
            messages, told = dict.fromkeys(values, message), list(values)
            if correct or add:
                errors: dict[int, Any] = dict.fromkeys(values, error)
                campaign.correct_all(values, messages=messages, errors=errors, add=add)
            elif len(values) > 1:
                told = campaign.tell_all(values, messages=messages)
            else:
                campaign.tell(told[0], values[told[0]], message, error=error)
        elif file is not None and trial is None:
            require(
                error is None and not (message and not correct),
                "with --file, standard errors and messages are columns: error and message",
            )
            table = read_table(file, ("id", *names, "value"))
            found = told_in_table(campaign, table, correct=correct, add=add)
            if found.n_blank:
                say(f"rows without a value or message, which change nothing: {found.n_blank}")
            values = found.values
            _ask_back(campaign, values, yes=yes)
            messages = dict.fromkeys(values, message) | found.messages
            about: dict[str, Any] = {
                "messages": messages,
                "errors": found.errors,
                "notes": found.notes,
            }
            if correct or add:
                campaign.correct_all(values, add=add, **about)
                told = list(values)
            else:
                told = campaign.tell_all(values, **about)
            say_notes(name for notes in found.notes.values() for name in notes)
            if before := set(values) - set(told):
                say(f"{len(before)} of {len(values)} had the same values before")
                other = [id_ for id_ in before if messages[id_] not in ("", earlier[id_].message)]
                if new := len({id_ for id_ in before if found.notes[id_]} | set(other)):
                    say(f"other notes or messages of {new} of these are not written")
        else:
            raise DataError("give an id and a value, or --file with columns id and value")
        trials = {trial.id: trial.status for trial in campaign.trials}
        failed = sum(trials[id_] == "failed" for id_ in told)
        as_failed = f" ({failed} as failed)" if failed else ""
        pending = sum(status == "pending" for status in trials.values())
        said = f"values of {len(told)} trial{'s' * (len(told) != 1)}"
        say(f"{said}{as_failed}; {pending} pending")


def _by_trial(outcomes: Sequence[str]) -> dict[int, Any]:
    """Values by the ids before them; one `DataError` names all that are wrong."""
    found, problems = dict[int, Any](), list[str]()
    for id_, value in zip_longest(outcomes[::2], outcomes[1::2]):
        if not re.fullmatch("[0-9]{1,18}", id_):
            problems.append(f"an id must be a whole number, got {shown(id_, 40)}")
        elif value is None:
            problems.append(f"trial {id_}: there is no value behind it")
        elif int(id_) in found:
            problems.append(f"trial {id_} is there twice; write replicates as in 5.1;5.3")
        else:
            found[int(id_)] = None
            try:
                found[int(id_)] = parse_value(value)
            except DataError as wrong:
                problems.append(f"trial {id_}: {wrong}")
    if problems:
        advice = "give pairs of an id and a value, or --file with columns id and value"
        raise DataError(f"nothing was written: {listed(problems, advice)}")
    return found


def _ask_back(campaign: Campaign, values: Mapping[Any, Any], *, yes: bool) -> None:
    """Refuse values that are far from the others, unless they are accepted."""
    from molvae.campaign.outlying_values import outlying
    from molvae.objectives.parsing import all_told_names

    found = outlying(campaign.trials, values, all_told_names(campaign.problem))
    if found and not yes:
        raise DataError(f"{listed(found)}; nothing was written: correct it, or accept it (--yes)")


def add(
    campaign_file: CampaignFile,
    file: InFile,
    /,
    *,
    message: Signed = "",
    smiles_column: str | None = None,
    value_column: str | None = None,
    skip_invalid: bool | None = None,
    standardize: bool | None = None,
    yes: Switch = False,
    verbose: Verbose = False,
) -> None:
    """Add molecules that were never proposed, with their values, and print them as TSV.

    Molecules that are pending are told; those with the same value already are passed over. Either
    all rows are written or none.

    Args:
        file: Table as of --start of molvae optimize: a column of molecules, and one of values.
        message: Text kept with the values.
        smiles_column: Column of the molecules; smiles in any case by default.
        value_column: Column of the measured values; by default value or the name of the objective,
            in any case and with or without a unit in brackets.
        skip_invalid: Leave out and count invalid molecules; by default as the campaign does.
        standardize: Take the parent molecules of salts and ions, and leave out mixtures; by default
            as the campaign does.
        yes: Accept implausible values.
        verbose: Print what became of each row.
    """
    given: dict[str, Any] = {
        "smiles_column": smiles_column,
        "value_column": value_column,
        "skip_invalid": skip_invalid,
        "standardize": standardize,
    }
    with process_prints_to_stderr(), open_campaign(campaign_file) as campaign:
        trials = campaign.add(
            Path(file),
            message=message,
            review=partial(_ask_back, campaign, yes=yes),
            **{name: value for name, value in given.items() if value is not None},
        )
        print_start_rows(campaign, verbose=verbose)
        names = campaign.problem.names
    rows = [(t.id, t.smiles, t.status, *(t.values.get(name) for name in names)) for t in trials]
    print_table(("id", "smiles", "status", *names), rows)
    said = sum(trial.status != "pending" for trial in trials)
    say(f"{len(trials)} molecules added, {said} of them with an outcome")


def retry(
    campaign_file: CampaignFile,
    /,
    *,
    message: str | None = None,
    trial: Annotated[
        tuple[int, ...],
        Parameter(consume_multiple=True, negative_iterable=(), show_default=False),
    ] = (),
) -> None:
    """Make failed trials pending again and print them as TSV.

    Use it after a failure that was not the molecules' fault: a license server that was down, a full
    disk. molvae optimize evaluates them again, or molvae tell writes their values. The earlier
    failures stay in the campaign file.

    Args:
        message: Only failures whose message contains this text; all failed trials by default.
        trial: Only trials with these ids.
    """
    with open_campaign(campaign_file) as campaign:
        again = campaign.retry(trial or None, message=message)
        print_table(
            ("id", "smiles", "earlier_failures"),
            [(one.id, one.smiles, "; ".join(map(str, one.earlier_failures))) for one in again],
        )
        failed = sum(one.status == "failed" for one in campaign.trials)
        say(f"{len(again)} put back, {len(pending_trials(campaign))} pending, {failed} failed")
