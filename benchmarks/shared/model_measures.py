"""Measures of one model: likelihood, codes, molecules, outliers.

Speeds count the CPU time of a process of one thread, so that a busy machine changes them little.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.shared.molecules import absurd, readable, some
from benchmarks.shared.recipes import quietly
from benchmarks.shared.run import plain, plainly
from molvae.analysis.chemnet import ChemNetStatistics
from molvae.analysis.model_metrics import reconstruction_metrics
from molvae.analysis.set_metrics import chemnet_statistics, distribution_metrics
from molvae.analysis.vectors import cross_validated_r2
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import load_split
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.latent.conversion import to_molecule, write_tokens
from molvae.latent.space import LatentSpace
from molvae.model.corruption import add_noise
from molvae.model.losses import gaussian_total_correlation

SEED = 0
DRAWS = (8, 64)  # of the bounds on the log-probability, beside the ELBO
ELBOS, STRANGE_DRAWS = 8, 8  # seeds that the ELBO is a mean of; draws of outlier scores


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of molecules."""

    held_out: int = 5_000  # reconstructed, and regressed on
    bounded: int = 500  # bounds on the log-probability
    drawn: int = 10_000  # generated, and compared with as many training molecules
    asked: int = 1_000  # generated for each value of a condition
    strange: int = 1_000  # of each kind of outliers
    codes: int = 50_000  # training molecules to whose codes priors are fitted
    epochs: int = 10  # of the priors over these
    fcd: bool = True


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Molecules that generated ones are compared with."""

    mean: Sequence[float]  # of the properties
    std: Sequence[float]
    fcd: ChemNetStatistics | None = None
    training: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Material:
    """Held-out molecules of a data set, shuffled, and the molecules they are compared with."""

    smiles: list[str] = field(repr=False)  # none of these tell kept results apart
    values: NDArray[np.float64] = field(repr=False)  # properties, n x 3
    outliers: dict[str, list[str]] = field(repr=False)  # by kind
    reference: Reference = field(repr=False)  # of all held-out molecules
    floor: dict[str, float | None] = field(repr=False)  # `of_molecules` of training molecules


def reference_of(molecules: Sequence[str], jobs: int, **more: Any) -> Reference:
    """Mean and standard deviation of the properties of molecules."""
    values = score(molecules, DEFAULT_PROPERTIES, workers=jobs)
    return Reference(
        mean=np.nanmean(values, axis=0).tolist(), std=np.nanstd(values, axis=0).tolist(), **more
    )


def material(data: Path, other: str, sizes: Sizes, jobs: int) -> Material:
    """Material from a prepared data set; outliers are absurd molecules and those of another one."""
    test, train = (load_split(data, split) for split in ("test", "train"))
    fcd = chemnet_statistics(test, workers=jobs) if sizes.fcd else None
    reference = reference_of(test, jobs, fcd=fcd, training=frozenset(train))
    held_out = some(test, sizes.held_out, SEED)
    return Material(
        smiles=held_out,
        values=score(held_out, DEFAULT_PROPERTIES, workers=jobs),
        outliers={
            **absurd(held_out[: sizes.strange], SEED),
            other: sample_molecules(other, sizes.strange, SEED),
        },
        reference=reference,
        floor=of_molecules(some(train, sizes.drawn, SEED), replace(reference, training=None)),
    )


def codes(space: LatentSpace, what: Material) -> dict[str, Any]:
    """Reconstruction and total correlation; empty for a language model."""
    if space.dim == 0:
        return {}
    known = readable(space, what.smiles)
    drawn = space.sample_posterior(known, seed=SEED)[:, 0, : space.config.latent_dim]
    correlation = {"total_correlation": gaussian_total_correlation(drawn)}
    return plainly(reconstruction_metrics(space, what.smiles) | correlation)


def bounds(space: LatentSpace, what: Material, n: int) -> dict[str, Any]:
    """Bounds on log p, in nats per symbol; empty for an autoencoder, which has no density.

    `nats_1`, the ELBO, `nats_8`, `nats_64`; `error`, the standard error of the mean rise from 1 to
    64 draws; `spread`, the standard deviation over seeds: 0 where the likelihood is exact.
    """
    if space.config.posterior == "point":
        return {}
    known = readable(space, what.smiles)[:n]
    each = torch.stack([space.log_prob(known, k=1, seed=SEED + i) for i in range(ELBOS)])
    of = {k: space.log_prob(known, k=k, seed=SEED + ELBOS + k) for k in DRAWS}
    of = {1: each.mean(dim=0)} | of
    symbols = float(np.mean(space.lengths(known)))
    rise = of[DRAWS[-1]] - of[1]
    found = {f"nats_{k}": float(values.mean()) / symbols for k, values in of.items()}
    found["error"] = float(rise.std()) / math.sqrt(len(rise)) / symbols
    found["spread"] = float(each.std(dim=0).mean())
    return {"molecules": len(known), "symbols": symbols} | plainly(found)


def readable_properties(space: LatentSpace, what: Material) -> dict[str, Any]:
    """R2 of properties read off z by ridge regression, cross-validated."""
    if space.dim == 0:
        return {}
    there = np.array(space.can_encode(what.smiles)) & np.isfinite(what.values).all(axis=1)
    z = space.encode([m for m, ok in zip(what.smiles, there, strict=True) if ok])
    x = z[:, : space.config.latent_dim].numpy()  # conditions are not read, they are there
    return {
        f"ridge_{name}": plain(cross_validated_r2(x, y[there], seed=SEED))
        for name, y in zip(DEFAULT_PROPERTIES, what.values.T, strict=True)
    }


def drawn(space: LatentSpace, what: Material, n: int) -> dict[str, Any]:
    """Molecules that the model generates, unrepaired ones among them (`fluent`), and how fast."""
    noise, temperature = space.card.sampling_defaults
    noise, temperature = (noise, temperature) if noise > 0 else (0.0, 1.0)
    began = time.process_time()
    z = space.sample_prior(n, SEED)
    generator = torch.Generator().manual_seed(SEED + 1)
    z = add_noise(z, z.new_full((n,), noise), space.config.latent_dim, generator)
    rows, _ = write_tokens(space, z, noise=noise, temperature=temperature, seed=SEED)
    seconds = time.process_time() - began
    writes = space.representation
    return {
        "fluent": sum(map(writes.is_valid_as_written, rows)) / n,
        "per_second": round(n / seconds),
        **of_molecules([to_molecule(writes, row) for row in rows], what.reference),
    }


def of_molecules(molecules: Sequence[str | None], other: Reference) -> dict[str, float | None]:
    """Valid, distinct and new ones, properties and FCD, of molecules in canonical SMILES.

    `off` is the distance of the mean of the property that is furthest off, in std of the data;
    `std_ratio_logP` is the standard deviation over that of the data.
    """
    found = distribution_metrics(
        molecules, training=other.training, fcd=other.fcd or False, assume_canonical=True,
        radicals=True, workers=1,
    )  # fmt: skip
    row = {key: found.get(key, math.nan) for key in ("validity", "uniqueness", "novelty")}
    for name, mean, std in zip(DEFAULT_PROPERTIES, other.mean, other.std, strict=True):
        row[f"shift_{name}"] = (found[f"{name}_mean"] - mean) / std
        row[f"std_ratio_{name}"] = found[f"{name}_std"] / std
    row["off"] = max(abs(row[f"shift_{name}"]) for name in DEFAULT_PROPERTIES)
    return plainly(row | {"fcd": found.get("frechet_chemnet_distance", math.nan)})


def outliers(space: LatentSpace, what: Material, n: int) -> dict[str, Any]:
    """AUROC of telling molecules of other kinds from held-out ones, by kind.

    `bound_` by the bound on the log-probability, per symbol; `density_` by the prior's density of
    the encoding. Molecules that the model cannot read count as strangest.
    """
    usual = _strangeness(space, what.smiles[:n])
    return {
        f"{name}_{kind}": plain(auroc(usual[name], strange))
        for kind, molecules in what.outliers.items()
        for name, strange in _strangeness(space, molecules).items()
    }


def auroc(usual: Tensor, strange: Tensor) -> float:
    """ROC AUC of scores, larger is stranger, may be infinite; NaN if one is empty or has NaN."""
    scores = torch.cat([usual, strange])
    if not len(usual) or not len(strange) or bool(scores.isnan().any()):
        return math.nan
    _, ranks = np.unique(scores.numpy(), return_inverse=True)  # scikit-learn refuses infinity
    return float(roc_auc_score([0] * len(usual) + [1] * len(strange), ranks))


def _strangeness(space: LatentSpace, molecules: Sequence[str]) -> dict[str, Tensor]:
    found = {}
    if space.config.posterior != "point":
        found["bound"] = space.outlier_score(molecules, k=STRANGE_DRAWS, seed=SEED)
    if space.dim:
        density = torch.full((len(molecules),), torch.inf, dtype=torch.float64)
        z = space.encode(readable(space, molecules))
        density[torch.tensor(space.can_encode(molecules))] = -space.log_density(z).detach()
        found["density"] = density
    return found


def asked(
    space: LatentSpace, what: Material, values: Mapping[str, Sequence[float]], n: int
) -> dict[str, Any]:
    """Median absolute errors of molecules that are generated for one value of a property, `logP=2`.

    `in_std`: in standard deviations of the data. Of a model without conditions, the errors of
    molecules that were generated for nothing.
    """
    found = {}
    for name, wanted in values.items():
        std = what.reference.std[DEFAULT_PROPERTIES.index(name)]
        for value in wanted:
            where = {name: value} if name in space.conditions else None
            # Its warning of molecules that miss the conditions is what is measured here.
            made, _ = quietly(partial(space.generate, n, SEED, conditions=where))
            valid = [m for m in made if m is not None]
            error = np.abs(score(valid, [name], workers=1)[:, 0] - value)
            median = float(np.nanmedian(error)) if len(valid) else math.nan
            found[f"{name}={value:g}"] = {
                "error": plain(median),
                "in_std": plain(median / std),
                "validity": len(valid) / n,
                "uniqueness": len(set(valid)) / len(valid) if valid else None,
            }
    return found
