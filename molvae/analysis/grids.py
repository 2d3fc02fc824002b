"""Pictures of what is around a place of a latent space, and of the whole of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.analysis.neighborhood import Neighbor, Neighborhood
from molvae.analysis.projection import ProjectedMolecule, Projection
from molvae.analysis.sheet import ACCENT, CELL, FAINT, GAP, LINE, MARGIN, SECOND, SHADE, Sheet, cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 6
"""Molecules in a row."""


def draw_neighbors(
    found: Neighborhood, file: str | Path, *, columns: int = COLUMNS, title: str = ""
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
    sheet.text(MARGIN, MARGIN, title or ("analogy" if several else "neighbors"), size=16, bold=True)
    top: float = MARGIN + 1.6 * LINE
    for place, molecule in enumerate(found.given):
        x = left + place * (CELL[0] + apart)
        sheet.box(x, top, CELL[0], CELL[1] + LINE, colour=SHADE)
        missed = "no vector decodes to it" if molecule in found.missed else ""
        cell(sheet, x, top - LINE + 4, molecule, None, "", missed)
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
            cell(sheet, x, top - LINE / 2, one.smiles, found.given[-1], "", _often(one))
        top += height
    below = f"below each: similarity to the {'third molecule' if several else 'molecule'}"
    meaning = sheet.in_colour("what that one has not")
    sheet.text(left, MARGIN, f"{below}, how often it was found; {meaning}", colour=FAINT)
    return sheet.save(file)


def _radii(axes: Axes, summary: Sequence[Mapping[Any, Any]]) -> None:
    """What becomes of the molecule with the distance, in numbers."""
    radii = [row["radius"] for row in summary]
    same = [row["same"] / row["drawn"] for row in summary]
    axes.plot(radii, same, "o-", ms=3, lw=1.4, color=ACCENT, label="share that is given")
    alike = [row["similarity"] for row in summary]
    axes.plot(radii, alike, "o-", ms=3, lw=1.4, color=SECOND, label="similarity of the others")
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("r")
    axes.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=2,
                borderaxespad=0, handlelength=1.2)  # fmt: skip


def draw_projection(project: Projection, file: str | Path, *, most: int = 8) -> Path:
    """A map: molecules as points in the colour of a value, and those that were placed on it.

    Args:
        project: Of `molvae.analysis.project`.
        file: Replaced if it is there.
        most: Of the placed molecules that are drawn beside it: the first ones; of a campaign's
            trials the last ones.

    Raises:
        ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
    """
    from matplotlib import colormaps

    data = [spot for spot in project.spots if spot.kind == "data"]
    others = [spot for spot in project.spots if spot.kind != "data"]
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
    axes.set_xlabel(project.axes[0])
    axes.set_ylabel(project.axes[1])
    _labels(axes, listed)
    bar = sheet.figure.colorbar(
        drawn,
        cax=sheet.axes(left + side + 24, MARGIN + 30 + side / 4, 14, side / 2),
        extend="both",
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, width=0.6)
    sheet.text(left + side + 24, MARGIN + side / 4 + 4, project.colour, size=13, bold=True)
    sheet.text(
        left, MARGIN, f"{project.method.upper()} of {len(data):,} molecules", size=16, bold=True
    )
    if trials:
        legend = axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.5, 1.0),
                             ncols=2, borderaxespad=0.2)  # fmt: skip
        legend.set_zorder(4)
    for place, spot in enumerate(listed):
        x = left + side + 110 + (place % 2) * (CELL[0] + GAP)
        y = MARGIN + (place // 2) * (CELL[1] + LINE + GAP)
        value = f"{project.colour} {spot.value:.3g}" if math.isfinite(spot.value) else ""
        cell(sheet, x, y, spot.smiles, None, spot.label, value, head_inside=True)
    return sheet.save(file)


def _labels(axes: Axes, spots: Sequence[ProjectedMolecule]) -> None:
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


def _often(one: Neighbor) -> str:
    return f"{one.similarity[-1]:.2f}, {one.count} time{'s' * (one.count != 1)}"


__all__ = ["draw_neighbors", "draw_projection"]
