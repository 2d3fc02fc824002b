"""Generative models of molecules side by side: one size, one budget, one loop, one thing changed.

Every variant is a recipe of `molvae train` that differs from the beta-VAE in what its name says. It
sees the same number of molecules in batches of the same size, and its network has as many weights;
runs stay in `runs/generative-models`, with their measures beside them: what is there is neither
trained nor measured again. Priors are fitted to the codes of the one beta-VAE. How much depends on
the seed is seen in three trainings of a tenth of the length.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

import molvae
from benchmarks.generative_measures import (
    DRAWS,
    SEED,
    Kept,
    Sizes,
    asked,
    bounds,
    codes,
    draw,
    drawn,
    material,
    of_molecules,
    outliers,
    prepared,
    quietly,
    readable_properties,
)
from benchmarks.generative_models_report import figures, readme_table
from benchmarks.property_measures import plain
from molvae._files import write_atomically
from molvae.config import PriorConfig, TrainConfig, as_settings, build
from molvae.datasets import prepare, sample_molecules
from molvae.errors import DataError
from molvae.latent import LatentSpace
from molvae.metrics import PROPERTIES
from molvae.model.checkpoint import CARD
from molvae.model.priors import choose_prior, covariance_of, fit_vamp
from molvae.model.progress import Progress
from molvae.model.training import train as fit
from molvae.model.training import trim, validate
from molvae.model.vae import SequenceVAE
from molvae.recipe import train
from molvae.tokens import Tokens, label, tokenise

RESULT = Path(__file__).parent / "results" / "generative-models.json"
FOLDER = Path("runs") / "generative-models"

BASE: Mapping[str, Any] = {
    "representation": "robust-smiles",
    "noisy": 0.0,
    "precision": "float32",
    "device": "cpu",
    "threads": 1,
    "seed": SEED,
    "model": {"noise_levels": False},
    "prior": {"kind": "flow", "passes": 3},
}
"""Of all variants; without noise levels, so that each is what its name says and nothing else."""
NO_Z = {"latent_dim": 0, "explain": False}
TRANSFORMER = {"explain": False, "encoder": "transformer", "decoder": "transformer", "layers": 2}
NOISY = {"noisy": 0.25, "model": {"noise_levels": True}}
# With noise in z, and less told by it, the decoder heeds the conditions, and writes what the
# encoder can read.
CONDITIONAL = {
    **NOISY,
    "conditions": ["logP", "QED"],
    "condition_weight": 3.0,
    "objective": {"of_beta": 2.0},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "autoencoder": {"model": {"posterior": "point"}, "objective": {"beta": 0.0}},
    "beta-vae": {},
    "vae": {"objective": {"beta": 1.0}},
    "beta-4": {"objective": {"beta": 4.0}},
    "free-bits": {"objective": {"beta": 1.0, "free_bits": 0.5}},
    "iwae": {"objective": {"kind": "iwae", "draws": 8, "beta": 1.0}},
    "total-correlation": {
        "objective": {"kind": "total-correlation", "total_correlation": 2.5, "of_beta": 0.5}
    },
    "flow-posterior": {"model": {"posterior": "flow"}},
    "transformer": {"model": TRANSFORMER, "learning_rate": 1e-3},
    "property-heads": {"properties": list(PROPERTIES), "property_weight": 3.0},
    "noise-levels": NOISY,
    "semi-supervised": CONDITIONAL,
    "semi-supervised-5": CONDITIONAL | {"labelled": 0.05},
    "language-model": {"model": NO_Z, "prior": {"kind": "auto"}},
}
"""What is changed in the base recipe; `of_beta` is a share of the baseline's beta."""
NOWHERE = {"data": "", "out": ""}
SLOWEST = ("iwae", "noise-levels", "semi-supervised", "semi-supervised-5", "total-correlation")
"""Are begun first, so that processes end together."""
MAIN = (
    "beta-vae",
    "vae",
    "total-correlation",
    "transformer",
    "noise-levels",
    "semi-supervised",
    "semi-supervised-5",
    "language-model",
)
"""On the larger data set."""
BASELINE = "beta-vae"
"""Whose codes the priors are fitted to."""
UNASKED = "noise-levels"
"""To which conditional generation is compared."""
ABSURD = ("absurd", "absurd-even")
PRIORS = ("normal", "mixture", "vamp", "flow", "autoregressive")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained on a data set, and measured."""

    name: str
    molecules: int
    """Seen in each training, repeats included."""
    short: int
    """Likewise, where only the spread over seeds is measured."""
    recipe: Mapping[str, Any]
    """What is its own in the base recipe."""
    variants: tuple[str, ...]
    asked: Mapping[str, tuple[float, ...]]
    """Values of conditions, inside of what the data set has."""
    other: str
    """Data set of other molecules."""
    seeds: tuple[int, ...] = (1, 2, 3)
    sizes: Sizes = field(default_factory=Sizes)
    data: str = "data"
    """Folder of the prepared data sets."""
    folder: str = str(FOLDER)

    @property
    def prepared(self) -> Path:
        """The prepared data set."""
        return Path(self.data) / self.name

    @property
    def runs(self) -> Path:
        """Where its runs are; those of another length are elsewhere."""
        return Path(self.folder) / f"{self.name}-{self.molecules}"


PLANS = {
    "qm9": Plan(
        name="qm9",
        molecules=300_000,
        short=30_000,
        recipe={
            "merges": 100,
            "model": {
                "latent_dim": 32,
                "embedding_dim": 32,
                "encoder_dim": 128,
                "decoder_dim": 256,
                "position_dim": 16,
            },
            "objective": {"beta": 0.1},
        },
        variants=tuple(VARIANTS),
        asked={"logP": (-1.0, 0.0, 1.0), "QED": (0.4, 0.5, 0.55)},
        other="zinc250k",
    ),
    "zinc250k": Plan(
        name="zinc250k",
        molecules=400_000,
        short=40_000,
        recipe={
            "merges": 300,
            "model": {
                "latent_dim": 64,
                "embedding_dim": 48,
                "encoder_dim": 192,
                "decoder_dim": 384,
                "position_dim": 24,
            },
            "objective": {"beta": 0.2},
        },
        variants=MAIN,
        asked={"logP": (0.0, 2.0, 4.0), "QED": (0.6, 0.8, 0.9)},
        other="qm9",
        seeds=(),
    ),
}
SMOKE = Sizes(held_out=60, bounded=4, drawn=20, asked=6, strange=8, codes=100, passes=1, fcd=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    parser.add_argument("--data", nargs="+", choices=[*PLANS], default=[*PLANS])
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS], help="only these of them")
    parser.add_argument("--molecules", type=int, help="seen in each training")


def run(
    *,
    smoke: bool,
    jobs: int,
    data: Sequence[str] = tuple(PLANS),
    variants: Sequence[str] | None = None,
    molecules: int | None = None,
    folder: Path = FOLDER,
) -> dict[str, Any]:
    """A row for each variant, and one for each prior, by data set.

    What the written result holds of other data sets and variants is kept.

    Raises:
        DataError: A data set is not prepared.
    """
    if smoke:
        return {"data": {"zinc250k": smoke_table(jobs, variants or tuple(VARIANTS), folder)}}
    plans = [replace(PLANS[name], folder=str(folder)) for name in data]
    if molecules:
        plans = [replace(plan, molecules=molecules, short=molecules // 10) for plan in plans]
    for plan in plans:
        if not (plan.prepared / "prepare.json").is_file():
            raise DataError(
                f"{plan.prepared} is missing; make it with `molvae prepare {plan.name} "
                f"{plan.prepared}`"
            )
    found = json.loads(RESULT.read_text("utf-8"))["result"]["data"] if RESULT.exists() else {}
    for plan in plans:
        of_plan = table(plan, variants or plan.variants, jobs)
        recipes = {variant: changed(plan, variant) for variant in VARIANTS}
        found[plan.name] = together(found.get(plan.name), of_plan, recipes)
    return {"data": {name: found[name] for name in PLANS if name in found}}


def together(
    before: Mapping[str, Any] | None, now: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """What was measured now, and before of other variants, if with the same settings.

    Args:
        before: A data set's result, if there is one.
        now: Likewise.
        changes: What each variant changes in the recipe today.
    """
    if before is None or before["settings"] != now["settings"]:
        return with_verdict(now)
    kept = [row for row in before["rows"] if row["changed"] == changes.get(row["variant"])]
    rows = {row["variant"]: row for row in (*kept, *now["rows"])}
    return with_verdict(
        {
            "settings": now["settings"],
            "floor": now["floor"],
            "rows": [rows[name] for name in VARIANTS if name in rows],
            "priors": now["priors"] or before["priors"],
        }
    )


def smoke_table(jobs: int, variants: Sequence[str], folder: Path) -> dict[str, Any]:
    """The table of a few molecules of ZINC250k and tiny networks."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "few.smi"
        file.write_text("\n".join(sample_molecules("zinc250k", 300, seed=0)), "utf-8")
        prepare(file, Path(place) / "zinc250k", workers=1)
        tiny = {
            "latent_dim": 4,
            "embedding_dim": 8,
            "encoder_dim": 16,
            "decoder_dim": 16,
            "position_dim": 4,
        }
        plan = replace(
            PLANS["zinc250k"],
            molecules=256,
            short=128,
            seeds=(1, 2),
            recipe={"merges": 20, "model": tiny, "prior": {"passes": 1}},
            asked={"logP": (2.0,), "QED": (0.8,)},
            other="zinc250k",
            sizes=SMOKE,
            data=place,
            folder=str(folder),
        )
        return with_verdict(table(plan, variants, jobs))


