"""The training loop: bucketed batches, mixed precision, validation, and a state to go on from.

Sees rows of integers, not molecules. On the CPU a training that was interrupted anywhere, by `kill
-9` too, goes on from its last saved state and ends with the same weights, bit for bit, as one that
was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from molvae.chem.vocabulary import PAD
from molvae.config import LossConfig, TrainConfig
from molvae.errors import require, warn
from molvae.model.batches import epoch_batches, epoch_rows
from molvae.model.corruption import corrupted
from molvae.model.decoding import decode
from molvae.model.losses import (
    Labels,
    Loss,
    active_units,
    compute_loss,
    condition_loss,
    property_loss,
    reconstruction,
)
from molvae.model.priors import covariance_of
from molvae.model.progress import Progress, Reporter
from molvae.model.structure import SAMPLE, ReadOut, SparseBits, correlation
from molvae.model.training_state import TrainingState, load_state, save_state, start_state
from molvae.model.vae import SequenceVAE, add_noise

COMPONENTS = 64
"""Of fingerprints, that a head reads off z."""
EXACT = 1000
"""Validation molecules that are written again, at most."""


def pick_device(name: str | torch.device) -> torch.device:
    """The device that a setting stands for: `auto`, `cpu`, `cuda`, or one of several, `cuda:1`.

    Raises:
        ConfigError: No such device, or it is not there.
    """
    name = str(name)
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if there else "cpu"
    kind, _, number = name.partition(":")
    require(
        name == "cpu" or (kind == "cuda" and (number.isdecimal() or name == "cuda")),
        f"device must be auto, cpu, cuda, or cuda:1 for one of several; got {name!r}",
    )
    require(
        kind == "cpu" or int(number or 0) < there,
        f"there is no device {name!r}: torch {torch.__version__} finds {there} CUDA devices here; "
        "give cpu, or auto",
    )
    return torch.device(name)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 autocast where asked for or, with `auto`, where it is faster; else nothing."""
    if not in_bf16(precision, device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def in_bf16(precision: str, device: torch.device) -> bool:
    """Whether a training of this precision, which may be `auto`, computes in bfloat16."""
    if precision == "auto":
        # Emulated bf16 is slower than float32: only processors with the instructions gain.
        # torch has no public name for the question yet; where it has none at all, float32.
        on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        native = device.type == "cuda" or on_cpu()
        return bool(native)
    return precision == "bf16"


def learning_rate_at(config: TrainConfig, seen: int) -> tuple[float, float]:
    """Learning-rate factor and beta after `seen` molecules: linear rises, cosine decay to 2 %.

    The decay takes the last `config.lr_decay` of the training; before it, the factor is 1.
    """
    done = seen / config.molecules
    rise = min(1.0, done / config.lr_warmup_fraction) if config.lr_warmup_fraction > 0 else 1.0
    falling = (
        max(0.0, 1 - (1 - min(1.0, done)) / config.lr_decay_fraction)
        if config.lr_decay_fraction > 0
        else 0.0
    )
    decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * falling))
    warm_up = config.loss.beta_warmup_fraction
    beta = config.loss.beta * (min(1.0, done / warm_up) if warm_up > 0 else 1.0)
    return rise * decay, beta


@torch.inference_mode()
def validate(
    model: SequenceVAE,
    rows: Tensor,
    *,
    covariance: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 512,
) -> tuple[float, float, int]:
    """Reconstruction and KL (nats per molecule) and active units on held-out rows.

    The same weights give the same numbers.

    Args:
        model: Left in the mode it is in.
        rows: Ids, `n x max_length`; conditions are taken as not known.
        covariance: Of conditions, `p x p`; they are unrelated if it is None.
        seed: Of the one draw for each row.
        batch_size: Rows that go through the network together.
    """
    device = next(model.parameters()).device
    if covariance is None:
        covariance = torch.eye(model.n_conditions)
    rec = kl = 0.0
    means = []
    generator = torch.Generator(device).manual_seed(seed)
    for batch in torch.split(rows, batch_size):
        ids = trim_padding(batch).to(device)
        inference = model.infer(ids, noise=generator)
        loss = compute_loss(
            LossConfig(),
            1.0,
            inference,
            reconstruction(model.logits(inference.code, ids), ids),
            posterior=model.config.posterior,
            known=_nothing_known(model, len(ids), covariance),
        )
        rec += float(loss.reconstruction) * len(ids)
        kl += float(loss.kl) * len(ids)
        means.append(inference.mean)
    return rec / len(rows), kl / len(rows), active_units(torch.cat(means))


