"""Do generated molecules have the properties of the data?

The property table of Gómez-Bombarelli et al. (2018), with its published rows: the data, a genetic
algorithm, the bundled VAE in three protocols, and a plain language model of the same size on the
same tokens. *Prior samples* are written greedily at vectors of the learned prior; *sampled*
molecules are samples of the whole generative model, as those of the language model, without those
that had to be repaired, which are sampled again; *perturbed encodings* are random training
molecules, moved by 0.3 standard deviations of the encodings in random directions, as in the paper.
The genetic algorithm is mol-ga's mutations and crossovers without selection, from random molecules
of the data set, until there are as many distinct ones as published; the paper had rules of its own.

Every sample is drawn with several seeds. Valid are shares of all that was drawn, unique of the
valid, in the data set of the distinct; properties are mean (standard deviation) of the valid with
their repeats. FCD is the Fréchet ChemNet Distance of the first sample to the test split, and in
brackets how many times that of as many training molecules. Draws of the language model of ZINC250k
are from before 4569c83, when consecutive seeds shared random numbers: its spread is too small.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import rdBase

import molvae
from benchmarks.shared import plots
from benchmarks.shared.molecules import prepared, readable, some
from benchmarks.shared.recipes import size_of, trained, weights, widest
from benchmarks.shared.run import cached, commit, each, plain
from benchmarks.shared.tables import NONE, TITLES, columns, markdown, mean_std, number, spread
from molvae.analysis.set_metrics import (
    chemnet_statistics,
    frechet_chemnet_distance,
)
from molvae.chem.molecules import canonical_or_none, has_radicals
from molvae.chem.prepare import SPLITS, load_split
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES, CampaignConfig
from molvae.errors import DataError, MissingPackageError
from molvae.latent.space import LatentSpace
from molvae.model.config import ModelConfig, PriorConfig, TrainConfig

TITLE = "The property table"
RADIUS = 0.3  # of the moves of perturbed encodings, in standard deviations, unit by unit
N, SEEDS = 10_000, (0, 1, 2)  # molecules of a draw, and the draws
FCD_DRAWS = 1  # draws whose FCD is computed, which takes longest
PARTS = ("data",)
SPACES = {"zinc250k": CampaignConfig.space, "qm9": "qm9-v2"}
"""The bundled model of each data set."""
GENETIC = {"zinc250k": 5_303, "qm9": 5_470}  # distinct molecules, as many as were published
LM_MOLECULES = 500_000  # seen by the language model in training, repeats included
POPULATION = 1_000  # parents of a generation of the genetic algorithm
GENERATIONS = 100  # after so many without enough molecules something is wrong
# Share of its offspring that is mutated only, and of the crossed ones that is mutated after;
# mol-ga's own numbers.
MUTATED, MUTATED_AFTER = 0.10, 0.01
# First edge, last edge, and number of edges of the histograms.
BINS = {"logP": (-4.0, 8.0, 49), "SAS": (1.0, 8.0, 43), "QED": (0.0, 1.0, 41)}
# Mean and standard deviation, as printed in the table of Gómez-Bombarelli et al. (2018),
# doi:10.1021/acscentsci.7b00572.
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
# Sources in the order of the tables, and their labels.
ORDER = {
    "data": "data set",
    "published data": "*data set, published*",
    "ga": "genetic algorithm",
    "published ga": "*genetic algorithm, published*",
    "prior": "VAE, prior samples",
    "drawn": "VAE, sampled",
    "perturbed": "VAE, perturbed encodings",
    "published vae": "*VAE, published*",
    "language-model": "language model",
    "train": "training molecules (floor of FCD)",
}
COMPARED = ("published ga", "ga", "published vae", "prior", "drawn", "perturbed", "language-model")
IN_FIGURE = ("data", "ga", "prior", "drawn", "perturbed", "language-model")

Drawn = list[str | None]  # canonical SMILES, repeats included; None for what is not a molecule


def measure(
    *,
    quick: bool,
    jobs: int,
    folder: Path,
    data: Sequence[str] = tuple(TITLES),
    n: int = N,
    space: str | None = None,
) -> dict[str, Any]:
    """Draw from every source and measure: a row for each data set and source."""
    seeds: Sequence[int] = SEEDS
    molecules, distinct = LM_MOLECULES, GENETIC
    if quick:
        data, n, seeds, molecules, distinct = ["zinc250k"], 40, (0, 1), 2_000, {"zinc250k": 20}
    torch.set_num_threads(jobs)
    with prepared(data, 400 if quick else None) as place:
        # The fingerprint tells results of a space in the same folder apart.
        spaces = {name: space or SPACES[name] for name in data}
        cases = [
            (name, place / name, spaces[name], molvae.load(spaces[name]).fingerprint, molecules,
             folder, n, distinct[name], seeds, jobs)
            for name in data
        ]  # fmt: skip
        found = dict(zip(data, each(of_data, cases, jobs=1, kept=folder), strict=True))
    return {
        "settings": {"n": n, "seeds": [*seeds], "ga": {name: distinct[name] for name in data}},
        "models": {name: one["models"] | {"commit": commit()} for name, one in found.items()},
        "rows": [row for one in found.values() for row in one["rows"]],
    }


def merge(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Results of now, and of before for data sets that now has not; each has its commit."""
    results = [now if name in now["models"] else before for name in TITLES]
    found = [
        (name, one) for name, one in zip(TITLES, results, strict=True) if name in one["models"]
    ]
    return {
        "settings": now["settings"]
        | {"ga": {name: one["settings"]["ga"][name] for name, one in found}},
        "models": {name: one["models"][name] for name, one in found},
        "rows": [row for name, one in found for row in one["rows"] if row["data"] == name],
    }