def table(plan: Plan, variants: Sequence[str], jobs: int) -> dict[str, Any]:
    """Train and measure variants of a data set, and the priors if the baseline is among them."""
    # Made once, by one process, and read by all.
    tokenise(plan.prepared, str(BASE["representation"]), plan.recipe["merges"], workers=jobs)
    label(plan.prepared, PROPERTIES, workers=jobs)
    prepared(plan.prepared, plan.runs, plan.other, plan.sizes)
    what = material(plan.prepared, plan.runs)
    order = sorted(variants, key=lambda name: name not in SLOWEST)
    priors = PRIORS if BASELINE in variants else ()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rows = dict(zip(order, pool.map(row, [plan] * len(order), order), strict=True))
        of_priors = list(pool.map(prior_row, [plan] * len(priors), priors))
    return {
        "settings": {
            "molecules": plan.molecules,
            "short": plan.short,
            "seeds": list(plan.seeds),
            "recipe": json.loads(json.dumps(settings_of(plan, BASELINE))),
            "asked": {name: list(values) for name, values in plan.asked.items()},
            "other": plan.other,
            "sizes": asdict(plan.sizes),
            "data_sd": dict(zip(PROPERTIES, what.sd, strict=True)),
        },
        "floor": what.floor,
        "rows": [rows[name] for name in VARIANTS if name in rows],
        "priors": of_priors,
    }