@torch.inference_mode()
def exact(model: SequenceVAE, rows: Tensor, *, batch_size: int = 512) -> float | None:
    """Share of rows that come back from their one code, written greedily; None without a z.

    Args:
        model: Left in the mode it is in.
        rows: Ids, `n x max_length`; evenly spaced ones are taken if there are many.
        batch_size: Rows that go through the network together.
    """
    if model.config.latent_dim == 0:
        return None
    device = next(model.parameters()).device
    same = 0
    some = rows[:: max(1, math.ceil(len(rows) / EXACT))]
    for batch in torch.split(some, batch_size):
        written = decode(model, model.encode(trim_padding(batch).to(device)).float())
        same += int((written.cpu() == batch.long()).all(dim=1).sum())
    return same / max(1, len(some))


def trim_padding(rows: Tensor) -> Tensor:
    """Rows as int64 without the columns in which every row is padding."""
    longest = int((rows != PAD).sum(dim=1).max())
    return rows[:, :longest].long()


def train(
    model: SequenceVAE,
    rows: Tensor,
    valid: Tensor,
    config: TrainConfig,
    folder: Path,
    *,
    labels: Tensor | None = None,
    conditions: Tensor | None = None,
    fingerprints: SparseBits | None = None,
    spellings: Tensor | None = None,
    main: int | None = None,
    start: Path | None = None,
    data: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> SequenceVAE:
    """Train the network in place, on `config.device`; the folder gets progress and resume state.

    Args:
        model: As initialised; with `resume`, its weights are replaced.
        rows: Training ids, `n x max_length`, any integer type, ended by stop, padded.
        valid: Validation ids, likewise.
        config: Settings; `data` and `out` are not used here.
        folder: Where `metrics.jsonl` and the resume state go.
        labels: What the property heads are to read off z, one row for each of `rows`, float32, of
            mean 0 and standard deviation 1; NaN where not known. None for a network without heads.
        conditions: Likewise, of a network with conditions.
        fingerprints: Of the rows; needed for the terms of the objective that are about structure,
            and for pairs of neighbors.
        spellings: Other rows that mean the same, `n x k x max_length`, for `config.spellings`.
        main: How many rows, the first, are of `config.data` and not of `config.more_data`; None for
            all.
        start: Folder with the kept state of another training, to go on from.
        data: What the rows were made from, ready for JSON: a training is resumed with the same
            alone.
        resume: Go on from the state in the folder.
        on_progress: Called about every five seconds and after each validation.

    Returns:
        The trained network, in evaluation mode, on its device.

    Raises:
        CheckpointError: Nothing to resume, or it was made with other settings or other data.

    Warns:
        MolvaeWarning: The posterior has collapsed: z carries almost nothing.
    """
    device, optimizer = setup_training(model, config)
    readout = _readout(model, fingerprints, config)
    if readout is not None:
        optimizer.add_param_group({"params": list(readout.to(device).parameters())})
    generator = torch.Generator(device).manual_seed(config.seed)
    labels = torch.zeros(len(rows), 0) if labels is None else labels
    conditions = torch.zeros(len(rows), 0) if conditions is None else conditions
    covariance = covariance_of(conditions)
    lengths = (rows != PAD).sum(dim=1).numpy()
    few = _few(conditions)
    place = TrainingState()
    if resume:
        place = load_state(folder, model, optimizer, generator, config, data, readout)
    elif start is not None:
        start_state(start, model, optimizer, readout)
    structured = config.loss.similarity > 0 or readout is not None
    report = Reporter(folder, config.molecules, on_progress, place.seen)
    next_stop = (place.seen // config.validate_every + 1) * config.validate_every

    while place.seen < config.molecules:
        for index in _batches_from(lengths, config, place, main or len(rows), fingerprints):
            factor, beta = learning_rate_at(config, place.seen)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            ids = trim_padding(rows[index]).to(device)
            y, known, again = labels[index].to(device), None, None
            if model.n_conditions:
                known = Labels(conditions[index].to(device), covariance.to(device))
            if few is not None:
                more = few[_drawn(len(few), len(ids) // 2, config, place)]
                again = trim_padding(rows[more]).to(device), conditions[more].to(device)
            bits = None
            if structured and fingerprints is not None:
                bits = fingerprints.dense(index.numpy()).to(device)
            read = ids
            if spellings is not None and (other := _other(spellings, config, place)) is not None:
                read = trim_padding(spellings[index, other]).to(device)
            batch = _Batch(ids, read, y, known, again, len(rows), bits, generator)
            loss, of_properties, of_conditions, of_structure = _step(
                model, batch, config, beta, readout
            )
            total = loss.total + config.property_weight * of_properties
            total = total + config.condition_weight * of_conditions
            total = total + config.loss.similarity * of_structure[0]
            total = total + config.loss.fingerprint * of_structure[1]
            optimizer.zero_grad(set_to_none=True)
            # Per symbol, so that clipping means the same for short and long molecules.
            scaled = total * (len(ids) / int((ids != PAD).sum()))
            scaled.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
            place.seen += len(ids)
            terms = (loss.reconstruction, loss.kl, of_properties, of_conditions, *of_structure)
            report.add(len(ids), *(term.item() for term in terms))
            if place.seen >= next_stop or place.seen >= config.molecules:
                next_stop += config.validate_every
                model.eval()
                with autocast(config.precision, device):
                    rec, kl, active = validate(model, valid, covariance=covariance)
                    same = exact(model, valid)
                model.train()
                report.say(place.seen, beta, rec, kl, active, same)
                _warn_of_collapse(beta, kl, active, config)
                save_state(folder, model, optimizer, generator, config, place, data, readout)
            elif report.due():
                report.say(place.seen, beta)
            if place.seen >= config.molecules:
                break
    return model.eval()


@dataclass(frozen=True)
class _Batch:
    """What the network learns from in one step."""

    ids: Tensor
    read: Tensor
    """What the encoder is shown: the same rows, or other spellings of them."""
    labels: Tensor
    known: Labels | None
    again: tuple[Tensor, Tensor] | None
    """Rows whose conditions are known, and these, where few are."""
    molecules: int
    """In the whole training set."""
    bits: Tensor | None
    """Fingerprints, where the objective has terms of structure."""
    generator: torch.Generator
    """Of everything that is drawn, on the network's device."""


def _step(
    model: SequenceVAE,
    batch: _Batch,
    config: TrainConfig,
    beta: float,
    readout: ReadOut | None = None,
) -> tuple[Loss, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """The objective of a batch, the loss of the property heads, and that of the conditions.

    At last, of structure, the correlation of distances with similarities and the loss of the head.
    """
    ids, known, n_samples, generator = (
        batch.ids,
        batch.known,
        config.loss.n_samples,
        batch.generator,
    )
    with autocast(config.precision, ids.device):
        read = corrupted(batch.read, config.corruption, model.n_tokens, generator)
        inference = model.infer(read, None if known is None else known.y, n_samples, generator)
        repeated = ids.repeat_interleave(n_samples, dim=0) if n_samples > 1 else ids
        code, noise = noise_some(
            inference.code, config.noised_fraction, model.config.latent_dim, n_samples, generator
        )
        states = inference.states if read is ids else None
        if states is not None and n_samples > 1:
            states = states.repeat_interleave(n_samples, dim=0)
        logits = model.logits(
            code,
            repeated,
            noise=noise,
            word_dropout=config.word_dropout,
            generator=generator,
            states=states,
        )
    loss = compute_loss(
        config.loss,
        beta,
        inference,
        reconstruction(logits, repeated),
        posterior=model.config.posterior,
        known=known,
        molecules=batch.molecules,
    )
    labels = batch.labels.repeat_interleave(n_samples, dim=0) if n_samples > 1 else batch.labels
    of_properties = property_loss(model.properties(inference.code), labels)
    of_conditions = loss.kl.new_zeros(())
    if batch.again is not None:
        more, y = batch.again
        with autocast(config.precision, ids.device):
            guess = model.conditions(more)
        of_conditions = condition_loss(*guess, y)
    elif known is not None:
        of_conditions = condition_loss(inference.y_mean, inference.y_logvar, known.y)
    similar = of_bits = loss.kl.new_zeros(())
    if batch.bits is not None:
        if config.loss.similarity > 0:
            similar = correlation(inference.mean[::n_samples], batch.bits)
        if readout is not None:
            z = inference.code[::n_samples, : model.config.latent_dim]
            of_bits = readout(z, batch.bits)
    return loss, of_properties, of_conditions, (similar, of_bits)


def _readout(
    model: SequenceVAE, fingerprints: SparseBits | None, config: TrainConfig
) -> ReadOut | None:
    """The head that reads fingerprints, its components fitted; None if it has no weight."""
    if config.loss.fingerprint == 0 or fingerprints is None:
        return None
    head = ReadOut(model.config.latent_dim, fingerprints.size, COMPONENTS)
    head.fit(fingerprints.dense(np.arange(0, len(fingerprints), -(-len(fingerprints) // SAMPLE))))
    return head


def _few(conditions: Tensor) -> Tensor | None:
    """Rows that any condition is known of, if they are fewer than half.

    In a batch there would be hardly any: at each step the encoder learns to guess conditions from
    half as many rows as a batch has, drawn from these, which it so sees more often than others.
    """
    known = (~conditions.isnan()).any(dim=1).nonzero()[:, 0]
    return known if 0 < 2 * len(known) < len(conditions) else None


def _other(spellings: Tensor, config: TrainConfig, place: TrainingState) -> int | None:
    """Which of the other spellings the encoder reads in this step; None for the true rows."""
    rng = np.random.default_rng((config.seed, place.epoch, place.batch, 1))
    return int(rng.integers(spellings.shape[1])) if rng.random() < config.spellings else None


def _drawn(n: int, size: int, config: TrainConfig, place: TrainingState) -> Tensor:
    """Numbers below n, with repeats; the same at the same place of a training."""
    rng = np.random.default_rng((config.seed, place.epoch, place.batch))
    return torch.from_numpy(rng.integers(n, size=max(1, size)))


def _nothing_known(model: SequenceVAE, n: int, covariance: Tensor) -> Labels | None:
    if not model.n_conditions:
        return None
    covariance = covariance.to(next(model.parameters()).device)
    return Labels(covariance.new_full((n, model.n_conditions), torch.nan), covariance)


def setup_training(
    model: nn.Module, config: TrainConfig
) -> tuple[torch.device, torch.optim.Optimizer]:
    """Bring a network to its device for training, and give it an optimizer.

    Args:
        model: Changed in place.
        config: `device` and `learning_rate` are used.
    """
    device = pick_device(config.device)
    model.to(device).train()
    rate = config.learning_rate
    return device, torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)


def noise_some(
    code: Tensor,
    share: float,
    latent_dim: int | None = None,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Noise at a level drawn evenly from 0 to 1 in the z of a share of the rows; and the levels.

    Args:
        code: `n * n_samples` codes; those of a row lie next to each other and get the same level.
        share: Of the rows.
        latent_dim: See `blur`.
        n_samples: Of each row.
        generator: Of levels and noise, on the code's device; None for torch's global generator.
    """
    if share == 0:
        return code, code.new_zeros(len(code))
    level, chosen = (
        torch.rand(
            len(code) // n_samples, generator=generator, dtype=torch.float32, device=code.device
        )
        for _ in range(2)
    )
    level = level * (chosen < share)
    level = level.repeat_interleave(n_samples) if n_samples > 1 else level
    return add_noise(code, level, latent_dim, generator), level


def _batches_from(
    lengths: np.ndarray[Any, Any],
    config: TrainConfig,
    place: TrainingState,
    main: int,
    fingerprints: SparseBits | None,
) -> Iterator[Tensor]:
    """The rest of the epoch; `place` is moved on before a batch is handed out."""
    # Of rows of similar length the aggregated posterior would be another.
    bucketed = config.loss.kind != "total-correlation"
    rows = None
    if config.neighbors or main < len(lengths):
        rows = epoch_rows(
            len(lengths),
            main,
            config.more_data_fraction,
            config.seed,
            place.epoch,
            fingerprints if config.neighbors else None,
        )
    batches = epoch_batches(
        lengths,
        config.batch_size,
        config.seed,
        place.epoch,
        bucketed=bucketed,
        rows=rows,
        paired=config.neighbors,
    )
    for index in batches[place.batch :]:
        place.batch += 1
        yield torch.from_numpy(index)
    place.epoch, place.batch = place.epoch + 1, 0


def _warn_of_collapse(beta: float, kl: float, active: int, config: TrainConfig) -> None:
    """A decoder that ignores z is the classic failure; say it while there is time to stop."""
    if config.model.latent_dim == 0:
        return
    if beta > 0 and (kl < 1.0 or active < max(1, config.model.latent_dim // 20)):
        warn(
            f"the posterior is collapsing: KL {kl:.2f} nats, {active} of "
            f"{config.model.latent_dim} latent units active at beta {beta:.3g}; the decoder "
            "ignores z. Lower beta, warm it up longer, or raise word_dropout"
        )
