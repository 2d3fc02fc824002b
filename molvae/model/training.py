"""The training loop: bucketed batches, mixed precision, validation, and a state to resume from.

On the CPU an interrupted training resumes from its last saved state, even after `kill -9`, and ends
with the same weights, bit for bit, as an uninterrupted one. Ctrl-C and SIGTERM save a state first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
    MAX_FITTED,
    FingerprintHead,
    SparseBits,
    distance_similarity_correlation,
)
from molvae.model.interruption import deferred_signals
from molvae.model.isolation import seeded
from molvae.model.losses import (
    ConditionTargets,
    compute_loss,
    condition_loss,
    property_loss,
    reconstruction,
)
from molvae.model.priors import covariance_of
from molvae.model.progress import Progress, Reporter
from molvae.model.training_state import (
    TrainedParts,
    TrainingState,
    load_state,
    save_state,
    start_state,
)
from molvae.model.vae import SequenceVAE, repeat_rows
from molvae.model.validation import reconstruction_accuracy, validate

N_COMPONENTS = 64  # principal components of fingerprints that an auxiliary head predicts from z


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
    """Train the network in place, on `config.device`; it is returned in evaluation mode.

    Args:
        model: As initialized; with `resume`, its weights are replaced.
        rows: Training ids, `n x max_length`, any integer type, ended by EOS, padded.
        valid: Validation ids, `m x max_length`.
        config: Settings; `data` and `out` are not used here.
        folder: Folder of `metrics.jsonl` and the resume state.
        labels: Targets of the property heads, `n x p`, float32, standardized; NaN where unknown.
            None for a network without heads.
        conditions: Conditions, `n x c`, float32, standardized; NaN where unknown. None for none.
        fingerprints: Fingerprints of the rows, for `config.neighbors` and terms of the loss.
        randomized_rows: Ids of randomized SMILES of the rows, `n x k x max_length`, for
            `config.randomized_smiles_fraction`.
        main: How many rows, the first, are of `config.data` and not of `config.more_data`; None for
            all.
        start: Folder with the kept state of another training, to start from.
        data: Description of the data, ready for JSON; resuming needs the same.
        resume: Resume from the state in the folder.
        on_progress: Called about every five seconds and after each validation.

    Raises:
        CheckpointError: Nothing to resume, or it was made with other settings or other data.

    Warns:
        MolvaeWarning: The posterior has collapsed: z carries almost nothing.
    """
    device = pick_device(config.device)
    model.to(device).train()
    rate = config.learning_rate
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    head = _fingerprint_head(model, fingerprints, config)
    if head is not None:
        optimizer.add_param_group({"params": list(head.to(device).parameters())})
    generator = torch.Generator(device).manual_seed(config.seed)
    parts = TrainedParts(model, optimizer, generator, head)
    conditions = torch.zeros(len(rows), 0) if conditions is None else conditions
    examples = _Examples(
        rows=rows,
        labels=torch.zeros(len(rows), 0) if labels is None else labels,
        conditions=conditions,
        covariance=covariance_of(conditions).to(device),
        few=_few(conditions),
        fingerprints=fingerprints,
        randomized_rows=randomized_rows,
        noised=torch.arange(len(rows)) < (main or len(rows)),
    )
    lengths = (rows != PAD).sum(dim=1).numpy()
    place = TrainingState()
    if resume:
        place = load_state(folder, parts, config, data)
    else:
        (folder / RESUME).unlink(missing_ok=True)  # of an older training
        if start is not None:
            start_state(start, parts)
    save = partial(save_state, folder, parts, config, place, data)
    report = Reporter(folder, config.n_molecules, on_progress, place.seen)
    next_stop = (place.seen // config.validate_every + 1) * config.validate_every

    with deferred_signals() as interrupted:
        while place.seen < config.n_molecules:
            for index in _batches_from(lengths, config, place, main or len(rows), fingerprints):
                lr_factor, beta = schedule_at(config, place.seen)
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * lr_factor
                n_tokens = int(lengths[index.numpy()].sum())
                total, terms = _loss(parts, examples, index, config, place, beta)
                optimizer.zero_grad(set_to_none=True)
                # Per token, so that clipping means the same for short and long molecules.
                (total * (len(index) / n_tokens)).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                place.seen += len(index)
                report.add(len(index), {name: term.item() for name, term in terms.items()})
                if place.seen >= next_stop or place.seen >= config.n_molecules:
                    next_stop += config.validate_every
                    model.eval()
                    with autocast(config.precision, device):
                        rec, kl, active = validate(model, valid, covariance=examples.covariance)
                        exact = reconstruction_accuracy(model, valid)
                    model.train()
                    report.say(
                        place.seen,
                        beta,
                        valid_reconstruction=rec,
                        valid_kl=kl,
                        active=active,
                        valid_exact=exact,
                    )
                    _warn_of_collapse(beta, kl, active, config)
                    save()
                elif report.due():
                    report.say(place.seen, beta)
                if interrupted():
                    save()
                    return model.eval()  # not reached: the signal is delivered now
                if place.seen >= config.n_molecules:
                    break
    return model.eval()


@dataclass(frozen=True, kw_only=True)
class _Examples:
    """What the network learns from; see `train`."""

    rows: Tensor
    labels: Tensor
    conditions: Tensor
    covariance: Tensor  # covariance of the conditions, on the network's device
    few: Tensor | None  # rows with known conditions, if they are few
    fingerprints: SparseBits | None
    randomized_rows: Tensor | None
    # Rows that may be decoded from z with noise, `n` booleans: those of `config.data`, since the
    # decoder as a language model imitates them and not `config.more_data`.
    noised: Tensor


def _loss(
    parts: TrainedParts,
    examples: _Examples,
    index: Tensor,
    config: TrainConfig,
    place: TrainingState,
    beta: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, given by its rows, and its terms by their names in `Progress`."""
    model, _, generator, head = parts
    device, k, known = generator.device, config.loss.n_samples, None
    read = ids = trim_padding(examples.rows[index]).to(device)
    if (other := _randomized(examples, config, place)) is not None:
        read = trim_padding(other[index]).to(device)
    if model.n_conditions:
        known = ConditionTargets(examples.conditions[index].to(device), examples.covariance)
    with autocast(config.precision, device):
        seen = corrupted(read, config.corruption, model.n_tokens, generator)
        inference = model.infer(seen, None if known is None else known.y, k, generator)
        repeated, d = repeat_rows(ids, k), model.config.latent_dim
        code, noise = noise_some(
            inference.code,
            config.noised_fraction,
            d,
            k,
            generator,
            among=examples.noised[index].to(device),
        )
        states = inference.states if seen is ids else None
        logits = model.logits(
            code,
            repeated,
            noise=noise,
            word_dropout=config.word_dropout,
            generator=generator,
            states=None if states is None else repeat_rows(states, k),
        )
    loss = compute_loss(
        config.loss,
        beta,
        inference,
        reconstruction(logits, repeated),
        posterior=model.config.posterior,
        known=known,
        molecules=len(examples.rows),
    )
    nothing = loss.kl.new_zeros(())
    terms = {"reconstruction": loss.reconstruction, "kl": loss.kl}
    terms |= dict.fromkeys(("conditions", "similarity", "fingerprint"), nothing)
    labels = repeat_rows(examples.labels[index].to(device), k)
    terms["properties"] = property_loss(model.properties(inference.code), labels)
    if examples.few is not None:
        more = examples.few[_sampled(len(examples.few), len(ids) // 2, config, place)]
        with autocast(config.precision, device):
            guess = model.conditions(trim_padding(examples.rows[more]).to(device))
        terms["conditions"] = condition_loss(*guess, examples.conditions[more].to(device))
    elif known is not None:
        terms["conditions"] = condition_loss(inference.y_mean, inference.y_logvar, known.y)
    structured = config.loss.similarity_weight > 0 or head is not None
    if structured and (fingerprints := examples.fingerprints) is not None:
        bits = fingerprints.dense(index.numpy()).to(device)
        if config.loss.similarity_weight > 0:
            mean = inference.mean[::k]
            terms["similarity"] = distance_similarity_correlation(mean, bits)
        if head is not None:
            terms["fingerprint"] = head(inference.code[::k, :d], bits)
    total = loss.total + config.property_weight * terms["properties"]
    total = total + config.condition_weight * terms["conditions"]
    total = total + config.loss.similarity_weight * terms["similarity"]
    total = total + config.loss.fingerprint_weight * terms["fingerprint"]
    return total, terms


def _fingerprint_head(
    model: SequenceVAE, fingerprints: SparseBits | None, config: TrainConfig
) -> FingerprintHead | None:
    """The head that reads fingerprints, its components fitted; None if it has no weight."""
    if config.loss.fingerprint_weight == 0 or fingerprints is None:
        return None
    every = -(-len(fingerprints) // MAX_FITTED)
    with seeded(config.seed):
        head = FingerprintHead(model.config.latent_dim, fingerprints.size, N_COMPONENTS)
        head.fit(fingerprints.dense(np.arange(0, len(fingerprints), every)))
    return head


def _few(conditions: Tensor) -> Tensor | None:
    """Rows that any condition is known of, if they are fewer than half.

    A batch would have hardly any of them: at each step the encoder learns to predict conditions
    from half as many rows as a batch has, sampled from these rows.
    """
    known = (~conditions.isnan()).any(dim=1).nonzero()[:, 0]
    return known if 0 < 2 * len(known) < len(conditions) else None


def _randomized(examples: _Examples, config: TrainConfig, place: TrainingState) -> Tensor | None:
    """Randomized SMILES that the encoder reads in this step; None for the usual rows."""
    if (rows := examples.randomized_rows) is None:
        return None
    rng = np.random.default_rng((config.seed, place.epoch, place.batch, 1))
    if rng.random() >= config.randomized_smiles_fraction:
        return None
    return rows[:, int(rng.integers(rows.shape[1]))]


def _sampled(n: int, size: int, config: TrainConfig, place: TrainingState) -> Tensor:
    """Numbers below n, with repeats; the same at the same place of a training."""
    rng = np.random.default_rng((config.seed, place.epoch, place.batch))
    return torch.from_numpy(rng.integers(n, size=max(1, size)))


def _batches_from(
    lengths: np.ndarray[Any, Any],
    config: TrainConfig,
    place: TrainingState,
    main: int,
    fingerprints: SparseBits | None,
) -> Iterator[Tensor]:
    """The rest of the epoch; `place` is moved on before a batch is handed out."""
    rows, seed, epoch = None, config.seed, place.epoch
    if config.neighbors or main < len(lengths):
        bits = fingerprints if config.neighbors else None
        rows = epoch_rows(len(lengths), main, config.more_data_fraction, seed, epoch, bits)
    batches = epoch_batches(
        lengths,
        config.batch_size,
        seed,
        epoch,
        # The aggregated posterior of rows of similar length would be another one.
        bucketed=config.loss.kind != "total-correlation",
        rows=rows,
        paired=config.neighbors,
    )
    for index in batches[place.batch :]:
        place.batch += 1
        yield torch.from_numpy(index)
    place.epoch, place.batch = place.epoch + 1, 0


def _warn_of_collapse(beta: float, kl: float, active: int, config: TrainConfig) -> None:
    """A decoder that ignores z is the classic failure; say it while there is time to stop."""
    d = config.model.latent_dim
    if d > 0 and beta > 0 and (kl < 1.0 or active < max(1, d // 20)):
        warn(
            f"the posterior is collapsing: KL {kl:.2f} nats, {active} of {d} latent units active "
            f"at beta {beta:.3g}; the decoder ignores z. Lower beta, warm it up longer, or raise "
            "word_dropout"
        )
