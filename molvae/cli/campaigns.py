"""Commands that begin campaigns, go on with them, and show them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from molvae.analysis.export import check_can_write_table, with_visible_text, write_table
from molvae.chem.tables import shortened_list
from molvae.cli.inputs import ASKED, parse_value, read_measurements
from molvae.cli.terminal import (
    Flat,
    InFile,
    Signed,
    Switch,
    flags,
    given,
    layers,
    print_tsv,
    progress,
    say,
)
from molvae.config import DEFAULT_PROPERTIES, RESUMABLE_FIELDS, CampaignConfig, build, current_names
from molvae.errors import CampaignError, DataError, encodable, require
from molvae.objectives.printing import process_prints_to_stderr

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.trial import Trial
    from molvae.config import CampaignConfig as CampaignFlags
else:
    CampaignFlags = flags(CampaignConfig)


def optimize(
    record: Path | None = None,
    /,
    *,
    config: Path | None = None,
    settings: Annotated[CampaignFlags | None, Flat] = None,
    top: int = 10,
    overwrite: Switch = False,
    trust: Switch = False,
) -> None:
    """Run a campaign and print its best molecules as TSV.

    A record that exists is gone on with; then only the budget has to be given. For values from a
    laboratory see ask.

    A record names the module or command that scores its molecules. If it was not made on this
    machine, and neither a flag nor the TOML file names the same, they run only with --trust.

    Args:
        record: The SQLite file; may also stand in the TOML file.
        config: A TOML file, e.g. pipelines/qed.toml; flags win over it.
        settings: Those of the campaign.
        top: How many of the best molecules are printed.
        overwrite: Replace a report that is there.
        trust: Run what a record names that was made elsewhere; this machine remembers it.
    """
    from molvae.analysis.report import write_report

    chosen = _with_record(record, layers(config, settings))
    report, replaces = _check_report(chosen, config, overwrite=overwrite)
    with process_prints_to_stderr():
        campaign = _create_or_resume(chosen, str(config or "flags"))
    with campaign:
        if trust or (campaign.code and set(campaign.code) <= _specs(chosen)):
            campaign.trust()
        problem = {} if {"objective", "goals"} & set(chosen) else {"objective": campaign.name}
        with process_prints_to_stderr():
            _run(campaign, build(CampaignConfig, {**problem, **chosen}))
        print_tsv(*_best(campaign, top))
        _sum_up(campaign, chosen["record"])
        if report is not None:
            write_report(campaign, report, overwrite=replaces)
            say(f"report  {chosen['report']}")


def ask(
    record: Path,
    /,
    *,
    n: Annotated[int | None, Parameter(name=["--n", "-n"])] = None,
    pending: Annotated[bool, Parameter(name=["--pending", "--waiting"], negative="")] = False,
    create: Switch = False,
    out: Path | None = None,
    overwrite: Switch = False,
    settings: Annotated[CampaignFlags | None, Flat] = None,
) -> None:
    """Print molecules to measure next, as TSV. Their values are given back by tell.

    Columns are id, smiles and percentile: how usual a molecule is to the run, from 0 to 100, see
    density.

    A laboratory campaign begins with --create and the settings of optimize, e.g.
    --create --objective by-hand:pIC50 --direction maximise --start measured.csv; starting molecules
    without a value are printed first.

    Args:
        record: The SQLite file.
        n: How many new molecules; a batch by default.
        pending: Print all pending molecules, and ask for no new ones.
        create: Begin the campaign.
        out: Write them to this file instead: .csv, .tsv, .sdf or .parquet.
        overwrite: Replace the file.
        settings: Of the new campaign, with --create.
    """
    chosen = given(settings)
    inputs: list[str | Path] = [record, *_input_files(chosen)]
    target = out and check_can_write_table(out, overwrite=overwrite, apart_from=inputs)
    allow_constant = chosen.pop("allow_constant", False)
    if chosen and not create:
        raise CampaignError(f"{', '.join(chosen)}: settings of a new campaign; add --create")
    with (
        process_prints_to_stderr(),
        _create(_with_record(record, chosen), "flags") if create else _open(record) as campaign,
    ):
        trials = _pending(campaign) if create or pending else []
        trials = trials if trials or pending else campaign.ask(n, allow_constant=allow_constant)
        rows = [(trial.id, trial.smiles, trial.percentile) for trial in trials]
    if target is None:
        print_tsv(ASKED, rows)
        return
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(ASKED))
    write_table(table, target, overwrite=overwrite, apart_from=inputs)
    print(out)


def tell(
    record: Path,
    trial: int | None = None,
    value: Signed | None = None,
    /,
    *,
    file: InFile | None = None,
    error: float | None = None,
    message: Signed = "",
) -> None:
    """Put measured values into a record.

    Args:
        record: The SQLite file.
        trial: The id that ask printed.
        value: The number; "failed" if it could not be measured. Several replicates with ; between
            them, as in "-7.31;-7.5", become their mean and its standard error.
        file: A table (CSV, Excel, SDF, Parquet) with id, value and perhaps error and message,
            instead; if several things are measured, with NAME and NAME_error for each. An empty
            value means failed, other columns are kept as notes, and molecules must be those of the
            trials. All of it is written, or nothing; what was told before in the same way is passed
            over.
        error: Standard error of the value.
        message: Kept with the value, e.g. why it failed.
    """
    with _open(record) as campaign:
        names = campaign.problem.measured
        if file is None and trial is not None and value is not None:
            if len(names) != 1:
                raise DataError(f"this campaign measures {', '.join(names)}; tell them by --file")
            said = parse_value(value)
            campaign.tell(trial, {names[0]: said}, message, error=error)
            told = [trial]
        elif file is not None and trial is None:
            require(
                error is None and not message,
                "with --file, standard errors and messages are columns: error and message",
            )
            earlier = {trial.id: trial for trial in campaign.trials}
            rows = read_measurements(
                file, names, {id_: _as_exported(one) for id_, one in earlier.items()}
            )
            told = campaign.tell_all(
                {row.id: row.values for row in rows},
                messages={row.id: row.message for row in rows},
                errors={row.id: row.errors for row in rows},
                notes={row.id: row.notes for row in rows},
            )
            _say_notes(name for row in rows for name in row.notes)
            if before := [row for row in rows if row.id not in set(told)]:
                say(f"{len(before)} of {len(rows)} were told before, with the same values")
                messages = {id_: ("", one.message) for id_, one in earlier.items()}
                new = sum(bool(r.notes) or r.message not in messages[r.id] for r in before)
                if new:
                    say(f"other notes or messages of {new} of these are not written")
        else:
            raise DataError("give an id and a value, or --file with columns id and value")
        trials = {trial.id: trial.status for trial in campaign.trials}
        failed = sum(trials[id_] == "failed" for id_ in told)
        as_failed = f" ({failed} as failed)" if failed else ""
        pending = sum(status == "pending" for status in trials.values())
        say(f"{len(told)} told{as_failed}, {pending} pending")


def _as_exported(trial: Trial) -> dict[str, str]:
    """What an exported table says of a trial beside its values."""
    replicates = {f"{n}_replicates": ";".join(map(repr, r)) for n, r in trial.replicates.items()}
    return {
        **{f"note_{name}": text for name, text in trial.notes.items()},
        **trial.notes,
        **replicates,
        "smiles": trial.smiles,
        "status": trial.status,
        "origin": trial.origin,
        "message": trial.message,
        "asked_at": trial.asked_at,
        "told_at": trial.told_at or "",
    }


def retry(
    record: Path,
    /,
    *,
    message: str | None = None,
    trial: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative_iterable=())] = (),
) -> None:
    """Put failed trials back, to be scored or told again, and print them as TSV.

    For what was not the molecules' fault: a licence server that was down, a full disk. That they
    failed stays in the record; optimize scores them again, or tell gives their values.

    Args:
        record: The SQLite file.
        message: Those only whose message contains this text; all failed trials by default.
        trial: Those only with these ids.
    """
    with _open(record) as campaign:
        again = campaign.retry(trial or None, message=message)
        print_tsv(
            ("id", "smiles", "earlier_failures"),
            [(one.id, one.smiles, "; ".join(map(str, one.earlier_failures))) for one in again],
        )
        failed = sum(one.status == "failed" for one in campaign.trials)
        say(f"{len(again)} put back, {len(_pending(campaign))} pending, {failed} failed")


def export(record: Path, file: Path | None = None, /, *, overwrite: Switch = False) -> None:
    """Write all trials as a table.

    Args:
        record: The SQLite file.
        file: Where to: .csv, .tsv, .sdf or .parquet; CSV on standard output by default.
        overwrite: Replace the file.
    """
    target = file and check_can_write_table(file, overwrite=overwrite, apart_from=[record])
    with _open(record) as campaign:
        table = campaign.table()
    if target is None:
        with_visible_text(table).to_csv(sys.stdout, index=False)
        return
    write_table(table, target, overwrite=overwrite, apart_from=[record])
    print(file)


def report(
    record: Path,
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
        record: The SQLite file.
        out: Where to; beside the record by default.
        top: How many of the best molecules are drawn.
        lead: SMILES: what the best molecules have and this one has not is drawn in colour. By
            default that of a similarity among goals and limits.
        figures: Write the figures to this folder too.
        figure_format: Of those.
        overwrite: Replace a report and figures that are there.
    """
    from molvae.analysis.figures import write_figures
    from molvae.analysis.report import check_can_write, write_report

    target = record.with_suffix(".html") if out is None else out
    check_can_write(target, overwrite=overwrite, apart_from=[record])
    paths = []
    if figures is not None:
        paths = write_figures(
            record, figures, figure_format, overwrite=overwrite, apart_from=[target]
        )
    print(write_report(record, target, top=top, lead=lead, overwrite=overwrite))
    for path in paths:
        print(path)


