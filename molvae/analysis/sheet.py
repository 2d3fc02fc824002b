"""A sheet to draw on: molecules, words and curves, placed to the pixel; SVG, PNG or PDF.

Molecules are drawn by RDKit, and its lines are given to matplotlib as they are: so one picture
holds both, with lines as lines in every format. The same picture has the same bytes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from molvae._files import replacing
from molvae.analysis.model_figures import FIGURE, check_can_draw
from molvae.chem.depiction import draw_mcs_difference, draw_molecule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, ACCENT, SECOND, SHADE = "#1d2126", "#7d838c", "#0b6e75", "#c2571a", "#eceff0"


DPI = 96
"""Pixels of a sheet in an inch; PNG has twice as many."""


CELL = (176, 124)
"""Pixels of a drawn molecule, wide and high."""


GAP, MARGIN, LINE = 14, 24, 17
"""Pixels between molecules, around all, and of a line of words."""


BOND = 36.0
"""Pixels of a bond at most."""


POINT = 72 / DPI
"""Points in a pixel, which matplotlib measures lines and letters in."""


class Sheet:
    """A picture that things are put on; places are in pixels, from the left and from the top."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.uncompared = 0
        with _style():
            self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
            self._canvas = self.figure.add_axes((0, 0, 1, 1))
        self._canvas.set_axis_off()
        self._canvas.set_xlim(0, width)
        self._canvas.set_ylim(height, 0)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        colour: str = INK,
        align: str = "left",
        bold: bool = False,
    ) -> None:
        """A line of words; its middle is at y. Nothing in it is read as a formula."""
        self._canvas.text(
            x, y, "".join(c if c.isprintable() else " " for c in text),
            fontsize=size * POINT, color=colour, ha=align, va="center_baseline",
            fontweight="bold" if bold else "normal", parse_math=False,
        )  # fmt: skip

    def box(self, x: float, y: float, width: float, height: float, *, colour: str) -> None:
        """A coloured ground."""
        from matplotlib.patches import Rectangle

        self._canvas.add_patch(Rectangle((x, y), width, height, facecolor=colour, linewidth=0))

    def molecule(
        self, x: float, y: float, width: int, height: int, smiles: str, lead: str | None = None
    ) -> None:
        """A molecule; what `lead` has not is coloured, if `chem.difference` finds it."""
        size = (width, height)
        svg = None
        if lead is not None and lead != smiles:
            svg = draw_mcs_difference(smiles, lead, size=size, longest_bond=BOND)
            self.uncompared += svg is None
        svg = svg or draw_molecule(smiles, size=size, longest_bond=BOND)
        for element in ElementTree.fromstring(svg).iter():
            kind = element.tag.rpartition("}")[2]
            if kind in ("path", "ellipse"):
                self._canvas.add_patch(_patch(kind, dict(element.attrib), x, y))

    def in_colour(self, what: str) -> str:
        """What colours mean on the molecules drawn so far, and of how many that is not known."""
        some = f" (not compared, since nothing in common was found: {self.uncompared})"
        return f"in colour: {what}{some if self.uncompared else ''}"

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """A frame for curves; ticks and names are outside of it."""
        with _style():
            axes = self.figure.add_axes(
                (x / self.width, 1 - (y + height) / self.height,
                 width / self.width, height / self.height)
            )  # fmt: skip
        axes.tick_params(colors=INK, labelsize=11 * POINT, length=3, width=0.6)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
            spine.set_linewidth(0.6)
        return axes

    def save(self, path: str | Path) -> Path:
        """Write it; a figure that is there is replaced.

        Raises:
            ConfigError: The name does not end in .svg, .png or .pdf, or cannot be written.
        """
        target = check_can_draw(path)
        dates: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        with replacing(target, FIGURE, overwrite=True) as draft, _style():
            self.figure.savefig(draft, dpi=2 * DPI, metadata=dates.get(target.suffix.lower()))
        return Path(path)


def cell(
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
    """A molecule with a line above and one below it.

    Args:
        sheet: To draw on.
        x: Left side.
        y: Top, of the line above.
        smiles: The molecule; None is said to be none.
        lead: As of `Sheet.molecule`.
        head: Above it.
        foot: Below it.
        beside: At the right, above it.
        head_inside: The line above is within the drawing, which saves its height.
    """
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


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: small, and found by a search
        "svg.hashsalt": "molvae",  # names of parts are the same each time
        "font.family": "sans-serif",
        "axes.labelsize": 12 * POINT,
        "axes.labelcolor": INK,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the reader's font has it
        yield


_NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def _patch(kind: str, attributes: dict[str, str], x: float, y: float) -> Any:
    """A shape of RDKit's SVG, moved; of its lines `style` tells colour and width."""
    from matplotlib.patches import Ellipse, PathPatch
    from matplotlib.transforms import Affine2D

    told = dict(part.split(":", 1) for part in attributes.get("style", "").split(";") if part)
    fill = attributes.get("fill", told.get("fill", "none"))
    stroke = told.get("stroke", "none")
    look: dict[str, Any] = {
        "facecolor": fill,
        "edgecolor": stroke,
        "linewidth": float(_number(told.get("stroke-width", "0"))) * POINT,
        "capstyle": "round" if told.get("stroke-linecap") == "round" else "butt",
        "joinstyle": "miter",
    }
    if kind == "ellipse":
        cx, cy, rx, ry = (float(attributes[name]) for name in ("cx", "cy", "rx", "ry"))
        return Ellipse((x + cx, y + cy), 2 * rx, 2 * ry, **look)
    return PathPatch(_path(attributes["d"]).transformed(Affine2D().translate(x, y)), **look)


def _path(text: str) -> Any:
    """A path of SVG, as RDKit writes it: absolute, of lines and curves."""
    from matplotlib.path import Path as Outline

    sizes = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}
    codes_of = {
        "M": [Outline.MOVETO], "L": [Outline.LINETO], "Q": [Outline.CURVE3] * 2,
        "C": [Outline.CURVE4] * 3, "Z": [Outline.CLOSEPOLY],
    }  # fmt: skip
    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for command, rest in re.findall(r"([MLQCZ])([^MLQCZ]*)", text):
        numbers = [float(number) for number in _NUMBER.findall(rest)]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        if command == "Z":
            points.append((0.0, 0.0))
            codes += codes_of["Z"]
        # A command's letter stands once before several of the same.
        for start in range(0, len(pairs), sizes[command] or 1):
            points += pairs[start : start + sizes[command]]
            codes += codes_of["L" if command == "M" and start else command]
    return Outline(points, codes)


def _number(text: str) -> str:
    found = _NUMBER.match(text)
    return found.group() if found else "0"


__all__ = [
    "ACCENT",
    "CELL",
    "FAINT",
    "GAP",
    "INK",
    "LINE",
    "MARGIN",
    "SECOND",
    "SHADE",
    "Sheet",
    "cell",
]
