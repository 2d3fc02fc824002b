"""Figures of the benchmarks: one style, panels, curves, files with the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Any = {
    "svg.hashsalt": "molvae",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
}
# Of Okabe and Ito: distinct also for color-blind readers.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style; as a decorator, a whole function does."""
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context({**STYLE, "axes.prop_cycle": cycler(color=COLORS)}):
        yield


def panels(
    rows: int, columns: int, size: tuple[float, float], **settings: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels, each so many inches wide and high."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **settings)
    return figure, [list(line) for line in axes]


def legend(figure: Figure, axes: Axes, columns: int) -> None:
    """The curves of one panel, named above all."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, the same bytes for the same numbers."""
    figure.savefig(path, metadata={"Date": None})


def lines(axes: Axes, x: Sequence[float], named: Mapping[str, Sequence[float]]) -> None:
    """Curves with their names."""
    for name, y in named.items():
        axes.plot(x, y, marker="o", label=name)
    axes.legend()
