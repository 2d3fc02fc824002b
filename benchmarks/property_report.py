"""The property table for people: Markdown and histograms, made from the JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("logP", "SAS", "QED")
BINS = {"logP": (-4.0, 8.0, 49), "SAS": (1.0, 8.0, 43), "QED": (0.0, 1.0, 41)}
"""First edge, last edge, and number of edges of the histograms."""

PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {
    "zinc250k": {
        "data": {"n": "249k", "logP": (2.46, 1.43), "SAS": (3.05, 0.83), "QED": (0.73, 0.14)},
        "ga": {"n": "5303", "logP": (2.84, 1.86), "SAS": (3.80, 1.01), "QED": (0.57, 0.20)},
        "vae": {"n": "8728", "logP": (2.67, 1.46), "SAS": (3.18, 0.86), "QED": (0.70, 0.14)},
    },
    "qm9": {
        "data": {"n": "134k", "logP": (0.30, 1.00), "SAS": (4.25, 0.94), "QED": (0.48, 0.07)},
        "ga": {"n": "5470", "logP": (0.96, 1.53), "SAS": (4.47, 1.01), "QED": (0.53, 0.13)},
        "vae": {"n": "2839", "logP": (0.30, 0.97), "SAS": (4.34, 0.98), "QED": (0.47, 0.08)},
    },
}
"""Mean and standard deviation, as printed in the table of Gómez-Bombarelli et al. (2018),
doi:10.1021/acscentsci.7b00572."""

TITLES = {"zinc250k": "ZINC250k", "qm9": "QM9"}
ORDER = {
    "data": "data set",
    "published data": "*data set, published*",
    "ga": "genetic algorithm",
    "published ga": "*genetic algorithm, published*",
    "prior": "VAE, prior samples",
    "drawn": "VAE, drawn",
    "perturbed": "VAE, perturbed encodings",
    "published vae": "*VAE, published*",
    "language-model": "language model",
    "train": "training molecules (floor of FCD)",
}
"""Sources in the order of the tables, as they are called there."""
COMPARED = ("published ga", "ga", "published vae", "prior", "drawn", "perturbed", "language-model")
COLOURS = {
    "data": "#cccccc",
    "ga": "#d55e00",
    "prior": "#0072b2",
    "drawn": "#009e73",
    "perturbed": "#cc79a7",
    "language-model": "#e69f00",
}
"""Of Okabe and Ito: told apart also by those who do not see all colours."""


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's section: what was measured, beside what was published, as Markdown."""
    settings, models = result["settings"], result["models"]
    names = [name for name in TITLES if name in models]
    seeds = len(settings["seeds"])
    scored = "draw" if settings["fcd_draws"] == 1 else f"{settings['fcd_draws']} draws"
    lines = [
        "**The property table** of Gómez-Bombarelli et al. (2018), with its published rows: do "
        "generated molecules have the properties of the data? "
        f"{settings['n']:,} molecules a draw, {seeds} draws with different seeds, mean (standard "
        "deviation) of each property; FCD is the Fréchet ChemNet Distance of the first "
        f"{scored} to the test split, and "
        "in brackets how many times that of as many training molecules. "
        "`python -m benchmarks property-table`.",
    ]
    for name in names:
        rows = {row["source"]: row for row in result["rows"] if row["data"] == name}
        lines += ["", *_table(TITLES[name], rows, PUBLISHED[name])]
    lines += [
        "",
        "How far that is from the data: mean less mean of the data, in standard deviations of the "
        "data, and standard deviation over that of the data; ± the spread over the seeds.",
        "",
        "| source | data | "
        + " | ".join(f"{n} shift" for n in NAMES)
        + " | "
        + " | ".join(f"{n} sd ratio" for n in NAMES)
        + " |",
        "|---" * 8 + "|",
    ]
    for name in names:
        rows = {row["source"]: row for row in result["rows"] if row["data"] == name}
        for source in COMPARED:
            cells = _compared(source, rows, PUBLISHED[name])
            lines.append(f"| {ORDER[source]} | {TITLES[name]} | {' | '.join(cells)} |")
    lines += ["", "![Histograms](benchmarks/results/property-table.svg)", ""]
    lines += [
        "*Prior samples* are written greedily at vectors of the learned prior; *drawn* molecules "
        "are draws of the whole generative model, as those of the language model without those "
        "that had to be mended, which are drawn again; *perturbed encodings* are random training "
        f"molecules, moved by {settings['radius']} standard deviations of the encodings in random "
        "directions, the paper's way. The genetic algorithm is mol-ga's mutations and crossovers "
        "without selection, "
        "from random molecules of the data set, until there are as many distinct ones as "
        "published; the paper had rules of its own. "
        + " ".join(_of_models(TITLES[name], models[name]) for name in names)
    ]
    seconds = sorted(result["seconds"].items(), key=lambda pair: -pair[1])
    total = sum(result["seconds"].values())
    lines += [
        "",
        f"All of it took {_minutes(total)} (threads: {settings['threads']}), of which "
        + ", ".join(f"{stage} {_minutes(spent)}" for stage, spent in seconds[:4])
        + ".",
    ]
    lines += [line for note in result["notes"] for line in ("", f"Not measured: {note}.")]
    return "\n".join(lines)


