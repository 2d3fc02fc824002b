"""The report of a campaign as one HTML file: to read, to print, to mail.

The file holds everything that it shows: nothing is fetched, and a policy in its head forbids it.
The one script, which sorts and filters tables, is allowed by its hash; the page is complete without
it. Molecules and messages come from users and from files of others: all text is escaped, and
drawings are images, in which nothing can run.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from molvae._files import Kind, check_output, replacing
from molvae.analysis import reproduce
from molvae.analysis.calibration import coverage_of
from molvae.analysis.distributions import SAMPLE, dataset_properties
from molvae.analysis.figures import pictures
from molvae.analysis.summary import (
    LISTED,
    CampaignSummary,
    Row,
    constraint_violations,
    goodness,
    number,
    reasons,
    summarize,
    unusual,
)
from molvae.campaign.storage import Storage
from molvae.campaign.trust import identity_of
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import CampaignError, InvalidMoleculeError, require
from molvae.objectives.problem import Constraint

if TYPE_CHECKING:
    from molvae.campaign.campaign import Campaign

SIZE = (260, 190)
"""Pixels of a drawn molecule."""


REPORT = Kind(name="a report", stamp="report", error=CampaignError)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number on a card."""

    label: str
    full: str
    """The full name."""
    value: float
    unit: str = ""
    error: float | None = None
    limits: str = ""
    """Bounds of a constraint."""
    kept: bool | None = None
    """Whether the constraint is satisfied; None if there is none."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A molecule with its drawing and numbers."""

    smiles: str
    drawing: str
    """Data address of an image; empty if it cannot be drawn."""
    head: str
    unit: str
    note: str
    numbers: list[Number]
    """Objectives and constraints."""
    properties: list[Number]
    lead: bool = False
    compared: bool = False
    """Whether differences from the lead are highlighted."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A headline number."""

    label: str
    value: str
    note: str