def of_data(
    name: str,
    data: Path,
    space: str,
    fingerprint: str,
    molecules: int,
    folder: Path,
    n: int,
    distinct: int,
    seeds: Sequence[int],
    jobs: int,
) -> dict[str, Any]:
    """Both models, and a row for each source; the first is the data set, to compare others to."""
    vae = molvae.load(space)
    model = language_model(vae, data, folder / f"language-model-{name}", molecules)
    parts = {split: load_split(data, split) for split in SPLITS}
    whole, train = [smiles for part in parts.values() for smiles in part], parts["train"]
    try:
        test = chemnet_statistics(parts["test"], workers=jobs)
    except MissingPackageError as error:
        print(f"no Fréchet ChemNet Distance: {error}", file=sys.stderr)
        test = None

    known = set(whole)

    def measured(source: str, seed: int) -> dict[str, Any]:
        """Shares, properties with their histogram, and FCD of a draw, None being no molecule."""
        drawn = sources[source](seed)
        valid = [one for one in drawn if one is not None and not has_radicals(one)]
        unique = set(valid)
        fcd = None
        if test is not None and seed in seeds[:FCD_DRAWS]:
            fcd = frechet_chemnet_distance(valid, test, workers=jobs)
        shares = (
            len(valid) / len(drawn),
            len(unique) / len(valid),
            len(unique & known) / len(unique),
        )
        return (
            {"seed": seed, "n": len(drawn), "fcd": plain(fcd)}
            | dict(zip(("valid", "unique", "in_data"), shares, strict=True))
            | of_values(valid)
        )

    def of_values(smiles: Sequence[str]) -> dict[str, Any]:
        values = score(smiles, DEFAULT_PROPERTIES, workers=jobs)
        return {**statistics(values), "histogram": histogram(values)}

    def kept(source: str, seed: int, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A measured draw, kept, so that an interrupted run goes on."""
        print(f"{name}: {source}, seed {seed}", file=sys.stderr, flush=True)
        place = folder / f"{name}-{fingerprint[:12]}-{n}" / f"{source}-{seed}.json"
        found: dict[str, Any] = cached(place, make)
        return found

    sources: dict[str, Callable[[int], Drawn]] = {
        "train": lambda seed: list(some(train, n, seed)),
        "ga": lambda seed: genetic(whole, distinct, seed),
        "prior": lambda seed: vae.decode(vae.sample_prior(n, seed=seed)),
        "drawn": lambda seed: vae.generate(n, seed=seed),
        "perturbed": lambda seed: perturbed(vae, train, n, seed, RADIUS),
        "language-model": lambda seed: model.generate(n, seed=seed),
    }
    # `prepare` drops texts that are no molecules, and repeats.
    shares = {"n": len(whole), "valid": 1.0, "unique": 1.0, "in_data": 1.0, "fcd": None}
    data_row = shares | kept("data", 0, lambda: of_values(whole))
    draws = {"data": [data_row]} | {
        source: [kept(source, seed, partial(measured, source, seed)) for seed in seeds]
        for source in sources
    }
    rows = {}
    for source, several in draws.items():
        counts = summed([draw.pop("histogram") for draw in several])
        rows[source] = {"draws": several, "histogram": counts} | summary(several, data_row)
    # The distance of finite samples is above 0: the training molecules show by how much.
    for source in sources:
        rows[source]["fcd_floor"] = rows["train"]["fcd"]["mean"]
    if test is not None:
        few = some(train, distinct, seeds[0])
        rows["ga"]["fcd_floor"] = plain(frechet_chemnet_distance(few, test, workers=jobs))
    return {
        "models": described(vae, model, parts["valid"], molecules),
        "rows": [{"data": name, "source": source} | row for source, row in rows.items()],
    }


def language_model(vae: LatentSpace, data: Path, folder: Path, molecules: int) -> LatentSpace:
    """A network without z and with as many weights on the same tokens, trained once."""

    def size(model: ModelConfig) -> int:
        return weights(model, len(vae.vocabulary), vae.max_length)

    plain_model = ModelConfig(latent_dim=0, residual_conditioning=False, noise_conditioning=False)
    config = TrainConfig(
        data=str(data),
        out=str(folder / "model"),
        representation=cast(Any, vae.card.representation["name"]),
        bpe_merges=len(vae.card.bpe_merges),
        model=widest(plain_model, ["decoder_dim"], size_of(vae.model), size),
        n_molecules=molecules,
        validate_every=molecules,
        noised_fraction=0.0,
        prior=PriorConfig(epochs=0),
        device="cpu",
    )
    cached(folder / "training.json", lambda: trained(config))
    return molvae.load(config.out)


def described(
    vae: LatentSpace, model: LatentSpace, valid: Sequence[str], molecules: int
) -> dict[str, Any]:
    """Both models, and how likely the language model finds validation molecules."""
    known = readable(model, valid)
    return {
        "space": {
            "name": vae.name,
            "fingerprint": vae.fingerprint,
            "weights": size_of(vae.model),
            "latent_dim": vae.dim,
        },
        "language_model": {
            "weights": size_of(model.model),
            "width": model.config.decoder_dim,
            "molecules": molecules,
            "nll_nats": round(-float(model.log_prob(known, k=1).mean()), 3),
            "nll_of": f"{len(known)} molecules of the validation split",
        },
    }


def genetic(molecules: Sequence[str], distinct: int, seed: int) -> Drawn:
    """Offspring of random molecules by mol-ga's graph mutations and crossovers, without selection.

    A generation crosses random pairs of the population, or mutates random members; the next
    population is drawn at random from parents and offspring. It ends with so many distinct valid
    offspring, molecules of the data among them; invalid ones are returned as well.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernández-Lobato (2023), arXiv:2310.09267.
    """
    drawn: Drawn = []
    found: set[str] = set()
    rng = Random(seed)
    # mol-ga turns RDKit's logs off for the whole process; leaving this block turns them on again.
    with rdBase.BlockLogs():
        from mol_ga.graph_ga.gen_candidates import mutate, reproduce

        population = some(molecules, POPULATION, seed)
        for _ in range(GENERATIONS):
            offspring: Drawn = []
            for _ in range(len(population)):
                try:
                    if rng.random() < MUTATED:
                        child = mutate(rng.choice(population), rng)
                    else:
                        pair = rng.choices(population, k=2)
                        child = reproduce(*pair, MUTATED_AFTER, rng)
                except RuntimeError:  # of RDKit, on what a rule has made
                    child = None
                offspring.append(canonical_or_none(child) if child else None)
                if offspring[-1] is not None:
                    found.add(offspring[-1])
                if len(found) == distinct:
                    return drawn + offspring
            drawn += offspring
            everyone = population + [child for child in offspring if child is not None]
            population = rng.sample(everyone, min(POPULATION, len(everyone)))
    raise DataError(
        f"{GENERATIONS} generations from {len(molecules)} molecules made only {len(found)} "
        f"distinct ones, {distinct} were asked for; ask for fewer"
    )


def perturbed(
    space: LatentSpace, molecules: Sequence[str], n: int, seed: int, radius: float
) -> Drawn:
    """Near vectors of n random molecules: `decode(encode(molecule) + radius * std * N(0, I))`."""
    z = space.encode(readable(space, some(molecules, n, seed)))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    return space.decode(z + radius * z.std(dim=0) * noise)


def statistics(values: NDArray[np.float64]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation by property, of the finite values."""
    kept = {name: v[~np.isnan(v)] for name, v in zip(DEFAULT_PROPERTIES, values.T, strict=True)}
    there = {name: v if v.size else np.array([np.nan]) for name, v in kept.items()}
    return {n: {"mean": plain(v.mean()), "std": plain(v.std())} for n, v in there.items()}


def histogram(values: NDArray[np.float64]) -> dict[str, list[int]]:
    """Molecules by property and bin; those outside of all bins are in none."""
    return {
        name: np.histogram(column, np.linspace(*BINS[name]))[0].tolist()
        for name, column in zip(DEFAULT_PROPERTIES, values.T, strict=True)
    }


def summed(histograms: Sequence[Mapping[str, list[int]]]) -> dict[str, list[int]]:
    """The histogram of several draws together."""
    names = DEFAULT_PROPERTIES
    return {name: np.sum([one[name] for one in histograms], axis=0).tolist() for name in names}


def summary(draws: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and spread over the draws of all that was measured.

    Of each property: `mean` and `std` of the molecules, and, compared to the data, `shift`,
    (mean - data mean) / data std, and `ratio`, std / data std.
    """
    row: dict[str, Any] = {
        name: mean_std([draw[name] for draw in draws])
        for name in ("n", "valid", "unique", "in_data")
    }
    row["fcd"] = mean_std([draw["fcd"] for draw in draws if draw["fcd"] is not None] or [None])
    for name in DEFAULT_PROPERTIES:
        means, stds = (array([draw[name][what] for draw in draws]) for what in ("mean", "std"))
        mean, std = array([data[name]["mean"], data[name]["std"]])
        compared = {"shift": mean_std((means - mean) / std), "ratio": mean_std(stds / std)}
        row[name] = {"mean": mean_std(means), "std": mean_std(stds)} | compared
    return row


def array(values: Any) -> NDArray[np.float64]:
    """Numbers; NaN for None."""
    return np.array(values, dtype=np.float64)


def table(result: Mapping[str, Any]) -> list[str]:
    """What was measured, beside what was published."""
    settings, models = result["settings"], result["models"]
    names = [name for name in TITLES if name in models]
    of = {(row["data"], row["source"]): row for row in result["rows"]}

    def row(name: str, source: str) -> Mapping[str, Any]:
        what, _, printed = source.partition(" ")
        return published(name, printed) if printed else of[name, what]

    lines = [f"{settings['n']:,} molecules a sample, {len(settings['seeds'])} seeds."]
    for name in names:
        header = (TITLES[name], "n", "valid", "unique", "in data set", *DEFAULT_PROPERTIES, "FCD")
        rows = [[label, *_cells(row(name, source))] for source, label in ORDER.items()]
        lines += ["", *markdown(header, rows)]

    def compared(prop: str, key: str, form: str) -> Callable[[tuple[str, str]], str]:
        return lambda case: spread(**row(*case)[prop][key], form=form)

    return [
        *lines,
        "",
        "How far that is from the data: mean less mean of the data, in standard deviations of the "
        "data, and standard deviation over that of the data; ± the spread over the seeds.",
        "",
        *columns([(name, source) for name in names for source in COMPARED], {
            "source": lambda case: ORDER[case[1]],
            "data": lambda case: TITLES[case[0]],
            **{f"{p} shift": compared(p, "shift", "+.2f") for p in DEFAULT_PROPERTIES},
            **{f"{p} std ratio": compared(p, "ratio", ".2f") for p in DEFAULT_PROPERTIES},
        }),
        "",
        *(_of_models(TITLES[name], models[name]) for name in names),
    ]  # fmt: skip


def published(name: str, source: str) -> dict[str, Any]:
    """A published row, as if it was measured."""
    row, data = PUBLISHED[name][source], PUBLISHED[name]["data"]
    once = {"std": None}
    return {"n": row["n"]} | {
        p: {
            "mean": {"mean": row[p][0]},
            "std": {"mean": row[p][1]},
            "shift": {"mean": (row[p][0] - data[p][0]) / data[p][1]} | once,
            "ratio": {"mean": row[p][1] / data[p][1]} | once,
        }
        for p in DEFAULT_PROPERTIES
    }


def _cells(row: Mapping[str, Any]) -> list[str]:
    of = [(row[p]["mean"]["mean"], row[p]["std"]["mean"]) for p in DEFAULT_PROPERTIES]
    values = [f"{number(mean)} ({number(std)})" for mean, std in of]
    if isinstance(row["n"], str):  # published
        return [row["n"], NONE, NONE, NONE, *values, NONE]
    shares = [row[key]["mean"] for key in ("valid", "unique", "in_data")]
    percents = [number(s, ".0%" if s in (0, 1) else ".2%") for s in shares]
    fcd, floor = spread(row["fcd"]["mean"], row["fcd"]["std"]), row.get("fcd_floor")
    fcd += f" ({row['fcd']['mean'] / floor:.1f})" if floor and fcd != NONE else ""
    return [f"{row['n']['mean']:,.0f}", *percents, *values, fcd]


def _of_models(title: str, models: Mapping[str, Any]) -> str:
    space, lm = models["space"], models["language_model"]
    at = f" (commit {models['commit']})" if "commit" in models else ""
    return (
        f"{title}{at}: the VAE, `{space['name']}`, has {space['weights'] / 1e6:.1f} million "
        f"weights, the language model, on the same symbols, {lm['weights'] / 1e6:.1f} million "
        f"after {lm['molecules']:,} molecules, and {lm['nll_nats']:.2f} nats a molecule "
        f"({lm['nll_of']})."
    )


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Histograms of the three properties; one line a source, one row of panels a data set."""
    names = [name for name in TITLES if name in result["models"]]
    of = {(row["data"], row["source"]): row for row in result["rows"]}
    figure, grid = plots.panels(len(names), len(DEFAULT_PROPERTIES), (2.7, 2.4))
    colors = dict(zip(IN_FIGURE, ("#cccccc", *plots.COLORS), strict=False))
    for name, line in zip(names, grid, strict=True):
        for prop, axes in zip(DEFAULT_PROPERTIES, line, strict=True):
            edges = np.linspace(*BINS[prop])
            for source, color in colors.items():
                counts = np.array(of[name, source]["histogram"][prop], dtype=float)
                density = counts / max(counts.sum(), 1) / np.diff(edges)
                axes.stairs(density, edges, label=ORDER[source], color=color, fill=source == "data")
            axes.set_yticks([])
            axes.set_xlabel(prop)
        line[0].set_ylabel(TITLES[name])
    plots.legend(figure, grid[0][0], 3)
    plots.save(figure, folder / "property-table.svg")