def _table(
    title: str, rows: Mapping[str, Any], published: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    columns = (title, "n", "valid", "unique", "in data set", *NAMES, "FCD")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for source, label in ORDER.items():
        what, _, printed = source.partition(" ")
        if printed:
            row = published[printed]
            values = [f"{row[name][0]:.2f} ({row[name][1]:.2f})" for name in NAMES]
            cells = [f"{row['n']}", "-", "-", "-", *values, "-"]
        else:
            row = rows[what]
            values = [
                f"{_number(row[name]['mean']['mean'])} ({_number(row[name]['sd']['mean'])})"
                for name in NAMES
            ]
            shares = [_percent(row[name]["mean"]) for name in ("valid", "unique", "in_data")]
            cells = [f"{row['n']['mean']:,.0f}", *shares, *values, _fcd(row)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _compared(
    source: str, rows: Mapping[str, Any], published: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    what, _, printed = source.partition(" ")
    if printed:
        row, data = published[printed], published["data"]
        shifts = [f"{(row[n][0] - data[n][0]) / data[n][1]:+.2f}" for n in NAMES]
        return shifts + [f"{row[n][1] / data[n][1]:.2f}" for n in NAMES]
    row = rows[what]
    shifts = [_spread(row[n]["shift"], sign="+") for n in NAMES]
    return shifts + [_spread(row[n]["ratio"]) for n in NAMES]


def _of_models(title: str, models: Mapping[str, Any]) -> str:
    space, lm = models["space"], models["language_model"]
    return (
        f"{title}: the VAE has {space['weights'] / 1e6:.1f} million weights, the language model, "
        f"on the same symbols, {lm['weights'] / 1e6:.1f} million after {lm['molecules']:,} "
        f"molecules, and {lm['nll_nats']:.2f} nats a molecule ({lm['nll_of']})."
    )


def _spread(value: Mapping[str, float | None], sign: str = "") -> str:
    if value["mean"] is None:
        return "-"
    text = f"{value['mean']:{sign}.2f}"
    return text if value["sd"] is None else f"{text} ± {value['sd']:.2f}"


def _fcd(row: Mapping[str, Any]) -> str:
    text, floor = _spread(row["fcd"]), row.get("fcd_floor")
    return f"{text} ({row['fcd']['mean'] / floor:.1f})" if floor and text != "-" else text


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.2f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def figures(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Histograms of the three properties, as SVG and PNG; one line a source, one row a data set.

    Args:
        result: What `property_table.table` returned.
        folder: Where `property-table.svg` and `.png` are written.

    Returns:
        Their paths.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in TITLES if name in result["models"]]
    style: Any = {"svg.hashsalt": "molvae", "font.size": 8, "axes.spines.top": False}
    with matplotlib.rc_context(style | {"axes.spines.right": False, "axes.spines.left": False}):
        figure = Figure(figsize=(8, 2.4 * len(names) + 0.6), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(names), len(NAMES), squeeze=False)
        for name, line in zip(names, grid, strict=True):
            rows = {row["source"]: row for row in result["rows"] if row["data"] == name}
            for prop, axes in zip(NAMES, line, strict=True):
                edges = np.linspace(*BINS[prop])
                for source, colour in COLOURS.items():
                    counts = np.array(rows[source]["histogram"][prop], dtype=float)
                    density = counts / max(counts.sum(), 1) / np.diff(edges)
                    axes.stairs(
                        density,
                        edges,
                        label=ORDER[source],
                        color=colour,
                        fill=source == "data",
                        linewidth=1,
                    )
                axes.set_yticks([])
                axes.set_xlabel(prop)
            line[0].set_ylabel(TITLES[name])
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        paths = [folder / "property-table.svg", folder / "property-table.png"]
        figure.savefig(paths[0], format="svg", metadata={"Date": None})
        figure.savefig(paths[1], format="png", dpi=150)
    return paths
