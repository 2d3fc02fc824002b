"""Pictures of what was found in a latent space, for people who read molecules.

Each takes a result of this package and writes one file, SVG, PNG or PDF by its ending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.explore.ascent import Ascent
from molvae.explore.neighbourhood import Neighbour, Neighbourhood
from molvae.explore.paths import LatentPath, Stop
from molvae.explore.plane import Chart, Spot
from molvae.explore.sheet import ACCENT, FAINT, INK, SHADE, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL = (176, 124)
"""Pixels of a drawn molecule, wide and high."""
GAP, MARGIN, LINE = 14, 24, 17
"""Pixels between molecules, around all, and of a line of words."""
COLUMNS = 6
"""Molecules in a row."""
MOST = 30
"""Molecules of a path that are drawn."""
COLOURS = ("#0b6e75", "#c2571a", "#5b4b9a", "#7a7f2a", "#a0325a", "#2f6fb0", "#4d4d4d", "#b08a1e")
"""Of several ways in one frame."""


def draw_path(path: LatentPath, file: str | Path, *, most: int = MOST) -> Path:
    """The molecules on a path in its order, and how their properties change along it.

    What a molecule has and the one before has not is coloured; if they are more than `most`, those
    that last longest are drawn, always with the first and the last one.

    Args:
        path: Of `interpolate` or `walk`.
        file: Replaced if it is there.
        most: Molecules drawn.

    Raises:
        ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
    """
    chosen = _longest(path, most)
    heads = [_at(stop) for stop in chosen]
    feet = [_alike(stop) for stop in chosen]
    curves = [_similarity(path), *(_property(path, name) for name in path.stops[0].properties)]
    between = path.end is not None
    title = f"interpolation, {path.name}" if between else path.name
    told = _counted(path, len(chosen))
    return _sheet(
        path, chosen, heads, feet, [*curves, _percentile(path)], title=title, told=told, file=file,
        x="way" if between else "distance in z",
    )  # fmt: skip


def draw_ascents(ascents: Sequence[Ascent], file: str | Path, *, most: int = MOST) -> Path:
    """Ways up: the molecules on them, what was predicted and what is true, and how usual they are.

    One way is drawn as a path; of several, each is a row of molecules, the first 8 of them.

    Args:
        ascents: Of `ascend`, at least one.
        file: Replaced if it is there.
        most: Molecules drawn of one way.

    Raises:
        ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
    """
    if len(ascents) > 1:
        return _several(ascents, file)
    (ascent,) = ascents
    path, chosen = ascent.path, _longest(ascent.path, most)
    value = {stop.first: true for stop, true in zip(path.stops, ascent.true, strict=True)}
    feet = [_value(ascent, value[stop.first]) for stop in chosen]
    others = [name for name in path.stops[0].properties if name != ascent.climbed.removeprefix("-")]
    curves = [_climbed(ascent), *(_property(path, name) for name in others)]
    return _sheet(
        path, chosen, [_at(stop) for stop in chosen], feet,
        [*curves, _similarity(path), _percentile(path)],
        title=_title(ascent), told=f"{_counted(path, len(chosen))}; {_ended(ascent)}",
        file=file, x="distance in z",
    )  # fmt: skip


def _several(ascents: Sequence[Ascent], file: str | Path) -> Path:
    shown = list(ascents[: len(COLOURS)])
    width = 2 * MARGIN + COLUMNS * CELL[0] + (COLUMNS - 1) * GAP
    high = CELL[1] + 2 * LINE + GAP
    frames = 150
    sheet = Sheet(width, 2 * MARGIN + 2 * LINE + len(shown) * (high + LINE) + frames + 60)
    sheet.text(MARGIN, MARGIN, _title(ascents[0]), size=16, bold=True)
    more = f"; {len(shown)} of {len(ascents)} ways drawn" if len(shown) < len(ascents) else ""
    sheet.text(
        MARGIN, MARGIN + 1.4 * LINE,
        f"in colour: what the molecule before has not; broken lines: predicted{more}", colour=FAINT,
    )  # fmt: skip
    top: float = MARGIN + 2.6 * LINE
    for ascent, colour in zip(shown, COLOURS, strict=False):
        sheet.box(MARGIN, top + 4, 4, high - GAP + LINE, colour=colour)
        sheet.text(MARGIN + 12, top + LINE / 2, _ended(ascent), colour=colour)
        stops = _longest(ascent.path, COLUMNS)
        true = {s.first: v for s, v in zip(ascent.path.stops, ascent.true, strict=True)}
        for place, stop in enumerate(stops):
            before = stops[place - 1].smiles if place else None
            _cell(
                sheet, MARGIN + 8 + place * (CELL[0] + GAP), top + LINE, stop.smiles, before,
                "", _value(ascent, true[stop.first]), beside=_at(stop),
            )  # fmt: skip
        top += high + LINE
    wide = (width - 2 * MARGIN - 130) / 2
    for place, curve in enumerate((_climbed, _usual)):
        axes = sheet.axes(MARGIN + 50 + place * (wide + 80), top + 10, wide, frames)
        for ascent, colour in zip(shown, COLOURS, strict=False):
            curve(ascent)(axes, colour)
        if place == 0:
            axes.set_ylabel(_own_name(ascents[0]))
        axes.set_xlabel("distance in z")
    return sheet.save(file)


def draw_neighbours(
    found: Neighbourhood, file: str | Path, *, columns: int = COLUMNS, title: str = ""
) -> Path:
    """A row of molecules for each radius: those that were found there first, the most often ones.

    What a molecule has and the one in the middle has not is coloured.

    Args:
        found: Of `neighbours` or `analogy`.
        file: Replaced if it is there.
        columns: Molecules in a row.
        title: Above all.

    Raises:
        ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
    """
    summary = found.summary().to_dict("records")
    rows = [
        [one for one in found.found if one.radius == row["radius"]][:columns] for row in summary
    ]
    high = CELL[1] + 2 * LINE + GAP
    label, apart = 128, 64
    width = 2 * MARGIN + label + columns * CELL[0] + (columns - 1) * GAP
    heights: list[float] = [high if ones else 2.4 * LINE for ones in rows]
    first = CELL[1] + 2 * LINE + GAP
    sheet = Sheet(width, 2 * MARGIN + 1.6 * LINE + first + sum(heights))
    several = len(found.given) > 1
    left = MARGIN + label
    sheet.text(
        MARGIN, MARGIN, title or ("analogy" if several else "neighbours"), size=16, bold=True
    )
    sheet.text(
        left, MARGIN,
        f"below each: similarity to the {'third molecule' if several else 'molecule'}, how often "
        "it was found; in colour: what that one has not",
        colour=FAINT,
    )  # fmt: skip
    top: float = MARGIN + 1.6 * LINE
    for place, molecule in enumerate(found.given):
        x = left + place * (CELL[0] + apart)
        sheet.box(x, top, CELL[0], CELL[1] + LINE, colour=SHADE)
        missed = "no vector decodes to it" if molecule in found.missed else ""
        _cell(sheet, x, top - LINE + 4, molecule, None, "", missed)
        if several:
            word = ("is to", "as", "is to ?")[place]
            middle = x + CELL[0] + apart / 2 - 4
            sheet.text(middle, top + CELL[1] / 2, word, align="center", bold=True)
    if len(summary) > 1:
        x = left + (len(found.given) * (CELL[0] + apart)) + 50
        _radii(sheet.axes(x, top + 4, min(360, width - MARGIN - x), CELL[1] - 24), summary)
    top += first
    for row, ones, height in zip(summary, rows, heights, strict=True):
        sheet.text(MARGIN, top + LINE, f"r = {row['radius']:g}", size=14, bold=True)
        others = f"{row['distinct']} other{'s' * (row['distinct'] != 1)}, {row['new']} new"
        lines = [f"{row['drawn']} drawn", f"{row['same']} {'given' if several else 'the same'}"]
        lines += [others, *([f"{row['nothing']} no molecule"] if row["nothing"] else [])]
        if ones:
            for place, line in enumerate(lines, 1):
                sheet.text(MARGIN, top + LINE + 18 * place, line, colour=FAINT, size=11)
        else:
            sheet.text(left, top + LINE, ", ".join(lines), colour=FAINT, size=11)
        for place, one in enumerate(ones):
            x = left + place * (CELL[0] + GAP)
            _cell(sheet, x, top - LINE / 2, one.smiles, found.given[-1], "", _often(one))
        top += height
    return sheet.save(file)


def _radii(axes: Axes, summary: Sequence[Mapping[Any, Any]]) -> None:
    """What becomes of the molecule with the distance, in numbers."""
    radii = [row["radius"] for row in summary]
    same = [row["same"] / row["drawn"] for row in summary]
    axes.plot(radii, same, "o-", ms=3, lw=1.4, color=ACCENT, label="share that is given")
    alike = [row["similarity"] for row in summary]
    axes.plot(radii, alike, "o-", ms=3, lw=1.4, color=COLOURS[1], label="similarity of the others")
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("r")
    axes.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=2,
                borderaxespad=0, handlelength=1.2)  # fmt: skip


def draw_chart(chart: Chart, file: str | Path, *, most: int = 8) -> Path:
    """A map: molecules as points in the colour of a value, and those that were placed on it.

    Args:
        chart: Of `molvae.explore.chart`.
        file: Replaced if it is there.
        most: Of the placed molecules that are drawn beside it: the first ones; of a campaign's
            trials the last ones.

    Raises:
        ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
    """
    from matplotlib import colormaps

    data = [spot for spot in chart.spots if spot.kind == "data"]
    others = [spot for spot in chart.spots if spot.kind != "data"]
    trials = any(spot.kind in ("start", "new") for spot in others)
    listed = (others[-most:] if trials else others[:most]) if others else []
    side = 640
    rows = math.ceil(len(listed) / 2)
    beside = 2 * (CELL[0] + GAP) if listed else 0
    height = max(side + 120, MARGIN * 2 + rows * (CELL[1] + LINE + GAP))
    left = MARGIN + 52
    sheet = Sheet(left + side + 110 + beside + (MARGIN if listed else 0), height)
    axes = sheet.axes(left, MARGIN + 30, side, side)
    values = np.array([spot.value for spot in data])
    known = values[np.isfinite(values)]
    # A few that are far off would leave all others in one shade.
    low, high = np.percentile(known, [2, 98]) if len(known) else (0.0, 1.0)
    order = np.random.default_rng(0).permutation(len(data))  # not those last in the file on top
    points = np.array([[data[i].x, data[i].y] for i in order]).reshape(-1, 2)
    colours = colormaps["viridis"].with_extremes(bad="#c8ccd0")
    drawn = axes.scatter(
        points[:, 0], points[:, 1], c=values[order], cmap=colours, vmin=low, vmax=high,
        s=max(4.0, min(18.0, 9000 / len(data))), linewidths=0, alpha=0.75, plotnonfinite=True,
    )  # fmt: skip
    for kind, marker, label in (
        ("placed", "o", "placed"),
        ("start", "s", "starting molecules"),
        ("new", "o", "new molecules"),
    ):
        mine = [spot for spot in others if spot.kind == kind]
        if mine:
            axes.scatter(
                [s.x for s in mine], [s.y for s in mine], s=34, marker=marker, label=label,
                facecolors="white" if kind == "start" else "#d1495b", edgecolors="black",
                linewidths=0.8, zorder=3,
            )  # fmt: skip
    axes.margins(0.04)
    axes.set_xlabel(chart.axes[0])
    axes.set_ylabel(chart.axes[1])
    _labels(axes, listed)
    bar = sheet.figure.colorbar(
        drawn,
        cax=sheet.axes(left + side + 24, MARGIN + 30 + side / 4, 14, side / 2),
        extend="both",
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, width=0.6)
    sheet.text(left + side + 24, MARGIN + side / 4 + 4, chart.colour, size=13, bold=True)
    sheet.text(
        left, MARGIN, f"{chart.method.upper()} of {len(data):,} molecules", size=16, bold=True
    )
    if trials:
        legend = axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.5, 1.0),
                             ncols=2, borderaxespad=0.2)  # fmt: skip
        legend.set_zorder(4)
    for place, spot in enumerate(listed):
        x = left + side + 110 + (place % 2) * (CELL[0] + GAP)
        y = MARGIN + (place // 2) * (CELL[1] + LINE + GAP)
        value = f"{chart.colour} {spot.value:.3g}" if math.isfinite(spot.value) else ""
        _cell(sheet, x, y, spot.smiles, None, spot.label, value, head_inside=True)
    return sheet.save(file)


def _labels(axes: Axes, spots: Sequence[Spot]) -> None:
    """Numbers beside points, each to the side where it is furthest from those before."""
    taken: list[tuple[float, float]] = []
    figure = axes.get_figure()
    if figure is None:
        return
    # Ranges are final only after margins and labels are set.
    axes.autoscale_view()
    for spot in spots:
        px, py = axes.transData.transform((spot.x, spot.y))
        sides = [(15, 0), (-15, 0), (0, 14), (0, -14), (12, 11), (-12, 11), (12, -11), (-12, -11)]

        room = [
            min([math.hypot(px + x - a, py + y - b) for a, b in taken], default=99.0)
            for x, y in sides
        ]
        enough = [side for side, r in zip(sides, room, strict=True) if r > 16]
        best = enough[0] if enough else sides[int(np.argmax(room))]
        taken += [(px, py), (px + best[0], py + best[1])]
        axes.annotate(
            spot.label, (spot.x, spot.y), xytext=(best[0] * 0.75, best[1] * 0.75),
            textcoords="offset points", ha="center", va="center", fontsize=8, fontweight="bold",
            color="black", zorder=5, path_effects=_halo(),
        )  # fmt: skip


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="white")]


Curve = Callable[["Axes", str | None], None]
"""Draws itself into a frame, in its own colour or in that of a way."""


def _sheet(
    path: LatentPath,
    chosen: Sequence[Stop],
    heads: Sequence[str],
    feet: Sequence[str],
    curves: Sequence[Curve],
    *,
    title: str,
    told: str,
    file: str | Path,
    x: str,
) -> Path:
    columns = min(COLUMNS, max(4, len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    high = CELL[1] + 2 * LINE + GAP
    frame, between, side = 92, 34, 58
    below = math.ceil(len(curves) / 2)
    width = 2 * MARGIN + columns * CELL[0] + (columns - 1) * GAP
    sheet = Sheet(
        width, 2 * MARGIN + 2.4 * LINE + rows * high + 26 + below * (frame + between) + LINE
    )
    sheet.text(MARGIN, MARGIN, title, size=16, bold=True)
    sheet.text(MARGIN, MARGIN + 1.4 * LINE, told, colour=FAINT)
    top = MARGIN + 2.4 * LINE
    for place, (stop, head, foot) in enumerate(zip(chosen, heads, feet, strict=True)):
        before = chosen[place - 1].smiles if place else None
        left, y = MARGIN + (place % columns) * (CELL[0] + GAP), top + (place // columns) * high
        if stop.smiles in (path.start, path.end):
            sheet.box(left - 5, y - 2, CELL[0] + 10, CELL[1] + 2 * LINE + 4, colour=SHADE)
        _cell(sheet, left, y, stop.smiles, before, f"{place + 1}", foot, beside=head)
    top += rows * high + 26
    wide = (width - 2 * MARGIN - 2 * side) / 2
    for place, curve in enumerate(curves):
        axes = sheet.axes(
            MARGIN + side + (place % 2) * (wide + side), top + (place // 2) * (frame + between),
            wide, frame,
        )  # fmt: skip
        curve(axes, None)
        axes.yaxis.set_label_coords(-0.09, 0.5)
        axes.set_xlim(path.t[0], path.t[-1])
        if place >= len(curves) - 2:
            axes.set_xlabel(x)
        else:
            axes.tick_params(labelbottom=False)
        if place < 2:
            _numbers(axes, chosen)
    return sheet.save(file)


def _numbers(axes: Axes, stops: Sequence[Stop]) -> None:
    """The numbers of molecules above a frame, where there is room for them."""
    low, high = axes.get_xlim()
    last = -math.inf
    for number, stop in enumerate(stops, 1):
        middle = (stop.t + stop.until) / 2
        if high > low and (middle - last) / (high - low) > 0.036:
            axes.text(
                middle, 1.06, str(number), transform=axes.get_xaxis_transform(), ha="center",
                va="bottom", fontsize=7, color=FAINT,
            )  # fmt: skip
            last = middle


def _cell(
    sheet: Sheet,
    x: float,
    y: float,
    smiles: str | None,
    lead: str | None,
    head: str,
    foot: str,
    *,
    beside: str = "",
    head_inside: bool = False,
) -> None:
    """A molecule with a line above and one below it; y is the top of the former."""
    if not head_inside:
        y += LINE
    if smiles is None:
        sheet.text(x + CELL[0] / 2, y + CELL[1] / 2, "no molecule", colour=FAINT, align="center")
    else:
        sheet.molecule(x, y, *CELL, smiles, lead)
    at = y + 8 if head_inside else y - LINE / 2
    if beside:
        sheet.text(x + 2, at, head, size=13, bold=True, colour=ACCENT)
        sheet.text(x + CELL[0] - 2, at, beside, size=11, align="right", colour=FAINT)
    else:
        sheet.text(x + 2, at, head, size=12, bold=True, colour=ACCENT)
    sheet.text(x + CELL[0] / 2, y + CELL[1] + LINE / 2, foot, size=11, align="center", colour=INK)


def _longest(path: LatentPath, most: int) -> list[Stop]:
    """At most so many stops of a path, in its order: the first, the last, and the longest."""
    inner = sorted(path.stops[1:-1], key=lambda stop: stop.first - stop.last)[: max(0, most - 2)]
    ends = [path.stops[0], path.stops[-1]] if len(path.stops) > 1 else [path.stops[0]]
    return sorted([*ends, *inner], key=lambda stop: stop.first)


def _at(stop: Stop) -> str:
    return f"t {stop.t:.2f}" if stop.t == stop.until else f"t {stop.t:.2f} to {stop.until:.2f}"


def _alike(stop: Stop) -> str:
    if stop.smiles is None:
        return ""
    return "similarity " + ", ".join(f"{value:.2f}" for value in stop.similarity)


def _often(one: Neighbour) -> str:
    return f"{one.similarity[-1]:.2f}, {one.count} time{'s' * (one.count != 1)}"


def _value(ascent: Ascent, value: float) -> str:
    return f"{_own_name(ascent)} {value:.3g}" if math.isfinite(value) else ""


def _title(ascent: Ascent) -> str:
    return f"{'down' if ascent.climbed.startswith('-') else 'up'} {_own_name(ascent)}"


def _own_name(ascent: Ascent) -> str:
    return ascent.climbed.removeprefix("-")


def _ended(ascent: Ascent) -> str:
    why = {
        "summit": "ended where no step leads higher",
        "steps": "all steps taken",
        "edge": "ended at the edge of the allowed region",
    }[ascent.ended]
    left = "" if ascent.left is None else f", left the known world at {ascent.left:.1f}"
    outside = ", began outside of the box" if ascent.began_outside else ""
    return f"{why} after {ascent.path.t[-1]:.1f}{left}{outside}"


def _counted(path: LatentPath, drawn: int) -> str:
    there = f"{len(path.molecules)} distinct molecules"
    some = f", {drawn} of {len(path.stops)} stops drawn" if drawn < len(path.stops) else ""
    missed = f"; no vector decodes to {', '.join(path.missed)}" if path.missed else ""
    return f"{there} on a way of length {path.length:.1f}{some}{missed}"


def _steps(path: LatentPath, values: Sequence[float]) -> tuple[list[float], list[float]]:
    """A line that is level as long as a molecule is the same."""
    x, y = [], []
    for place, (stop, value) in enumerate(zip(path.stops, values, strict=True)):
        following = path.stops[place + 1].t if place + 1 < len(path.stops) else stop.until
        x += [stop.t, following]
        y += [value, value]
    return x, y


def _similarity(path: LatentPath) -> Curve:
    def curve(axes: Axes, colour: str | None) -> None:
        names = ["to the molecule"] if path.end is None else ["to the first", "to the last"]
        for place, (name, own) in enumerate(zip(names, (ACCENT, COLOURS[1]), strict=False)):
            values = [stop.similarity[place] for stop in path.stops]
            axes.plot(*_steps(path, values), color=colour or own, lw=1.4, label=name)
        axes.set_ylim(0, 1.03)
        axes.set_ylabel("similarity")
        if len(names) > 1 and colour is None:
            axes.legend(frameon=False, fontsize=7, loc="upper center", handlelength=1.2)

    return curve


def _property(path: LatentPath, name: str) -> Curve:
    def curve(axes: Axes, colour: str | None) -> None:
        values = [stop.properties[name] for stop in path.stops]
        axes.plot(*_steps(path, values), color=colour or ACCENT, lw=1.4)
        axes.set_ylabel(name)

    return curve


def _climbed(ascent: Ascent) -> Curve:
    def curve(axes: Axes, colour: str | None) -> None:
        path = ascent.path
        axes.plot(path.t, ascent.predicted, color=colour or FAINT, lw=1, ls=(0, (3, 2)),
                  label="predicted")  # fmt: skip
        axes.plot(*_steps(path, ascent.true), color=colour or ACCENT, lw=1.6, label="true")
        axes.set_ylabel(_own_name(ascent))
        if colour is None:
            axes.legend(frameon=False, fontsize=7, handlelength=1.6)

    return curve


def _usual(ascent: Ascent) -> Curve:
    return _percentile(ascent.path)


def _percentile(path: LatentPath) -> Curve:
    def curve(axes: Axes, colour: str | None) -> None:
        axes.plot(path.t, path.percentile, color=colour or ACCENT, lw=1.4)
        axes.set_ylim(-3, 103)
        axes.set_ylabel("percentile")

    return curve


__all__ = ["draw_ascents", "draw_chart", "draw_neighbours", "draw_path"]
