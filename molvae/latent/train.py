"""From a prepared data set and a training configuration to a model folder.

The order of work; data are in `tokenized` and `labels`, the loop is in `model.training`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae._version import versions
from molvae.chem.vocabulary import PAD
from molvae.config import DEFAULT_PROPERTIES, as_settings
from molvae.errors import CheckpointError, DataError, warn
from molvae.latent.data_cache import describe
from molvae.latent.labels import computed, fingerprints, label, label_names
from molvae.latent.sampling_calibration import calibrate_sampling
from molvae.latent.space import LatentSpace
from molvae.latent.starting import started, take_weights, tokens_of
from molvae.latent.tokenized import (
    Rows,
    TokenizedDataset,
    randomized_rows,
    write_rows,
)
from molvae.model.batches import trim_padding
from molvae.model.cells import with_cell
from molvae.model.checkpoint import (
    CARD,
    RESUME,
    STATE,
    Condition,
    ModelCard,
    check_can_save,
    round_to_half,
    save_run,
)
from molvae.model.config import TrainConfig
from molvae.model.devices import in_bf16, pick_device
from molvae.model.fingerprint_losses import SparseBits
from molvae.model.isolation import isolated, seeded, threads
from molvae.model.losses import gaussian_total_correlation
from molvae.model.prior_fitting import choose_prior, fit_vamp
from molvae.model.priors import covariance_of
from molvae.model.progress import Progress
from molvae.model.training import train as fit
from molvae.model.vae import SequenceVAE
from molvae.model.validation import validate

BOX_QUANTILE = 0.005
"""The box of a latent space leaves out this share of the training molecules at each end of each
unit."""


FITTED, HELD_OUT, OF_EACH = 100_000, 20_000, 8
"""Molecules that a prior is fitted to, and chosen by, at most; and draws from the posteriors of the
former."""


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a sequence VAE and write its model folder.

    Args:
        config: All settings.
        resume: Resume an interrupted training.
        overwrite: Replace a model that is already in the folder.
        workers: Processes that tokenize molecules; None for one per core.
        on_progress: See `molvae.model.training.train`.

    Returns:
        The model folder.

    Raises:
        DataError: The data folder is missing or empty, or all known values of a property or
            condition are equal.
        UnknownNameError: A property or condition does not exist.
        CheckpointError: The folder cannot be written, or holds other files under the names of a
            model's; or it holds a model, or an unfinished training, and neither `resume` nor
            `overwrite` is given; or there is nothing to resume, or it was made from other data.
        ConfigError: There is no such device.

    Warns:
        MolvaeWarning: There are no validation molecules: those of the training are used.
    """
    with isolated(), threads(config.threads):
        return _train(config, resume, overwrite, workers, on_progress)


