"""Commands that show campaigns, and compare and copy them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from molvae._files import check_output
from molvae.analysis.export import check_can_write_table, with_visible_text, write_table
from molvae.cli.campaign_output import open_campaign
from molvae.cli.shared_flags import CampaignFile
from molvae.cli.terminal import Switch, print_table, say
from molvae.objectives.printing import process_prints_to_stderr


def export(
    campaign_file: CampaignFile, file: Path | None = None, /, *, overwrite: Switch = False
) -> None:
    """Write all trials as a table.

    Args:
        file: File to write: .csv, .tsv, .sdf, .xlsx or .parquet; by default CSV on standard output,
            or on a terminal a table to read.
        overwrite: Replace an existing file.
    """
    target = file and check_can_write_table(file, overwrite=overwrite, apart_from=[campaign_file])
    with open_campaign(campaign_file) as campaign:
        table = campaign.table()
    if target is None and sys.stdout.isatty():
        print_table(list(table.columns), table.itertuples(index=False, name=None))
        return
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
