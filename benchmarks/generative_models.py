"""How do generative models of molecules compare?

Every variant is a recipe of `molvae train` that differs from the beta-VAE in what its name says and
in nothing else: the same data, as many molecules seen, in batches of the same size, and a network
with as many weights. Without a remark the weight of the KL term is that of the beta-VAE;
semi-supervised models have noise levels and twice that weight. Priors are fitted to the codes of
the one beta-VAE.

Bounds are in nats per symbol, with the learned prior; molecules are sampled from the prior and then
token by token, and invalid ones are repaired. R2 is that of a ridge regression on z; outliers are
absurd molecules, SELFIES of as many symbols as test molecules have, sampled at random, as frequent
as in the data or all alike, and molecules of the other data set. A model is stable if short
trainings with different seeds end with much the same loss. Speeds are those of one thread.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

import molvae
from benchmarks.shared import plots
from benchmarks.shared.model_measures import (
    SEED,
    Material,
    Sizes,
    asked,
    bounds,
    codes,
    drawn,
    material,
    outliers,
    readable_properties,
)
from benchmarks.shared.molecules import prepared, readable
from benchmarks.shared.recipes import quietly, size_of, trained, weights, widest
from benchmarks.shared.run import cached, each, plain
from benchmarks.shared.tables import NONE, at, columns, number, numbers, pick
from benchmarks.shared.tables import TITLES as DATA
from molvae.chem.prepare import load_split
from molvae.cli.terminal import layered
from molvae.config import DEFAULT_PROPERTIES, build
from molvae.errors import lookup
from molvae.latent.conversion import pad, try_token_ids
from molvae.latent.labels import label
from molvae.latent.tokenized import TokenizedDataset, tokenize
from molvae.latent.train import train
from molvae.model.config import PriorConfig, TrainConfig
from molvae.model.prior_fitting import choose_prior, fit_vamp

TITLE = "Generative models side by side"
# Of all variants; without noise levels, so that each is what its name says and nothing else.
BASE: Mapping[str, Any] = {
    "representation": "robust-smiles",
    "noised_fraction": 0.0,
    "precision": "float32",
    "device": "cpu",
    "threads": 1,
    "seed": SEED,
    "model": {"noise_conditioning": False},
    "prior": {"kind": "flow", "epochs": 3},
}
NOISY = {"noised_fraction": 0.25, "model": {"noise_conditioning": True}}
# With noise in z, and less told by it, the decoder heeds the conditions, and writes molecules that
# the encoder can read.
CONDITIONAL = {
    **NOISY,
    "conditions": ["logP", "QED"],
    "condition_weight": 3.0,
    "loss": {"of_beta": 2.0},
}
TRANSFORMER = {
    "residual_conditioning": False,
    "encoder": "transformer",
    "decoder": "transformer",
    "layers": 2,
}
# Titles, and what is changed in the base recipe; `of_beta` is a share of the baseline's beta.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "autoencoder": (
        "autoencoder, deterministic",
        {"model": {"posterior": "point"}, "loss": {"beta": 0.0}},
    ),
    "beta-vae": ("beta-VAE", {}),
    "vae": ("VAE (beta 1)", {"loss": {"beta": 1.0}}),
    "beta-4": ("beta-VAE (beta 4)", {"loss": {"beta": 4.0}}),
    "free-bits": (
        "free bits, 0.5 nats a unit (beta 1)",
        {"loss": {"beta": 1.0, "free_bits": 0.5}},
    ),
    "iwae": (
        "importance-weighted, 8 samples (beta 1)",
        {"loss": {"kind": "iwae", "n_samples": 8, "beta": 1.0}},
    ),
    "total-correlation": (
        "total-correlation VAE (2.5 times of it, half of beta)",
        {"loss": {"kind": "total-correlation", "total_correlation_weight": 2.5, "of_beta": 0.5}},
    ),
    "flow-posterior": ("flow posterior", {"model": {"posterior": "flow"}}),
    "transformer": ("transformer", {"model": TRANSFORMER, "learning_rate": 1e-3}),
    "property-heads": (
        "property heads",
        {"properties": list(DEFAULT_PROPERTIES), "property_weight": 3.0},
    ),
    "noise-levels": ("noise levels", NOISY),
    "semi-supervised": ("semi-supervised", CONDITIONAL),
    "semi-supervised-5": (
        "semi-supervised, 5 % of labels",
        CONDITIONAL | {"labeled_fraction": 0.05},
    ),
    "language-model": (
        "language model",
        {"model": {"latent_dim": 0, "residual_conditioning": False}, "prior": {"kind": "auto"}},
    ),
}
PRIORS = {
    "normal": "N(0, I)",
    "mixture": "mixture of Gaussians",
    "vamp": "mixture of posteriors (vamp)",
    "flow": "coupling flow",
    "autoregressive": "autoregressive flow",
}
BASELINE = "beta-vae"  # to whose codes the priors are fitted
UNASKED = "noise-levels"  # to which conditional generation is compared


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Variants trained on a data set, and measured."""

    name: str
    molecules: int  # seen in each training, repeats included
    recipe: Mapping[str, Any]  # its own part of the base recipe
    variants: tuple[str, ...] = field(repr=False)  # more of them change no kept result
    asked: Mapping[str, tuple[float, ...]]  # values of conditions, inside of the data set's
    other: str  # data set of other molecules
    seeds: tuple[int, ...] = (1, 2, 3)
    sizes: Sizes = field(default_factory=Sizes)
    data: Path = Path()  # the prepared data set
    folder: Path = Path()  # where models and measures are kept

    @property
    def short(self) -> int:
        """Molecules seen where only the spread over seeds is measured."""
        return self.molecules // 10

    def tokens(self, jobs: int = 1) -> TokenizedDataset:
        """The tokens of the data set."""
        merges = self.recipe["bpe_merges"]
        return tokenize(self.data, str(BASE["representation"]), merges, workers=jobs)


