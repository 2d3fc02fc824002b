"""From a prepared data set and a training configuration to a model folder.

The order of work; data are in `tokenized` and `labels`, the loop is in `model.training`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from molvae._version import versions
from molvae.chem.precedents import FILE_NAME as PRECEDENTS
from molvae.chem.prepare import load_split
from molvae.chem.vocabulary import PAD
from molvae.config import DEFAULT_PROPERTIES, later_seed
from molvae.errors import CheckpointError, DataError, warn
from molvae.latent.acceptance import FILE_NAME as ACCEPTANCE
from molvae.latent.acceptance import N_GENERATED, N_TRAINING, Acceptance
from molvae.latent.data_cache import describe
from molvae.latent.density import FILE_NAME as REFERENCE
from molvae.latent.labels import computed, fingerprints, label, label_names, precedents
from molvae.latent.loading import find_model
from molvae.latent.sampling_calibration import calibrate_sampling
from molvae.latent.space import LatentSpace
from molvae.latent.starting import (
    StartingModel,
    average_weights,
    models_to_average,
    started,
    take_weights,
    tokens_of,
)
from molvae.latent.tokenized import Rows, TokenizedDataset, randomized_rows, write_rows
from molvae.model.batches import trim_padding
from molvae.model.cells import with_cell
from molvae.model.checkpoint import (
    CARD,
    RESUME,
    STATE,
    Condition,
    ModelCard,
    PriorSource,
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
MAX_FITTED, MAX_HELD_OUT, N_POSTERIOR_SAMPLES = 100_000, 20_000, 8
"""Molecules that a prior is fitted to, and chosen by, at most; and samples from the posteriors of
the former."""


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a sequence VAE and write its model folder, whose path is returned.

    Args:
        config: All settings.
        resume: Resume an interrupted training.
        overwrite: Replace a model that is already in the folder.
        workers: Processes that tokenize molecules; None for one per core.
        on_progress: See `molvae.model.training.train`.

    Raises:
        DataError: The data folder is missing or empty, or all known values of a property or
            condition are equal.
        UnknownNameError: A property or condition does not exist.
        CheckpointError: The folder cannot be written, or holds other files under the names of a
            model's; or it holds a model, or an unfinished training, and neither `resume` nor
            `overwrite` is given; or there is nothing to resume, or it was made from other data.
        ConfigError: There is no such device.

    Warns:
        MolvaeWarning: There are no validation molecules: those of the training are used. Or
            training molecules are left out, since they cannot be written.
    """
    with isolated(), threads(config.threads):
        return _train(config, resume, overwrite, workers, on_progress)


@dataclass(frozen=True, kw_only=True)
class _Data:
    """What the network learns from: the rows of `data` first, then of `more_data`."""

    tokens: TokenizedDataset
    held_out: bool  # whether the validation molecules are others than the training molecules
    parts: list[tuple[str, Rows]]  # folder and rows of each data set
    heads: list[Condition]  # properties of the heads, and their units
    conditions: list[Condition]
    # Values of heads, then conditions, of the rows of `data`, standardized; NaN if unknown.
    labels: Tensor
    shown: Tensor  # whether the labels of a row of `data` are used


