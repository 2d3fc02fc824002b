"""The tables and the figure of the comparison of generative models, from its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.property_report import TITLES as DATA
from molvae.metrics import PROPERTIES

TITLES = {
    "autoencoder": "autoencoder, deterministic",
    "beta-vae": "beta-VAE",
    "vae": "VAE (beta 1)",
    "beta-4": "beta-VAE (beta 4)",
    "free-bits": "free bits, 0.5 nats a unit (beta 1)",
    "iwae": "importance-weighted, 8 draws (beta 1)",
    "total-correlation": "total-correlation VAE (2.5 times of it, half of beta)",
    "flow-posterior": "flow posterior",
    "transformer": "transformer",
    "property-heads": "property heads",
    "noise-levels": "noise levels",
    "semi-supervised": "semi-supervised",
    "semi-supervised-5": "semi-supervised, 5 % of labels",
    "language-model": "language model",
}
PRIORS = {
    "normal": "N(0, I)",
    "mixture": "mixture of Gaussians",
    "vamp": "mixture of posteriors (vamp)",
    "flow": "coupling flow",
    "autoregressive": "autoregressive flow",
}
NONE = "-"


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's section: for each data set what models are like, and what they claim."""
    lines = [
        "**Generative models side by side**: the same data, number of weights and molecules seen, "
        "and nothing changed but what the name says: `python -m benchmarks generative-models`. "
        "Without a remark the weight of the KL term is that of the beta-VAE; semi-supervised "
        "models have noise levels and twice that weight. Bounds are in nats per symbol, "
        "with the learned prior; molecules are drawn from the prior and then symbol by symbol, and "
        "what is no molecule is mended.",
    ]
    for name, found in result["data"].items():
        lines += ["", *_of_data(name, found)]
    lines += ["", "![The same in pictures](benchmarks/results/generative-models.svg)"]
    return "\n".join(lines)


def _of_data(name: str, found: Mapping[str, Any]) -> list[str]:
    settings, rows = found["settings"], found["rows"]
    sizes = settings["sizes"]
    base = next((row for row in rows if row["variant"] == "beta-vae"), rows[0])
    beta = settings["recipe"].get("objective", {}).get("beta", 0.1)
    lines = [
        f"*{DATA[name]}*: {settings['molecules']:,} molecules seen, about {base['weights']:,} "
        f"weights, {base['latent_dim']} numbers in z, beta {beta:g}; {sizes['held_out']:,} test "
        f"molecules given back and regressed on, {sizes['bounded']:,} bounded, "
        f"{sizes['drawn']:,} drawn. R2 is that of a ridge regression on z; outliers are absurd "
        "molecules, SELFIES of as many symbols as test molecules have, drawn blindly, as frequent "
        f"as in the data or all alike, and molecules of {DATA[settings['other']]}.",
        "",
        *_table(
            (
                "model",
                "given back: mean, draw",
                "KL, nats; active units",
                "bound: 1, 8, 64 draws",
                "R2 of logP, SAS, QED",
                "total correlation, nats",
                f"AUROC: absurd, all alike, {DATA[settings['other']]}",
            ),
            [_codes(row, settings["other"]) for row in rows],
        ),
        "",
        *_table(
            (
                "model",
                "not mended",
                "valid",
                "distinct",
                "new",
                "FCD",
                "mean of logP, SAS, QED off, sd",
                "sd over that of the data",
            ),
            [_drawn(TITLES[row["variant"]], row["drawn"]) for row in rows]
            + [_drawn("*training molecules*", found["floor"])],
        ),
        "",
        *_claims(settings, rows),
    ]
    if found["priors"]:
        lines += ["", *_priors(found["priors"])]
    lines += _conditional(found)
    return [*lines, "", *_held(found["held"])]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def _numbers(found: Mapping[str, Any], keys: Sequence[str], form: str) -> str:
    """Several numbers with commas between them; a dash if none of them is there."""
    values = [found.get(key) for key in keys]
    if all(value is None for value in values):
        return NONE
    return ", ".join(NONE if value is None else format(value, form) for value in values)


def _codes(row: Mapping[str, Any], other: str) -> list[str]:
    codes, bounds, outliers = row["codes"], row["bounds"], row["outliers"]
    known = "bound" if bounds else "density"
    active = NONE if not codes else f"{codes['active_units']:.0f} of {row['latent_dim']}"
    return [
        TITLES[row["variant"]],
        _numbers(codes, ("reconstruction", "posterior_reconstruction"), ".1%").replace("%", " %"),
        f"{_numbers(codes, ('kl',), '.1f')}; {active}",
        _numbers(bounds, ("nats_1", "nats_8", "nats_64"), ".3f"),
        _numbers(row["read"], [f"ridge_{name}" for name in PROPERTIES], ".2f"),
        _numbers(codes, ("total_correlation",), ".2f"),
        _numbers(outliers, [f"{known}_{kind}" for kind in ("absurd", "absurd-even", other)], ".3f"),
    ]


