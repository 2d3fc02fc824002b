"""The report of a campaign as one HTML file: to read, to print, to mail.

The file holds everything that it shows: nothing is fetched, and a policy in its head forbids it.
The one script, which sorts and filters tables, is allowed by its hash; the page is complete without
it. Molecules and messages come from users and from files of others: all text is escaped, and
drawings are images, in which nothing can run.
"""

from __future__ import annotations

import math
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from molvae._files import HTML_ENDINGS, Kind, check_output, replacing
from molvae.analysis import reproduce
from molvae.analysis.calibration import coverage_of
from molvae.analysis.distributions import MAX_SAMPLE_SIZE, dataset_properties
from molvae.analysis.figures import pictures
from molvae.analysis.importance import Importance, permutation_importance
from molvae.analysis.plate import environment
from molvae.analysis.rgroups import group_tables
from molvae.analysis.summary import MAX_ROWS, CampaignSummary, Row, goodness, number, summarize
from molvae.campaign.proposal_check import core_to_keep, full_check
from molvae.campaign.storage import Storage
from molvae.campaign.trust import identity_of
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import CampaignError, InvalidMoleculeError, require

if TYPE_CHECKING:
    from jinja2 import Template

    from molvae.campaign.campaign import Campaign

DRAWING_PIXELS = (260, 190)  # pixels of a drawn molecule
REPORT = Kind(name="a report", stamp="report", error=CampaignError, endings=HTML_ENDINGS)


