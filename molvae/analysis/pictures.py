"""A figure with its words; in a page, its colors are names that the page defines."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from molvae.analysis.style import ACCENT, FAINT, INK, SHADE, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_SHADES = 7  # shades from the worst to the best


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colors of a figure."""

    ink: str
    faint: str
    accent: str
    shade: str
    steps: tuple[str, ...]  # from the worst to the best


PAPER = Palette(
    ink=INK, faint=FAINT, accent=ACCENT, shade=SHADE,
    steps=("#d5dbdc", "#b4cfd1", "#8fc0c3", "#66adb2", "#3b959b", "#147a81", "#064f55"),
)  # fmt: skip


PAGE = Palette(
    ink="#010101", faint="#020202", accent="#030303", shade="#040404",
    steps=tuple(f"#06060{step}" for step in range(N_SHADES)),
)  # fmt: skip
"""Placeholders, replaced by names of the page's colors."""


PAGE_COLOR_NAMES = {
    **{getattr(PAGE, name): name for name in ("ink", "faint", "accent", "shade")},
    **{color: f"step{step}" for step, color in enumerate(PAGE.steps)},
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure with its title and caption."""

    name: str  # name of its file, without ending
    title: str
    caption: str
    figure: Figure
    hints: dict[str, list[str]]  # texts shown when one points at a point, by group of points
    wide: bool = False

    def svg(self) -> str:
        """The figure as an element of a page."""
        file = io.StringIO()
        with style(self.name):
            self.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        svg = file.getvalue()
        for color, name in PAGE_COLOR_NAMES.items():
            svg = svg.replace(color, f"var(--{name})")
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        for group, texts in self.hints.items():
            svg = _hinted(svg, group, texts)
        # Other pictures of the page have the same; only what is referred to needs a name.
        svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
        svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
        label = escape(f"{self.title}. {self.caption}", quote=True)
        return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _hinted(svg: str, group: str, texts: Sequence[str]) -> str:
    """SVG with a title for each point of a group, which browsers show as a hint."""
    before, begin, rest = svg.partition(f'<g id="{group}">')
    part, after, others = rest.partition('<g id="')
    shapes, drawn, points = part.rpartition("</defs>")
    # Few points are drawn one by one, many as uses of a shape.
    if len(re.findall(r"<(?:use|path) [^>]*/>", points)) != len(texts):
        return svg
    told = iter(texts)
    points = re.sub(
        r"<(use|path) ([^>]*)/>",
        lambda m: f"<{m[1]} {m[2]}><title>{escape(next(told))}</title></{m[1]}>",
        points,
    )
    return before + begin + shapes + drawn + points + after + others


@contextmanager
def new_axes(
    salt: str, palette: Palette, size: tuple[float, float]
) -> Iterator[tuple[Figure, Axes]]:
    """A figure in the shared style, with one plot; size in inches."""
    from matplotlib.figure import Figure

    with style(salt, palette.ink):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots()
