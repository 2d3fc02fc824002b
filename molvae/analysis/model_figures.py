"""Figures of the measures of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.analysis.style import check_can_draw, save_figure, style
from molvae.config import DEFAULT_PROPERTIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SOURCES = {
    "training": "training molecules",
    "prior": "prior, likeliest molecule",
    "confident": "of these, the surest half",
    "normal": "N(0, I), likeliest molecule",
    "generated": "generated",
}


@style()
def draw_measures(found: Mapping[str, float], path: str | Path, *, overwrite: bool = False) -> Path:
    """Draw smoothness, similarity of near vectors, and properties of generated molecules.

    `found` is from `molvae.analysis.model_metrics.evaluate`; missing measures are not drawn. Other
    arguments and errors as for `molvae.analysis.style.save_figure`.
    """
    from matplotlib.figure import Figure

    check_can_draw(path, overwrite=overwrite)
    known = {key: value for key, value in found.items() if not math.isnan(value)}
    panels: list[Callable[[Axes, Mapping[str, float]], None]] = [_smoothness]
    if any(key.startswith("neighbor_tanimoto") for key in known):  # not of a single molecule
        panels.append(_neighbors)
    if any(f"{source}_{p}_std_ratio" in known for source in SOURCES for p in DEFAULT_PROPERTIES):
        panels += [_shifts, _widths]
    figure = Figure(figsize=(13 / 4 * len(panels), 3.2), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes, known)
    if _widths in panels:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=5)
    return save_figure(figure, path, overwrite=overwrite)


def _smoothness(axes: Axes, known: Mapping[str, float]) -> None:
    """What a step in z changes, against its length."""
    radii = [float(key.removeprefix("same_at_")) for key in known if key.startswith("same_at_")]
    for name, label in (
        ("same", "same molecule"),
        ("tanimoto", "Tanimoto similarity"),
        ("changed_tanimoto", "the same, of changed molecules"),
    ):
        values = [known.get(f"{name}_at_{r:g}", math.nan) for r in radii]
        if not all(map(math.isnan, values)):
            axes.plot(radii, values, "o-", ms=3, label=label)
    axes.set(xlabel="radius of the move in z, std of encodings", ylabel="mean", ylim=(0, 1.02))
    if radii:
        axes.legend()


def _neighbors(axes: Axes, known: Mapping[str, float]) -> None:
    """Similarity of the nearest molecules in z."""
    found = {k: v for k, v in known.items() if k.startswith("neighbor_tanimoto")}
    ranks = {key.rpartition("_")[2]: value for key, value in found.items()}
    by_rank = [(int(key), value) for key, value in ranks.items() if key.isdecimal()]
    if by_rank:
        axes.plot(*zip(*by_rank, strict=True), "o-", ms=3)
    for name, label in (("best", "most similar molecule"), ("random", "any molecule")):
        if name in ranks:
            axes.axhline(ranks[name], color="0.6", lw=0.8)
            axes.annotate(label, (1, ranks[name]), va="bottom", fontsize=8, color="0.4")
    correlation, trust = map(known.get, ("distance_tanimoto_correlation", "trustworthiness"))
    if correlation is not None and trust is not None:
        told = f"correlation of distance {correlation:.2f}\ntrustworthiness {trust:.2f}"
        axes.annotate(
            told, (0.97, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8
        )
    axes.set(xscale="log", xlabel="k-th nearest in z", ylabel="mean Tanimoto similarity", ylim=0)


def _shifts(axes: Axes, known: Mapping[str, float]) -> None:
    """Means of properties of generated molecules."""
    _by_source(axes, known, "shift_in_stds", "mean less held-out mean, std", 0.0)


def _widths(axes: Axes, known: Mapping[str, float]) -> None:
    """Standard deviations of properties of generated molecules."""
    _by_source(axes, known, "std_ratio", "std over held-out std", 1.0)


def _by_source(axes: Axes, known: Mapping[str, float], key: str, label: str, target: float) -> None:
    axes.axhspan(target - 0.1, target + 0.1, color="0.92", zorder=0)
    axes.axhline(target, color="0.6", lw=0.8)
    for offset, (source, name) in enumerate(SOURCES.items()):
        values = [known.get(f"{source}_{p}_{key}", math.nan) for p in DEFAULT_PROPERTIES]
        places = [i + 0.13 * (offset - 2) for i in range(len(DEFAULT_PROPERTIES))]
        if not all(map(math.isnan, values)):
            axes.plot(places, values, "o", ms=4, label=name)
    axes.set_xticks(range(len(DEFAULT_PROPERTIES)), DEFAULT_PROPERTIES)
    axes.set_ylabel(label)