def _train(
    config: TrainConfig,
    resume: bool,
    overwrite: bool,
    workers: int | None,
    on_progress: Callable[[Progress], None] | None,
) -> Path:
    device = pick_device(config.device)  # says at once if there is no such device
    read = filter(None, (config.start_from, *config.average_with))
    folder = check_can_save(config.out, apart_from=[find_model(name) for name in read])
    given = config
    # The working folder may change while a training works.
    config = replace(
        config,
        data=str(Path(config.data).absolute()),
        more_data=tuple(str(Path(data).absolute()) for data in config.more_data),
        model=with_cell(config.model, bf16=in_bf16(config.precision, device)),
    )
    if not (resume or overwrite):
        for name, advice in (
            (CARD, "a run; choose another folder"),
            (RESUME, "an unfinished training; resume it (--resume), choose another folder"),
        ):
            if (folder / name).exists():
                raise CheckpointError(
                    f"{folder} already holds {advice}, or overwrite it (--overwrite)"
                )
    config, before = started(config)
    data = _read_data(config, before, workers)
    others = models_to_average(config, [head.name for head in data.heads])
    model = _fit(config, folder, data, before, resume, workers, on_progress)
    average_weights(model, data.tokens.vocabulary.tokens, others, config.average_fraction)
    round_to_half(model)
    tokens, y = data.tokens, data.labels[:, len(data.heads) :]
    rec, kl, active = validate(model, tokens.valid, covariance=covariance_of(y))
    some = _evenly(len(tokens.train), MAX_FITTED)
    rows, held_out = tokens.train[some], tokens.valid[_evenly(len(tokens.valid), MAX_HELD_OUT)]
    codes = _codes(model, rows, y[some], n_samples=N_POSTERIOR_SAMPLES, seed=config.seed)
    new = _codes(model, held_out, None, n_samples=1, seed=config.seed)[0]
    sizes = {"epochs": config.prior.epochs, "components": config.prior.components}
    prior, log_density = choose_prior(
        codes,
        new,
        config.prior,
        conditions=len(data.conditions),
        vamp=partial(fit_vamp, model, rows, codes, seed=config.seed, **sizes),
        seed=config.seed,
    )
    round_to_half(prior)
    shared = gaussian_total_correlation(new[:, : config.model.latent_dim])
    recipe = replace(config, data=given.data, more_data=given.more_data, out=given.out)
    card = ModelCard(
        model=config.model,
        representation=tokens.representation,
        vocabulary=tokens.vocabulary.tokens,
        bpe_merges=tokens.vocabulary.pairs,
        properties=tuple(head.name for head in data.heads),
        conditions=tuple(data.conditions),
        max_length=tokens.train.shape[1],
        bounds=_box(_by_length(rows, lambda ids, _: model.encode(ids))),
        # A language model that always wrote the likeliest symbol would write one molecule.
        sampling_defaults=(0.0, 0.0 if config.model.latent_dim else 1.0),
        about={
            "recipe": asdict(recipe),
            "data": describe(Path(config.data)),
            "more_data": [
                {"data": describe(Path(more)), "training_molecules": len(part.ids)}
                for more, part in data.parts[1:]
            ],
            "left_out": tokens.left_out,
            "training_molecules": len(tokens.train),
            "labelled_molecules": int(data.shown.sum()) if data.labels.shape[1] else 0,
            "validation": {
                "molecules": len(tokens.valid),
                "held_out": data.held_out,
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
        known = known[tokens.places.long()[data.shown]] if config.labeled_fraction < 1 else known
        space = LatentSpace(model, card, prior=prior)
        drawing = calibrate_sampling(space, known.numpy(), seed=config.seed, workers=workers)
        # Under noise it writes better molecules than the density alone places.
        source: PriorSource = "molecules" if drawing[0] > 0 and not data.conditions else "density"
        card = replace(card, sampling_defaults=drawing, prior_source=source)
    for name in (PRECEDENTS, ACCEPTANCE, REFERENCE):  # of the model that is replaced
        (folder / name).unlink(missing_ok=True)
    save_run(folder, model, card, prior)
    if config.prior.acceptance:
        space = LatentSpace(model, card, prior=prior)
        training = load_split(config.data, "train")
        space.acceptance = fit_acceptance(space, training, config.seed, workers)
        space.acceptance.save(folder)
        space.reference.computed()  # with rejections it takes seconds
        space.reference.save(folder)
    folders = [name for name, _ in data.parts]
    precedents(folders, workers=workers).save(folder / PRECEDENTS)
    (folder / STATE).unlink(missing_ok=True)
    if config.keep_state:
        (folder / RESUME).replace(folder / STATE)
    (folder / RESUME).unlink(missing_ok=True)
    return Path(given.out)


def fit_acceptance(
    space: LatentSpace, training: Sequence[str], seed: int, workers: int | None = None
) -> Acceptance:
    """The acceptance of a space's generated molecules, see `PriorConfig.acceptance`."""
    rng = np.random.default_rng(seed)
    some = rng.choice(len(training), min(N_TRAINING, len(training)), replace=False)
    space.acceptance = None
    made = [m for m in space.generate(N_GENERATED, later_seed(seed, 1)) if m is not None]
    return Acceptance.fit([training[i] for i in some], made, workers=workers)


def _read_data(config: TrainConfig, before: StartingModel | None, workers: int | None) -> _Data:
    tokens = tokens_of(config, before, workers)
    held_out = len(tokens.valid) > 0
    if not held_out:
        warn(
            f"{config.data} has no validation molecule that can be written with the tokens of the "
            f"{len(tokens.train)} training molecules: these are validated on instead, which says "
            "nothing of other molecules; prepare some hundred molecules"
        )
        tokens = replace(tokens, valid=tokens.train)
    vocabulary, length = tokens.vocabulary, tokens.train.shape[1]
    lost = [f"{n} ({reason})" for reason, n in tokens.left_out.items() if n]
    if any("(train: " in one for one in lost):  # a few validation molecules are usual
        warn(f"molecules of {config.data} are left out: {', '.join(lost)}")
    parts = [(config.data, Rows(ids=tokens.train, places=tokens.places))]
    for data in config.more_data:
        writer = config.representation
        more = write_rows(data, "train", writer, vocabulary, length, workers=workers)
        parts.append((data, more))
        if less := len(load_split(data, "train")) - len(more.ids):
            warn(f"molecules of {data} are left out: {less} (not writable with this vocabulary)")
    p, names = len(config.properties), (*config.properties, *config.conditions)
    labels = label(config.data, names, workers=workers)[tokens.places.long()]
    order = np.random.default_rng(config.seed).permutation(len(labels))
    shown = torch.zeros(len(labels), dtype=torch.bool)
    shown[order[: math.ceil(config.labeled_fraction * len(labels))]] = True
    labels[~shown] = torch.nan
    units = _units(labels, label_names(config.data, names))
    mean, std = _moments(units)
    return _Data(
        tokens=tokens,
        held_out=held_out,
        parts=parts,
        heads=units[:p],
        conditions=units[p:],
        labels=((labels - mean) / std).float(),
        shown=shown,
    )


def _fit(
    config: TrainConfig,
    folder: Path,
    data: _Data,
    before: StartingModel | None,
    resume: bool,
    workers: int | None,
    on_progress: Callable[[Progress], None] | None,
) -> SequenceVAE:
    """The trained network, on the CPU, its heads in the properties' own units."""
    tokens, p = data.tokens, len(data.heads)
    rows = torch.cat([part.ids for _, part in data.parts])
    # Of the rows of `more_data` no label is known.
    labels = functional.pad(data.labels, (0, 0, 0, len(rows) - len(data.labels)), value=math.nan)
    bits = spelled = None
    if config.neighbors or config.loss.similarity_weight > 0 or config.loss.fingerprint_weight > 0:
        bits = SparseBits.joined(
            [
                fingerprints(source, workers=workers).rows(part.places.long().numpy())
                for source, part in data.parts
            ]
        )
    if config.randomized_smiles_fraction > 0:
        args = ("train", config.representation, tokens.vocabulary)
        spelled = torch.cat(
            [randomized_rows(source, *args, part, workers=workers) for source, part in data.parts]
        )
    folder.mkdir(parents=True, exist_ok=True)
    with seeded(config.seed):
        model = SequenceVAE(
            config.model, len(tokens.vocabulary), rows.shape[1], p, len(data.conditions)
        )
    mean, std = (x.float() for x in _moments(data.heads))
    state = None
    if before is not None:
        heads, conditions = (tuple(x.name for x in few) for few in (data.heads, data.conditions))
        take_weights(model, before, heads, conditions)
        if before.card.properties == heads:
            _take_units(model, mean, std)
            same = config.model == before.card.model and (before.folder / STATE).exists()
            state = before.folder if same else None
    model = fit(
        model,
        rows,
        tokens.valid,
        config,
        folder,
        labels=labels[:, :p],
        conditions=labels[:, p:],
        fingerprints=bits,
        randomized_rows=spelled,
        main=len(tokens.train),
        start=state,
        data=_identity([source for source, _ in data.parts], tokens),
        resume=resume,
        on_progress=on_progress,
    ).cpu()
    _give_units(model, mean, std)
    return model


def _identity(folders: Sequence[str], tokens: TokenizedDataset) -> dict[str, Any]:
    """What a resumed training must have been made from: hashes of the splits, and the tokens."""
    symbols = json.dumps([tokens.representation, tokens.vocabulary.tokens, tokens.vocabulary.pairs])
    made: dict[str, Any] = {"the vocabulary": hashlib.sha256(symbols.encode()).hexdigest()}
    for i, folder in enumerate(folders):
        splits = describe(Path(folder))["splits"]
        for name in ("train", "valid") if i == 0 else ("train",):
            made[f"{name}.smi" if i == 0 else f"{name}.smi of more_data {i}"] = splits[name]
    return made


def _units(labels: Tensor, names: Sequence[str]) -> list[Condition]:
    """Mean and standard deviation of each property over the molecules that it is known for."""
    units = []
    for name, column in zip(names, labels.T, strict=True):
        known = column[~column.isnan()]
        if len(known) < 2 or known.std() == 0:
            raise DataError(
                f"{name} takes fewer than two values among the {len(known)} training molecules "
                "that it is known of: there is nothing to learn; leave it out, or show more labels"
            )
        units.append(Condition(name=name, mean=float(known.mean()), std=float(known.std())))
    return units


def _moments(units: Sequence[Condition]) -> tuple[Tensor, Tensor]:
    """Means and standard deviations, float64."""
    mean, std = [one.mean for one in units], [one.std for one in units]
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)


@torch.no_grad()
def _give_units(model: SequenceVAE, mean: Tensor, std: Tensor) -> None:
    """Let the property heads speak in the properties' own units, in place."""
    if (head := model.property_head) is not None:
        head.weight.mul_(std[:, None])
        head.bias.mul_(std).add_(mean)


@torch.no_grad()
def _take_units(model: SequenceVAE, mean: Tensor, std: Tensor) -> None:
    """Undo `_give_units`, in place."""
    if (head := model.property_head) is not None:
        head.bias.sub_(mean).div_(std)
        head.weight.div_(std[:, None])


def _evenly(n: int, most: int) -> slice:
    """Up to so many of n rows."""
    return slice(None, None, max(1, math.ceil(n / most)))


def _codes(
    model: SequenceVAE, rows: Tensor, y: Tensor | None, *, n_samples: int, seed: int
) -> Tensor:
    """Samples from posteriors, `n_samples x n x code_dim`; y as in `SequenceVAE.infer`."""
    generator = torch.Generator().manual_seed(seed)

    def sample(ids: Tensor, places: Tensor) -> Tensor:
        known = None if y is None or not model.n_conditions else y[places]
        return model.infer(ids, known, n_samples, generator).code.view(len(ids), n_samples, -1)

    return _by_length(rows, sample).transpose(0, 1).contiguous()


@torch.inference_mode()
def _by_length(rows: Tensor, work: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Results of a function of ids and their places in the rows; batches hold little padding."""
    order = (rows != PAD).sum(dim=1).argsort(stable=True)
    done = torch.cat([work(trim_padding(rows[part]), part) for part in torch.split(order, 512)])
    return done[order.argsort()]


def _box(codes: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, unit by unit, of the codes of training molecules."""
    if codes.shape[1] == 0:
        return (), ()
    ends = torch.tensor([BOX_QUANTILE, 1 - BOX_QUANTILE]).double()
    low, high = torch.quantile(codes.double(), ends, dim=0).tolist()
    return tuple(low), tuple(high)
