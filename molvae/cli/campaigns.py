"""Commands that create, resume and show campaigns."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from molvae._files import check_output
from molvae.analysis.export import check_can_write_table, with_visible_text, write_table
from molvae.chem.tables import shortened_list
from molvae.cli.campaign_output import (
    best_rows,
    print_start_rows,
    print_summary,
    run_with_progress,
)
from molvae.cli.inputs import parse_value, read_measurements
from molvae.cli.shared_flags import CampaignFile, Verbose
from molvae.cli.terminal import Flat, InFile, Signed, Switch, flags, given, layers, print_table, say
from molvae.config import CampaignConfig, build
from molvae.errors import CampaignError, DataError, listed, require
from molvae.objectives.printing import process_prints_to_stderr

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.trial import Trial
    from molvae.config import CampaignConfig as CampaignFlags
else:
    CampaignFlags = flags(CampaignConfig)


def optimize(
    campaign_file: Path | None = None,
    /,
    *,
    config: Path | None = None,
    settings: Annotated[CampaignFlags | None, Flat] = None,
    top: int = 10,
    overwrite: Switch = False,
    trust: Switch = False,
    verbose: Verbose = False,
) -> None:
    """Run a campaign and print its best molecules as TSV.

    An existing campaign file is resumed; then only the budget has to be given. For values from a
    laboratory see molvae ask.

    A campaign file names the module or command that scores its molecules. If it was not created on
    this machine, and neither a flag nor the TOML file names the same, they run only with --trust.

    Args:
        campaign_file: Campaign file (SQLite); may also stand in the TOML file.
        config: TOML file with settings, e.g. pipelines/qed.toml; flags override it.
        settings: Settings of the campaign.
        top: Number of best molecules to print.
        overwrite: Replace an existing report of another campaign.
        trust: Run the module or command that a campaign file from elsewhere names; this machine
            remembers it.
        verbose: Print what became of each row of the file of initial molecules.
    """
    from molvae.analysis.report import write_report

    chosen = layers(CampaignConfig, config, settings)
    chosen |= {} if campaign_file is None else {"campaign": str(campaign_file)}
    report, replaces = _check_report(chosen, config, overwrite=overwrite)
    with process_prints_to_stderr():
        campaign = _create_or_resume(chosen, str(config or "flags"), verbose=verbose)
    with campaign:
        if trust or (campaign.code and set(campaign.code) <= _specs(chosen)):
            campaign.trust()
        with process_prints_to_stderr():
            run_with_progress(campaign, build(CampaignConfig, chosen))
        print_table(*best_rows(campaign, top))
        print_summary(campaign, chosen["campaign"])
        if report is not None:
            write_report(campaign, report, overwrite=replaces)
            say(f"report  {chosen['report']}")


def ask(
    campaign_file: CampaignFile,
    /,
    *,
    n: Annotated[int | None, Parameter(name=["--n", "-n"])] = None,
    pending: Annotated[bool, Parameter(name=["--pending", "--waiting"], negative="")] = False,
    fill: Switch = False,
    create: Switch = False,
    out: Path | None = None,
    overwrite: Switch = False,
    verbose: Verbose = False,
    settings: Annotated[CampaignFlags | None, Flat] = None,
) -> None:
    """Print molecules to measure next, as TSV. Report their values with molvae tell.

    Columns are id, smiles and percentile (how typical a molecule is of the model, from 0 to 100,
    see molvae explore density); the predicted value with the ends of its 90 % interval; similarity
    to the nearest measured molecule; kappa, the weight of the uncertainty; origin, the strategy and
    its operator; findings, e.g. structural alerts.

    Create a laboratory campaign with --create and the settings of molvae optimize, e.g.
    --create --objective manual:pIC50 --direction maximize --start measured.csv. Initial molecules
    without a value are printed first.

    Args:
        n: Number of new molecules; a batch by default.
        pending: Print pending molecules, asked for but without a value, and choose no new ones.
        fill: Print pending molecules first, and fill up to N with new ones.
        create: Create the campaign.
        out: Write a plate to this file instead, with an empty column for each value, the reasons
            and properties: .csv, .tsv, .sdf, .xlsx (with drawings) or .parquet, which molvae tell
            --file reads back when the values are filled in; or .html, to read and print.
        overwrite: Replace an existing file.
        verbose: Print what became of each row of the file of initial molecules.
        settings: Settings of the new campaign, with --create.
    """
    from molvae.analysis.plate import (
        ask_columns,
        check_can_write_plate,
        plate_table,
        write_plate,
    )

    chosen = given(settings)
    inputs: list[str | Path] = [campaign_file, *_input_files(chosen)]
    if out is not None:
        check_can_write_plate(None, out, overwrite=overwrite, apart_from=inputs)
    require(not (pending and fill), "--pending asks for none, and --fill for new ones; use one")
    allow_constant = chosen.pop("allow_constant", False)
    if chosen and not create:
        raise CampaignError(f"{', '.join(chosen)}: settings of a new campaign; add --create")
    with (
        process_prints_to_stderr(),
        _create(chosen | {"campaign": str(campaign_file)}, "flags", verbose=verbose)
        if create
        else _open(campaign_file) as campaign,
    ):
        if out is not None:  # before anything is asked
            check_can_write_plate(campaign, out, overwrite=overwrite, apart_from=inputs)
        trials = _pending(campaign) if create or pending or fill else []
        wanted = campaign.batch_size if n is None else n
        if fill and len(trials) < wanted:
            trials += campaign.ask(wanted - len(trials), allow_constant=allow_constant)
        elif not (trials or pending):
            trials = campaign.ask(n, allow_constant=allow_constant)
        if out is not None:
            write_plate(campaign, trials, out, overwrite=overwrite, apart_from=inputs)
        columns = ask_columns(campaign.problem)
        rows = plate_table(campaign, trials, columns).to_numpy().tolist()
    if out is None:
        print_table(columns, rows)
    else:
        print(out)


def tell(
    campaign_file: CampaignFile,
    trial: int | None = None,
    value: Signed | None = None,
    /,
    *,
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
        file: Table (CSV, Excel, SDF, Parquet) with columns id, value and perhaps error and message;
            if several things are measured, with NAME and NAME_error for each. Rows
            without a value stay pending, unless there is a message; NaN, n.d. or failed as a value
            mean failed. Other columns are kept as notes, and molecules must match the trials.
            Either all rows are written or none; rows that were written before are skipped.
        error: Standard error of the value.
        message: Text kept with the value, e.g. why it failed, or why it is corrected.
        correct: Replace outcomes that were told before, and say why (--message, or a column).
        add: Add replicates to values that were told before.
        yes: Accept implausible values.
    """
    from molvae.analysis.plate import plate_columns
    from molvae.objectives.parsing import told_names

    require(not (correct and add), "--correct replaces values, and --add adds to them; use one")
    with _open(campaign_file) as campaign:
        names = told_names(campaign.problem)
        if file is None and trial is not None and value is not None:
            if len(names) != 1:
                raise DataError(f"this campaign measures {', '.join(names)}; tell them by --file")
            values: dict[int, Any] = {trial: {names[0]: parse_value(value)}}
            _ask_back(campaign, values, yes=yes)
            if correct or add:
                campaign.correct_all(
                    values, messages={trial: message}, errors={trial: error}, add=add
                )
            else:
                campaign.tell(trial, values[trial], message, error=error)
            told = [trial]
        elif file is not None and trial is None:
            require(
                error is None and not (message and not correct),
                "with --file, standard errors and messages are columns: error and message",
            )
            earlier = {trial.id: trial for trial in campaign.trials}
            exported = {id_: _as_exported(one) for id_, one in earlier.items()}
            beside = plate_columns(campaign.problem)
            rows = read_measurements(file, names, exported, _derived(campaign), beside)
            values = {row.id: row.values for row in rows}
            _ask_back(campaign, values, yes=yes)
            messages = {row.id: row.message or message for row in rows}
            errors = {row.id: row.errors for row in rows}
            notes = {row.id: row.notes for row in rows}
            if correct or add:
                campaign.correct_all(values, messages=messages, errors=errors, notes=notes, add=add)
                told = list(values)
            else:
                told = campaign.tell_all(values, messages=messages, errors=errors, notes=notes)
            _say_notes(name for row in rows for name in row.notes)
            if before := [row for row in rows if row.id not in set(told)]:
                say(f"{len(before)} of {len(rows)} had the same values before")
                same = {id_: ("", one.message) for id_, one in earlier.items()}
                new = sum(bool(r.notes) or r.message not in same[r.id] for r in before)
                if new:
                    say(f"other notes or messages of {new} of these are not written")
        else:
            raise DataError("give an id and a value, or --file with columns id and value")
        trials = {trial.id: trial.status for trial in campaign.trials}
        failed = sum(trials[id_] == "failed" for id_ in told)
        as_failed = f" ({failed} as failed)" if failed else ""
        pending = sum(status == "pending" for status in trials.values())
        say(f"values of {len(told)} trials{as_failed}; {pending} pending")


