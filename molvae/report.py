"""One HTML file that tells what a campaign found: to read, to print, to mail.

The file holds everything it shows: no script, no font, no address is fetched, and a policy in its
head forbids it. Molecules and messages come from users and from records that others
sent: all text is escaped, and drawings are images, in which nothing can run.

Knows how a campaign is read. Knows neither how molecules were chosen nor the network.
"""

from __future__ import annotations

import io
import math
import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.config import require
from molvae.errors import CampaignError, InvalidMoleculeError

if TYPE_CHECKING:
    from molvae.bo.store import Trial
    from molvae.campaign import Campaign

DASH = "\N{EN DASH}"
SHOWN_PROPERTIES = ("logP", "SAS", "QED")
"""Beside each of the best molecules, whatever the objective is."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial as the report shows it."""

    trial: Trial
    value: float
    """Of the campaign's objective; NaN where there is none."""
    drawing: str = ""
    """The molecule as a data address of an image; empty if it is not drawn."""
    properties: tuple[tuple[str, float], ...] = ()


def write_report(
    campaign: Campaign | str | Path, out: str | Path, *, top: int = 24, overwrite: bool = False
) -> Path:
    """Write the report of a campaign.

    The file appears under its name when it is complete, so that a reader never sees half of one.

    Args:
        campaign: An open campaign, or the path of its record.
        out: The HTML file to write.
        top: How many of the best molecules are drawn.
        overwrite: Replace a file that is there.

    Returns:
        Where it was written.

    Raises:
        CampaignError: The record cannot be read, the file exists, or it cannot be written.
        ConfigError: `top` is negative.
    """
    from molvae.campaign import Campaign

    require(top >= 0, f"top must not be negative, got {top}")
    check_can_write(out, overwrite=overwrite)
    if not isinstance(campaign, Campaign):
        with Campaign.open(campaign) as opened:
            return write_report(opened, out, top=top, overwrite=overwrite)
    html = render(campaign, top=top)
    out = Path(out)
    draft = out.with_name(f".{out.name}.{os.getpid()}.draft")
    try:
        draft.write_text(html, encoding="utf-8")
        draft.replace(out)
    except OSError as error:
        raise CampaignError(f"cannot write {out}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return out


def check_can_write(out: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a path where the report cannot go, before a long campaign runs for it.

    Raises:
        CampaignError: The file exists and may not be overwritten, or its folder does not exist.
    """
    out = Path(out)
    if out.is_dir() or (out.exists() and not overwrite):
        raise CampaignError(f"{out} exists; choose another name, or overwrite it (--overwrite)")
    if not out.parent.is_dir():
        raise CampaignError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    if not os.access(out.parent, os.W_OK):
        raise CampaignError(f"cannot write {out}: no permission to write in {out.parent}")


def render(campaign: Campaign, *, top: int = 24) -> str:
    """The report as HTML; arguments as in `write_report`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("molvae"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    trials, name, direction = campaign.trials, campaign.name, campaign.direction
    minimise = direction == "minimise"
    rows = [Row(trial=trial, value=value_of(trial, name)) for trial in trials]
    scored = [row for row in rows if not math.isnan(row.value)]
    ranked = sorted(scored, key=lambda row: row.value, reverse=not minimise)
    starting = [row for row in ranked if row.trial.origin == "start"]
    return environment.get_template("report.html").render(
        objective=name,
        direction=direction,
        record=campaign.path.name,
        written=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        rows=rows,
        best=ranked[0] if ranked else None,
        best_start=starting[0] if starting else None,
        counts={
            status: sum(trial.status == status for trial in trials)
            for status in ("told", "failed", "asked")
        },
        starts=sum(trial.origin == "start" for trial in trials),
        cards=_cards(ranked[:top]),
        failures=[row for row in rows if row.trial.status == "failed"],
        curve=curve(trials, name, minimise=minimise) if scored else "",
        settings=_flat(campaign.settings),
        versions=_versions(),
    )


def value_of(trial: Trial, objective: str) -> float:
    """The trial's value of an objective, in its own sign; NaN where it has none."""
    return trial.values.get(objective, math.nan)


def number(value: Any) -> str:
    """A number for people: four significant digits, a dash for NaN."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if math.isnan(value):
        return DASH
    return f"{value:#.4g}".rstrip(".").replace("-", "\N{MINUS SIGN}")


def best_so_far(values: Sequence[float], *, minimise: bool) -> list[float]:
    """The best value after each call; NaN, a call that failed, changes nothing.

    >>> best_so_far([math.nan, 1.0, 3.0, 2.0], minimise=False)
    [nan, 1.0, 3.0, 3.0]
    """
    best, path = math.nan, []
    for value in values:
        if math.isnan(best) or (value < best if minimise else value > best):
            best = value
        path.append(best)
    return path


INK, FAINT, LINE, SHADE = "#010101", "#020202", "#030303", "#040404"
"""Stand-ins for the page's colours, which follow the reader's light or dark mode."""


def curve(trials: Sequence[Trial], objective: str, *, minimise: bool) -> str:
    """Best value against objective calls, as SVG; trials that wait for a value are no calls yet."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    done = [trial for trial in trials if trial.status != "asked"]
    values = [value_of(trial, objective) for trial in done]
    calls = range(1, len(done) + 1)
    starts = sum(trial.origin == "start" for trial in done)
    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
        "svg.hashsalt": "molvae",
        "font.family": "sans-serif",
        "font.size": 11,
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        if starts:
            axes.axvspan(0.5, starts + 0.5, color=SHADE, linewidth=0)
            axes.text(
                starts / 2 + 0.5, 1.02, "starting molecules",
                transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=FAINT,
            )  # fmt: skip
        axes.plot(calls, values, "o", color=FAINT, markersize=3.5, alpha=0.55, markeredgewidth=0)
        axes.step(
            calls, best_so_far(values, minimise=minimise), where="post", color=LINE, linewidth=2.2
        )
        axes.set_xlim(0.5, max(len(done), 2) + 0.5)
        axes.set_xlabel("objective calls", color=INK)
        axes.set_ylabel(f"value ({'smaller' if minimise else 'larger'} is better)", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(colors=INK, labelcolor=INK)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    for colour, name in ((INK, "ink"), (FAINT, "faint"), (LINE, "accent"), (SHADE, "shade")):
        svg = svg.replace(colour, f"var(--{name})")
    return re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)


def _cards(rows: Sequence[Row]) -> list[Row]:
    """The best molecules with their drawings and properties."""
    from molvae.chem.properties import score

    smiles = [row.trial.smiles for row in rows]
    numbers = score(smiles, SHOWN_PROPERTIES, workers=1).tolist()
    return [
        replace(
            row,
            drawing=_drawing(row.trial.smiles),
            properties=tuple(zip(SHOWN_PROPERTIES, values, strict=True)),
        )
        for row, values in zip(rows, numbers, strict=True)
    ]


def _drawing(smiles: str) -> str:
    """The molecule as a data address for an image; empty when it cannot be drawn."""
    from molvae.chem.mol import draw

    try:
        svg = draw(smiles, size=(260, 190))
    except InvalidMoleculeError:  # a record that was not written by molvae
        return ""
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode("ascii")


def _flat(settings: Any, name: str = "") -> list[tuple[str, str]]:
    """Settings as rows; what is inside a table or a list of tables gets a dotted name."""
    if isinstance(settings, list) and any(isinstance(one, Mapping) for one in settings):
        settings = {str(place): one for place, one in enumerate(settings, 1)}
    if not isinstance(settings, Mapping):
        return [(name, DASH if settings is None else str(settings))]
    dotted = f"{name}." if name else ""
    return [row for key, value in settings.items() for row in _flat(value, f"{dotted}{key}")]


def _versions() -> list[tuple[str, str]]:
    """Versions of what computed the numbers of this report."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    from molvae import __version__

    rows = [("molvae", __version__), ("python", python_version())]
    for package in ("torch", "botorch", "rdkit", "selfies"):
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:  # installed in another way than by pip
            continue
    return rows


__all__ = [
    "best_so_far",
    "check_can_write",
    "curve",
    "number",
    "render",
    "value_of",
    "write_report",
]
