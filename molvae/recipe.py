"""From a prepared data set and a recipe to a run folder.

The order of work; the chemistry is in `chem`, the tensors in `tokens`, the loop in
`model.training`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.properties import named, score
from molvae.chem.vocabulary import PAD
from molvae.config import TrainConfig, as_settings, versions
from molvae.errors import CheckpointError, DataError
from molvae.latent import LatentSpace
from molvae.model.checkpoint import CARD, Card, round_to_half, save_run
from molvae.model.priors import choose_prior
from molvae.model.training import RESUME, Progress, trim, validate
from molvae.model.training import train as fit
from molvae.model.vae import SequenceVAE
from molvae.tokens import describe, label, tokenise

BOX_QUANTILE = 0.005
"""The box of a latent space leaves out this share of the training molecules at each end of each
unit."""
NOISES = (0.6, 0.7, 0.8)
TEMPERATURES = (0.0, 0.6, 0.7, 0.75, 0.8)
"""What `choose_drawing` tries."""
DRAWN_LIKE = ("logP", "SAS", "QED")
"""In which it compares."""
DRAWS = 10_000
"""Molecules for each, if the data set has as many; the spread of their mean is then a hundredth of
that of the molecules."""


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a sequence VAE as the recipe says, and write its run folder.

    Args:
        config: The recipe.
        resume: Go on with a training that was interrupted.
        overwrite: Replace a run that is already there.
        workers: Processes that write molecules as symbols; None for one per core.
        on_progress: See `molvae.model.training.train`.

    Returns:
        The run folder.

    Raises:
        DataError: The data folder is missing or empty, or a property of `config.properties` is the
            same number for all training molecules.
        UnknownNameError: A property that there is not.
        CheckpointError: The run folder holds a run, or an unfinished training, and neither `resume`
            nor `overwrite` says what to do with it; or there is nothing to resume.
    """
    folder = Path(config.out)
    if not (resume or overwrite):
        for name, advice in (
            (CARD, "a run; choose another folder"),
            (RESUME, "an unfinished training; resume it, choose another folder"),
        ):
            if (folder / name).exists():
                raise CheckpointError(f"{folder} already holds {advice}, or overwrite it")
    tokens = tokenise(config.data, config.representation, config.merges, workers=workers)
    labels = label(config.data, config.properties, workers=workers)[tokens.places.long()]
    mean, sd = _mean_and_sd(labels, config.properties)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    model = SequenceVAE(
        config.model, len(tokens.vocabulary), tokens.train.shape[1], len(config.properties)
    )
    model = fit(
        model,
        tokens.train,
        tokens.valid,
        config,
        folder,
        labels=((labels - mean) / sd).float(),
        resume=resume,
        on_progress=on_progress,
    ).cpu()
    _give_units(model, mean.float(), sd.float())
    round_to_half(model)
    rec, kl, active = validate(model, tokens.valid)
    codes = _posteriors(model, tokens.train, 100_000)
    prior, log_density = choose_prior(
        codes,
        _posteriors(model, tokens.valid, 20_000),
        passes=config.prior_passes,
        seed=config.seed,
    )
    round_to_half(prior)
    card = Card(
        model=config.model,
        representation=tokens.representation,
        vocabulary=tokens.vocabulary.symbols,
        merges=tokens.vocabulary.pairs,
        properties=tuple(named(config.properties)),
        max_length=tokens.train.shape[1],
        bounds=_box(codes[0]),
        about={
            "recipe": as_settings(config),
            "data": describe(Path(config.data)),
            "left_out": tokens.left_out,
            "training_molecules": len(tokens.train),
            "validation": {
                "molecules": len(tokens.valid),
                "reconstruction_nats": round(rec, 3),
                "kl_nats": round(kl, 3),
                "active_units": active,
                "log_density_of_z": log_density,
            },
            "versions": versions(),
        },
    )
    if config.model.noise_levels and config.noisy > 0:
        known = label(config.data, DRAWN_LIKE, workers=workers).numpy()
        space = LatentSpace(model, card, prior=prior)
        drawing = choose_drawing(space, known, seed=config.seed, workers=workers)
        card = replace(card, drawing=drawing)
    save_run(folder, model, card, prior)
    (folder / RESUME).unlink(missing_ok=True)
    return folder


def choose_drawing(
    space: LatentSpace, known: NDArray[np.float64], *, seed: int = 0, workers: int | None = None
) -> tuple[float, float]:
    """Noise and temperature with which `generate` comes nearest to molecules in their properties.

    Of logP, SAS and QED the one that is furthest off decides: by how much the mean is off, in
    standard deviations of the molecules, or how far the ratio of standard deviations is from 1.

    Args:
        space: Of a model with noise levels.
        known: Properties of the training molecules, `n x 3`; of the held-out ones there are too few
            to tell settings apart.
        seed: Of the draws; the same for every setting.
        workers: Processes that score; None for one per core.
    """
    n = min(DRAWS, len(known))
    settings = [(noise, temperature) for noise in NOISES for temperature in TEMPERATURES]
    off = []
    for noise, temperature in settings:
        drawn = space.generate(n, seed, noise=noise, temperature=temperature)
        here = score([m for m in drawn if m is not None], DRAWN_LIKE, workers=workers)
        off.append(_distance(here, known))
    return settings[int(np.argmin(off))]


def _distance(here: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    """See `choose_drawing`; infinite if there is nothing to compare."""
    if min(len(here), len(there)) < 2:
        return math.inf
    sd = np.nanstd(there, axis=0)
    shift = np.abs(np.nanmean(here, axis=0) - np.nanmean(there, axis=0)) / sd
    spread = np.abs(np.nanstd(here, axis=0) / sd - 1)
    return float(np.nan_to_num(np.maximum(shift, spread), nan=math.inf).max())


def _mean_and_sd(labels: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Of each property over the molecules that it is known for."""
    values = [column[~column.isnan()] for column in labels.T]
    for name, known in zip(names, values, strict=True):
        if len(known) < 2 or known.std() == 0:
            raise DataError(
                f"{name} takes fewer than two values among the {len(labels)} training molecules: "
                "there is nothing to learn; leave it out of `properties`"
            )
    mean = torch.tensor([float(known.mean()) for known in values], dtype=torch.float64)
    sd = torch.tensor([float(known.std()) for known in values], dtype=torch.float64)
    return mean, sd


@torch.no_grad()
def _give_units(model: SequenceVAE, mean: Tensor, sd: Tensor) -> None:
    """Let the property heads speak in the properties' own units, in place."""
    if (head := model.property_head) is not None:
        head.weight.mul_(sd[:, None])
        head.bias.mul_(sd).add_(mean)


@torch.inference_mode()
def _posteriors(model: SequenceVAE, rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations for up to so many molecules, evenly chosen."""
    rows = rows[:: max(1, math.ceil(len(rows) / most))]
    # Sorted by length, so that batches hold little padding.
    order = (rows != PAD).sum(dim=1).argsort(stable=True)
    parts = [model.posterior(trim(rows[part])) for part in torch.split(order, 512)]
    means, logvars = (torch.cat(list(tensors)) for tensors in zip(*parts, strict=True))
    back = order.argsort()
    return means[back], (0.5 * logvars[back]).exp()


def _box(means: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, unit by unit, of the posterior means of training molecules."""
    low, high = torch.quantile(
        means.double(), torch.tensor([BOX_QUANTILE, 1 - BOX_QUANTILE]).double(), dim=0
    )
    return tuple(low.tolist()), tuple(high.tolist())


__all__ = ["choose_drawing", "train"]