def write_report(
    campaign: Campaign | str | Path,
    out: str | Path,
    *,
    top: int = 24,
    lead: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a campaign; the file appears when it is complete.

    Args:
        campaign: An open campaign, or the path of its file.
        out: The HTML file to write.
        top: Number of best molecules to draw.
        lead: SMILES of a molecule to compare the best ones with: atoms that it lacks are
            highlighted. By default that of a similarity among objectives and constraints, if there
            is one.
        overwrite: Replace an earlier report.

    Returns:
        The file.

    Raises:
        CampaignError: The campaign cannot be read, the file exists, or cannot be written.
        ConfigError: `top` is negative.
        InvalidMoleculeError: `lead` is not a molecule.
    """
    from molvae.campaign.campaign import Campaign

    require(top >= 0, f"top must not be negative, got {top}")
    record = campaign.path if isinstance(campaign, Campaign) else campaign
    target = check_can_write(out, overwrite=overwrite, apart_from=[record])
    if not isinstance(campaign, Campaign):
        with Campaign.open(campaign) as opened:
            html = render(opened, top=top, lead=lead)
    else:
        html = render(campaign, top=top, lead=lead)
    with replacing(target, REPORT, overwrite=overwrite, apart_from=[record]) as draft:
        draft.write_text(html, encoding="utf-8")
    return Path(out)


def check_can_write(
    out: str | Path, *, overwrite: bool = False, apart_from: Iterable[str | Path] = ()
) -> Path:
    """Refuse a path where no report can be written, before a long campaign runs for it.

    Args:
        out: The HTML file.
        overwrite: Replace an earlier report.
        apart_from: Inputs and other outputs of the same command.

    Raises:
        CampaignError: The file exists and may not be replaced, or its folder does not exist.
    """
    return check_output(out, REPORT, overwrite=overwrite, apart_from=apart_from)


def is_report_of(file: str | Path, record: str | Path) -> bool:
    """Whether a file is the report of this campaign file, or there is none yet."""
    if not Path(file).exists():
        return True
    with Storage.open(record) as storage, open(file, encoding="utf-8", errors="replace") as html:
        return f'<meta name="campaign" content="{identity_of(storage.metadata())}">' in html.read(
            5000
        )


def render(
    campaign: Campaign, *, top: int = 24, lead: str | None = None, refresh: int | None = None
) -> str:
    """The report as HTML; with `refresh`, a browser reloads it after so many seconds."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from molvae.chem.datasets import DATASETS

    environment = Environment(
        loader=PackageLoader("molvae"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["begin"] = _begin
    found = summarize(campaign, lead=lead)
    cards = _cards(found, top)
    sample = dataset_properties(found.dataset) if found.dataset and found.ranked else None
    script = _script()
    return environment.get_template("report.html").render(
        found=found,
        title=_title(found),
        goodness=goodness(found.problem.objectives[0]),
        record=campaign.path.name,
        identity=campaign.identity,
        written=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        refresh=refresh,
        tiles=_tiles(found),
        cards=cards,
        shown=sum(not card.lead for card in cards),
        pictures=pictures(found),
        limits=constraint_violations(found),
        calibration=[
            (found.label(name), name, rows)
            for name in found.problem.measured
            if (rows := coverage_of([r.trial for r in found.rows], name, batch=campaign.batch_size))
        ],
        reasons=reasons(found.failures),
        failures=found.failures[-(LISTED // 4) :],
        unusual=unusual(found),
        nan=math.nan,
        density_percentiles=any(row.trial.percentile is not None for row in found.rows),
        headings=[
            (found.label(n), n, found.problem.parts[n].unit or "") for n in found.problem.names
        ],
        notes=list(dict.fromkeys(name for row in found.rows for name in row.trial.notes)),
        messages=any(row.trial.message or row.trial.earlier_failures for row in found.rows),
        reproduction=reproduce.reproduction_command(campaign, len(found.calls)),
        settings=reproduce.flat({k: v for k, v in campaign.metadata.items() if k != "versions"}),
        versions=reproduce.versions(campaign),
        few=SAMPLE if len(found.ranked) > SAMPLE else 0,
        sampled=0 if sample is None else len(sample),
        sample_lacks=sample is None and bool(found.ranked) and found.dataset in DATASETS,
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


@lru_cache(maxsize=1)
def _script() -> str:
    """The script that sorts and filters tables."""
    return (files("molvae") / "templates" / "report.js").read_text(encoding="utf-8").strip()


def _begin(text: str, length: int) -> str:
    """The beginning of a long text; the campaign file has all of it."""
    return text if len(text) <= length else text[:length] + "\N{HORIZONTAL ELLIPSIS}"


def _title(found: CampaignSummary) -> str:
    """Name and best value of a single objective, else the names of all."""
    names = ", ".join(found.label(goal.name) for goal in found.problem.objectives)
    best = found.best()
    return f"{names}: {number(best.score)}" if best and found.kind == "value" else names


def _tiles(found: CampaignSummary) -> list[Tile]:
    pending = sum(row.trial.status == "pending" for row in found.rows)
    starts = sum(not row.new for row in found.rows)
    tiles = []
    if found.kind == "front":
        front, progress = found.front, found.progress
        new = sum(row.new for row in front)
        at_start = progress.best[progress.starts - 1] if progress.starts else math.nan
        tiles += [
            Tile(label="On the Pareto front", value=str(len(front)), note=f"{new} of them new"),
            Tile(
                label="Hypervolume",
                value=number(progress.best[-1] if progress.best else math.nan),
                note=f"{number(at_start)} after the initial molecules",
            ),
        ]
    else:
        best, first, unit = found.best(), found.best(start=True), found.problem.objectives[0].unit
        unit = f" {unit}" if unit and found.kind == "value" else ""
        none = "none is feasible" if found.ranked else "none complete yet"
        tiles += [
            Tile(
                label=f"Best {found.kind}",
                value=number(best.score) + unit if best else number(math.nan),
                note=f"trial {best.trial.id}, {best.trial.origin}" if best else none,
            ),
            Tile(
                label="Best initial molecule",
                value=number(first.score) + unit if first else number(math.nan),
                note=f"of {starts}",
            ),
        ]
    tiles.append(
        Tile(
            label="Evaluations",
            value=str(len(found.calls)),
            note=f"{pending} pending" if pending else "initial molecules included",
        )
    )
    if found.problem.constraints:
        feasible = sum(row.is_feasible for row in found.ranked)
        tiles.append(
            Tile(label="Feasible", value=str(feasible), note=f"of {len(found.ranked)} scored")
        )
    failed = Tile(
        label="Failed",
        value=str(len(found.failures)),
        note="not counted as zero",
    )
    return [*tiles, failed]


def _cards(found: CampaignSummary, top: int) -> list[Card]:
    """The lead, if there is one, then the best molecules."""
    from molvae.chem.properties import score

    rows = found.ranked[:top]
    smiles = [row.trial.smiles for row in rows]
    drawn = [found.lead, *smiles] if found.lead and rows else smiles
    computed = score(drawn, DEFAULT_PROPERTIES, workers=1).tolist()
    cards = []
    by_smiles = {row.trial.smiles: row for row in found.ranked}
    for place, (text, numbers) in enumerate(zip(drawn, computed, strict=True)):
        lead = len(drawn) > len(rows) and place == 0
        row = by_smiles.get(text)
        drawing, compared = _drawing(text, None if lead else found.lead)
        cards.append(
            Card(
                smiles=text,
                drawing=drawing,
                compared=compared,
                head="The lead" if lead else _head(found, row),
                unit=""
                if lead or found.kind != "value"
                else found.problem.objectives[0].unit or "",
                note=_note(row, lead),
                numbers=_numbers(found, row),
                properties=[
                    Number(label=name, full=name, value=value)
                    for name, value in zip(DEFAULT_PROPERTIES, numbers, strict=True)
                    if row is None or name.lower() not in map(str.lower, _listed(found))
                ],
                lead=lead,
            )
        )
    return cards


def _head(found: CampaignSummary, row: Row | None) -> str:
    assert row is not None
    if found.kind == "front":
        return (
            "on the front"
            if row.pareto_rank == 1 and row.is_feasible
            else f"Pareto rank {row.pareto_rank}"
        )
    return number(row.score)


def _note(row: Row | None, lead: bool) -> str:
    if row is None:
        return "not a trial"
    return f"trial {row.trial.id}" if lead else f"no. {row.place} · trial {row.trial.id}"


def _listed(found: CampaignSummary) -> tuple[str, ...]:
    """Names of the values on a card; a single objective's value is its heading."""
    return found.problem.names[1:] if found.kind == "value" else found.problem.names


def _numbers(found: CampaignSummary, row: Row | None) -> list[Number]:
    if row is None:
        return []
    asked = {limit.name: limit for limit in found.problem.constraints}
    of = []
    names = (
        found.problem.names if row.violated_constraints or found.kind != "value" else _listed(found)
    )
    for name in names:
        limit = asked.get(name)
        of.append(
            Number(
                label=found.label(name),
                full=name,
                value=row.value(name),
                unit=found.problem.parts[name].unit or "",
                error=row.trial.errors.get(name),
                limits="" if limit is None else _ends(limit),
                kept=None if limit is None else name not in row.violated_constraints,
            )
        )
    return of


def _ends(limit: Constraint) -> str:
    ends = (("\N{GREATER-THAN OR EQUAL TO}", limit.low), ("\N{LESS-THAN OR EQUAL TO}", limit.high))
    return " and ".join(f"{sign} {end:g}" for sign, end in ends if end is not None)


def _drawing(smiles: str, lead: str | None) -> tuple[str, bool]:
    """Data address of an image of a molecule, empty if undrawn; whether it was compared."""
    from molvae.chem.depiction import draw_mcs_difference, draw_molecule

    try:
        compared = None if lead is None else draw_mcs_difference(smiles, lead, size=SIZE)
        svg = compared or draw_molecule(smiles, size=SIZE)
    except InvalidMoleculeError:  # a record that was not written by molvae
        return "", False
    address = "data:image/svg+xml;base64," + b64encode(svg.encode()).decode("ascii")
    return address, compared is not None


__all__ = ["check_can_write", "render", "write_report"]
