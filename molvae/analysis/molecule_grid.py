"""A figure of molecules drawn by RDKit: as lines in SVG, as images in PNG and PDF."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.analysis.style import ACCENT, FAINT, SHADE, check_can_draw, printable, save_figure
from molvae.chem.depiction import HIGHLIGHT_COLOR, RDKIT_BOND_LENGTH, align_to_lead
from molvae.chem.molecules import parse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

CELL_WIDTH, CELL_HEIGHT, LINE_HEIGHT = 1.95, 1.75, 0.3  # inches
PIXELS_PER_INCH, BOND_PIXELS = 96, 30.0  # of drawn molecules
OVERSAMPLING = 3  # images have more pixels than drawings in lines


class MoleculeGrid:
    """A figure; RDKit draws molecules into some of its axes when it is saved."""

    def __init__(self, width: float, height: float, title: str) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(
            figsize=(width, height + 2 * LINE_HEIGHT), dpi=72, layout="constrained"
        )
        self.title = title
        self.molecules: list[tuple[Axes, Any, list[int], list[int]]] = []
        self.n_not_compared = 0

    def cell(
        self, axes: Axes, smiles: str | None, lead: str | None = None, *, name: str = "",
        beside: str = "", below: str = "", shade: bool = False,
    ) -> None:  # fmt: skip
        """A molecule with words around it; atoms that the lead lacks are highlighted."""
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[], facecolor=SHADE if shade else "white")
        axes.spines[:].set_visible(False)
        axes.set_title(printable(name), loc="left", fontsize=9, color=ACCENT, fontweight="bold",
                       parse_math=False)  # fmt: skip
        axes.set_title(beside, loc="right", fontsize=8, color=FAINT)
        axes.set_xlabel(printable(below), fontsize=8, parse_math=False)
        if smiles is None:
            axes.text(0.5, 0.5, "no molecule", ha="center", color=FAINT, transform=axes.transAxes)
            return
        compared = None
        if lead is not None and lead != smiles:
            compared = align_to_lead(smiles, lead)
            self.n_not_compared += compared is None
        self.molecules.append((axes, *(compared or (parse(smiles), [], []))))

    def highlighted(self, meaning: str) -> str:
        """What the highlight means, and of how many molecules it is not known."""
        n = self.n_not_compared
        return f"highlighted: {meaning}" + (f" ({n} not compared: nothing in common)" if n else "")

    def save(self, file: str | Path, note: str, overwrite: bool) -> Path:
        """Write the figure under its title and a line of notes."""
        target = check_can_draw(file, overwrite=overwrite)
        self.figure.suptitle(f"{self.title}\n", x=0.01, ha="left", fontweight="bold", fontsize=12,
                             parse_math=False)  # fmt: skip
        y = 1 - 1.35 * LINE_HEIGHT / self.figure.get_figheight()
        self.figure.text(0.01, y, printable(note), color=FAINT, fontsize=9, parse_math=False)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # places stay as they are now
        # The layout's last digits differ from run to run.
        for part in self.figure.subfigs:
            part.bbox_relative.p0 = np.round(part.bbox_relative.p0, 4)
            part.bbox_relative.p1 = np.round(part.bbox_relative.p1, 4)
        for axes in self.figure.get_axes():
            left, bottom, width, height = np.round(axes.get_position().bounds, 4).tolist()
            axes.set_position((left, bottom, width, height))
        svg, format = "", "svg" if target.suffix.lower() == ".svg" else "png"
        for axes, mol, atoms, bonds in self.molecules:
            box = axes.get_window_extent()
            drawn = depict(mol, atoms, bonds, box.width, box.height, format)
            if format == "svg":
                top = self.figure.get_figheight() * 72 - box.y1
                place = (f"x='{box.x0:.2f}' y='{top:.2f}' "
                         f"width='{box.width:.2f}' height='{box.height:.2f}'")  # fmt: skip
                svg += re.sub(r"width='\d+px' height='\d+px'", place, drawn[drawn.index("<svg") :])
            else:
                from matplotlib.image import imread

                axes.imshow(imread(io.BytesIO(drawn)), aspect="auto")
        return save_figure(self.figure, file, overwrite=overwrite, svg=svg)


def depict(
    mol: Any, atoms: list[int], bonds: list[int], width: float, height: float, format: str
) -> Any:
    """A molecule as SVG text or PNG bytes, without background; width and height in points."""
    from rdkit.Chem.Draw import rdMolDraw2D

    scale = OVERSAMPLING if format == "png" else 1
    size = [max(1, round(side / 72 * PIXELS_PER_INCH * scale)) for side in (width, height)]
    make = rdMolDraw2D.MolDraw2DCairo if format == "png" else rdMolDraw2D.MolDraw2DSVG
    drawer = make(size[0], size[1])
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.setHighlightColour(HIGHLIGHT_COLOR)
    options.fixedBondLength = BOND_PIXELS * scale / RDKIT_BOND_LENGTH
    options.bondLineWidth, options.maxFontSize = 1.5 * scale, 40 * scale
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol, highlightAtoms=atoms, highlightBonds=bonds)
    drawer.FinishDrawing()
    return drawer.GetDrawingText()


def empty_cells(figure: Figure | SubFigure, rows: int, columns: int) -> list[Axes]:
    """Axes without frames, row by row."""
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes:
        one.set_axis_off()
    return axes
