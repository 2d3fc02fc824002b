"""Figures of paths, gradient ascents, neighborhoods and maps: molecules in rows, with plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.analysis.ascent import AscentPath
from molvae.analysis.interpolation import LatentPath, Segment
from molvae.analysis.molecule_grid import (
    CELL_HEIGHT,
    CELL_WIDTH,
    LINE_HEIGHT,
    MoleculeGrid,
    empty_cells,
)
from molvae.analysis.neighborhood import Neighborhood
from molvae.analysis.projection import ProjectedMolecule, Projection
from molvae.analysis.style import ACCENT, COLORS, FAINT, SECOND_ACCENT, printable, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_COLUMNS = 6
PLOT_HEIGHT_INCHES = 1.5  # inches
MAX_MOLECULES = 30
AXIS_LIMITS = {"percentile": (-3, 103), "similarity": (0, 1.03)}
HIGHLIGHT_NOTE = "what the previous molecule lacks"

Curve = tuple[Sequence[float], Sequence[float], dict[str, Any]]  # x, y, options of `Axes.plot`
Curves = dict[str, list[Curve]]  # by the label of the plot's y axis


@style()
def draw_path(
    path: LatentPath, file: str | Path, *, most: int = MAX_MOLECULES, overwrite: bool = False
) -> Path:
    """Draw the molecules on a path in order, and their properties along it.

    Atoms that the previous molecule lacks are highlighted. Of more than `most` molecules those on
    the longest segments are drawn, always with the first and the last one.

    Raises:
        ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
    """
    below = [
        "" if stop.smiles is None else
        "similarity " + ", ".join(f"{value:.2f}" for value in stop.similarity)
        for stop in path.segments
    ]  # fmt: skip
    title = path.name if path.end is None else f"interpolation, {path.name}"
    x = "distance in z" if path.end is None else "position on the path"
    grid = _paths([(path, below, "")], _curves(path), title, x, most)
    return grid.save(file, f"{_count(path, most)}; {grid.highlighted(HIGHLIGHT_NOTE)}", overwrite)


@style()
def draw_ascents(
    ascents: Sequence[AscentPath], file: str | Path, *, most: int = MAX_MOLECULES,
    overwrite: bool = False,
) -> Path:  # fmt: skip
    """Draw gradient ascents: molecules, predicted and true values, density percentiles.

    One ascent is drawn as a path; of several each is a row of molecules, the first 8 of them.
    Errors as for `draw_path`.
    """
    name, shown = ascents[0].target.removeprefix("-"), ascents[: len(COLORS)]
    single = len(ascents) == 1
    most = most if single else N_COLUMNS
    curves: Curves = {name: [], "percentile": []}
    for one, color in zip(shown, COLORS, strict=False):
        dashed = {"color": FAINT if single else color, "ls": "--", "lw": 1.0, "label": "predicted"}
        true = {"color": color, "label": "true"}
        curves[name] += [(one.path.t, one.predicted, dashed), (*_steps(one.path, one.true), true)]
        curves["percentile"] += [(one.path.t, one.path.percentile, {"color": color})]
    if single:
        curves |= {key: lines for key, lines in _curves(ascents[0].path).items() if key != name}
    groups = [
        (one.path, [f"{name} {v:.3g}" if math.isfinite(v) else "" for v in one.true], _ended(one))
        for one in shown
    ]
    title = f"{'down' if ascents[0].target.startswith('-') else 'up'} {name}"
    grid = _paths(groups, curves, title, "distance in z", most)
    note = f"{_count(shown[0].path, most)}; " if single else ""
    if len(shown) < len(ascents):
        note = f"{len(shown)} of {len(ascents)} paths drawn; "
    return grid.save(
        file, f"{note}{grid.highlighted(HIGHLIGHT_NOTE)}; broken lines: predicted", overwrite
    )


def _paths(
    groups: Sequence[tuple[LatentPath, Sequence[str], str]], curves: Curves, title: str, x: str,
    most: int,
) -> MoleculeGrid:  # fmt: skip
    """Paths, each with texts below its molecules and a heading, above plots of their curves."""
    longest = max(min(len(path.segments), max(most, 1)) for path, _, _ in groups)
    columns = min(N_COLUMNS, max(4, longest))
    rows, plots = math.ceil(longest / columns), math.ceil(len(curves) / 2)
    heights = [rows * CELL_HEIGHT + LINE_HEIGHT * bool(heading) for *_, heading in groups]
    heights += [(1.4 if plots == 1 else 1) * plots * PLOT_HEIGHT_INCHES]
    grid = MoleculeGrid(columns * CELL_WIDTH, sum(heights), title)
    *figures, bottom = grid.figure.subfigures(
        len(heights), 1, squeeze=False, height_ratios=heights
    ).flat
    for figure, (path, below, heading), color in zip(figures, groups, COLORS, strict=False):
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", color=color, fontsize=9)
        drawn = _segments(grid, empty_cells(figure, rows, columns), path, below, most)
    axes = bottom.subplots(plots, 2, sharex=True, squeeze=False).flat
    for place, (plot, (label, lines)) in enumerate(zip(axes, curves.items(), strict=False)):
        for xs, ys, looks in lines:
            plot.plot(xs, ys, **{"color": ACCENT, "lw": 1.4, **looks})
        plot.set(ylabel=label, ylim=AXIS_LIMITS.get(label))
        plot.set_xlim(0 if len(groups) > 1 else groups[0][0].t[0], max(g[0].t[-1] for g in groups))
        if len(groups) == 1 and any("label" in looks for *_, looks in lines):
            plot.legend()
        if place < 2 and len(groups) == 1:
            _number_segments(plot, drawn)
        if place >= len(curves) - 2:
            plot.set_xlabel(x)
            plot.tick_params(labelbottom=True)
    for plot in axes[len(curves) :]:
        plot.set_axis_off()
    return grid


def _segments(
    grid: MoleculeGrid, cells: Sequence[Axes], path: LatentPath, below: Sequence[str], most: int
) -> list[Segment]:
    """Draw the first, the last, and the longest segments of a path, in its order."""
    ends = {0, len(path.segments) - 1}
    inner = sorted(range(1, len(path.segments) - 1),
                   key=lambda i: path.segments[i].first - path.segments[i].last)  # fmt: skip
    places = sorted([*ends, *inner[: max(0, most - 2)]])
    before: str | None = None
    for number, (axes, place) in enumerate(zip(cells, places, strict=False), 1):
        stop = path.segments[place]
        at = f"t {stop.t_start:.2f}"
        at += f" to {stop.t_end:.2f}" if stop.t_end != stop.t_start else ""
        grid.cell(axes, stop.smiles, before, name=str(number), beside=at, below=below[place],
                  shade=stop.smiles in (path.start, path.end))  # fmt: skip
        before = stop.smiles
    return [path.segments[place] for place in places]


def _number_segments(axes: Axes, stops: Sequence[Segment]) -> None:
    """Numbers of the drawn molecules above a plot, where there is room for them."""
    low, high = axes.get_xlim()
    ticks: dict[float, str] = {}
    for number, stop in enumerate(stops, 1):
        middle = (stop.t_start + stop.t_end) / 2
        if not ticks or (middle - max(ticks)) > 0.036 * (high - low):
            ticks[middle] = str(number)
    above = axes.secondary_xaxis("top")
    above.set_ticks(list(ticks), list(ticks.values()))
    above.tick_params(length=0, labelsize=7, labelcolor=FAINT)
    above.spines[:].set_visible(False)


def _count(path: LatentPath, most: int) -> str:
    n = len(path.segments)
    drawn = f", {max(most, 2)} of {n} segments drawn" if n > max(most, 2) else ""
    missed = f"; no vector decodes to {', '.join(path.missed)}" if path.missed else ""
    count = f"{len(path.molecules)} distinct molecules on a path of length {path.length:.1f}"
    return f"{count}{drawn}{missed}"


def _ended(ascent: AscentPath) -> str:
    why = {
        "converged": "converged: no step leads higher",
        "max_steps": "all steps taken",
        "bounded": "stopped at the edge of the allowed region",
    }[ascent.ended]
    at = ascent.ood_distance
    left = "" if at is None else f", left the training distribution at {at:.1f}"
    outside = ", started outside of the box" if ascent.started_outside else ""
    return f"{why} after {ascent.path.t[-1]:.1f}{left}{outside}"


def _steps(path: LatentPath, values: Sequence[float]) -> tuple[list[float], list[float]]:
    """A line that is level as long as a molecule is the same."""
    ends = [*(stop.t_start for stop in path.segments[1:]), path.segments[-1].t_end]
    x = [t for stop, end in zip(path.segments, ends, strict=True) for t in (stop.t_start, end)]
    return x, np.repeat(values, 2).tolist()


def _curves(path: LatentPath) -> Curves:
    names = ["to the molecule"] if path.end is None else ["to the first", "to the last"]
    curves: Curves = {"similarity": []}
    for i, (name, color) in enumerate(zip(names, COLORS, strict=False)):
        line = _steps(path, [stop.similarity[i] for stop in path.segments])
        curves["similarity"].append((*line, {"label": name, "color": color}))
    for name in path.segments[0].properties:
        curves[name] = [(*_steps(path, [stop.properties[name] for stop in path.segments]), {})]
    return curves | {"percentile": [(path.t, path.percentile, {})]}


@style()
def draw_neighbors(
    found: Neighborhood, file: str | Path, *, columns: int = N_COLUMNS, title: str = "",
    overwrite: bool = False,
) -> Path:  # fmt: skip
    """Draw a row of molecules for each radius: those first found there, the most frequent first.

    Atoms that the (last) given molecule lacks are highlighted. Errors as for `draw_path`.
    """
    summary = found.summary().to_dict("records")
    several = len(found.given) > 1
    rows = [[one for one in found.found if one.radius == row["radius"]] for row in summary]
    heights = [CELL_HEIGHT, *(LINE_HEIGHT + CELL_HEIGHT * bool(ones) for ones in rows)]
    columns = max(columns, len(found.given) + 2)
    grid = MoleculeGrid(
        columns * CELL_WIDTH, sum(heights), title or ("analogy" if several else "neighbors")
    )
    first, *below = grid.figure.subfigures(
        len(heights), 1, squeeze=False, height_ratios=heights
    ).flat
    spans = first.add_gridspec(1, columns)
    for place, molecule in enumerate(found.given):
        axes = first.add_subplot(spans[place])
        missed = "no vector decodes to it" if molecule in found.missed else ""
        grid.cell(axes, molecule, below=missed, shade=True,
                  name=("A", "B", "C")[place] if several else "")  # fmt: skip
    if len(summary) > 1:
        axes = first.add_subplot(spans[len(found.given) :])
        radii = [row["radius"] for row in summary]
        same = [row["same"] / row["decoded"] for row in summary]
        axes.plot(radii, same, "o-", ms=3, color=ACCENT, label="fraction the same")
        axes.plot(radii, [row["similarity"] for row in summary], "o-", ms=3, color=SECOND_ACCENT,
                  label="similarity of the others")  # fmt: skip
        axes.set(ylim=(0, 1.05), xlabel="r")
        axes.legend()
    for row, ones, figure in zip(summary, rows, below, strict=True):
        nothing = f", {row['no_molecule']} no molecule" if row["no_molecule"] else ""
        words = (
            f"r = {row['radius']:g}: {row['decoded']} decoded, {row['same']} "
            f"{'given' if several else 'the same'}, {row['distinct']} other"
            f"{'s' * (row['distinct'] != 1)}, {row['new']} new{nothing}"
        )
        figure.suptitle(words, x=0.01, ha="left", fontsize=9, color=FAINT)
        for one, axes in zip(ones, empty_cells(figure, 1, columns) if ones else (), strict=False):
            grid.cell(axes, one.smiles, found.given[-1],
                      below=f"{one.similarity[-1]:.2f}, {one.count} x")  # fmt: skip
    lead = "C" if several else "the molecule"
    legend = f"below each: similarity to {lead}, how often it was found"
    return grid.save(file, f"{legend}; {grid.highlighted(f'what {lead} lacks')}", overwrite)


@style()
def draw_projection(
    project: Projection, file: str | Path, *, most: int = 8, overwrite: bool = False
) -> Path:
    """Draw a map: molecules as points colored by a value, and overlaid molecules as drawings.

    At most `most` overlaid molecules are drawn beside the map: the first ones; of a campaign's
    trials the last ones. Errors as for `draw_path`.
    """
    data = [spot for spot in project.molecules if spot.kind == "data"]
    others = [spot for spot in project.molecules if spot.kind != "data"]
    trials = any(spot.kind in ("start", "new") for spot in others)
    listed = (others[-most:] if trials else others[:most]) if others else []
    rows = math.ceil(len(listed) / 2)
    title = f"{project.method.upper()} of {len(data):,} molecules"
    grid = MoleculeGrid(8 + 2 * CELL_WIDTH * bool(listed), max(7, rows * CELL_HEIGHT), title)
    if listed:
        left, right = grid.figure.subfigures(
            1, 2, squeeze=False, width_ratios=[8, 2 * CELL_WIDTH]
        ).flat
        for spot, axes in zip(listed, empty_cells(right, max(rows, 4), 2), strict=False):
            value = f"{project.color} {spot.value:.3g}" if math.isfinite(spot.value) else ""
            grid.cell(axes, spot.smiles, name=spot.label, below=value)
    axes = (left if listed else grid.figure).subplots()
    _scatter(axes, project, data, others)
    _label(axes, listed)
    return grid.save(file, f"colored by {project.color}", overwrite)


def _scatter(
    axes: Axes, project: Projection, data: Sequence[ProjectedMolecule],
    others: Sequence[ProjectedMolecule],
) -> None:  # fmt: skip
    from matplotlib import colormaps

    values = np.array([spot.value for spot in data])
    known = values[np.isfinite(values)]
    # A few that are far off would leave all others in one shade.
    low, high = np.percentile(known, [2, 98]) if len(known) else (0.0, 1.0)
    order = np.random.default_rng(0).permutation(len(data))  # not those last in the file on top
    points = np.array([[data[i].x, data[i].y] for i in order]).reshape(-1, 2)
    drawn = axes.scatter(
        points[:, 0],
        points[:, 1], c=values[order], cmap=colormaps["viridis"].with_extremes(bad="#c8ccd0"),
        vmin=low, vmax=high, s=max(4.0, min(18.0, 9000 / len(data))), linewidths=0, alpha=0.75,
        plotnonfinite=True,
    )  # fmt: skip
    labels = {"overlay": None, "start": "initial molecules", "new": "new molecules"}
    for kind, label in labels.items():
        if mine := [spot for spot in others if spot.kind == kind]:
            axes.scatter(
                [s.x for s in mine], [s.y for s in mine], s=34, edgecolors="black", zorder=3,
                marker="s" if kind == "start" else "o", label=label, linewidths=0.8,
                facecolors="white" if kind == "start" else "#d1495b",
            )  # fmt: skip
            if label:
                axes.legend(loc="lower left", bbox_to_anchor=(0.5, 1.0), ncols=2)
    axes.set(xlabel=project.axes[0], ylabel=project.axes[1])
    bar = axes.figure.colorbar(drawn, ax=axes, extend="both", shrink=0.5, aspect=40)
    bar.outline.set_visible(False)
    bar.set_label(printable(project.color), parse_math=False)


def _label(axes: Axes, spots: Sequence[ProjectedMolecule]) -> None:
    """Labels beside points, each on the side where it is furthest from those before it."""
    from matplotlib.patheffects import withStroke

    sides = np.array([(15, 0), (-15, 0), (0, 14), (0, -14), (12, 11), (-12, 11), (12, -11)])
    taken = np.empty((0, 2))
    axes.autoscale_view()
    for spot in spots:
        point = axes.transData.transform((spot.x, spot.y))
        room = np.linalg.norm((point + sides)[:, None] - taken, axis=2).min(axis=1, initial=16.0)
        side = sides[int(room.argmax())]
        taken = np.vstack([taken, point, point + side])
        axes.annotate(
            printable(spot.label), (spot.x, spot.y), side * 0.75, textcoords="offset points",
            ha="center", va="center", fontsize=8, fontweight="bold", zorder=5, parse_math=False,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