def _recipe(merges: int, *widths: int, **more: Any) -> dict[str, Any]:
    names = ("latent_dim", "embedding_dim", "encoder_dim", "decoder_dim", "position_dim")
    return {"bpe_merges": merges, "model": dict(zip(names, widths, strict=True)), **more}


PLANS = {
    "qm9": Plan(
        name="qm9",
        molecules=300_000,
        recipe=_recipe(100, 32, 32, 128, 256, 16, loss={"beta": 0.1}),
        variants=tuple(VARIANTS),
        asked={"logP": (-1.0, 0.0, 1.0), "QED": (0.4, 0.5, 0.55)},
        other="zinc250k",
    ),
    "zinc250k": Plan(
        name="zinc250k",
        molecules=400_000,
        recipe=_recipe(300, 64, 48, 192, 384, 24, loss={"beta": 0.2}),
        variants=(
            "beta-vae",
            "vae",
            "total-correlation",
            "transformer",
            "noise-levels",
            "semi-supervised",
            "semi-supervised-5",
            "language-model",
        ),
        asked={"logP": (0.0, 2.0, 4.0), "QED": (0.6, 0.8, 0.9)},
        other="qm9",
        seeds=(),
    ),
}
QUICK = replace(
    PLANS["zinc250k"],
    molecules=256,
    recipe=_recipe(20, 4, 8, 16, 16, 4, prior={"epochs": 1}),
    asked={"logP": (2.0,), "QED": (0.8,)},
    other="zinc250k",
    seeds=(1, 2),
    sizes=Sizes(
        held_out=60, bounded=4, drawn=20, asked=6, strange=8, codes=100, epochs=1, fcd=False
    ),
)