def _ask_back(campaign: Campaign, values: Mapping[Any, Any], *, yes: bool) -> None:
    """Refuse implausible values, unless they are accepted."""
    from molvae.campaign.corrections import implausible
    from molvae.objectives.parsing import told_names

    found = implausible(campaign.trials, values, told_names(campaign.problem))
    if found and not yes:
        raise DataError(f"{listed(found)}; nothing was written: mend it, or accept it with --yes")


def add(
    campaign_file: CampaignFile, file: InFile, /, *, message: Signed = "", yes: Switch = False
) -> None:
    """Add molecules that were never proposed, with their values, and print them as TSV.

    Molecules that are pending are told; those with the same value already are passed over. Either
    all rows are written or none.

    Args:
        file: Table as of --start of molvae optimize: a column of molecules, and one of values.
        message: Text kept with the values.
        yes: Accept implausible values.
    """
    from molvae.campaign.corrections import added

    with process_prints_to_stderr(), _open(campaign_file) as campaign:
        if not yes:
            new, told = added(campaign, Path(file), None, message)
            values: dict[Any, Any] = {one.smiles: one.outcome.values for one in new if one.outcome}
            _ask_back(campaign, values | {i: one.values for i, one in told.items()}, yes=False)
        trials = campaign.add(Path(file), message=message)
        names = campaign.problem.names
    rows = [(t.id, t.smiles, t.status, *(t.values.get(name) for name in names)) for t in trials]
    print_table(("id", "smiles", "status", *names), rows)
    said = sum(trial.status != "pending" for trial in trials)
    say(f"{len(trials)} molecules added, {said} of them with an outcome")