def _train(
    config: TrainConfig,
    resume: bool,
    overwrite: bool,
    workers: int | None,
    on_progress: Callable[[Progress], None] | None,
) -> Path:
    pick_device(config.device)  # says at once if there is no such device
    folder, given = check_can_save(config.out), config
    config = _with_absolute_paths(config)
    if not (resume or overwrite):
        for name, advice in (
            (CARD, "a run; choose another folder"),
            (RESUME, "an unfinished training; resume it, choose another folder"),
        ):
            if (folder / name).exists():
                raise CheckpointError(f"{folder} already holds {advice}, or overwrite it")
    bf16 = in_bf16(config.precision, pick_device(config.device))
    config = replace(config, model=with_cell(config.model, bf16=bf16))
    config, before = started(config)
    tokens = tokens_of(config, before, workers)
    held_out_there = len(tokens.valid) > 0
    if not held_out_there:
        warn(
            f"{config.data} has no validation molecule that can be written with the tokens of the "
            f"{len(tokens.train)} training molecules: these are validated on instead, which says "
            "nothing of other molecules; prepare some hundred molecules"
        )
        tokens = replace(tokens, valid=tokens.train)
    more = [
        write_rows(
            data,
            "train",
            config.representation,
            tokens.vocabulary,
            tokens.train.shape[1],
            workers=workers,
        )
        for data in config.more_data
    ]
    heads, names = (label_names(config.data, n) for n in (config.properties, config.conditions))
    labels = label(config.data, [*heads, *names], workers=workers)[tokens.places.long()]
    shown = _shown(len(labels), config)
    labels[~shown] = torch.nan
    mean, sd = _mean_and_sd(labels, [*heads, *names])
    standard = ((labels - mean) / sd).float()
    of_heads, y = standard[:, : len(heads)], standard[:, len(heads) :]
    all_rows = torch.cat([tokens.train, *(part.ids for part in more)])
    bits = None
    if config.neighbors or config.loss.similarity_weight > 0 or config.loss.fingerprint_weight > 0:
        places = [tokens.places, *(part.places for part in more)]
        bits = SparseBits.joined(
            [
                fingerprints(data, workers=workers).rows(place.long().numpy())
                for data, place in zip((config.data, *config.more_data), places, strict=True)
            ]
        )
    spelled = None
    if config.randomized_smiles_fraction > 0:
        parts = [Rows(ids=tokens.train, places=tokens.places), *more]
        spelled = torch.cat(
            [
                randomized_rows(
                    data, "train", config.representation, tokens.vocabulary, part, workers=workers
                )
                for data, part in zip((config.data, *config.more_data), parts, strict=True)
            ]
        )
    folder.mkdir(parents=True, exist_ok=True)
    with seeded(config.seed):
        model = SequenceVAE(
            config.model,
            len(tokens.vocabulary),
            tokens.train.shape[1],
            len(heads),
            len(names),
        )
    state = None
    if before is not None:
        take_weights(model, before, heads, names)
        if before.card.properties == tuple(heads):
            _take_units(model, mean[: len(heads)].float(), sd[: len(heads)].float())
            wider = config.model != before.card.model
            state = None if wider or not (before.folder / STATE).exists() else before.folder
    model = fit(
        model,
        all_rows,
        tokens.valid,
        config,
        folder,
        labels=_unknown_below(of_heads, len(all_rows)),
        conditions=_unknown_below(y, len(all_rows)),
        fingerprints=bits,
        randomized_rows=spelled,
        main=len(tokens.train),
        start=state,
        data=_identity([config.data, *config.more_data], tokens),
        resume=resume,
        on_progress=on_progress,
    ).cpu()
    _give_units(model, mean[: len(heads)].float(), sd[: len(heads)].float())
    round_to_half(model)
    rec, kl, active = validate(model, tokens.valid, covariance=covariance_of(y))
    some = _evenly(len(tokens.train), FITTED)
    rows, held_out = tokens.train[some], tokens.valid[_evenly(len(tokens.valid), HELD_OUT)]
    codes = _codes(model, rows, y[some], n_samples=OF_EACH, seed=config.seed)
    new = _codes(model, held_out, None, n_samples=1, seed=config.seed)[0]
    prior, log_density = choose_prior(
        codes,
        new,
        config.prior,
        conditions=len(names),
        vamp=lambda: fit_vamp(
            model,
            rows,
            codes,
            epochs=config.prior.epochs,
            components=config.prior.components,
            seed=config.seed,
        ),
        seed=config.seed,
    )
    round_to_half(prior)
    shared = gaussian_total_correlation(new[:, : config.model.latent_dim])
    card = ModelCard(
        model=config.model,
        representation=tokens.representation,
        vocabulary=tokens.vocabulary.tokens,
        bpe_merges=tokens.vocabulary.pairs,
        properties=tuple(heads),
        conditions=tuple(
            Condition(name=name, mean=float(mean[i]), sd=float(sd[i]))
            for i, name in enumerate(names, start=len(heads))
        ),
        max_length=tokens.train.shape[1],
        bounds=_box(_encoded(model, rows)),
        # A language model that always wrote the likeliest symbol would write one molecule.
        sampling_defaults=(0.0, 0.0 if config.model.latent_dim else 1.0),
        about={
            "recipe": as_settings(
                replace(config, data=given.data, more_data=given.more_data, out=given.out)
            ),
            "data": describe(Path(config.data)),
            "more_data": [
                {"data": describe(Path(data)), "training_molecules": len(part.ids)}
                for data, part in zip(config.more_data, more, strict=True)
            ],
            "left_out": tokens.left_out,
            "training_molecules": len(tokens.train),
            "labelled_molecules": int(shown.sum()) if heads or names else 0,
            "validation": {
                "molecules": len(tokens.valid),
                "held_out": held_out_there,
                "reconstruction_nats": round(rec, 3),
                "kl_nats": round(kl, 3),
                "active_units": active,
                "total_correlation_nats": None if math.isnan(shared) else round(shared, 3),
                "log_density_of_z": log_density,
            },
            "versions": versions(),
        },
    )
    if config.model.noise_conditioning and config.noised_fraction > 0 and config.prior.calibrate:
        found = computed(config.data, DEFAULT_PROPERTIES, workers=workers)
        known = torch.stack([found[name] for name in DEFAULT_PROPERTIES], dim=1)
        # Where labels are few, no more is known of the others here.
        known = known[tokens.places.long()[shown]] if config.labeled_fraction < 1 else known
        space = LatentSpace(model, card, prior=prior)
        drawing = calibrate_sampling(space, known.numpy(), seed=config.seed, workers=workers)
        card = replace(card, sampling_defaults=drawing)
    save_run(folder, model, card, prior)
    (folder / STATE).unlink(missing_ok=True)
    if config.keep_state:
        (folder / RESUME).replace(folder / STATE)
    (folder / RESUME).unlink(missing_ok=True)
    return Path(given.out)


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """The working folder may change while a training works."""
    return replace(
        config,
        data=str(Path(config.data).absolute()),
        more_data=tuple(str(Path(data).absolute()) for data in config.more_data),
    )