def measure(
    *,
    quick: bool,
    jobs: int,
    folder: Path,
    data: Sequence[str] = tuple(PLANS),
    variants: Sequence[str] | None = None,
    molecules: int | None = None,
) -> dict[str, Any]:
    """A row for each variant, and one for each prior, by data set."""
    plans = [lookup("data set", name, PLANS) for name in data] if not quick else [QUICK]
    for variant in variants or ():
        lookup("variant", variant, VARIANTS)
    with prepared([plan.name for plan in plans], 300 if quick else None) as place:
        found = {}
        for plan in plans:
            n = molecules or plan.molecules
            plan = replace(plan, molecules=n, data=place / plan.name, folder=folder / plan.name)
            found[plan.name] = of_plan(plan, variants or plan.variants, jobs)
        return {"data": found}


def of_plan(plan: Plan, variants: Sequence[str], jobs: int) -> dict[str, Any]:
    """Train and measure variants of a data set, and the priors if the baseline is among them."""
    # Made once, by one process, and read by all.
    plan.tokens(jobs)
    label(plan.data, DEFAULT_PROPERTIES, workers=jobs)
    what = material(plan.data, plan.other, plan.sizes, jobs)
    names = [name for name in VARIANTS if name in variants]
    changes = {name: changed(plan, name) for name in names}
    rows = [(plan, name, what, change) for name, change in changes.items()]
    priors = [(plan, kind, what) for kind in PRIORS if BASELINE in names]
    return {
        "settings": {
            "molecules": plan.molecules,
            "short": plan.short,
            "seeds": list(plan.seeds),
            "recipe": json.loads(json.dumps(settings_of(plan, BASELINE))),
            "other": plan.other,
            "sizes": asdict(plan.sizes),
        },
        "floor": what.floor,
        "rows": each(row, rows, jobs=jobs, kept=plan.folder),
        "priors": each(prior_row, priors, jobs=jobs, kept=plan.folder),
    }


def settings_of(plan: Plan, variant: str) -> dict[str, Any]:
    """Recipe of a variant, as in a TOML file, without folders."""
    seen = {"n_molecules": plan.molecules, "validate_every": plan.molecules}
    layers: list[Mapping[str, Any]] = [BASE, plan.recipe, changed(plan, variant)]
    return reduce(layered, layers, seen)


def changed(plan: Plan, variant: str) -> dict[str, Any]:
    """Changes of a variant in the recipe of a data set."""
    change = deepcopy(dict(VARIANTS[variant][1]))
    if (share := change.get("loss", {}).pop("of_beta", None)) is not None:
        change["loss"]["beta"] = share * _built(layered(BASE, plan.recipe)).loss.beta
    return change


def _built(settings: Mapping[str, Any], out: Path = Path(), data: Path = Path()) -> TrainConfig:
    return build(TrainConfig, {**settings, "data": str(data), "out": str(out)})


def recipe(plan: Plan, variant: str, symbols: int, longest: int, out: Path) -> TrainConfig:
    """A variant's recipe, with a network that has as many weights as the baseline's.

    Of a language model, which has no encoder, and of transformers the width is chosen so.
    """

    def size(config: TrainConfig) -> int:
        heads, conditions = len(config.properties), len(config.conditions)
        return weights(config.model, symbols, longest, heads, conditions)

    config = _built(settings_of(plan, variant), out, plan.data)
    names = ["encoder_dim", "decoder_dim"] if config.model.latent_dim else ["decoder_dim"]
    if config.model.latent_dim and config.model.decoder != "transformer":
        return config
    most = size(_built(settings_of(plan, BASELINE)))
    model = widest(config.model, names, most, lambda m: size(replace(config, model=m)))
    return replace(config, model=model)


