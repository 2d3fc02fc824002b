"""What is measured of each model of the comparison: likelihood, codes, molecules, outliers.

A group of measures is a function of a space and of what it is measured on. Speeds count the CPU
time of a process of one thread, so that a busy machine changes them little.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.shared.molecules import absurd, some
from benchmarks.shared.run import plain, plainly
from molvae.analysis.chemnet import ChemNetStatistics
from molvae.analysis.model_metrics import reconstruction_metrics
from molvae.analysis.set_metrics import chemnet_statistics, frechet_chemnet_distance
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import load_split
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import InvalidMoleculeError
from molvae.latent.conversion import BATCH
from molvae.latent.space import LatentSpace
from molvae.model.decoding import decode
from molvae.model.losses import gaussian_total_correlation

SEED = 0
DRAWS = (1, 8, 64)
"""Of the bounds on the log-probability; of the first, the ELBO, the mean over `ELBOS` seeds."""
ELBOS, STRANGE_DRAWS = 8, 8
FOLDS = 5
"""Of the regression."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many molecules are measured on."""

    held_out: int = 5_000
    """Given back, and regressed on."""
    bounded: int = 500
    """Bounds on the log-probability."""
    drawn: int = 10_000
    """Generated, and compared with as many training molecules."""
    asked: int = 1_000
    """Generated for each value of a condition."""
    strange: int = 1_000
    """Of each kind of outliers."""
    codes: int = 50_000
    """Training molecules whose codes the priors are fitted to."""
    epochs: int = 10
    """Of the priors over these."""
    fcd: bool = True


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the models of a data set are measured on."""

    smiles: list[str]
    """Held-out molecules, shuffled."""
    values: NDArray[np.float64]
    """Their properties, `n x 3`."""
    mean: list[float]
    """Of the properties over all held-out molecules."""
    sd: list[float]
    """Likewise, their standard deviations."""
    outliers: dict[str, list[str]]
    """Molecules of other kinds."""
    fcd: ChemNetStatistics | None
    """Of all held-out molecules."""
    floor: dict[str, float | None]
    """What training molecules come to in the measures of generated ones."""
    training: frozenset[str]


def material(data: Path, other: str, sizes: Sizes, jobs: int) -> Material:
    """What the models of a prepared data set are measured on.

    Outliers are absurd molecules, as in the benchmark `density`, and those of another data set.
    """
    test, train = (load_split(data, split) for split in ("test", "train"))
    values = score(test, DEFAULT_PROPERTIES, workers=jobs)
    order = np.random.default_rng(SEED).permutation(len(test))[: sizes.held_out]
    fcd = chemnet_statistics(test, workers=jobs) if sizes.fcd else None
    mean, sd = np.nanmean(values, axis=0).tolist(), np.nanstd(values, axis=0).tolist()
    like = some(train, sizes.drawn, SEED)
    return Material(
        smiles=[test[place] for place in order],
        values=values[order],
        mean=mean,
        sd=sd,
        outliers={
            **absurd([test[place] for place in order[: sizes.strange]], SEED),
            other: sample_molecules(other, sizes.strange, SEED),
        },
        fcd=fcd,
        floor=of_molecules(like, mean, sd, fcd, training=None),
        training=frozenset(train),
    )


def codes(space: LatentSpace, what: Material) -> dict[str, Any]:
    """What comes back from codes, what they say, and what their units have in common.

    Empty for a language model.
    """
    if space.dim == 0:
        return {}
    found: dict[str, Any] = plainly(reconstruction_metrics(space, what.smiles))
    known = [m for m, ok in zip(what.smiles, space.can_encode(what.smiles), strict=True) if ok]
    drawn = space.sample_posterior(known, seed=SEED)[:, 0, : space.config.latent_dim]
    return found | {"total_correlation": plain(gaussian_total_correlation(drawn))}


def bounds(space: LatentSpace, what: Material, n: int) -> dict[str, Any]:
    """Bounds on log p, in nats per symbol, from independent draws for each number of draws.

    Empty for an autoencoder, which has no density.

    Returns:
        `nats_1`, the ELBO, `nats_8`, `nats_64`; `error`, the standard error of the mean rise from 1
        to 64 draws; `spread`, the standard deviation of the bound over seeds, mean over molecules:
        0 where the likelihood is exact. None for what is no finite number.
    """
    if space.config.posterior == "point":
        return {}
    known = [m for m, ok in zip(what.smiles, space.can_encode(what.smiles), strict=True) if ok][:n]
    each = torch.stack([space.log_prob(known, k=1, seed=SEED + i) for i in range(ELBOS)])
    of = {1: each.mean(dim=0)}
    for k in DRAWS[1:]:
        of[k] = space.log_prob(known, k=k, seed=SEED + ELBOS + k)
    symbols = float(np.mean(space.lengths(known)))
    rise = of[DRAWS[-1]] - of[1]
    return {
        "molecules": len(known),
        "symbols": symbols,
        **{f"nats_{k}": plain(float(values.mean()) / symbols) for k, values in of.items()},
        "error": plain(float(rise.std()) / math.sqrt(len(rise)) / symbols),
        "spread": plain(float(each.std(dim=0).mean())),
    }


def readable_properties(space: LatentSpace, what: Material) -> dict[str, Any]:
    """R2 of properties read off z by ridge regression, cross-validated, and by trained heads."""
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if space.dim == 0:
        return {}
    there = np.array(space.can_encode(what.smiles)) & np.isfinite(what.values).all(axis=1)
    z = space.encode([m for m, ok in zip(what.smiles, there, strict=True) if ok])
    y = what.values[there]
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
    folds = KFold(FOLDS, shuffle=True, random_state=SEED)
    # z alone: conditions are not read, they are there.
    predicted = cross_val_predict(ridge, z[:, : space.config.latent_dim].numpy(), y, cv=folds)
    scores = r2_score(y, predicted, multioutput="raw_values")
    found = {f"ridge_{name}": plain(s) for name, s in zip(DEFAULT_PROPERTIES, scores, strict=True)}
    read = space.property_head(z).detach().numpy() if space.properties else np.zeros((len(y), 0))
    for place, name in enumerate(space.properties):
        found[f"head_{name}"] = plain(
            r2_score(y[:, DEFAULT_PROPERTIES.index(name)], read[:, place])
        )
    return found


@dataclass(frozen=True)
class Drawn:
    """What a model wrote."""

    molecules: list[str | None]
    is_valid_as_written: float
    """Share that needed no mending to be a molecule."""
    per_second: float
    """Molecules written in a second of CPU time, before they are read as molecules."""


def drawing(space: LatentSpace) -> tuple[float, float]:
    """Noise and temperature: what the card says, or without noise levels the model as it is."""
    return space.card.sampling_defaults if space.card.sampling_defaults[0] > 0 else (0.0, 1.0)


def draw(space: LatentSpace, n: int, seed: int) -> Drawn:
    """Draws of the generative model, symbols drawn too."""
    noise, temperature = drawing(space)
    began = time.process_time()
    z = space.sample_prior(n, seed)
    d = space.config.latent_dim
    more = torch.randn(n, d, generator=torch.Generator().manual_seed(seed + 1), dtype=z.dtype)
    z[:, :d] = math.sqrt(1 - noise**2) * z[:, :d] + noise * more
    rows = _written(space, z, noise, temperature, seed)
    seconds = time.process_time() - began
    molecules = [_molecule(space, symbols) for symbols in rows]
    fluent = sum(space.representation.is_valid_as_written(symbols) for symbols in rows) / n
    return Drawn(molecules, fluent, n / seconds)


def _written(
    space: LatentSpace, z: Tensor, noise: float, temperature: float, seed: int
) -> list[list[str]]:
    rows = []
    for turn, part in enumerate(torch.split(z, BATCH)):
        ids = decode(
            space.model, part.float(), noise=noise, temperature=temperature, seed=seed + turn
        )
        rows += [space.vocabulary.decode(row) for row in ids.tolist()]
    return rows


def _molecule(space: LatentSpace, symbols: Sequence[str]) -> str | None:
    try:
        return space.representation.detokenize(symbols)
    except InvalidMoleculeError:
        return None


def drawn(space: LatentSpace, what: Material, n: int) -> dict[str, Any]:
    """Molecules that the model generates, against the held-out ones; and how fast."""
    found = draw(space, n, SEED)
    return {
        "fluent": found.is_valid_as_written,
        "per_second": round(found.per_second),
        **of_molecules(found.molecules, what.mean, what.sd, what.fcd, training=what.training),
    }


def of_molecules(
    molecules: Sequence[str | None],
    mean: Sequence[float],
    sd: Sequence[float],
    fcd: ChemNetStatistics | None,
    *,
    training: frozenset[str] | None,
) -> dict[str, float | None]:
    """Valid, distinct and new ones, properties and FCD, of molecules in canonical SMILES.

    `off` is by how many sd the mean of the property that is furthest off differs from the data;
    `sd_ratio_logP` is the standard deviation over that of the data.
    """
    valid = [m for m in molecules if m is not None]
    values = score(valid, DEFAULT_PROPERTIES, workers=1)
    found: dict[str, float | None] = {
        "validity": len(valid) / len(molecules),
        "uniqueness": len(set(valid)) / len(valid) if valid else None,
        "novelty": None
        if training is None
        else len(set(valid) - training) / max(1, len(set(valid))),
    }
    shifts = []
    for name, column, centre, spread in zip(DEFAULT_PROPERTIES, values.T, mean, sd, strict=True):
        column = column[np.isfinite(column)]
        shifts.append((column.mean() - centre) / spread if len(column) else math.nan)
        found[f"shift_{name}"] = plain(shifts[-1])
        found[f"sd_ratio_{name}"] = plain(column.std() / spread if len(column) else math.nan)
    found["off"] = plain(float(np.abs(shifts).max()))
    found["fcd"] = None
    if fcd is not None:
        found["fcd"] = plain(frechet_chemnet_distance(valid, fcd, workers=1))
    return found


def outliers(space: LatentSpace, what: Material, n: int) -> dict[str, Any]:
    """AUROC of telling molecules of other kinds from held-out ones, by kind.

    `bound_` by the bound on the log-probability, per symbol; `density_` by the prior's density of
    the encoding. What the model cannot read counts as strangest; `unreadable_` is its share.
    """
    found: dict[str, Any] = {}
    usual = what.smiles[:n]
    of_usual = _strangeness(space, usual)
    for kind, molecules in what.outliers.items():
        of_kind = _strangeness(space, molecules)
        for name in of_usual:
            found[f"{name}_{kind}"] = plain(auroc(of_usual[name], of_kind[name]))
        found[f"unreadable_{kind}"] = 1 - float(np.mean(space.can_encode(molecules)))
    return found


def auroc(usual: Tensor, strange: Tensor) -> float:
    """ROC AUC of scores, larger is stranger, may be infinite; NaN if one is empty or has NaN."""
    scores = torch.cat([usual, strange])
    if not len(usual) or not len(strange) or bool(scores.isnan().any()):
        return math.nan
    _, ranks = np.unique(
        scores.numpy(), return_inverse=True
    )  # scikit-learn refuses infinite scores
    return float(roc_auc_score([0] * len(usual) + [1] * len(strange), ranks))


def _strangeness(space: LatentSpace, molecules: Sequence[str]) -> dict[str, Tensor]:
    found = {}
    if space.config.posterior != "point":
        found["bound"] = space.outlier_score(molecules, k=STRANGE_DRAWS, seed=SEED)
    if space.dim:
        there = torch.tensor(space.can_encode(molecules))
        known = [m for m, ok in zip(molecules, there.tolist(), strict=True) if ok]
        density = torch.full((len(molecules),), torch.inf, dtype=torch.float64)
        density[there] = -space.log_density(space.encode(known)).detach()
        found["density"] = density
    return found


def asked(
    space: LatentSpace, what: Material, values: Mapping[str, Sequence[float]], n: int
) -> dict[str, Any]:
    """How near molecules come to what they were asked for, one property at a time.

    They are made as `generate` makes them unless told otherwise. Of a model without conditions, how
    near those come that were not asked for anything.

    Returns:
        By property and value, as `logP=2`: `error`, the median absolute error, in the property's
        unit; `in_sd`, the same in standard deviations of the data; `validity`, `uniqueness`.
    """
    found = {}
    for name, wanted in values.items():
        sd = what.sd[DEFAULT_PROPERTIES.index(name)]
        for value in wanted:
            where = {name: value} if name in space.conditions else None
            made = space.generate(n, SEED, conditions=where)
            valid = [m for m in made if m is not None]
            error = np.abs(score(valid, [name], workers=1)[:, 0] - value)
            median = float(np.nanmedian(error)) if len(valid) else math.nan
            found[f"{name}={value:g}"] = {
                "error": plain(median),
                "in_sd": plain(median / sd),
                "validity": len(valid) / n,
                "uniqueness": len(set(valid)) / len(valid) if valid else None,
            }
    return found