def settings_of(plan: Plan, variant: str) -> dict[str, Any]:
    """Recipe of a variant, as in a TOML file, without folders."""
    seen = {"molecules": plan.molecules, "validate_every": plan.molecules}
    return layered(seen, BASE, plan.recipe, changed(plan, variant))


def changed(plan: Plan, variant: str) -> dict[str, Any]:
    """What a variant changes in the recipe of a data set."""
    change = layered(VARIANTS[variant])
    if (share := change.get("objective", {}).pop("of_beta", None)) is not None:
        objective = build(TrainConfig, {**layered(BASE, plan.recipe), **NOWHERE}).objective
        change["objective"]["beta"] = share * objective.beta
    return change


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, later ones over earlier ones; tables are changed key by key."""
    settings: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    return settings


def recipe(plan: Plan, variant: str, tokens: Tokens) -> TrainConfig:
    """A variant's recipe, with a network that has as many weights as the baseline's.

    Of a language model, which has no encoder, and of transformers the width is chosen so.
    """
    base, settings = settings_of(plan, BASELINE), settings_of(plan, variant)
    places = {"data": str(plan.prepared), "out": str(plan.runs / variant)}
    wanted = weights(build(TrainConfig, base | places), tokens)
    if settings["model"].get("decoder") == "transformer":
        settings["model"] |= _widest(("encoder_dim", "decoder_dim"), settings, wanted, tokens)
    elif settings["model"]["latent_dim"] == 0:
        settings["model"] |= _widest(("decoder_dim",), settings, wanted, tokens)
    return build(TrainConfig, settings | places)


def _widest(
    names: Sequence[str], settings: Mapping[str, Any], most: int, tokens: Tokens
) -> dict[str, int]:
    """The largest multiple of 8 as width of parts of a network, without more weights than most."""

    def size(width: int) -> int:
        model = settings["model"] | dict.fromkeys(names, width)
        return weights(build(TrainConfig, {**settings, **NOWHERE, "model": model}), tokens)

    widths = range(8, 2_049, 8)
    return dict.fromkeys(names, widths[max(1, bisect_right(widths, most, key=size)) - 1])


def weights(config: TrainConfig, tokens: Tokens) -> int:
    """Numbers that the network learns."""
    with torch.device("meta"):
        network = _network(config, tokens)
    return sum(p.numel() for p in network.parameters())


def _network(config: TrainConfig, tokens: Tokens) -> SequenceVAE:
    return SequenceVAE(
        config.model,
        len(tokens.vocabulary),
        tokens.train.shape[1],
        len(config.properties),
        len(config.conditions),
    )


def row(plan: Plan, variant: str) -> dict[str, Any]:
    """One variant: trained, unless it is there, and measured."""
    torch.set_num_threads(1)
    tokens = tokenise(plan.prepared, str(BASE["representation"]), plan.recipe["merges"], workers=1)
    config = recipe(plan, variant, tokens)
    about = trained(config)
    space, what, sizes = molvae.load(config.out), material(plan.prepared, plan.runs), plan.sizes
    kept = Kept(
        Path(config.out) / "measures.json",
        {"run": space.fingerprint, "sizes": asdict(sizes), "asked": plan.asked, "seed": SEED},
    )
    groups = {
        "codes": lambda: codes(space, what),
        "bounds": lambda: bounds(space, what, sizes.bounded),
        "read": lambda: readable_properties(space, what),
        "drawn": lambda: drawn(space, what, sizes.drawn),
        "outliers": lambda: outliers(space, what, sizes.strange),
        "seeds": lambda: over_seeds(replace(config, molecules=plan.short), tokens, plan.seeds),
    }
    found: dict[str, Any] = {"asked": {}}
    if space.conditions or variant == UNASKED:
        groups["asked"] = lambda: asked(space, what, plan.asked, sizes.asked)
    for name, make in groups.items():
        began = time.process_time()
        found[name] = kept(name, make)
        _say(f"{plan.name}, {variant}: {name}", time.process_time() - began)
    return {
        "variant": variant,
        "changed": changed(plan, variant),
        "weights": sum(p.numel() for p in space.model.parameters()),
        "latent_dim": space.config.latent_dim,
        "training": about,
        **found,
    }


def trained(config: TrainConfig) -> dict[str, Any]:
    """Train a run unless it is there with this recipe; and how fast, and with which warnings."""
    folder, seconds = Path(config.out), Path(config.out) / "training.json"
    wanted = json.loads(json.dumps(as_settings(config)))
    if (folder / CARD).exists():
        there = json.loads((folder / CARD).read_text("utf-8"))["about"]["recipe"]
        if _same(there, wanted) and seconds.exists():
            return dict(json.loads(seconds.read_text("utf-8")))
    marks = [(0, time.process_time(), False)]

    def mark(progress: Progress) -> None:
        at = time.process_time()
        marks.append((progress.molecules, at, progress.valid_kl is not None))

    _, said = quietly(lambda: train(config, overwrite=True, workers=1, on_progress=mark))
    whole = time.process_time() - marks[0][1]
    _say(f"{folder}: trained", whole)
    about = {
        "per_second": _rate(marks),
        "minutes": round(whole / 60, 2),
        "warnings": sorted(set(said)),
    }
    write_atomically(seconds, json.dumps(about).encode())
    return about


def _same(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether recipes are equal, wherever data and runs are."""
    return all(there.get(k) == v for k, v in wanted.items() if k not in ("data", "out"))


