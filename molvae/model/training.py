"""The training loop: bucketed batches, mixed precision, validation, and a state to resume from.

On the CPU an interrupted training resumes from its last saved state, even after `kill -9`, and ends
with the same weights, bit for bit, as an uninterrupted one. Ctrl-C and SIGTERM save a state first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from molvae.chem.vocabulary import PAD
from molvae.errors import warn
from molvae.model.batches import epoch_batches, epoch_rows, trim_padding
from molvae.model.checkpoint import RESUME
from molvae.model.config import TrainConfig
from molvae.model.corruption import corrupted, noise_some
from molvae.model.devices import autocast, pick_device
from molvae.model.fingerprint_losses import (
    SAMPLE,
    FingerprintHead,
    SparseBits,
    distance_similarity_correlation,
)
from molvae.model.interruption import deferred_signals
from molvae.model.losses import (
    ConditionTargets,
    Loss,
    compute_loss,
    condition_loss,
    property_loss,
    reconstruction,
)
from molvae.model.priors import covariance_of
from molvae.model.progress import Progress, Reporter
from molvae.model.training_state import TrainingState, load_state, save_state, start_state
from molvae.model.vae import SequenceVAE
from molvae.model.validation import reconstruction_accuracy, validate

N_COMPONENTS = 64
"""Principal components of fingerprints that an auxiliary head predicts from z."""


class Schedule(NamedTuple):
    """Scheduled settings of a training step."""

    lr_factor: float
    beta: float


def schedule_at(config: TrainConfig, seen: int) -> Schedule:
    """Learning-rate factor and beta after `seen` molecules: linear rises, cosine decay to 2 %.

    The decay takes the last `config.lr_decay_fraction` of the training; before it, the factor is 1.
    """
    done = seen / config.n_molecules
    rise = min(1.0, done / config.lr_warmup_fraction) if config.lr_warmup_fraction > 0 else 1.0
    falling = (
        max(0.0, 1 - (1 - min(1.0, done)) / config.lr_decay_fraction)
        if config.lr_decay_fraction > 0
        else 0.0
    )
    decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * falling))
    warm_up = config.loss.beta_warmup_fraction
    beta = config.loss.beta * (min(1.0, done / warm_up) if warm_up > 0 else 1.0)
    return Schedule(rise * decay, beta)


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
    randomized_rows: Tensor | None = None,
    main: int | None = None,
    start: Path | None = None,
    data: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> SequenceVAE:
    """Train the network in place, on `config.device`; progress and resume state go to the folder.

    Args:
        model: As initialized; with `resume`, its weights are replaced.
        rows: Training ids, `n x max_length`, any integer type, ended by EOS, padded.
        valid: Validation ids, `m x max_length`.
        config: Settings; `data` and `out` are not used here.
        folder: For `metrics.jsonl` and the resume state.
        labels: Targets of the property heads, `n x p`, float32, standardized; NaN where unknown.
            None for a network without heads.
        conditions: Conditions, `n x c`, float32, standardized; NaN where unknown. None for none.
        fingerprints: Of the rows, for the structure terms of the loss and for pairs of neighbors.
        randomized_rows: Ids of randomized SMILES of the rows, `n x k x max_length`, for
            `config.randomized_smiles_fraction`.
        main: How many rows, the first, are of `config.data` and not of `config.more_data`; None for
            all.
        start: Folder with the kept state of another training, to start from.
        data: Description of the data, ready for JSON; resuming needs the same.
        resume: Resume from the state in the folder.
        on_progress: Called about every five seconds and after each validation.

    Returns:
        The trained network, in evaluation mode, on its device.

    Raises:
        CheckpointError: Nothing to resume, or it was made with other settings or other data.

    Warns:
        MolvaeWarning: The posterior has collapsed: z carries almost nothing.
    """
    device, optimizer = setup_training(model, config)
    head = _fingerprint_head(model, fingerprints, config)
    if head is not None:
        optimizer.add_param_group({"params": list(head.to(device).parameters())})
    generator = torch.Generator(device).manual_seed(config.seed)
    labels = torch.zeros(len(rows), 0) if labels is None else labels
    conditions = torch.zeros(len(rows), 0) if conditions is None else conditions
    covariance = covariance_of(conditions)
    lengths = (rows != PAD).sum(dim=1).numpy()
    few = _few(conditions)
    place = TrainingState()
    if resume:
        place = load_state(folder, model, optimizer, generator, config, data, head)
    else:
        (folder / RESUME).unlink(missing_ok=True)  # of an older training
        if start is not None:
            start_state(start, model, optimizer, head)
    structured = config.loss.similarity_weight > 0 or head is not None
    report = Reporter(folder, config.n_molecules, on_progress, place.seen)
    next_stop = (place.seen // config.validate_every + 1) * config.validate_every

    with deferred_signals() as interrupted:
        while place.seen < config.n_molecules:
            for index in _batches_from(lengths, config, place, main or len(rows), fingerprints):
                lr_factor, beta = schedule_at(config, place.seen)
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * lr_factor
                ids = trim_padding(rows[index]).to(device)
                y, known, again = labels[index].to(device), None, None
                if model.n_conditions:
                    known = ConditionTargets(conditions[index].to(device), covariance.to(device))
                if few is not None:
                    more = few[_drawn(len(few), len(ids) // 2, config, place)]
                    again = trim_padding(rows[more]).to(device), conditions[more].to(device)
                bits = None
                if structured and fingerprints is not None:
                    bits = fingerprints.dense(index.numpy()).to(device)
                read = ids
                if (
                    randomized_rows is not None
                    and (other := _other(randomized_rows, config, place)) is not None
                ):
                    read = trim_padding(randomized_rows[index, other]).to(device)
                batch = _Batch(ids, read, y, known, again, len(rows), bits, generator)
                loss, of_properties, of_conditions, of_structure = _step(
                    model, batch, config, beta, head
                )
                total = loss.total + config.property_weight * of_properties
                total = total + config.condition_weight * of_conditions
                total = total + config.loss.similarity_weight * of_structure[0]
                total = total + config.loss.fingerprint_weight * of_structure[1]
                optimizer.zero_grad(set_to_none=True)
                # Per token, so that clipping means the same for short and long molecules.
                scaled = total * (len(ids) / int((ids != PAD).sum()))
                scaled.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                place.seen += len(ids)
                terms = (loss.reconstruction, loss.kl, of_properties, of_conditions, *of_structure)
                report.add(len(ids), *(term.item() for term in terms))
                if place.seen >= next_stop or place.seen >= config.n_molecules:
                    next_stop += config.validate_every
                    model.eval()
                    with autocast(config.precision, device):
                        rec, kl, active = validate(model, valid, covariance=covariance)
                        same = reconstruction_accuracy(model, valid)
                    model.train()
                    report.say(place.seen, beta, rec, kl, active, same)
                    _warn_of_collapse(beta, kl, active, config)
                    save_state(folder, model, optimizer, generator, config, place, data, head)
                elif report.due():
                    report.say(place.seen, beta)
                if interrupted():
                    save_state(folder, model, optimizer, generator, config, place, data, head)
                    return model.eval()  # not reached: the signal is delivered now
                if place.seen >= config.n_molecules:
                    break
    return model.eval()


@dataclass(frozen=True)
class _Batch:
    """What the network learns from in one step."""

    ids: Tensor
    read: Tensor
    """What the encoder is shown: the same rows, or randomized SMILES of the same molecules."""
    labels: Tensor
    known: ConditionTargets | None
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
    head: FingerprintHead | None = None,
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
        if config.loss.similarity_weight > 0:
            similar = distance_similarity_correlation(inference.mean[::n_samples], batch.bits)
        if head is not None:
            z = inference.code[::n_samples, : model.config.latent_dim]
            of_bits = head(z, batch.bits)
    return loss, of_properties, of_conditions, (similar, of_bits)


def _fingerprint_head(
    model: SequenceVAE, fingerprints: SparseBits | None, config: TrainConfig
) -> FingerprintHead | None:
    """The head that reads fingerprints, its components fitted; None if it has no weight."""
    if config.loss.fingerprint_weight == 0 or fingerprints is None:
        return None
    head = FingerprintHead(model.config.latent_dim, fingerprints.size, N_COMPONENTS)
    head.fit(fingerprints.dense(np.arange(0, len(fingerprints), -(-len(fingerprints) // SAMPLE))))
    return head


def _few(conditions: Tensor) -> Tensor | None:
    """Rows that any condition is known of, if they are fewer than half.

    In a batch there would be hardly any: at each step the encoder learns to guess conditions from
    half as many rows as a batch has, drawn from these, which it so sees more often than others.
    """
    known = (~conditions.isnan()).any(dim=1).nonzero()[:, 0]
    return known if 0 < 2 * len(known) < len(conditions) else None


def _other(randomized_rows: Tensor, config: TrainConfig, place: TrainingState) -> int | None:
    """Index of the randomized SMILES that the encoder reads in this step; None for `rows`."""
    rng = np.random.default_rng((config.seed, place.epoch, place.batch, 1))
    return (
        int(rng.integers(randomized_rows.shape[1]))
        if rng.random() < config.randomized_smiles_fraction
        else None
    )


def _drawn(n: int, size: int, config: TrainConfig, place: TrainingState) -> Tensor:
    """Numbers below n, with repeats; the same at the same place of a training."""
    rng = np.random.default_rng((config.seed, place.epoch, place.batch))
    return torch.from_numpy(rng.integers(n, size=max(1, size)))


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
