"""The one style of the benchmarks' figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F = TypeVar("F", bound=Callable[..., Any])
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
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
"""Of Okabe and Ito: told apart also by those who do not see all colors."""


def styled(function: F) -> F:
    """A function that draws, in this style."""

    @wraps(function)
    def in_style(*args: Any, **kwargs: Any) -> Any:
        import matplotlib
        from cycler import cycler

        with matplotlib.rc_context({**STYLE, "axes.prop_cycle": cycler(color=COLORS)}):
            return function(*args, **kwargs)

    return cast(F, in_style)


def panels(
    rows: int, columns: int, size: tuple[float, float], **settings: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels, each so many inches wide and high."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **settings)
    return figure, [list(line) for line in axes]


def save(figure: Figure, path: Path) -> None:
    """Write a figure, the same bytes for the same numbers."""
    figure.savefig(path, metadata={"Date": None})


def lines(
    axes: Axes, x: Sequence[float], named: Mapping[str, Sequence[float]], *, legend: bool = True
) -> None:
    """Curves with their names."""
    for name, y in named.items():
        axes.plot(x, y, marker="o", label=name)
    if legend:
        axes.legend()