def _unknown_below(labels: Tensor, n: int) -> Tensor:
    """More rows, of which nothing is known."""
    return torch.cat([labels, labels.new_full((n - len(labels), labels.shape[1]), torch.nan)])


def _identity(folders: Sequence[str], tokens: TokenizedDataset) -> dict[str, Any]:
    """What a resumed training must have been made from: hashes of the splits, and the tokens."""
    symbols = json.dumps([tokens.representation, tokens.vocabulary.tokens, tokens.vocabulary.pairs])
    made: dict[str, Any] = {"the vocabulary": hashlib.sha256(symbols.encode()).hexdigest()}
    for i, folder in enumerate(folders):
        splits = describe(Path(folder))["splits"]
        for name in ("train", "valid") if i == 0 else ("train",):
            made[f"{name}.smi" if i == 0 else f"{name}.smi of more_data {i}"] = splits[name]
    return made


def _shown(n: int, config: TrainConfig) -> Tensor:
    """Which molecules' labels the training sees, `n`."""
    chosen = np.random.default_rng(config.seed).permutation(n)[
        : math.ceil(config.labeled_fraction * n)
    ]
    shown = torch.zeros(n, dtype=torch.bool)
    shown[chosen] = True
    return shown


def _mean_and_sd(labels: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Of each property over the molecules that it is known for."""
    values = [column[~column.isnan()] for column in labels.T]
    for name, known in zip(names, values, strict=True):
        if len(known) < 2 or known.std() == 0:
            raise DataError(
                f"{name} takes fewer than two values among the {len(known)} training molecules "
                "that it is known of: there is nothing to learn; leave it out, or show more labels"
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


@torch.no_grad()
def _take_units(model: SequenceVAE, mean: Tensor, sd: Tensor) -> None:
    """The inverse of `_give_units`, in place."""
    if (head := model.property_head) is not None:
        head.bias.sub_(mean).div_(sd)
        head.weight.div_(sd[:, None])


def _evenly(n: int, most: int) -> slice:
    """Up to so many of n rows."""
    return slice(None, None, max(1, math.ceil(n / most)))


@torch.inference_mode()
def _codes(
    model: SequenceVAE, rows: Tensor, y: Tensor | None, *, n_samples: int, seed: int
) -> Tensor:
    """Draws from posteriors, `draws x n x code_dim`; y as in `SequenceVAE.infer`."""
    generator = torch.Generator().manual_seed(seed)

    def draw(part: Tensor) -> Tensor:
        known = None if y is None or not model.n_conditions else y[part]
        code = model.infer(trim_padding(rows[part]), known, n_samples, generator).code
        return code.view(len(part), n_samples, -1)

    return _by_length(rows, draw).transpose(0, 1).contiguous()


@torch.inference_mode()
def _encoded(model: SequenceVAE, rows: Tensor) -> Tensor:
    """The one code of each row, `n x code_dim`."""
    return _by_length(rows, lambda part: model.encode(trim_padding(rows[part])))


def _by_length(rows: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    """What a function makes of rows, given by their places; batches hold little padding."""
    order = (rows != PAD).sum(dim=1).argsort(stable=True)
    done = torch.cat([work(part) for part in torch.split(order, 512)])
    return done[order.argsort()]


def _box(codes: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, unit by unit, of the codes of training molecules."""
    if codes.shape[1] == 0:
        return (), ()
    low, high = torch.quantile(
        codes.double(), torch.tensor([BOX_QUANTILE, 1 - BOX_QUANTILE]).double(), dim=0
    )
    return tuple(low.tolist()), tuple(high.tolist())


__all__ = ["train"]
