"""Figures of the measures of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from molvae.analysis.style import check_can_draw, save_figure, style
from molvae.config import DEFAULT_PROPERTIES

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
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    smooth, near, shift, width = figure.subplots(1, 4)
    radii = [float(key.removeprefix("same_at_")) for key in found if key.startswith("same_at_")]
    for name, label in (
        ("same", "same molecule"),
        ("tanimoto", "Tanimoto similarity"),
        ("changed_tanimoto", "the same, of changed molecules"),
    ):
        values = [found.get(f"{name}_at_{r:g}", math.nan) for r in radii]
        smooth.plot(radii, values, "o-", ms=3, label=label)
    smooth.set(xlabel="radius of the move in z, std of encodings", ylabel="mean", ylim=(0, 1.02))
    smooth.legend()
    ranks = {k.rpartition("_")[2]: v for k, v in found.items() if k.startswith("neighbor_tanimoto")}
    known = [(int(k), v) for k, v in ranks.items() if k.isdecimal() and not math.isnan(v)]
    near.plot(*zip(*known, strict=True), "o-", ms=3) if known else None
    for name, label in (("best", "most similar molecule"), ("random", "any molecule")):
        if name in ranks and not math.isnan(ranks[name]):
            near.axhline(ranks[name], color="0.6", lw=0.8)
            near.annotate(label, (1, ranks[name]), va="bottom", fontsize=8, color="0.4")
    correlation, trust = (
        found.get(key, math.nan) for key in ("distance_tanimoto_correlation", "trustworthiness")
    )
    if not math.isnan(correlation + trust):
        told = f"correlation of distance {correlation:.2f}\ntrustworthiness {trust:.2f}"
        near.annotate(
            told, (0.97, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8
        )
    near.set(xscale="log", xlabel="k-th nearest in z", ylabel="mean Tanimoto similarity", ylim=0)
    for axes, key, label, target in (
        (shift, "shift_in_stds", "mean less held-out mean, std", 0.0),
        (width, "std_ratio", "std over held-out std", 1.0),
    ):
        axes.axhspan(target - 0.1, target + 0.1, color="0.92", zorder=0)
        axes.axhline(target, color="0.6", lw=0.8)
        for offset, (source, name) in enumerate(SOURCES.items()):
            values = [found.get(f"{source}_{p}_{key}", math.nan) for p in DEFAULT_PROPERTIES]
            places = [i + 0.13 * (offset - 2) for i in range(len(DEFAULT_PROPERTIES))]
            if not all(map(math.isnan, values)):
                axes.plot(places, values, "o", ms=4, label=name)
        axes.set_xticks(range(len(DEFAULT_PROPERTIES)), DEFAULT_PROPERTIES)
        axes.set_ylabel(label)
    handles, labels = shift.get_legend_handles_labels()
    for axes, is_measured in ((near, near.get_lines()), (shift, handles), (width, handles)):
        if not is_measured:  # e.g. of a single molecule, or without samples
            axes.set_axis_off()
            axes.set_title("not measured", fontsize=8, color="0.4")
    if handles:
        figure.legend(handles, labels, loc="outside lower right", ncols=5)
    return save_figure(figure, path, overwrite=overwrite)