def _derived(campaign: Campaign) -> set[str]:
    """Columns of an exported table that the campaign computes, old names included."""
    from molvae.campaign.history import COLUMN_ALIASES, derived_columns
    from molvae.objectives.problem import EARLIER, PREDICTION_COLUMNS, REASON_COLUMNS

    problem = campaign.problem
    names = {*problem.names, *derived_columns(campaign.trials, problem), EARLIER}
    names |= {*REASON_COLUMNS, *(f"{n}_{p}" for n in problem.names for p in PREDICTION_COLUMNS)}
    old = {name for name, now in COLUMN_ALIASES.items() if now in names}
    return (names | old) - {*problem.measured}


def _as_exported(trial: Trial) -> dict[str, str]:
    """Columns of an exported table other than values, for one trial."""
    replicates = {f"{n}_replicates": ";".join(map(repr, r)) for n, r in trial.replicates.items()}
    return {
        **{f"note_{name}": text for name, text in trial.notes.items()},
        **trial.notes,
        **{f"{name}_operator": operator for name, operator in trial.operators.items()},
        **replicates,
        "smiles": trial.smiles,
        "status": trial.status,
        "origin": trial.origin,
        "message": trial.message,
        "asked_at": trial.asked_at,
        "told_at": trial.told_at or "",
    }