def _rate(marks: Sequence[tuple[int, float, bool]]) -> int | None:
    """Molecules that a training saw in a second of CPU time, validations not counted."""
    # The first one holds the network's making, too.
    pairs = list(pairwise(marks[1:])) or list(pairwise(marks))
    spans = [pair for pair in pairs if not pair[1][2]] or pairs
    seen = sum(b[0] - a[0] for a, b in spans)
    seconds = sum(b[1] - a[1] for a, b in spans)
    return round(seen / seconds) if seconds > 0 else None


def over_seeds(config: TrainConfig, tokens: Tokens, seeds: Sequence[int]) -> dict[str, Any]:
    """How far short trainings with different seeds end from each other.

    Returns:
        `losses`: for each seed what it minimised but for free bits and further terms,
        reconstruction plus beta times the KL term, in nats per molecule on validation molecules;
        None if it is no number. `sd`: their standard deviation over their mean.
    """
    if not seeds:
        return {}
    losses: list[float | None] = []
    for seed in seeds:
        own = replace(config, seed=seed, validate_every=config.molecules)
        labels = _standard(own, tokens)
        heads = len(own.properties)
        torch.manual_seed(seed)
        network = _network(own, tokens)
        rows, y = labels[:, :heads], labels[:, heads:]
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            quietly(
                lambda n=network, o=own, r=rows, y=y, p=place: fit(  # type: ignore[misc]
                    n, tokens.train, tokens.valid, o, p, labels=r, conditions=y
                )
            )
        rec, kl, _ = validate(network, tokens.valid, covariance=covariance_of(y))
        losses.append(plain(rec + own.objective.beta * kl))
    finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    sd = float(np.std(finite, ddof=1) / np.mean(finite)) if len(finite) > 1 else None
    return {"losses": losses, "sd": sd}