def model_folder(plan: Plan, variant: str) -> Path:
    """Where the model of a variant is kept, for each state of its settings."""
    text = json.dumps(settings_of(plan, variant))
    return plan.folder / f"{variant}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def row(plan: Plan, variant: str, what: Material, changes: Mapping[str, Any]) -> dict[str, Any]:
    """One variant: trained, unless it was, and measured."""
    torch.set_num_threads(1)
    tokens, sizes, place = plan.tokens(), plan.sizes, model_folder(plan, variant)
    config = recipe(plan, variant, len(tokens.vocabulary), tokens.train.shape[1], place / "model")
    about = cached(place / "training.json", lambda: trained(config))
    space = molvae.load(config.out)
    is_compared = space.conditions or variant == UNASKED
    found = {
        "variant": variant,
        "changed": changes,
        "weights": size_of(space.model),
        "latent_dim": space.config.latent_dim,
        "training": about,
        "codes": codes(space, what),
        "bounds": bounds(space, what, sizes.bounded),
        "read": readable_properties(space, what),
        "drawn": drawn(space, what, sizes.drawn),
        "outliers": outliers(space, what, sizes.strange),
        "seeds": over_seeds(replace(config, n_molecules=plan.short), plan.seeds),
        "asked": asked(space, what, plan.asked, sizes.asked) if is_compared else {},
    }
    print(f"{plan.name}: {variant} measured", file=sys.stderr, flush=True)
    return found


def over_seeds(config: TrainConfig, seeds: Sequence[int]) -> dict[str, Any]:
    """Losses of short trainings with different seeds, and their standard deviation over their mean.

    Reconstruction plus beta times the KL term, nats per validation molecule; None if not finite.
    """
    if not seeds:
        return {}
    losses: list[float | None] = []
    no_prior = replace(config.prior, kind="auto", epochs=0, calibrate=False)
    config = replace(config, validate_every=config.n_molecules, prior=no_prior)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            one = replace(config, seed=seed, out=f"{place}/run")
            made, _ = quietly(partial(train, one, workers=1))
            valid = molvae.load(made).card.about["validation"]
        losses.append(plain(valid["reconstruction_nats"] + config.loss.beta * valid["kl_nats"]))
    finite = [loss for loss in losses if loss is not None]
    std = float(np.std(finite, ddof=1) / np.mean(finite)) if len(finite) > 1 else None
    return {"losses": losses, "std": std}


