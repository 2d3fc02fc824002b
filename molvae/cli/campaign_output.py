"""What the commands of campaigns share: campaigns opened, and what is printed about them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae._files import check_output
from molvae.chem.tables import shortened_list
from molvae.cli.terminal import progress, say
from molvae.config import DEFAULT_PROPERTIES, CampaignConfig, RunLimits
from molvae.errors import require

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign
    from molvae.campaign.trial import Trial

RUN_SETTINGS = (*(one.name for one in fields(RunLimits)), "workers", "dask", "allow_constant")


def run_with_progress(campaign: Campaign, config: CampaignConfig) -> None:
    """Run a campaign with a progress bar: best value, failures, time per evaluation."""
    trials = campaign.trials
    problem, n = campaign.problem, 0
    done = sum(problem.cost(trial.fidelity) for trial in trials if trial.status != "pending")
    failed = sum(trial.status == "failed" for trial in trials)
    plain = len(campaign.problem.objectives) == 1 and not campaign.problem.constraints
    best = campaign.best_value if plain else None
    better = max if campaign.direction == "maximize" else min
    began = time.monotonic()

    def show(trial: Trial) -> None:
        nonlocal done, n, failed, best
        done, n = done + problem.cost(trial.fidelity), n + 1
        failed += trial.status == "failed"
        known = trial.status == "complete" and not trial.fidelity
        if known and plain and campaign.direction != "range":
            value = trial.values[campaign.name]
            best = value if best is None else better(best, value)
        seconds = (time.monotonic() - began) / n
        parts = ["" if best is None else f"best {best:.4g}", f"{failed} failed" if failed else ""]
        advance(
            int(done),
            "  ".join(part for part in (*parts, f"{seconds:.2g} s per evaluation") if part),
        )

    with progress(config.budget) as advance:
        settings = {name: getattr(config, name) for name in RUN_SETTINGS}
        campaign.run(config.budget, on_trial=show, **settings)


def best_rows(campaign: Campaign, top: int) -> tuple[list[str], list[list[object]]]:
    """Header and rows of the best molecules."""
    from molvae.chem.properties import score
    from molvae.objectives.trial_columns import DERIVED_COLUMNS

    best = campaign.best(top)
    smiles = list(best["smiles"])
    numbers = score(smiles, DEFAULT_PROPERTIES).tolist()
    problem = campaign.problem
    if len(problem.objectives) == 1 and not problem.constraints:
        columns, header = [problem.objectives[0].name], ["value"]
    else:
        columns = [c for c in (*problem.names, *DERIVED_COLUMNS) if c in best]
        header = columns
    values = best[columns].to_numpy().tolist()
    rows = [
        [rank, *row, *own, *computed]
        for rank, (*row, own, computed) in enumerate(
            zip(best["id"], smiles, values, numbers, strict=True), 1
        )
    ]
    return ["rank", "id", "smiles", *header, *DEFAULT_PROPERTIES], rows


def print_start_rows(campaign: Campaign, *, verbose: bool) -> None:
    """Print what became of the given molecules: counts, and each row if `verbose`."""
    from molvae.campaign.start_rows import COPIED, KNOWN, REPEATED, STANDARDIZED, count_rows

    rows, changes = campaign.start_rows, (STANDARDIZED, REPEATED, COPIED, KNOWN)
    if verbose:
        for row in rows:
            parts = (row.where, row.fate, row.values, row.molecule, row.remarks)
            say("  ".join(part for part in parts if part))
    counts = count_rows(rows)
    given = f"{len(rows)} molecules were given"
    say(f"{given}, {len({row.smiles for row in rows if row.smiles})} are trials")
    for name, n in counts.items():
        say(f"{n:>7}  {'of these: ' if name in changes else ''}{name}")


def print_summary(campaign: Campaign, campaign_file: str) -> None:
    """Print the best molecule, the best initial one, and the number of evaluations."""
    from molvae.bo.origins import GIVEN

    problem, table = campaign.problem, campaign.best(len(campaign))
    is_new = ~table["origin"].isin(GIVEN)
    statuses = [trial.status for trial in campaign.trials]
    failed, calls = statuses.count("failed"), len(statuses) - statuses.count("pending")
    if "pareto_rank" in table:
        on_front = table["pareto_rank"] == 1
        n_new = sum(on_front & is_new)
        say(f"{sum(on_front)} molecules on the Pareto front, {n_new} of them new")
    else:
        column = "score" if "score" in table else problem.objectives[0].name
        for what, rows in (("best", table), ("best initial molecule", table[~is_new])):
            for row in rows.head(1).to_dict("records"):
                broken = "" if row.get("feasible", True) else ", breaks a constraint"
                value = row[column]
                said = f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.4g}"
                say(f"{what}  {said}  (trial {row['id']}{broken})  {row['smiles']}")
    if "feasible" in table:
        say(f"{sum(table['feasible'])} of {len(table)} satisfy all constraints")
    known = table[is_new]["percentile"].dropna()
    if len(known):
        rare = sum(known < 1)
        say(f"{rare} of {len(known)} new molecules have a density below the first percentile")
    note = f", {failed} could not be scored" if failed else ""
    cost = sum(problem.cost(t.fidelity) for t in campaign.trials if t.status != "pending")
    spent = f" at a cost of {cost:g}" if problem.fidelities else ""
    say(f"{problem}: {calls} evaluations{spent}{note}")
    say(f"campaign  {campaign_file}")


def open_campaign(campaign_file: str | Path) -> Campaign:
    """A campaign to go on with; the module is imported only now."""
    from molvae.campaign.campaign import Campaign

    return Campaign.open(campaign_file)


def pending_trials(campaign: Campaign) -> list[Trial]:
    """Trials that wait for a value; with fidelities, those that people measure."""
    from molvae.objectives.parsing import all_told_names

    problem, pending = campaign.problem, [t for t in campaign.trials if t.status == "pending"]
    told = all_told_names(problem)
    return [t for t in pending if not problem.fidelities or problem.at(t.fidelity).names[0] in told]


def say_notes(names: Iterable[str]) -> None:
    """Name the columns kept as notes, so that a misspelt column of values shows."""
    if columns := list(dict.fromkeys(names)):
        say(f"kept as notes: {shortened_list(columns)}")


def check_report(
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
    inputs: list[str | Path] = [*input_files(settings), *([config] if config else [])]
    target = check_output(report, REPORT, overwrite=replaces, apart_from=inputs)
    return target, replaces


def input_files(settings: Mapping[str, Any]) -> list[str]:
    """Files in the settings, and names that may be files."""
    return [str(settings[name]) for name in ("campaign", "start", "space") if name in settings]
