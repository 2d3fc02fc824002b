"""Commands that create, resume and show campaigns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from molvae.cli.campaign_output import (
    best_rows,
    check_report,
    input_files,
    open_campaign,
    pending_trials,
    print_start_rows,
    print_summary,
    run_with_progress,
    say_notes,
)
from molvae.cli.shared_flags import CampaignFile, Verbose
from molvae.cli.terminal import Flat, Switch, flags, given, layers, print_table, say
from molvae.config import CampaignConfig, build, whole_number
from molvae.errors import CampaignError, DataError, ImplausibleValueWarning, require
from molvae.objectives.printing import process_prints_to_stderr

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
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
    yes: Switch = False,
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
        yes: Accept implausible values in the file of initial molecules.
        verbose: Print what became of each row of the file of initial molecules.
    """
    from molvae.analysis.report import write_report
    from molvae.bo.origins import START

    chosen = layers(CampaignConfig, config, settings)
    chosen |= {} if campaign_file is None else {"campaign": str(campaign_file)}
    top = whole_number(top, "top", least=0)  # before hours of evaluations, not after
    report, replaces = check_report(chosen, config, overwrite=overwrite)
    with process_prints_to_stderr():
        campaign = _create_or_resume(chosen, str(config or "flags"), yes=yes, verbose=verbose)
    with campaign:
        if trust or (campaign.code and set(campaign.code) <= _specs(chosen)):
            campaign.trust()
        _use_libraries(campaign, chosen)
        campaign.change_batch_size(chosen.get("batch_size", campaign.batch_size))
        final = build(CampaignConfig, chosen)
        first = sum(trial.origin == START for trial in campaign.trials)
        if final.budget <= first and not campaign.problem.fidelities:
            say(
                f"a budget of {final.budget} is no more than the {first} initial molecules, so "
                "none is proposed: give a larger --budget, or create a campaign with a smaller "
                "--start"
            )
        with process_prints_to_stderr():
            run_with_progress(campaign, final)
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
    pending: Switch = False,
    fill: Switch = False,
    create: Switch = False,
    out: Path | None = None,
    overwrite: Switch = False,
    yes: Switch = False,
    verbose: Verbose = False,
    settings: Annotated[CampaignFlags | None, Flat] = None,
) -> None:
    """Print molecules to measure next, as TSV. Report their values with molvae tell.

    Columns are id, smiles and percentile (how typical a molecule is of the model, from 0 to 100,
    see molvae explore density); the predicted value with the ends of its 90 % interval; similarity
    to the nearest measured molecule; kappa, the weight of the predicted std; origin, the strategy
    and its operator; findings, e.g. structural alerts. TSV also has the nearest measured molecule
    and the parents, the molecules that it was made from.

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
        yes: Accept implausible values in the file of initial molecules.
        verbose: Print what became of each row of the file of initial molecules.
        settings: Settings of the new campaign, with --create; --suggest-from and, of a library that
            was moved, --library also without.
    """
    from molvae.analysis.plate import (
        LONG_COLUMNS,
        ask_columns,
        check_can_write_plate,
        plate_table,
        write_plate,
    )

    chosen = given(settings)
    inputs: list[str | Path] = [campaign_file, *input_files(chosen)]
    if out is not None:
        check_can_write_plate(None, out, overwrite=overwrite, apart_from=inputs)
    require(not (pending and fill), "--pending asks for none, and --fill for new ones; use one")
    allow_constant = chosen.pop("allow_constant", False)
    if chosen.keys() - {"suggest_from", "library"} and not create:
        raise CampaignError(f"{', '.join(chosen)}: settings of a new campaign; add --create")
    with (
        process_prints_to_stderr(),
        _create(chosen | {"campaign": str(campaign_file)}, "flags", yes=yes, verbose=verbose)
        if create
        else open_campaign(campaign_file) as campaign,
    ):
        if out is not None:  # before anything is asked
            check_can_write_plate(campaign, out, overwrite=overwrite, apart_from=inputs)
        if chosen and not create:
            _check_same(campaign, chosen)
            _use_libraries(campaign, chosen)
        shown = pending or fill or (create and not campaign.problem.fidelities)
        trials = pending_trials(campaign) if shown else []
        wanted = campaign.batch_size if n is None else n
        if fill and len(trials) < wanted:
            shown_ids = {trial.id for trial in trials}
            more = campaign.ask(wanted - len(trials), allow_constant=allow_constant)
            trials += (new := [trial for trial in more if trial.id not in shown_ids])
            if len(new) < len(more):
                say("no more can be chosen before initial molecules have values")
        elif not (trials or pending):
            trials = campaign.ask(n, allow_constant=allow_constant)
        if out is not None:
            write_plate(campaign, trials, out, overwrite=overwrite, apart_from=inputs)
        columns = ask_columns(campaign.problem)
        rows = plate_table(campaign, trials, columns).to_numpy().tolist()
    if out is None:
        print_table(columns, rows, only_tsv=LONG_COLUMNS)
    else:
        print(out)