@dataclass(frozen=True, kw_only=True)
class _Card:
    """A molecule with its drawing and computed properties."""

    smiles: str
    row: Row | None  # its trial; None if it is none
    is_lead: bool
    drawing: str  # data address of an image; empty if it cannot be drawn
    compared: bool  # whether differences from the lead are highlighted
    properties: dict[str, float]


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

    Raises:
        CampaignError: The campaign cannot be read, the file exists, or cannot be written.
        ConfigError: `top` is negative.
        InvalidMoleculeError: `lead` is not a molecule.
    """
    from molvae.campaign.campaign import Campaign

    require(top >= 0, f"top must not be negative, got {top}")
    record = campaign.path if isinstance(campaign, Campaign) else campaign
    target = check_output(out, REPORT, overwrite=overwrite, apart_from=[record])
    if isinstance(campaign, Campaign):
        html = render(campaign, top=top, lead=lead)
    else:
        with Campaign.open(campaign) as opened:
            html = render(opened, top=top, lead=lead)
    with replacing(target, REPORT, overwrite=overwrite, apart_from=[record]) as draft:
        draft.write_text(html, encoding="utf-8")
    return Path(out)


def is_report_of(file: str | Path, record: str | Path) -> bool:
    """Whether a file is the report of this campaign file, or there is none yet."""
    if not Path(file).exists():
        return True
    with Storage.open(record) as storage, open(file, encoding="utf-8", errors="replace") as html:
        head = html.read(5000)
        return f'<meta name="campaign" content="{identity_of(storage.metadata())}">' in head


@cache
def _template() -> Template:
    made = environment()
    made.filters |= {"begin": _begin}
    return made.get_template("report.html")


def render(
    campaign: Campaign, *, top: int = 24, lead: str | None = None, refresh: int | None = None
) -> str:
    """The report as HTML; with `refresh`, a browser reloads it after so many seconds."""
    from molvae.chem.datasets import DATASETS

    found = summarize(campaign, lead=lead)
    problem, trials = found.problem, [row.trial for row in found.rows]
    sample = dataset_properties(found.dataset) if found.dataset and found.ranked else None
    core = core_to_keep(campaign.config)
    groups = ("", []) if core is None else group_tables(core, found.ranked, problem.objectives)
    script = (files("molvae") / "templates" / "report.js").read_text(encoding="utf-8").strip()
    return _template().render(
        found=found,
        title=_title(found),
        goodness=goodness(problem.objectives[0]),
        campaign_file=campaign.path.name,
        identity=campaign.identity,
        written=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        refresh=refresh,
        cards=_cards(found, top),
        pictures=pictures(found),
        calibration=[
            (found.label(name), name, rows)
            for name in problem.measured
            if (rows := coverage_of(trials, name, batch=campaign.batch_size))
        ],
        importance=_importance(found),
        core=groups[0],
        positions=groups[1],
        failures=found.failures[-(MAX_ROWS // 4) :],
        changes=campaign.changes().to_dict("records"),
        findings=(findings := _findings(campaign, found)),
        faultless=[
            (name, sum(not findings[row.trial.id] for row in rows), len(rows))
            for name, rows in (
                ("new", [row for row in found.listed if row.new]),
                ("initial", [row for row in found.listed if not row.new]),
            )
            if rows
        ],
        nan=math.nan,
        proposals=any(trial.reason for trial in trials),
        density_percentiles=any(trial.percentile is not None for trial in trials),
        headings=[
            (found.label(n), n, problem.all_parts[n].unit or "") for n in problem.value_names
        ],
        notes=list(dict.fromkeys(name for trial in trials for name in trial.notes)),
        messages=any(trial.message or trial.earlier_failures for trial in trials),
        reproduction=reproduce.reproduction_command(campaign, math.ceil(found.cost)),
        settings=reproduce.flat({k: v for k, v in campaign.metadata.items() if k != "versions"}),
        versions=reproduce.versions(campaign),
        few=MAX_SAMPLE_SIZE if len(found.ranked) > MAX_SAMPLE_SIZE else 0,
        sampled=0 if sample is None else len(sample),
        sample_lacks=sample is None and bool(found.ranked) and found.dataset in DATASETS,
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def _findings(campaign: Campaign, found: CampaignSummary) -> dict[int, list[str]]:
    """Faults of the listed molecules by trial, whether or not the campaign avoids them."""
    check, findings = full_check(campaign.config, campaign.trials), {}
    for row in found.listed:
        try:
            findings[row.trial.id] = [] if check is None else check.findings(row.trial.smiles)
        except InvalidMoleculeError:
            findings[row.trial.id] = ["not a molecule"]
    return findings


def _importance(found: CampaignSummary) -> list[tuple[str, Importance]]:
    """Importance of features for each measured value of which there are enough."""
    rows, measured = found.ranked[::-1], []
    for name in found.problem.measured:
        with suppress(InvalidMoleculeError):  # a file that was not written by molvae
            values = [row.value(name) for row in rows]
            one = permutation_importance([row.trial.smiles for row in rows], values)
            if one is not None:
                measured.append((found.label(name), one))
    return measured


def _begin(text: str, length: int) -> str:
    """The beginning of a long text; the campaign file has all of it."""
    return text if len(text) <= length else text[:length] + "\N{HORIZONTAL ELLIPSIS}"


def _title(found: CampaignSummary) -> str:
    """Name and best value of a single objective, else the names of all."""
    names = ", ".join(found.label(goal.name) for goal in found.problem.objectives)
    best = found.best()
    return f"{names}: {number(best.score)}" if best and found.kind == "value" else names


def _cards(found: CampaignSummary, top: int) -> list[_Card]:
    """The lead, if there is one, then the best molecules."""
    from molvae.chem.properties import score

    smiles = [row.trial.smiles for row in found.ranked[:top]]
    leads = [found.lead] if found.lead and smiles else []
    computed = score([*leads, *smiles], DEFAULT_PROPERTIES, workers=1).tolist()
    by_smiles = {row.trial.smiles: row for row in found.ranked}
    cards = []
    for place, (text, numbers) in enumerate(zip([*leads, *smiles], computed, strict=True)):
        is_lead = place < len(leads)
        drawing, compared = _drawing(text, None if is_lead else found.lead)
        cards.append(
            _Card(
                smiles=text,
                row=by_smiles.get(text),
                is_lead=is_lead,
                drawing=drawing,
                compared=compared,
                properties=dict(zip(DEFAULT_PROPERTIES, numbers, strict=True)),
            )
        )
    return cards


def _drawing(smiles: str, lead: str | None) -> tuple[str, bool]:
    """Data address of an image of a molecule, empty if undrawn; whether it was compared."""
    from molvae.chem.depiction import data_address, draw_mcs_difference, draw_molecule

    try:
        compared = None if lead is None else draw_mcs_difference(smiles, lead, size=DRAWING_PIXELS)
        svg = compared or draw_molecule(smiles, size=DRAWING_PIXELS)
    except InvalidMoleculeError:  # a file that was not written by molvae
        return "", False
    return data_address(svg), compared is not None