def _standard(config: TrainConfig, tokens: Tokens) -> torch.Tensor:
    """What heads and conditions learn, `n x p`, float32, as `molvae.recipe.train` makes it."""
    names = [*config.properties, *config.conditions]
    if not names:
        return torch.zeros(len(tokens.train), 0)
    labels = label(config.data, names, workers=1)[tokens.places.long()]
    n = len(labels)
    hidden = np.random.default_rng(config.seed).permutation(n)[math.ceil(config.labelled * n) :]
    labels[hidden.tolist()] = torch.nan
    known = labels[~labels.isnan().any(dim=1)]
    return ((labels - known.mean(dim=0)) / known.std(dim=0)).float()


def prior_row(plan: Plan, kind: str) -> dict[str, Any]:
    """One kind of prior of the baseline's codes, and what it makes of the model.

    Returns:
        `log_density`, mean of draws from the posteriors of validation molecules, in nats, and that
        under N(0, I) as `normal`; `nats_64` per symbol with this prior, and the molecules drawn
        with it.
    """
    torch.set_num_threads(1)
    space = copy(molvae.load(plan.runs / BASELINE))
    what, sizes = material(plan.prepared, plan.runs), plan.sizes
    kept = Kept(
        plan.runs / BASELINE / f"prior-{kind}.json",
        {"run": space.fingerprint, "sizes": asdict(sizes), "seed": SEED},
    )

    def make() -> dict[str, Any]:
        tokens = tokenise(
            plan.prepared, str(BASE["representation"]), plan.recipe["merges"], workers=1
        )
        step = max(1, math.ceil(len(tokens.train) / sizes.codes))
        rows, held_out = tokens.train[::step], tokens.valid
        of_rows = codes_of(space, rows, 4)
        new = codes_of(space, held_out, 1)[0]
        passes = sizes.passes if kind != "normal" else 0
        config = PriorConfig(
            kind=cast(Literal["auto", "normal"], "auto" if kind == "normal" else kind),
            passes=passes,
        )
        began = time.process_time()
        (prior, density), said = quietly(
            lambda: choose_prior(
                of_rows,
                new,
                config,
                vamp=lambda: fit_vamp(space.model, rows, of_rows, passes=passes, seed=SEED),
                seed=SEED,
            )
        )
        seconds = time.process_time() - began
        space.prior = prior
        drawn_ = draw(space, sizes.drawn, SEED)
        return {
            "log_density": density[kind],
            "normal": density["normal"],
            "fit_seconds": round(seconds, 1),
            "warnings": said,
            "bounds": bounds(space, what, sizes.bounded),
            "drawn": {"fluent": drawn_.fluent, "per_second": round(drawn_.per_second)}
            | of_molecules(drawn_.molecules, what.mean, what.sd, what.fcd, training=what.training),
        }

    began = time.process_time()
    found = kept("prior", make)
    _say(f"{plan.name}: prior {kind}", time.process_time() - began)
    return {"prior": kind, **found}