def _create(
    settings: Mapping[str, Any], where: str, *, yes: bool, verbose: bool = False
) -> Campaign:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.proposal_check import inactive_parts

    config = build(CampaignConfig, settings, where)
    with warnings.catch_warnings():
        warnings.simplefilter("default" if yes else "error", ImplausibleValueWarning)
        try:
            # Also where it is the default: beside a library that is another one.
            chosen = {"strategy": config.strategy} if "strategy" in settings else {}
            campaign = Campaign.create(config.campaign, config.space, config, **chosen)
        except ImplausibleValueWarning as found:
            raise DataError(
                f"{found}; nothing was written: correct it, or accept it (--yes)"
            ) from None
    if campaign.start_rows:
        print_start_rows(campaign, verbose=verbose)
    say_notes(name for trial in campaign.trials for name in trial.notes)
    if campaign.config.tune:
        say("the decoder is fine-tuned on the initial molecules (--no-tune leaves it as it is)")
    if message := inactive_parts(campaign.config):
        say(message)
    return campaign


def _check_same(campaign: Campaign, settings: Mapping[str, Any]) -> None:
    from molvae.campaign.same_settings import check_same_settings

    check_same_settings(campaign, settings)


def _use_libraries(campaign: Campaign, settings: Mapping[str, Any]) -> None:
    """Libraries where the settings say that they are: they may have been moved."""
    campaign.suggest_from = settings.get("suggest_from") or campaign.suggest_from
    if folder := settings.get("library"):
        from molvae.bo.screening import with_library

        campaign.strategy = with_library(campaign.strategy, folder)[0]


def _specs(settings: Mapping[str, Any]) -> set[str]:
    """Code that the settings name: users who name it know that it runs."""
    from molvae.objectives.parsing import parse_constraint, parse_objective
    from molvae.objectives.program import COMMAND_PREFIX, with_pattern

    objective, command = settings.get("objective", ()), settings.get("command")
    objective = (objective,) if isinstance(objective, str) else objective
    specs = {parse_constraint(one)["spec"] for one in settings.get("constraints", ())}
    specs |= {parse_objective(one)["spec"] for one in objective} if command is None else set()
    specs |= {parse_objective(one)["spec"] for one in settings.get("fidelities", ())}
    strategy = settings.get("strategy", "")
    own = [part.partition("=")[2] for part in strategy.partition(":")[2].split(",")]
    command = with_pattern(command, settings.get("pattern")) if command else None
    return {*specs, *([] if command is None else [COMMAND_PREFIX + command]), strategy, *own}


def _create_or_resume(
    settings: Mapping[str, Any], where: str, *, yes: bool, verbose: bool
) -> Campaign:
    """The campaign in the campaign file if it exists, else a new one."""
    if not Path(settings["campaign"]).exists():
        return _create(settings, where, yes=yes, verbose=verbose)
    campaign = open_campaign(settings["campaign"])
    try:
        _check_same(campaign, settings)
    except BaseException:
        campaign.close()
        raise
    say(f"resuming {settings['campaign']}: {len(campaign)} trials so far")
    return campaign
