"""Figures of a campaign; text of users is drawn as it is, never read as formulas."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molvae.analysis.distributions import MAX_SAMPLE_SIZE, Distribution, distributions, latent_map
from molvae.analysis.pictures import N_SHADES, PAGE, PAPER, Palette, Picture, new_axes
from molvae.analysis.style import check_can_draw, printable, save_figure
from molvae.analysis.summary import (
    MAX_POINTS,
    CampaignSummary,
    Row,
    evenly,
    goodness,
    number,
    summarize,
)
from molvae.errors import CampaignError, UnknownNameError
from molvae.objectives.problem import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from molvae.campaign.campaign import Campaign

Format = Literal["svg", "png"]
Point = tuple[float, float, Row]  # x, y, and the trial there


def pictures(found: CampaignSummary, palette: Palette = PAGE) -> list[Picture]:
    """All figures of a campaign: progress, Pareto front, map, properties."""
    if not found.ranked:
        return []
    made = [_progress(found, palette)]
    if found.kind == "front":
        made.append(_front(found, palette))
    if (plane := latent_map(found)) is not None:
        made.append(_map(found, *plane, palette))
    names = enumerate(found.problem.measured, 1)
    made += [
        one for i, name in names if (one := _predicted(found, name, f"predicted-{i}", palette))
    ]
    return made + [_histogram(one, found, palette) for one in distributions(found)]


def write_figures(
    campaign: Campaign | str | Path,
    folder: str | Path,
    format: Format = "svg",
    *,
    overwrite: bool = False,
    apart_from: Iterable[str | Path] = (),
) -> list[Path]:
    """Write the figures of the report, each as a file; none if no trial is complete.

    Args:
        campaign: An open campaign, or the path of its file.
        folder: Created if it does not exist; its parent must exist.
        format: `svg` or `png`.
        overwrite: Replace earlier figures.
        apart_from: Other files of the same command.

    Raises:
        CampaignError: The campaign cannot be read, a file exists, or cannot be written.
        UnknownNameError: Another format.
    """
    from molvae.campaign.campaign import Campaign

    if format not in get_args(Format):
        raise UnknownNameError("format of figures", str(format), get_args(Format))
    if not isinstance(campaign, Campaign):
        with Campaign.open(campaign) as opened:
            return write_figures(opened, folder, format, overwrite=overwrite, apart_from=apart_from)
    folder, apart = Path(os.path.abspath(folder)), [campaign.path, *apart_from]
    if not folder.parent.is_dir() or (folder.exists() and not folder.is_dir()):
        raise CampaignError(
            f"cannot write figures to {folder}: it has to be a folder, or a name in one that exists"
        )
    made = pictures(summarize(campaign), PAPER)
    paths = [folder / f"{picture.name}.{format}" for picture in made]
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CampaignError(f"cannot write figures to {folder}: {error.strerror}") from error
    for path in paths:
        check_can_draw(path, overwrite=overwrite, apart_from=apart, error=CampaignError)
    for one, path in zip(made, paths, strict=True):
        save_figure(one.figure, path, overwrite=overwrite, salt=one.name, error=CampaignError)
    return paths


def _axis_label(name: str, goal: Objective) -> str:
    unit = f", {goal.unit}" if goal.unit else ""
    return printable(f"{name}{unit} ({goodness(goal)})")


def _hint(found: CampaignSummary, row: Row) -> str:
    """Id, values and SMILES of a trial."""
    signs = row.trial.operators
    values = ", ".join(
        f"{found.label(n)} {signs.get(n, '')}{number(row.value(n))}" for n in found.problem.names
    )
    return printable(f"trial {row.trial.id}: {values} \N{MIDDLE DOT} {row.trial.smiles}")


def _progress(found: CampaignSummary, palette: Palette) -> Picture:
    """Best value, score or hypervolume after each evaluation."""
    from matplotlib.ticker import MaxNLocator

    progress, goal = found.progress, found.problem.objectives[0]
    best, calls = np.array(progress.best), np.arange(1, len(progress.best) + 1)
    hints: dict[str, list[str]] = {}
    with new_axes("progress", palette, (9, 3.6)) as (figure, axes):
        if progress.starts:
            axes.axvspan(0.5, progress.starts + 0.5, color=palette.shade, linewidth=0)
            axes.text(
                progress.starts / 2 + 0.5, 1.02, "initial molecules", color=palette.faint,
                transform=axes.get_xaxis_transform(), ha="center", va="bottom",
            )  # fmt: skip
        if found.kind == "value" and goal.low is not None and goal.high is not None:
            axes.axhspan(goal.low, goal.high, color=palette.accent, alpha=0.12, linewidth=0)
        for group, inside in (("progress-within", True), ("progress-outside", False)):
            mine = [
                (n, row.score, row)
                for n, row in enumerate(found.calls, 1)
                if row.trial.id in found.drawn and row.is_feasible == inside
            ]
            if mine and found.kind != "front":
                hints |= _points(
                    axes, found, group, mine, s=18, alpha=0.6, linewidths=0 if inside else 1,
                    facecolors=palette.faint if inside else "none", edgecolors=palette.faint,
                )  # fmt: skip
        steps = _corners(best)
        axes.step(calls[steps], best[steps], where="post", color=palette.accent, linewidth=2.2)
        axes.set_xlim(0.5, max(len(best), 2) + 0.5)
        axes.set_xlabel("evaluations")
        axes.set_ylabel(
            {
                "value": _axis_label("value", goal),
                "score": "score (larger is better)",
                "front": "hypervolume (larger is better)",
            }[found.kind],
            parse_math=False,
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    limits = bool(found.problem.constraints)
    shaded = " Shaded: initial molecules." if progress.starts else ""
    if found.kind == "front":
        points = [
            f"{number(r)} outside of {found.label(goal.name)}"
            if goal.direction == "range"
            else f"{found.label(goal.name)} {number(r)}"
            for goal, r in zip(found.problem.objectives, progress.reference, strict=True)
        ]
        title = "Hypervolume against evaluations"
        caption = (
            "Volume between the reference point and the Pareto front so far "
            f"({', '.join(points)}: each objective's worst, else the worst value observed)."
            + " Estimated." * progress.estimated
            + shaded
            + " Only feasible molecules count." * limits
        )
    else:
        good = goal.direction if found.kind == "value" else "larger is better"
        title = f"Best {found.kind} against evaluations"
        caption = (
            f"Line: best {found.kind} so far ({good}). Dots: trials in the order of their ids."
            + _thinned(found)
            + shaded
            + " Hollow: infeasible, and does not count." * limits
        )
    return Picture(
        name="progress", title=title, caption=caption, figure=figure, hints=hints, wide=True
    )


def _corners(path: NDArray[np.float64]) -> list[int]:
    """Indices of the corners of a step function, and of its end."""
    same = (path[1:] == path[:-1]) | (np.isnan(path[1:]) & np.isnan(path[:-1]))
    corners = [0, *(np.flatnonzero(~same) + 1).tolist(), len(path) - 1]
    return evenly(list(dict.fromkeys(corners)), MAX_POINTS)


def _thinned(found: CampaignSummary) -> str:
    """The part of a caption that says how many trials are left out."""
    drawn, there = len(found.drawn), len(found.ranked)
    if drawn == there:
        return ""
    return f" {drawn} of {there} are drawn: the best half of these, and some of the others."


def _scatter(
    axes: Axes,
    found: CampaignSummary,
    group: str,
    points: Sequence[Point],
    color: Callable[[Row], str],
    large: Collection[int] = (),
) -> dict[str, list[str]]:
    """Points by origin and feasibility: squares for initial molecules, hollow if infeasible.

    Trials with ids in `large` are larger, and drawn over the others.
    """
    hints: dict[str, list[str]] = {}
    for place, kind in enumerate(product((False, True), repeat=3)):
        big, new, feasible = kind
        mine = [p for p in points if (p[2].trial.id in large, p[2].new, p[2].is_feasible) == kind]
        if mine:
            colors = [color(row) for *_, row in mine]
            hints |= _points(
                axes, found, f"{group}-{place}", mine, s=46.0 if big else 26.0,
                marker="o" if new else "s", facecolors=colors if feasible else "none",
                edgecolors=colors, linewidths=0.0 if feasible else 1.0,
            )  # fmt: skip
    return hints


def _points(
    axes: Axes, found: CampaignSummary, group: str, points: Sequence[Point], **looks: Any
) -> dict[str, list[str]]:
    """Draw a group of points, and return the hints for it."""
    x, y, rows = zip(*points, strict=True)
    axes.scatter(x, y, gid=group, **looks)
    return {group: [_hint(found, row) for row in rows]}


def _front(found: CampaignSummary, palette: Palette) -> Picture:
    """Values of the first two objectives, the Pareto front over the others."""
    first, second = found.problem.objectives[:2]
    best = {row.trial.id for row in found.front}
    points = [
        (row.value(first.name), row.value(second.name), row)
        for row in reversed(found.ranked)
        if row.trial.id in found.drawn
    ]
    with new_axes("front", palette, (5.6, 4.4)) as (figure, axes):
        flat = "range" not in (first.direction, second.direction)
        if len(found.problem.objectives) == 2 and flat and best:
            line = sorted((row.value(first.name), row.value(second.name)) for row in found.front)
            line = evenly(line, MAX_POINTS)
            # Corners lie on the side that is worse.
            where: Literal["pre", "post"] = "post" if first.direction == "minimize" else "pre"
            axes.step(*zip(*line, strict=True), where=where, color=palette.accent, linewidth=1.2,
                      alpha=0.6)  # fmt: skip
        for goal, span in ((first, axes.axvspan), (second, axes.axhspan)):
            if goal.direction == "range" and goal.low is not None and goal.high is not None:
                span(goal.low, goal.high, color=palette.accent, alpha=0.1, linewidth=0)
        hints = _scatter(
            axes, found, "front", points,
            lambda row: palette.accent if row.trial.id in best else palette.faint,
            best,
        )  # fmt: skip
        axes.set_xlabel(_axis_label(found.label(first.name), first), parse_math=False)
        axes.set_ylabel(_axis_label(found.label(second.name), second), parse_math=False)
    more = len(found.problem.objectives) - 2
    caption = (
        f"Large: the {len(best)} molecules of the Pareto front. "
        "Squares: initial molecules; circles: new ones."
        + (" Hollow: infeasible." if found.problem.constraints else "")
        + (f" {more} more objective{'s' * (more > 1)} cannot be seen here." if more else "")
        + _thinned(found)
    )
    return Picture(name="front", title="Pareto front", caption=caption, figure=figure, hints=hints)


def _predicted(found: CampaignSummary, name: str, file: str, palette: Palette) -> Picture | None:
    """Measured values against those predicted when their trials were proposed, by batch."""
    rows = [
        row
        for row in found.calls
        if name in row.trial.predictions and math.isfinite(row.value(name))
    ]
    if not rows:
        return None
    goal, rows = found.problem.parts[name], evenly(rows, MAX_POINTS)
    batches = {at: place for place, at in enumerate(dict.fromkeys(r.trial.asked_at for r in rows))}
    hints: dict[str, list[str]] = {}
    label = found.label(name) + (f", {goal.unit}" if goal.unit else "")
    with new_axes(file, palette, (5.6, 4.4)) as (figure, axes):
        axes.axline((0, 0), slope=1, color=palette.faint, linewidth=1)
        for batch in range(len(batches)):
            mine = [row for row in rows if batches[row.trial.asked_at] == batch]
            shade = palette.steps[1 + (N_SHADES - 2) * (batch + 1) // len(batches)]
            points = [(r.trial.predictions[name].q50, r.value(name), r) for r in mine]
            ends = [(r.trial.predictions[name].q05, r.trial.predictions[name].q95) for r in mine]
            for (low, high), (_, y, _) in zip(ends, points, strict=True):
                axes.plot((low, high), (y, y), color=shade, alpha=0.3, linewidth=1)
            hints |= _points(axes, found, f"{file}-{batch}", points, s=26, color=shade, zorder=3)
        shown = [r.value(name) for r in rows] + [r.trial.predictions[name].q50 for r in rows]
        low, high = min(shown), max(shown)
        margin = 0.1 * ((high - low) or abs(high) or 1.0)
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        axes.set_xlabel(printable(f"predicted {label}"), parse_math=False)
        axes.set_ylabel(printable(f"measured {label}"), parse_math=False)
    n = len(batches)
    order = "One batch" if n == 1 else f"{n} batches, the later the darker"
    return Picture(
        name=file, title=f"Predicted and measured {found.label(name)}",
        caption=f"{found.label(name)}: measured values against the medians predicted when their "
        f"molecules were proposed, with 90 % intervals. {order}.", figure=figure, hints=hints,
    )  # fmt: skip


def _map(
    found: CampaignSummary,
    places: Sequence[Point],
    shares: tuple[float, float],
    palette: Palette,
) -> Picture:
    """Trials on the first two principal components of z, colored by value."""
    step, ends = _steps(found)
    wide = found.kind != "front"
    with new_axes("map", palette, (9, 4.4) if wide else (5.6, 4.4)) as (figure, axes):
        hints = _scatter(
            axes, found, "map",
            [place for place in places if place[2].trial.id in found.drawn],
            lambda row: palette.steps[step(row)] if row.is_feasible else palette.faint,
        )  # fmt: skip
        axes.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second component ({shares[1]:.0%} of the variance)")
        bar = axes.inset_axes((1.02, 0.2, 0.025, 0.6))
        bar.set_axis_off()
        for place, color in enumerate(palette.steps):
            bar.axhspan(place, place + 1, color=color, linewidth=0)
        bar.set_ylim(0, N_SHADES)
        for y, text, side in ((N_SHADES + 0.25, ends[1], "bottom"), (-0.25, ends[0], "top")):
            bar.text(0.5, y, text, ha="center", va=side, fontsize=9,
                     parse_math=False)  # fmt: skip
    what = {
        "value": f"Colored by {found.label(found.problem.objectives[0].name)}",
        "score": "Colored by score",
        "front": "Colored by Pareto rank",
    }[found.kind]
    caption = (
        "Principal components of the latent vectors of all molecules with values. "
        f"{what}. Squares: initial molecules; circles: new ones."
        + (" Hollow: infeasible." if found.problem.constraints else "")
        + _thinned(found)
    )
    return Picture(
        name="map", title="Map of the latent space", caption=caption, figure=figure, hints=hints,
        wide=wide,
    )  # fmt: skip


def _steps(found: CampaignSummary) -> tuple[Callable[[Row], int], tuple[str, str]]:
    """The shade of a row, and texts for the worst and the best shade."""
    if found.kind == "front":
        ends = (f"front {N_SHADES}+", "front 1")
        return lambda row: max(0, N_SHADES - (row.pareto_rank or N_SHADES)), ends
    goal = found.problem.objectives[0]
    turn = goal.to_maximization if found.kind == "value" else np.asarray
    columns = turn(np.array([row.score for row in found.ranked]))
    # A few that are far worse than all others would leave these in one shade.
    low, high = float(np.percentile(columns, 5)), float(columns.max())

    def step(row: Row) -> int:
        share = (float(turn(np.array([row.score]))[0]) - low) / (high - low) if high > low else 1.0
        return int(np.clip(math.floor(share * N_SHADES), 0, N_SHADES - 1))

    if found.kind == "value" and goal.direction == "range":
        return step, (f"{number(-low)} outside", "in range" if high == 0 else f"{number(-high)}")
    sign = -1.0 if found.kind == "value" and goal.direction == "minimize" else 1.0
    return step, (number(sign * low), number(sign * high))


def _histogram(one: Distribution, found: CampaignSummary, palette: Palette) -> Picture:
    """A property of initial and new molecules, and of the data set."""
    from molvae.chem.properties import PROPERTIES

    n_initial = sum(not row.new for row in found.ranked)
    groups = [
        (f"{found.dataset} ({len(one.dataset)} drawn)", one.dataset, palette.steps[1], True),
        (f"initial ({_some(one.start, n_initial)})", one.start, palette.faint, False),
        (f"new ({_some(one.new, len(found.ranked) - n_initial)})", one.new, palette.accent, False),
    ]
    groups = [group for group in groups if group[1]]
    together = np.array([value for group in groups for value in group[1]] or [0.0])
    low, high = np.percentile(together, [0.5, 99.5])
    low, high = min(low, *(one.new or [low])), max(high, *(one.new or [high]))
    bins = np.linspace(low, high if high > low else low + 1.0, 25)
    with new_axes(f"histogram-{one.name}", palette, (4, 2.7)) as (figure, axes):
        for label, values, color, filled in groups:
            share = np.full(len(values), 1 / len(values))
            inside = np.clip(values, bins[0], bins[-1])
            axes.hist(
                inside, bins, weights=share, color=color, label=printable(label),  # type: ignore[arg-type]
                histtype="stepfilled" if filled else "step", linewidth=0 if filled else 1.7,
            )  # fmt: skip
        axes.set_xlabel(one.name)
        axes.set_ylabel("share of molecules")
        axes.margins(x=0)
        if palette is PAPER:  # a page says it beneath
            axes.legend()
    caption = f"{PROPERTIES[one.name].label}."
    return Picture(
        name=f"histogram-{one.name}", title=one.name, caption=caption, figure=figure, hints={}
    )


def _some(values: Sequence[float], there: int) -> str:
    """The number of values, and of all molecules if they are a sample."""
    return str(len(values)) if there <= MAX_SAMPLE_SIZE else f"{len(values)} of {there}"