def prior_row(plan: Plan, kind: str, what: Material) -> dict[str, Any]:
    """One kind of prior of the baseline's codes, and the model with it.

    `log_density`: mean of draws from the posteriors of validation molecules, in nats; `normal`:
    the same under N(0, I).
    """
    torch.set_num_threads(1)
    space, sizes = copy(molvae.load(model_folder(plan, BASELINE) / "model")), plan.sizes
    train, valid = (readable(space, load_split(plan.data, name)) for name in ("train", "valid"))
    few = train[:: max(1, math.ceil(len(train) / sizes.codes))]
    rows = pad([ids for ids in try_token_ids(space, few) if ids is not None])
    of_rows = space.sample_posterior(few, 4, SEED).float().transpose(0, 1)
    new = space.sample_posterior(valid, 1, SEED)[:, 0].float()
    passes = sizes.epochs if kind != "normal" else 0
    named = cast(Literal["auto", "normal"], "auto" if kind == "normal" else kind)
    began = time.process_time()
    (space.prior, density), _ = quietly(
        lambda: choose_prior(
            of_rows,
            new,
            PriorConfig(kind=named, epochs=passes),
            vamp=lambda: fit_vamp(space.model, rows, of_rows, epochs=passes, seed=SEED),
            seed=SEED,
        )
    )
    return {
        "prior": kind,
        "log_density": density[kind],
        "normal": density["normal"],
        "fit_seconds": round(time.process_time() - began, 1),
        "bounds": bounds(space, what, sizes.bounded),
        "drawn": drawn(space, what, sizes.drawn),
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """For each data set what models are like, and what they claim."""
    lines = list[str]()
    for name, found in result["data"].items():
        lines += [f"### {DATA[name]}, generative models", "", *_of_data(found), ""]
    return lines[:-1]


def _of_data(found: Mapping[str, Any]) -> list[str]:
    settings, rows = found["settings"], found["rows"]
    sizes, other = settings["sizes"], DATA[settings["other"]]
    base = next((row for row in rows if row["variant"] == BASELINE), rows[0])
    beta = build(TrainConfig, {"data": "", "out": "", **settings["recipe"]}).loss.beta
    seeds = f"{len(settings['seeds'])} trainings of {settings['short']:,} molecules each"
    names = "logP, SAS, QED"

    generated = {
        "valid without repair": at("fluent", ".1%", part="drawn"),
        "valid": at("validity", ".1%", part="drawn"),
        "distinct": at("uniqueness", ".1%", part="drawn"),
        "new": at("novelty", ".1%", part="drawn"),
        "FCD": at("fcd", part="drawn"),
    }
    nats = at("nats_1 nats_8 nats_64", ".3f", part="bounds")
    floor = {"variant": None, "drawn": found["floor"]}
    lines = [
        f"{settings['molecules']:,} molecules seen, about {base['weights']:,} weights, "
        f"{base['latent_dim']} dimensions of z, beta {beta:g}; {sizes['held_out']:,} test "
        f"molecules reconstructed and regressed on, {sizes['bounded']:,} bounded, "
        f"{sizes['drawn']:,} sampled.",
        "",
        *columns(rows, {
            "model": _title,
            "reconstructed from: mean, sample":
                at("reconstruction posterior_reconstruction", ".1%", part="codes"),
            "KL, nats; active units": _active,
            "bound: 1, 8, 64 samples": nats,
            f"R2 of {names}": at("ridge_*", part="read"),
            "total correlation, nats": at("total_correlation", part="codes"),
            f"AUROC: absurd, all alike, {other}": partial(_auroc, other=settings["other"]),
        }),
        "",
        *columns([*rows, floor], {
            "model": _title,
            **generated,
            f"mean of {names} off, std": at("shift_*", "+.2f", part="drawn"),
            "std over that of the data": at("std_ratio_*", part="drawn"),
        }),
        "",
        "What is claimed of such models, measured; stable: "
        + (f"standard deviation of the loss of {seeds}, over its mean." if settings["seeds"]
           else "on QM9 only."),
        "",
        *columns(rows, {
            "model": _title,
            "stable? std over seeds": _stable,
            "likelihood exact?": _likelihood,
            "molecules a second: training": at("per_second", ",", part="training"),
            "CPU minutes, with prior": at("minutes", ".1f", part="training"),
            "molecules a second: sampling": at("per_second", ",", part="drawn"),
        }),
    ]  # fmt: skip
    if found["priors"]:
        lines += ["", *columns(found["priors"], {
            "prior of the codes of the beta-VAE": lambda row: PRIORS[row["prior"]],
            "log-density of held-out codes, nats": at("log_density"),
            "gain over N(0, I)": lambda row: number(row["log_density"] - row["normal"], "+.2f"),
            "bound: 1, 8, 64 samples": nats,
            **{name: generated[name] for name in ("valid without repair", "distinct", "FCD")},
            "furthest off, std": at("off", part="drawn"),
            "seconds to fit": at("fit_seconds", ".0f"),
            "molecules a second": at("per_second", ",", part="drawn"),
        })]  # fmt: skip
    return lines + _on_demand(found)


def _title(row: Mapping[str, Any]) -> str:
    return VARIANTS[row["variant"]][0] if row["variant"] else "*training molecules*"


def _active(row: Mapping[str, Any]) -> str:
    units = f"{row['codes']['active_units']:.0f} of {row['latent_dim']}" if row["codes"] else NONE
    return f"{pick(row['codes'], ('kl',), '.1f')}; {units}"


def _auroc(row: Mapping[str, Any], other: str) -> str:
    known = "bound" if row["bounds"] else "density"
    keys = [f"{known}_{kind}" for kind in ("absurd", "absurd-even", other)]
    return pick(row["outliers"], keys, ".3f")


def _stable(row: Mapping[str, Any]) -> str:
    text = pick(row["seeds"], ("std",), ".1%")
    if failed := sum(loss is None for loss in row["seeds"].get("losses", ())):
        text += f", {failed} failed"
    collapsed = any("collaps" in warning for warning in row["training"]["warnings"])
    return text + ", collapsed" * collapsed


def _likelihood(row: Mapping[str, Any]) -> str:
    bounds = row["bounds"]
    if not bounds:
        return "there is none"
    if bounds["spread"] == 0:
        return "exact"
    if None in (bounds["nats_64"], bounds["nats_1"], bounds["error"]):
        return "a bound, not finite"
    rise = (bounds["nats_64"] - bounds["nats_1"]) * bounds["symbols"]
    error = bounds["error"] * bounds["symbols"]
    return f"a bound; 64 samples raise it by {rise:.2f} ± {error:.2f} nats"


def _on_demand(found: Mapping[str, Any]) -> list[str]:
    """Median absolute error of what was asked for, in its unit and in std of the data."""
    rows = {row["variant"]: row["asked"] for row in found["rows"] if row["asked"]}
    names = [n for n in (UNASKED, "semi-supervised", "semi-supervised-5") if n in rows]
    if names in ([], [UNASKED]):
        return []

    def cell(key: str, name: str) -> str:
        of = rows[name][key]
        if of["error"] is None:
            return NONE
        shares = numbers([of["validity"], of["uniqueness"]], ".0%")
        return f"{number(of['error'], '.3g')} ({number(of['in_std'])} std); {shares}"

    titles = {name: VARIANTS[name][0] for name in names} | {UNASKED: "not asked: noise levels"}
    return [
        "",
        f"Molecules on demand, {found['settings']['sizes']['asked']:,} for each value, as "
        "`generate` makes them: sampled again, up to twenty times, where the model's own encoder "
        "expects them to be more than 0.25 standard deviations (std) off. Median absolute error "
        "(in std of the data); valid, distinct.",
        "",
        *columns(rows[names[-1]], {
            "asked for": lambda key: key.replace("=", " = "),
            **{titles[name]: partial(cell, name=name) for name in names},
        }),
    ]  # fmt: skip


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """A line of panels for each data set: codes, molecules, priors, molecules on demand."""
    data = result["data"]
    figure, lines = plots.panels(len(data), 4, (4.0, 3.8), width_ratios=(1.7, 1, 1, 1.2))
    for (scatter, bars, gains, errors), (name, found) in zip(lines, data.items(), strict=True):
        for row in found["rows"]:
            if row["bounds"]:
                place = [*VARIANTS].index(row["variant"])
                scatter.plot(
                    100 * (row["codes"].get("reconstruction") or 0.0),
                    row["bounds"]["nats_64"],
                    "os^Dv"[place // len(plots.COLORS)],
                    color=plots.COLORS[place % len(plots.COLORS)],
                    label=_title(row),
                )
        scatter.set(xlabel="reconstructed, %", ylabel="bound of 64 samples, nats per symbol")
        scatter.set_title(f"{DATA[name]}: faithful, and likely")
        scatter.legend(fontsize=5.5)
        key = "fcd" if found["rows"][0]["drawn"]["fcd"] is not None else "off"
        named = [(_title(row), row["drawn"][key]) for row in found["rows"]][::-1]
        bars.barh([n for n, _ in named], [v or 0.0 for _, v in named])
        if found["floor"][key] is not None:
            bars.axvline(found["floor"][key], color="black", linewidth=0.8)
        bars.set_title(
            "FCD (line: training molecules)" if key == "fcd" else "furthest property, std"
        )
        higher = [(PRIORS[p["prior"]], p["log_density"] - p["normal"]) for p in found["priors"]]
        gains.barh([n for n, _ in higher[::-1]], [v for _, v in higher[::-1]])
        gains.set_title("codes: nats above N(0, I)")
        for row in found["rows"]:
            if of := row["asked"]:
                title = _title(row) if row["variant"] != UNASKED else "not asked"
                plots.lines(errors, [*of], {title: [e["in_std"] for e in of.values()]})
        errors.set_title("asked for: median error, std")
        errors.tick_params(axis="x", rotation=30)
    plots.save(figure, folder / "generative-models.svg")