def ui(record: Path, /, *, port: int = 8000, top: int = 24, lead: str | None = None) -> None:
    """Show the report of a campaign live in a browser of this machine, until Ctrl-C; read-only.

    Args:
        record: The SQLite file; the campaign may be running.
        port: Of the address, http://127.0.0.1:PORT/; 0: any that is free.
        top: How many of the best molecules are drawn.
        lead: As of report.
    """
    from contextlib import suppress
    from threading import Event

    from molvae.analysis.server import serve
    from molvae.objectives.interrupts import wait

    with serve(record, port=port, top=top, lead=lead) as address:
        print(address, flush=True)
        say("Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            wait(Event())


def _say_notes(names: Iterable[str]) -> None:
    """Name the columns that are neither molecules nor values, so that a slip in a name shows."""
    if columns := list(dict.fromkeys(names)):
        say(f"kept as notes: {shortened_list(columns)}")


def _with_record(record: Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings} if record is None else {**settings, "record": str(record)}


def _open(record: str | Path) -> Campaign:
    from molvae.campaign.campaign import Campaign

    return Campaign.open(record)


def _create(settings: Mapping[str, Any], where: str) -> Campaign:
    from molvae.campaign.campaign import Campaign
    from molvae.objectives.program import COMMAND

    config = build(CampaignConfig, settings, where)
    campaign = Campaign.create(
        config.record,
        config.space,
        objective=config.objective or config.goals
        if config.command is None
        else COMMAND + config.command,
        limits=config.limits,
        combine=config.combine,
        name=None if config.command is None else config.objective,
        unit=config.unit,
        strategy=config.strategy,
        seed=config.seed,
        start=config.start,
        dataset=config.dataset,
        batch=config.batch,
        direction=config.direction,
        skip_invalid=config.skip_invalid,
    )
    _say_notes(name for trial in campaign.trials for name in trial.notes)
    known = sum(trial.status != "pending" for trial in campaign.trials)
    if known:
        say(f"{known} of {len(campaign)} starting molecules come with their values")
    for count, what in ((campaign.skipped, "skipped"), (campaign.duplicates, "repeated")):
        if count:
            say(f"{count} of the starting molecules {what}")
    return campaign


def _specs(settings: Mapping[str, Any]) -> set[str]:
    """What settings say that values are made from: who names it knows what runs."""
    from molvae.objectives.parsing import parse_constraint, parse_objective
    from molvae.objectives.program import COMMAND

    specs = {str(parse_objective(goal)["spec"]) for goal in settings.get("goals") or ()}
    specs |= {str(parse_constraint(limit)["spec"]) for limit in settings.get("limits") or ()}
    if settings.get("command") is not None:
        specs.add(COMMAND + str(settings["command"]))
    elif settings.get("objective") is not None:
        specs.add(str(settings["objective"]))
    return specs


def _input_files(settings: Mapping[str, Any]) -> list[str]:
    """The files, and names that may be files, that settings of a campaign name."""
    return [str(settings[name]) for name in ("record", "start", "space") if name in settings]


def _check_report(
    settings: Mapping[str, Any], config: Path | None, *, overwrite: bool
) -> tuple[Path | None, bool]:
    """Where the report goes, and whether it may replace one: one of the same campaign may."""
    from molvae.analysis.report import check_can_write, is_report_of

    current_names(CampaignConfig, settings, str(config or "flags"))
    require(
        "record" in settings,
        "name the record: molvae optimize RECORD, or record = in the TOML file",
    )
    if "report" not in settings:
        return None, overwrite
    record, report = Path(settings["record"]), settings["report"]
    replaces = overwrite or (record.exists() and is_report_of(report, record))
    inputs: list[str | Path] = [*_input_files(settings), *([config] if config else [])]
    target = check_can_write(report, overwrite=replaces, apart_from=inputs)
    return target, replaces


def _create_or_resume(settings: Mapping[str, Any], where: str) -> Campaign:
    """The campaign of these settings: the one in the record if there is one, else a new one."""
    if not Path(settings["record"]).exists():
        return _create(settings, where)
    campaign = _open(settings["record"])
    try:
        _check_agreement(campaign, settings)
    except BaseException:
        campaign.close()
        raise
    say(f"going on with {settings['record']}: {len(campaign)} trials so far")
    return campaign


def _as_kept(setting: Any) -> Any:
    """A setting as a record holds it."""
    return encodable(setting) if isinstance(setting, str) else setting


def _check_agreement(campaign: Campaign, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a campaign was not made with; it keeps those that it has.

    Raises:
        CampaignError: Names each with both values.
    """
    from molvae.bo.strategies.registry import format_strategy, get_strategy
    from molvae.campaign.campaign import describe_strategy, same
    from molvae.objectives.program import COMMAND

    made, goals = campaign.settings, campaign.problem.goals
    kept: dict[str, Any] = {
        "combine": campaign.problem.combine,
        "strategy": format_strategy(**made["strategy"]),
        "space": made["space"]["name"],
        **{name: made[name] for name in ("start", "dataset", "batch", "seed")},
    }
    spec = goals[0].spec or goals[0].name
    if len(goals) == 1 and "goals" not in settings:
        command = spec.removeprefix(COMMAND) if spec.startswith(COMMAND) else None
        kept["objective"] = goals[0].name if command else spec
        kept |= {"command": command, "unit": goals[0].unit, "direction": goals[0].direction}
    texts = {what: settings.get(what) or () for what in ("goals", "limits")}
    alike = same(campaign.problem, campaign.path, **texts)
    for (what, given_), recorded, agrees in zip(
        texts.items(), (goals, campaign.problem.limits), alike, strict=True
    ):
        kept[what] = given_ if agrees or not given_ else ", ".join(map(str, recorded)) or "none"
    if (
        "strategy" in settings
        and describe_strategy(get_strategy(settings["strategy"])) == made["strategy"]
    ):
        kept["strategy"] = settings["strategy"]  # the same, written in another way
    if "space" in settings and Path(settings["space"]).resolve() == Path(kept["space"]).resolve():
        kept["space"] = settings["space"]  # the record holds the full path
    differ = [
        f"{name} {kept[name]}, not {settings[name]}"
        for name in kept
        if name in settings
        and kept[name] is not None
        and _as_kept(settings[name]) != _as_kept(kept[name])
    ]
    if differ:
        raise CampaignError(
            f"{campaign.path} was made with {'; '.join(differ)}; leave those settings out "
            "to go on, or name another record"
        )


def _run(campaign: Campaign, config: CampaignConfig) -> None:
    """Run a campaign with a progress bar: the best value, failures, and how long calls take."""
    trials = campaign.trials
    before = done = sum(trial.status != "pending" for trial in trials)
    failed = sum(trial.status == "failed" for trial in trials)
    plain = len(campaign.problem.goals) == 1 and not campaign.problem.limits
    best = campaign.best_value if plain else None
    better = max if campaign.direction == "maximise" else min
    began = time.monotonic()

    def show(trial: Trial) -> None:
        nonlocal done, failed, best
        done += 1
        failed += trial.status == "failed"
        if trial.status == "complete" and plain and campaign.direction != "range":
            value = trial.values[campaign.name]
            best = value if best is None else better(best, value)
        seconds = (time.monotonic() - began) / (done - before)
        parts = ["" if best is None else f"best {best:.4g}", f"{failed} failed" if failed else ""]
        advance(done, "  ".join(part for part in (*parts, f"{seconds:.2g} s a call") if part))

    with progress(config.budget) as advance:
        settings = {name: getattr(config, name) for name in RESUMABLE_FIELDS}
        campaign.run(config.budget, on_trial=show, **settings)


def _best(campaign: Campaign, top: int) -> tuple[list[str], list[list[object]]]:
    """Header and rows of the best molecules."""
    from molvae.chem.properties import score
    from molvae.objectives.problem import DERIVED_COLUMNS

    best = campaign.best(top)
    smiles = list(best["smiles"])
    numbers = score(smiles, DEFAULT_PROPERTIES).tolist()
    problem = campaign.problem
    if len(problem.goals) == 1 and not problem.limits:
        columns, header = [problem.goals[0].name], ["value"]
    else:
        columns = [c for c in (*problem.names, *DERIVED_COLUMNS) if c in best]
        header = columns
    rows = [
        [i, id_, s, *values, *p]
        for i, (id_, s, values, p) in enumerate(
            zip(best["id"], smiles, best[columns].to_numpy().tolist(), numbers, strict=True), 1
        )
    ]
    return ["rank", "id", "smiles", *header, *DEFAULT_PROPERTIES], rows


def _sum_up(campaign: Campaign, record: str) -> None:
    """Best against best of the start, calls, and where the record is."""
    problem, table = campaign.problem, campaign.best(len(campaign))
    starting = table[table["origin"] == "start"]
    calls = sum(trial.status != "pending" for trial in campaign.trials)
    failed = calls - len(table)
    if "pareto_rank" in table:
        on_front = table[table["pareto_rank"] == 1]
        new = sum(on_front["origin"] != "start")
        say(
            f"{len(on_front)} molecules that nothing is better than in everything, {new} of them "
            "new"
        )
    else:
        column = "score" if "score" in table else problem.goals[0].name
        for what, rows in (("best", table), ("best starting molecule", starting)):
            for row in rows.head(1).to_dict("records"):
                say(f"{what}  {row[column]:.4f}  (trial {row['id']})  {row['smiles']}")
    if "within_limits" in table:
        say(f"{sum(table['within_limits'])} of {len(table)} keep all limits")
    known = table[table["origin"] != "start"]["percentile"].dropna()
    if len(known):
        say(f"{sum(known < 1)} of {len(known)} new molecules lie below the first percentile")
    note = f", {failed} could not be scored" if failed else ""
    say(f"{problem}: {calls} objective calls{note}")
    say(f"record  {record}")


def _pending(campaign: Campaign) -> list[Trial]:
    return [trial for trial in campaign.trials if trial.status == "pending"]


__all__ = ["ask", "export", "optimize", "report", "retry", "tell", "ui"]
