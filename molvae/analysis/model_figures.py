"""Pictures of measures. Knows matplotlib and numbers, nothing of how they were made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from molvae._files import Kind, check_output, head_of, replacing
from molvae.errors import ConfigError, MolvaeError

FORMATS = (".svg", ".png", ".pdf")


SOURCES = {
    "training": "training molecules",
    "prior": "prior, likeliest molecule",
    "normal": "N(0, I), likeliest molecule",
    "generated": "generated",
}


PROPERTIES = ("logP", "SAS", "QED")


def _is_figure(file: Path) -> bool:
    head = head_of(file)
    if head.startswith(b"%PDF"):
        return b"matplotlib" in head_of(file, tail=True).lower()
    return head.startswith((b"<?xml", b"<svg", b"\x89PNG")) and b"matplotlib" in head.lower()


FIGURE = Kind(name="a figure", is_own=_is_figure, error=ConfigError)


def check_can_draw(
    path: str | Path,
    *,
    overwrite: bool = True,
    apart_from: Iterable[str | Path] = (),
    error: type[MolvaeError] = ConfigError,
) -> Path:
    """Refuse a path where no figure can go, before long measurements are made for it.

    Args:
        path: SVG, PNG or PDF, by its ending.
        overwrite: Replace a figure that is there.
        apart_from: Inputs and other outputs of the same command.
        error: What is raised if something else is there.

    Returns:
        The absolute path.

    Raises:
        ConfigError: Another ending than those of `FORMATS`.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ConfigError(f"cannot draw to {path}; its name must end in {', '.join(FORMATS)}")
    kind = replace(FIGURE, error=error)
    return check_output(path, kind, overwrite=overwrite, apart_from=apart_from)


def draw_measures(found: Mapping[str, float], path: str | Path) -> Path:
    """Smoothness, whether near is alike, and properties of generated against held-out molecules.

    Args:
        found: What `molvae.analysis.model_metrics.evaluate` returned; what it lacks is not drawn.
        path: SVG, PNG or PDF, by its ending; a figure that is there is replaced.

    Raises:
        ConfigError: Another ending, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    file = check_can_draw(path)
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    smooth, near, shift, width = figure.subplots(1, 4)
    radii = [float(key.removeprefix("same_at_")) for key in found if key.startswith("same_at_")]
    for name, label in (("same", "same molecule"), ("tanimoto", "Tanimoto similarity")):
        smooth.plot(radii, [found[f"{name}_at_{r:g}"] for r in radii], "o-", ms=3, label=label)
    smooth.set(xlabel="radius of the move in z, sd of encodings", ylabel="mean", ylim=(0, 1.02))
    smooth.legend(frameon=False, fontsize=8)
    ranks = {k.rpartition("_")[2]: v for k, v in found.items() if k.startswith("neighbor_tanimoto")}
    known = [(int(k), v) for k, v in ranks.items() if k.isdecimal() and not math.isnan(v)]
    near.plot(*zip(*known, strict=True), "o-", ms=3) if known else None
    for name, label in (("best", "most similar molecule"), ("random", "any molecule")):
        if name in ranks and not math.isnan(ranks[name]):
            near.axhline(ranks[name], color="0.6", lw=0.8)
            near.annotate(label, (1, ranks[name]), va="bottom", fontsize=8, color="0.4")
    near.set(xscale="log", xlabel="k-th nearest in z", ylabel="mean Tanimoto similarity", ylim=0)
    for axes, key, label, target in (
        (shift, "shift_in_sds", "mean less held-out mean, sd", 0.0),
        (width, "sd_ratio", "sd over held-out sd", 1.0),
    ):
        axes.axhspan(target - 0.1, target + 0.1, color="0.92", zorder=0)
        axes.axhline(target, color="0.6", lw=0.8)
        for offset, (source, name) in enumerate(SOURCES.items()):
            values = [found.get(f"{source}_{p}_{key}", math.nan) for p in PROPERTIES]
            places = [i + 0.15 * (offset - 1.5) for i in range(len(PROPERTIES))]
            if not all(map(math.isnan, values)):
                axes.plot(places, values, "o", ms=4, label=name)
        axes.set_xticks(range(len(PROPERTIES)), PROPERTIES)
        axes.set_ylabel(label)
    handles, labels = shift.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    metadata = {"Date": None} if file.suffix.lower() == ".svg" else None
    with replacing(file, FIGURE, overwrite=True) as draft:
        figure.savefig(draft, metadata=metadata)
    return Path(path)


__all__ = ["FIGURE", "check_can_draw", "draw_measures"]