@torch.inference_mode()
def codes_of(space: LatentSpace, rows: torch.Tensor, draws: int) -> torch.Tensor:
    """Draws from posteriors of rows of ids, `draws x n x dim`."""
    found = torch.zeros(draws, len(rows), space.dim)
    order = (rows != 0).sum(dim=1).argsort(stable=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for part in torch.split(order, 512):
            code = space.model.infer(trim(rows[part]), draws=draws).code
            found[:, part] = code.view(len(part), draws, -1).transpose(0, 1)
    return found


def with_verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's result with what was asked of the models, and whether it holds."""
    return {**found, "held": verdict(found)}


def verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """What should hold of the models of a data set: the numbers, and True or False.

    Parts are left out whose variants were not measured.
    """
    rows = {row["variant"]: row for row in found["rows"]}
    told: dict[str, Any] = {}
    rising = {}
    for name, row_ in rows.items():
        if (of := row_["bounds"]) and of["spread"] != 0:
            rise = [of[f"nats_{k}"] for k in DRAWS]
            rising[name] = None not in rise and all(a < b for a, b in pairwise(rise))
    if rising:
        told["bounds_rise"] = {
            "holds": all(rising.values()),
            "not": [n for n in rising if not rising[n]],
        }
    if found["priors"]:
        gains = {p["prior"]: plain(p["log_density"] - p["normal"]) for p in found["priors"]}
        learned = [gain for prior, gain in gains.items() if prior != "normal"]
        told["priors"] = {
            "gains": gains,
            "holds": all(gain is not None and gain > 0 for gain in learned),
        }
    if BASELINE in rows:
        areas = {kind: rows[BASELINE]["outliers"][f"bound_{kind}"] for kind in ABSURD}
        told["outliers"] = {"auroc": areas, "holds": min(areas.values()) >= 0.95}
    if {BASELINE, "total-correlation"} <= set(rows):
        pair = [rows[n]["codes"] for n in (BASELINE, "total-correlation")]
        told["total_correlation"] = {
            name: [of[name] for of in pair] for name in ("total_correlation", "reconstruction")
        } | {
            "holds": None not in (of["total_correlation"] for of in pair)
            and pair[1]["total_correlation"] < pair[0]["total_correlation"]
            and pair[1]["reconstruction"] >= pair[0]["reconstruction"]
        }
    if {UNASKED, "semi-supervised"} <= set(rows):
        told["conditional"] = _conditional(rows)
    return told


def _conditional(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Errors of conditional generation, in sd of the data, and the share that few labels lose.

    The share is of the whole gain over molecules that were not asked for anything, summed over the
    values that were asked for.
    """
    names = ("semi-supervised", "semi-supervised-5")
    there = {n: rows[n]["asked"] for n in names if n in rows}
    errors = {n: {k: of["in_sd"] for k, of in found.items()} for n, found in there.items()}
    unasked = {k: of["in_sd"] for k, of in rows[UNASKED]["asked"].items()}
    all_, few = errors[names[0]], errors.get(names[1])
    known = all(e is not None for of in (unasked, *errors.values()) for e in of.values())
    lost = None
    if few is not None and known:
        gain = sum(unasked[k] - all_[k] for k in all_)
        lost = sum(few[k] - all_[k] for k in all_) / gain if gain > 0 else None
    validity = min(of["validity"] for of in there[names[0]].values())
    worst = max(all_.values()) if known else None
    return {
        "worst_in_sd": worst,
        "validity": validity,
        "lost": lost,
        "holds": worst is not None and worst < 0.5 and validity == 1.0,
        "few": few is not None,
        "few_hold": lost is not None and lost < 1 / 3,
    }


def _say(what: str, seconds: float) -> None:
    if seconds > 1:
        print(f"{what}, {seconds:.0f} s", file=sys.stderr, flush=True)


__all__ = ["add_arguments", "figures", "readme_table", "run"]
