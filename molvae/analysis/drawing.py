"""Pictures of ways through a latent space: the molecules in a row, and curves below them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.analysis.ascent import AscentPath
from molvae.analysis.interpolation import LatentPath, Segment
from molvae.analysis.sheet import ACCENT, CELL, FAINT, GAP, LINE, MARGIN, SHADE, Sheet, cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def draw_ascents(ascents: Sequence[AscentPath], file: str | Path, *, most: int = MOST) -> Path:
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


def _several(ascents: Sequence[AscentPath], file: str | Path) -> Path:
    shown = list(ascents[: len(COLOURS)])
    width = 2 * MARGIN + COLUMNS * CELL[0] + (COLUMNS - 1) * GAP
    high = CELL[1] + 2 * LINE + GAP
    frames = 150
    sheet = Sheet(width, 2 * MARGIN + 2 * LINE + len(shown) * (high + LINE) + frames + 60)
    sheet.text(MARGIN, MARGIN, _title(ascents[0]), size=16, bold=True)
    more = f"; {len(shown)} of {len(ascents)} ways drawn" if len(shown) < len(ascents) else ""
    top: float = MARGIN + 2.6 * LINE
    for ascent, colour in zip(shown, COLOURS, strict=False):
        sheet.box(MARGIN, top + 4, 4, high - GAP + LINE, colour=colour)
        sheet.text(MARGIN + 12, top + LINE / 2, _ended(ascent), colour=colour)
        stops = _longest(ascent.path, COLUMNS)
        true = {s.first: v for s, v in zip(ascent.path.stops, ascent.true, strict=True)}
        for place, stop in enumerate(stops):
            before = stops[place - 1].smiles if place else None
            cell(
                sheet, MARGIN + 8 + place * (CELL[0] + GAP), top + LINE, stop.smiles, before,
                "", _value(ascent, true[stop.first]), beside=_at(stop),
            )  # fmt: skip
        top += high + LINE
    meaning = sheet.in_colour("what the molecule before has not")
    sheet.text(
        MARGIN, MARGIN + 1.4 * LINE, f"{meaning}; broken lines: predicted{more}", colour=FAINT
    )
    wide = (width - 2 * MARGIN - 130) / 2
    for place, curve in enumerate((_climbed, _usual)):
        axes = sheet.axes(MARGIN + 50 + place * (wide + 80), top + 10, wide, frames)
        for ascent, colour in zip(shown, COLOURS, strict=False):
            curve(ascent)(axes, colour)
        if place == 0:
            axes.set_ylabel(_own_name(ascents[0]))
        axes.set_xlabel("distance in z")
    return sheet.save(file)


Curve = Callable[["Axes", str | None], None]
"""Draws itself into a frame, in its own colour or in that of a way."""


def _sheet(
    path: LatentPath,
    chosen: Sequence[Segment],
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
    frame, between, side, apart = 92, 34, 56, 14
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
        cell(sheet, left, y, stop.smiles, before, f"{place + 1}", foot, beside=head)
    top += rows * high + 26
    wide = (width - 2 * MARGIN - 2 * side - apart) / 2
    for place, curve in enumerate(curves):
        across = MARGIN + side + (place % 2) * (wide + side + apart)
        axes = sheet.axes(across, top + (place // 2) * (frame + between), wide, frame)
        curve(axes, None)
        axes.yaxis.set_label_coords(-46 / wide, 0.5)
        axes.set_xlim(path.t[0], path.t[-1])
        if place >= len(curves) - 2:
            axes.set_xlabel(x)
        else:
            axes.tick_params(labelbottom=False)
        if place < 2:
            _numbers(axes, chosen)
    return sheet.save(file)


def _numbers(axes: Axes, stops: Sequence[Segment]) -> None:
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


def _longest(path: LatentPath, most: int) -> list[Segment]:
    """At most so many stops of a path, in its order: the first, the last, and the longest."""
    inner = sorted(path.stops[1:-1], key=lambda stop: stop.first - stop.last)[: max(0, most - 2)]
    ends = [path.stops[0], path.stops[-1]] if len(path.stops) > 1 else [path.stops[0]]
    return sorted([*ends, *inner], key=lambda stop: stop.first)


def _at(stop: Segment) -> str:
    return f"t {stop.t:.2f}" if stop.t == stop.until else f"t {stop.t:.2f} to {stop.until:.2f}"


def _alike(stop: Segment) -> str:
    if stop.smiles is None:
        return ""
    return "similarity " + ", ".join(f"{value:.2f}" for value in stop.similarity)


def _value(ascent: AscentPath, value: float) -> str:
    return f"{_own_name(ascent)} {value:.3g}" if math.isfinite(value) else ""


def _title(ascent: AscentPath) -> str:
    return f"{'down' if ascent.climbed.startswith('-') else 'up'} {_own_name(ascent)}"


def _own_name(ascent: AscentPath) -> str:
    return ascent.climbed.removeprefix("-")


def _ended(ascent: AscentPath) -> str:
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


def _climbed(ascent: AscentPath) -> Curve:
    def curve(axes: Axes, colour: str | None) -> None:
        path = ascent.path
        axes.plot(path.t, ascent.predicted, color=colour or FAINT, lw=1, ls=(0, (3, 2)),
                  label="predicted")  # fmt: skip
        axes.plot(*_steps(path, ascent.true), color=colour or ACCENT, lw=1.6, label="true")
        axes.set_ylabel(_own_name(ascent))
        if colour is None:
            axes.legend(frameon=False, fontsize=7, handlelength=1.6)

    return curve


def _usual(ascent: AscentPath) -> Curve:
    return _percentile(ascent.path)


def _percentile(path: LatentPath) -> Curve:
    def curve(axes: Axes, colour: str | None) -> None:
        axes.plot(path.t, path.percentile, color=colour or ACCENT, lw=1.4)
        axes.set_ylim(-3, 103)
        axes.set_ylabel("percentile")

    return curve


__all__ = ["draw_ascents", "draw_path"]