def retry(
    campaign_file: CampaignFile,
    /,
    *,
    message: str | None = None,
    trial: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative_iterable=())] = (),
) -> None:
    """Make failed trials pending again and print them as TSV.

    Use it after a failure that was not the molecules' fault: a licence server that was down, a full
    disk. molvae optimize evaluates them again, or molvae tell writes their values. The earlier
    failures stay in the campaign file.

    Args:
        message: Only failures whose message contains this text; all failed trials by default.
        trial: Only trials with these ids.
    """
    with _open(campaign_file) as campaign:
        again = campaign.retry(trial or None, message=message)
        print_table(
            ("id", "smiles", "earlier_failures"),
            [(one.id, one.smiles, "; ".join(map(str, one.earlier_failures))) for one in again],
        )
        failed = sum(one.status == "failed" for one in campaign.trials)
        say(f"{len(again)} put back, {len(_pending(campaign))} pending, {failed} failed")


def export(
    campaign_file: CampaignFile, file: Path | None = None, /, *, overwrite: Switch = False
) -> None:
    """Write all trials as a table.

    Args:
        file: File to write: .csv, .tsv, .sdf, .xlsx or .parquet; CSV on standard output by default.
        overwrite: Replace an existing file.
    """
    target = file and check_can_write_table(file, overwrite=overwrite, apart_from=[campaign_file])
    with _open(campaign_file) as campaign:
        table = campaign.table()
    if target is None:
        with_visible_text(table).to_csv(sys.stdout, index=False)
        return
    write_table(table, target, overwrite=overwrite, apart_from=[campaign_file])
    print(file)


def report(
    campaign_file: CampaignFile,
    out: Path | None = None,
    /,
    *,
    top: int = 24,
    lead: str | None = None,
    figures: Path | None = None,
    figure_format: Literal["svg", "png"] = "svg",
    overwrite: Switch = False,
) -> None:
    """Write the report of a campaign: one HTML file, to read, print and mail.

    Args:
        out: HTML file to write; beside the campaign file by default.
        top: Number of best molecules to draw.
        lead: SMILES of a lead; atoms of the best molecules that it does not have are drawn in
            color. By default the molecule of a similarity among objectives and constraints.
        figures: Folder to write the figures to as well.
        figure_format: Format of the figures.
        overwrite: Replace an existing report and figures.
    """
    from molvae.analysis.figures import write_figures
    from molvae.analysis.report import REPORT, write_report

    target = campaign_file.with_suffix(".html") if out is None else out
    check_output(target, REPORT, overwrite=overwrite, apart_from=[campaign_file])
    paths = []
    if figures is not None:
        paths = write_figures(
            campaign_file, figures, figure_format, overwrite=overwrite, apart_from=[target]
        )
    print(write_report(campaign_file, target, top=top, lead=lead, overwrite=overwrite))
    for path in paths:
        print(path)


