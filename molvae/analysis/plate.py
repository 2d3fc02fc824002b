"""Plates: molecules to measure next, with the reasons why they were proposed, as a file.

A plate has a column for each value that is to be measured. `molvae tell --file` reads it back from
CSV, TSV, SDF, Excel and Parquet; HTML is to read and to print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae._files import Kind, check_output, replacing
from molvae.analysis.export import (
    check_can_write_table,
    check_unedited,
    write_table,
)
from molvae.campaign.history import reason_cells
from molvae.errors import CampaignError
from molvae.objectives.parsing import all_told_names, told_names
from molvae.objectives.problem import OptimizationProblem
from molvae.objectives.trial_columns import (
    DRAWING_COLUMN,
    FIDELITY_COLUMN,
    PREDICTION_COLUMNS,
    note_column,
    plate_columns,
    plate_properties,
)

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

    from molvae.campaign.campaign import Campaign
    from molvae.campaign.trial import Trial

PLATE = Kind(name="a plate", stamp="plate", error=CampaignError)
MAX_EXPLOITING_KAPPA = 0.5
"""Largest kappa with which a proposal exploits more than it explores."""
DRAWING_PIXELS = (260, 190)  # pixels of a drawn molecule
LONG_COLUMNS = ("nearest", "parents")  # columns of SMILES that terminals have no room for


def ask_columns(problem: OptimizationProblem) -> list[str]:
    """Columns that `molvae ask` prints."""
    beside = [f"{name}_{what}" for name in problem.measured for what in PREDICTION_COLUMNS]
    fidelity = [FIDELITY_COLUMN] if problem.fidelities else []
    return [
        "id",
        "smiles",
        *fidelity,
        "percentile",
        *beside,
        "similarity",
        "kappa",
        "origin",
        "findings",
        *LONG_COLUMNS,
    ]


def plate_table(
    campaign: Campaign, trials: Sequence[Trial], columns: Sequence[str] = ()
) -> pd.DataFrame:
    """A row for each trial: molecule, values, prediction, reason, properties and notes.

    Args:
        trials: Some of its trials.
        columns: Only these; by default those of a plate.
    """
    import pandas as pd

    from molvae.chem.properties import score

    problem = campaign.problem
    told, beside = (
        all_told_names(problem),
        [c for c in plate_columns(problem) if c != DRAWING_COLUMN],
    )
    fidelity = [FIDELITY_COLUMN] if problem.fidelities else []
    wanted = list(columns) or ["id", "smiles", *fidelity, *told, *beside]
    taken = (*wanted, DRAWING_COLUMN)
    rows: list[dict[str, Any]] = []
    for trial in trials:
        own = {name: getattr(trial, name) for name in ("id", "smiles", "origin", "percentile")}
        own |= {name: problem.at(trial.fidelity).objectives[0].name for name in fidelity}
        row = dict.fromkeys(wanted) | reason_cells(trial) | own
        row |= {name: trial.values[name] for name in told if name in trial.values}
        row = {name: row[name] for name in wanted}
        if not columns:
            for name, text in trial.notes.items():  # a note may have any name
                row[note_column(name, taken)] = text
        rows.append(row)
    table = pd.DataFrame(
        rows, columns=list(dict.fromkeys([*wanted, *(n for r in rows for n in r)]))
    )
    if computed := [name for name in plate_properties(problem) if name in wanted]:
        smiles = [trial.smiles for trial in trials]
        table[computed] = score(smiles, computed, workers=1).round(3)
    return table


def check_can_write_plate(
    campaign: Campaign | None,
    file: str | Path,
    *,
    overwrite: bool = False,
    apart_from: Iterable[str | Path] = (),
) -> None:
    """Refuse a file that cannot be written, before anything is asked; errors as `write_plate`.

    With the campaign, an earlier plate is compared with it: values that were not told yet are not
    overwritten.
    """
    if Path(file).suffix.lower() == ".html":
        check_output(file, PLATE, overwrite=overwrite, apart_from=apart_from)
        return
    check_can_write_table(file, overwrite=overwrite, apart_from=apart_from)
    if campaign is not None and Path(file).exists():
        check_unedited(file, plate_table(campaign, campaign.trials))


def write_plate(
    campaign: Campaign,
    trials: Sequence[Trial],
    file: str | Path,
    *,
    overwrite: bool = False,
    apart_from: Iterable[str | Path] = (),
) -> None:
    """Write a plate: .csv, .tsv, .sdf, .xlsx, .parquet or .html, as the ending of the file says.

    Workbooks and HTML show drawings.

    Args:
        trials: Some of its trials.
        file: The file to write.
        overwrite: Replace an earlier plate, unless it holds values that were not told.
        apart_from: Other files of the same command.

    Raises:
        CampaignError: The HTML file exists and is no plate, or cannot be written.
        DataError: As `molvae.analysis.export.write_table`.
    """
    ending = Path(file).suffix.lower()
    if ending == ".html":
        html = render_plate(campaign, trials)
        with replacing(file, PLATE, overwrite=overwrite, apart_from=apart_from) as draft:
            draft.write_text(html, encoding="utf-8")
        return
    table = plate_table(campaign, trials)
    # Campaigns of old versions may measure a value of this name.
    if ending == ".xlsx" and DRAWING_COLUMN not in table:
        table.insert(1, DRAWING_COLUMN, "")
    everything = plate_table(campaign, campaign.trials) if Path(file).exists() else table
    write_table(
        table,
        file,
        overwrite=overwrite,
        apart_from=apart_from,
        trials=everything,
        to_fill=all_told_names(campaign.problem),
    )


def why(kappa: float | None) -> str:
    """What a kappa means, in one word."""
    if kappa is None or kappa != kappa:
        return ""
    return "exploits" if kappa <= MAX_EXPLOITING_KAPPA else "explores"


def environment() -> Environment:
    """What plates and reports are made with."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from molvae.analysis.summary import number

    made = Environment(
        loader=PackageLoader("molvae"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"number": number, "why": why}
    return made


def render_plate(campaign: Campaign, trials: Sequence[Trial], *, form: str = "") -> str:
    """A plate as HTML; with the token of a form, values can be entered (`molvae ui`)."""
    from molvae.chem.depiction import picture

    problem = campaign.problem
    table = plate_table(campaign, trials)
    properties = plate_properties(problem)
    return (
        environment()
        .get_template("plate.html")
        .render(
            cards=[
                {
                    "trial": trial,
                    "to_measure": told_names(problem.at(trial.fidelity)),
                    "drawing": picture(trial.smiles, size=DRAWING_PIXELS),
                    "properties": numbers,
                }
                for trial, numbers in zip(trials, table[properties].to_dict("records"), strict=True)
            ],
            problem=problem,
            identity=campaign.identity,
            campaign_file=campaign.path.name,
            written=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
            form=form,
        )
    )