def _drawn(title: str, drawn: Mapping[str, Any]) -> list[str]:
    shares = ("fluent", "validity", "uniqueness", "novelty")
    return [
        title,
        *(_numbers(drawn, (key,), ".1%").replace("%", " %") for key in shares),
        _numbers(drawn, ("fcd",), ".2f"),
        _numbers(drawn, [f"shift_{name}" for name in PROPERTIES], "+.2f"),
        _numbers(drawn, [f"sd_ratio_{name}" for name in PROPERTIES], ".2f"),
    ]


def _claims(settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    seeds = len(settings["seeds"])
    said = (
        f"What is claimed of such models, measured. Stable: {seeds} trainings of "
        f"{settings['short']:,} molecules each, with different seeds; standard deviation of the "
        "loss over its mean."
        if seeds
        else "What is claimed of such models, measured; over seeds, on QM9 only."
    )
    lines = []
    for row in rows:
        of_seeds, bounds = row["seeds"], row["bounds"]
        stable = _numbers(of_seeds, ("sd",), ".1%").replace("%", " %")
        if failed := sum(loss is None for loss in of_seeds.get("losses", ())):
            stable += f", {failed} failed"
        if any("collaps" in text for text in row["training"]["warnings"]):
            stable += ", collapsed"
        lines.append(
            [
                TITLES[row["variant"]],
                stable,
                _likelihood(bounds),
                _numbers(row["training"], ("per_second",), ","),
                f"{row['training']['minutes']:.1f}",
                f"{row['drawn']['per_second']:,}",
            ]
        )
    header = (
        "model",
        "stable? sd over seeds",
        "likelihood exact?",
        "molecules a second: training",
        "CPU minutes, with prior",
        "molecules a second: sampling",
    )
    return [f"{said} Speeds are those of one thread.", "", *_table(header, lines)]


def _likelihood(bounds: Mapping[str, Any]) -> str:
    if not bounds:
        return "there is none"
    if bounds["spread"] == 0:
        return "exact"
    if None in (bounds["nats_64"], bounds["nats_1"], bounds["error"]):
        return "a bound, not finite"
    nats, error = (
        n * bounds["symbols"] for n in (bounds["nats_64"] - bounds["nats_1"], bounds["error"])
    )
    return f"a bound; 64 draws raise it by {nats:.2f} ± {error:.2f} nats"


def _priors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    header = (
        "prior of the codes of the beta-VAE",
        "log-density of held-out codes, nats",
        "gain over N(0, I)",
        "bound: 1, 8, 64 draws",
        "not mended",
        "distinct",
        "FCD",
        "furthest off, sd",
        "seconds to fit",
        "molecules a second",
    )
    lines = [
        [
            PRIORS[row["prior"]],
            f"{row['log_density']:.2f}",
            f"{row['log_density'] - row['normal']:+.2f}",
            _numbers(row["bounds"], ("nats_1", "nats_8", "nats_64"), ".3f"),
            _numbers(row["drawn"], ("fluent",), ".1%").replace("%", " %"),
            _numbers(row["drawn"], ("uniqueness",), ".1%").replace("%", " %"),
            _numbers(row["drawn"], ("fcd",), ".2f"),
            _numbers(row["drawn"], ("off",), ".2f"),
            f"{row['fit_seconds']:.0f}",
            f"{row['drawn']['per_second']:,}",
        ]
        for row in rows
    ]
    return _table(header, lines)


def _conditional(found: Mapping[str, Any]) -> list[str]:
    """Median absolute error of what was asked for, and what share of the data's sd that is."""
    rows = {row["variant"]: row["asked"] for row in found["rows"] if row["asked"]}
    names = [n for n in ("noise-levels", "semi-supervised", "semi-supervised-5") if n in rows]
    if names[-1:] in ([], ["noise-levels"]):
        return []
    titles = {**TITLES, "noise-levels": "not asked: noise levels"}
    lines = []
    for key in rows[names[-1]]:
        cells = [key.replace("=", " = ")]
        for name in names:
            of = rows[name][key]
            cells.append(
                NONE
                if of["error"] is None
                else f"{of['error']:.3g} ({of['in_sd']:.2f} sd); "
                f"{100 * of['validity']:.0f} %, {100 * of['uniqueness']:.0f} %"
            )
        lines.append(cells)
    return [
        "",
        f"Molecules on demand, {found['settings']['sizes']['asked']:,} for each value, as "
        "`generate` makes them: drawn again, up to twenty times, where the model's own encoder "
        "expects them to be more than 0.25 sd off. Median absolute error (in sd of the data); "
        "valid, distinct.",
        "",
        *_table(("asked for", *(titles[name] for name in names)), lines),
    ]


def _held(held: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that should hold."""

    def says(holds: bool) -> str:
        return "holds" if holds else "does not hold"

    lines = []
    if rise := held.get("bounds_rise"):
        lines.append(
            "- The bound exceeds the ELBO and rises with the draws, on every model that has one: "
            + says(rise["holds"])
            + (f" ({', '.join(TITLES[n] for n in rise['not'])} not)." if rise["not"] else ".")
        )
    if held.get("priors"):
        gains = {k: v for k, v in held["priors"]["gains"].items() if k != "normal"}
        lines.append(
            "- Learned priors make held-out codes likelier than N(0, I): "
            f"{says(held['priors']['holds'])} "
            f"({', '.join(f'{PRIORS[k]} {v:+.2f} nats' for k, v in gains.items())})."
        )
    if of := held.get("outliers"):
        lines.append(
            f"- AUROC of absurd molecules of at least 0.95, beta-VAE: {says(of['holds'])} "
            f"({', '.join(f'{area:.3f}' for area in of['auroc'].values())})."
        )
    if of := held.get("total_correlation"):
        (a, b), (c, d) = of["total_correlation"], of["reconstruction"]
        less = NONE if None in (a, b) else f"{b:.2f} instead of {a:.2f} nats"
        lines.append(
            "- The total-correlation VAE has less of it than the beta-VAE and gives back no less: "
            f"{says(of['holds'])} ({less}, giving back {d:.1%} instead of {c:.1%}).".replace(
                "%", " %"
            )
        )
    if of := held.get("conditional"):
        worst = NONE if of["worst_in_sd"] is None else f"{of['worst_in_sd']:.2f} sd at worst"
        lines.append(
            "- Molecules on demand are within half an sd, all valid: "
            f"{says(of['holds'])} ({worst}, {100 * of['validity']:.0f} % valid)."
        )
        if of["few"]:
            lost = "there is no gain" if of["lost"] is None else f"{100 * of['lost']:.0f} %"
            lines.append(
                "- With 5 % of the labels less than a third of that gain is lost: "
                f"{says(of['few_hold'])} ({lost})."
            )
    return lines


def figures(result: Mapping[str, Any], folder: Path) -> None:
    """A line of panels for each data set: codes, molecules, priors, molecules on demand."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    data = result["data"]
    figure, axes = plt.subplots(
        len(data),
        4,
        figsize=(16, 3.8 * len(data)),
        width_ratios=(1.7, 1, 1, 1.2),
        squeeze=False,
        layout="constrained",
    )
    for line, (name, found) in zip(axes, data.items(), strict=True):
        _scatter(line[0], found["rows"])
        line[0].set_title(f"{DATA[name]}: faithful, and likely", fontsize=9)
        _bars(line[1], found)
        _gains(line[2], found["priors"])
        _errors(line[3], found)
        for axis in line:
            axis.tick_params(labelsize=7)
    with plt.rc_context({"svg.hashsalt": "molvae"}):
        figure.savefig(folder / "generative-models.svg", metadata={"Date": None})
    plt.close(figure)


def _scatter(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """The bound against what is given back; models without z at 0."""
    for row in rows:
        if not row["bounds"]:
            continue
        place = [*TITLES].index(row["variant"])
        x = 100 * (row["codes"].get("reconstruction") or 0.0)
        y = row["bounds"]["nats_64"]
        axis.plot(
            x, y, "os^Dv"[place // 10 % 5], color=f"C{place % 10}", label=TITLES[row["variant"]]
        )
    axis.set_xlabel("given back, %", fontsize=8)
    axis.set_ylabel("bound of 64 draws, nats per symbol", fontsize=8)
    axis.legend(fontsize=5.5, frameon=False)
    axis.grid(alpha=0.3)


def _bars(axis: Any, found: Mapping[str, Any]) -> None:
    """FCD, or where it was not measured by how much the furthest property is off."""
    key = "fcd" if found["rows"][0]["drawn"]["fcd"] is not None else "off"
    named = [(TITLES[row["variant"]], row["drawn"][key]) for row in found["rows"]][::-1]
    axis.barh([n for n, _ in named], [v or 0.0 for _, v in named], color="C0")
    if found["floor"][key] is not None:
        axis.axvline(found["floor"][key], color="black", linewidth=0.8)
    axis.set_title("FCD of drawn molecules (line: training molecules)", fontsize=9)
    if key == "off":
        axis.set_title("property that is furthest off, sd", fontsize=9)


def _gains(axis: Any, priors: Sequence[Mapping[str, Any]]) -> None:
    named = [(PRIORS[p["prior"]], p["log_density"] - p["normal"]) for p in priors][::-1]
    axis.barh([n for n, _ in named], [v for _, v in named], color="C2")
    axis.set_title("held-out codes: nats above N(0, I)", fontsize=9)


def _errors(axis: Any, found: Mapping[str, Any]) -> None:
    for row in found["rows"]:
        if of := row["asked"]:
            errors = [e["in_sd"] for e in of.values()]
            title = TITLES[row["variant"]] if row["variant"] != "noise-levels" else "not asked"
            axis.plot([*of], errors, marker="o", label=title)
    axis.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
    axis.set_ylim(0, 1.3 * axis.get_ylim()[1])  # room for the legend
    axis.set_title("median error of what was asked for, sd", fontsize=9)
    axis.tick_params(axis="x", rotation=30)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, frameon=False)


__all__ = ["TITLES", "figures", "readme_table"]