def compare(
    campaign_file: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    /,
    *,
    out: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Compare campaigns of the same objectives, and print a table as TSV.

    Columns: evaluations, the best value, the best initial one, the mean of the ten best, the share
    of the ten best without findings, failed trials, and molecules that other campaigns have too.

    Args:
        campaign_file: Two campaign files or more.
        out: HTML file to write as well: curves, table and shared molecules.
        overwrite: Replace an existing comparison.
    """
    from molvae.analysis.comparison import COMPARISON, compare_campaigns, write_comparison

    if out is not None:
        check_output(out, COMPARISON, overwrite=overwrite, apart_from=campaign_file)
    with process_prints_to_stderr():
        found = compare_campaigns(campaign_file)
        if out is not None:
            write_comparison(found, out, overwrite=overwrite, apart_from=campaign_file)
    print_table(list(found.table.columns), found.table.to_numpy().tolist())
    if out is not None:
        say(f"comparison  {out}")


def copy(campaign_file: CampaignFile, out: Path, /) -> None:
    """Copy a campaign file, also while a campaign runs.

    Args:
        out: The new file.
    """
    from molvae.campaign.storage import Storage

    with Storage.open(campaign_file) as storage:
        storage.copy_to(out)
    print(out)


def ui(campaign_file: Path, /, *, port: int = 8000, top: int = 24, lead: str | None = None) -> None:
    """Show a campaign live in a browser of this machine, until Ctrl-C.

    The address shows the report. With its token, it also shows the plate: pending molecules with
    drawings and reasons, and takes their values.

    Args:
        campaign_file: Campaign file (SQLite); the campaign may be running.
        port: Port of the address http://127.0.0.1:PORT/; 0: any free port.
        top: Number of best molecules to draw.
        lead: SMILES of a lead; atoms of the best molecules that it does not have are drawn in
            color.
    """
    from contextlib import suppress
    from threading import Event

    from molvae.analysis.server import serve
    from molvae.objectives.interrupts import wait

    with serve(campaign_file, port=port, top=top, lead=lead) as address:
        print(address, flush=True)  # before the report is made, which may take a while
        say("press Ctrl-C to stop")
        with suppress(KeyboardInterrupt):
            wait(Event())


def _say_notes(names: Iterable[str]) -> None:
    """Name the columns kept as notes, so that a misspelt column of values shows."""
    if columns := list(dict.fromkeys(names)):
        say(f"kept as notes: {shortened_list(columns)}")


def _open(campaign_file: str | Path) -> Campaign:
    from molvae.campaign.campaign import Campaign

    return Campaign.open(campaign_file)


def _create(settings: Mapping[str, Any], where: str, *, verbose: bool = False) -> Campaign:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.proposal_check import inactive_parts

    config = build(CampaignConfig, settings, where)
    campaign = Campaign.create(config.campaign, config.space, config)
    if campaign.start_rows:
        print_start_rows(campaign, verbose=verbose)
    _say_notes(name for trial in campaign.trials for name in trial.notes)
    if message := inactive_parts(campaign.config):
        say(message)
    return campaign


def _specs(settings: Mapping[str, Any]) -> set[str]:
    """Code that the settings name: users who name it know that it runs."""
    from molvae.objectives.parsing import parse_constraint, parse_objective
    from molvae.objectives.program import COMMAND

    objective, command = settings.get("objective", ()), settings.get("command")
    objective = (objective,) if isinstance(objective, str) else objective
    specs = {parse_constraint(one)["spec"] for one in settings.get("constraints", ())}
    specs |= {parse_objective(one)["spec"] for one in objective} if command is None else set()
    strategy = settings.get("strategy", "")
    own = [part.partition("=")[2] for part in strategy.partition(":")[2].split(",")]
    return {*specs, *([] if command is None else [COMMAND + command]), strategy, *own}


def _input_files(settings: Mapping[str, Any]) -> list[str]:
    """Files in the settings, and names that may be files."""
    return [str(settings[name]) for name in ("campaign", "start", "space") if name in settings]


def _check_report(
    settings: Mapping[str, Any], config: Path | None, *, overwrite: bool
) -> tuple[Path | None, bool]:
    """The path of the report, and whether it may replace a file: one of the same campaign may."""
    from molvae.analysis.report import REPORT, is_report_of

    require(
        "campaign" in settings,
        "name the campaign file: molvae optimize CAMPAIGN, or campaign = in the TOML file",
    )
    if "report" not in settings:
        return None, overwrite
    campaign_file, report = Path(settings["campaign"]), settings["report"]
    replaces = overwrite or (campaign_file.exists() and is_report_of(report, campaign_file))
    inputs: list[str | Path] = [*_input_files(settings), *([config] if config else [])]
    target = check_output(report, REPORT, overwrite=replaces, apart_from=inputs)
    return target, replaces


def _create_or_resume(settings: Mapping[str, Any], where: str, *, verbose: bool) -> Campaign:
    """The campaign in the campaign file if it exists, else a new one."""
    if not Path(settings["campaign"]).exists():
        return _create(settings, where, verbose=verbose)
    from molvae.campaign.same_settings import check_same_settings

    campaign = _open(settings["campaign"])
    try:
        check_same_settings(campaign, settings)
    except BaseException:
        campaign.close()
        raise
    say(f"resuming {settings['campaign']}: {len(campaign)} trials so far")
    return campaign


def _pending(campaign: Campaign) -> list[Trial]:
    return [trial for trial in campaign.trials if trial.status == "pending"]
