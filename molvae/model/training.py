"""The training loop: bucketed batches, mixed precision, validation, and a state to go on from.

Sees rows of integers, not molecules. On the CPU a training that was interrupted anywhere, by `kill
-9` too, goes on from its last saved state and ends with the same weights, bit for bit, as one that
was not.
"""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from molvae.chem.vocabulary import PAD
from molvae.config import TrainConfig
from molvae.errors import CheckpointError, MolvaeWarning
from molvae.model.checkpoint import write_atomically
from molvae.model.objectives import active_units, elbo_loss, kl_to_normal, property_loss
from molvae.model.vae import SequenceVAE, blur, reparameterise

logger = logging.getLogger(__name__)

CHUNK = 50
"""Batches sorted by length together: enough for little padding, few enough for random batches."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands; also one line of `metrics.jsonl`. Nats are per molecule."""

    molecules: int
    """Seen so far, repeats included."""
    total: int
    """To be seen in all."""
    rate: float
    """Molecules a second since the last report."""
    eta: float
    """Seconds to go at that rate."""
    beta: float
    """Weight of the KL term now."""
    reconstruction: float
    """Training batches since the last report, nats."""
    kl: float
    """Training batches since the last report, nats."""
    properties: float
    """Loss of the properties' heads, unweighted, on the same batches; 0 without heads."""
    valid_reconstruction: float | None = None
    """Validation molecules at one draw of z each, nats; None between validations."""
    valid_kl: float | None = None
    """Validation molecules, nats; None between validations."""
    active: int | None = None
    """Active latent units; None between validations."""


def pick_device(name: str) -> torch.device:
    """The device that a setting `auto`, `cpu` or `cuda` stands for."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 autocast where asked for or, with `auto`, where it is faster; else nothing."""
    if precision == "auto":
        # Emulated bf16 is slower than float32: only processors with the instructions gain.
        # torch has no public name for the question yet; where it has none at all, float32.
        on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        native = device.type == "cuda" or on_cpu()
        precision = "bf16" if native else "float32"
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def epoch_batches(
    lengths: np.ndarray[Any, Any], batch_size: int, seed: int, epoch: int
) -> list[np.ndarray[Any, Any]]:
    """One pass over the data: batches of rows of similar length, in random order.

    The last, smaller batch is kept: no row is left out. A pure function of its arguments, so that a
    resumed training finds its place.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    batches: list[np.ndarray[Any, Any]] = []
    for start in range(0, len(order), batch_size * CHUNK):
        chunk = order[start : start + batch_size * CHUNK]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def schedule(config: TrainConfig, seen: int) -> tuple[float, float]:
    """Learning-rate factor and beta after `seen` molecules: linear rises, cosine decay to 2 %."""
    done = seen / config.molecules
    rise = min(1.0, done / config.lr_warm_up) if config.lr_warm_up > 0 else 1.0
    decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    beta = config.beta * (min(1.0, done / config.beta_warm_up) if config.beta_warm_up > 0 else 1.0)
    return rise * decay, beta


@dataclass
class _Place:
    """Where the loop stands: everything beside tensors that resuming needs."""

    epoch: int = 0
    batch: int = 0
    seen: int = 0


@torch.inference_mode()
def validate(
    model: SequenceVAE, rows: Tensor, *, seed: int = 0, batch_size: int = 512
) -> tuple[float, float, int]:
    """Reconstruction and KL (nats per molecule) and active units on held-out rows.

    Noise comes from its own generator: the same weights give the same numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    rec = kl = 0.0
    means = []
    for batch in torch.split(rows, batch_size):
        ids = trim(batch).to(device)
        mean, logvar = model.posterior(ids)
        noise = torch.randn(mean.shape, generator=generator).to(device)
        z = mean + noise * (0.5 * logvar).exp()
        loss = elbo_loss(model.logits(z, ids), ids, mean, logvar, 1.0)
        rec += float(loss.reconstruction) * len(ids)
        kl += float(kl_to_normal(mean, logvar).sum())
        means.append(mean)
    return rec / len(rows), kl / len(rows), active_units(torch.cat(means))


def trim(rows: Tensor) -> Tensor:
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
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> SequenceVAE:
    """Train the network in place, on `config.device`; the folder gets progress and resume state.

    Seeds torch's global generator, which draws dropout and noise.

    Args:
        model: As initialised; with `resume`, its weights are replaced.
        rows: Training ids, `n x max_length`, any integer type, ended by stop, padded.
        valid: Validation ids, likewise.
        config: Settings; `data` and `out` are not used here.
        folder: Where `metrics.jsonl` and the resume state go.
        labels: What the property heads are to read off z, one row for each of `rows`, float32, of
            mean 0 and standard deviation 1; NaN where not known. None for a network without heads.
        resume: Go on from the state in the folder.
        on_progress: Called about every five seconds and after each validation.

    Returns:
        The trained network, in evaluation mode, on its device.

    Raises:
        CheckpointError: Nothing to resume, or it was made with other settings.

    Warns:
        MolvaeWarning: The posterior has collapsed: z carries almost nothing.
    """
    device, optimizer = begin(model, config)
    if labels is None:
        labels = torch.zeros(len(rows), 0)
    lengths = (rows != PAD).sum(dim=1).numpy()
    place = _Place()
    if resume:
        place = _load_state(folder, model, optimizer, config, device)
    report = _Reporter(folder, config, on_progress, place)
    next_stop = (place.seen // config.validate_every + 1) * config.validate_every

    while place.seen < config.molecules:
        for index in _batches_from(lengths, config, place):
            factor, beta = schedule(config, place.seen)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            ids = trim(rows[index]).to(device)
            with autocast(config.precision, device):
                mean, logvar = model.posterior(ids)
                drawn = reparameterise(mean, logvar)
                z, noise = noisy(drawn, config.noisy)
                logits = model.logits(z, ids, noise=noise, word_dropout=config.word_dropout)
            loss = elbo_loss(logits, ids, mean, logvar, beta)
            of_properties = property_loss(model.properties(drawn), labels[index].to(device))
            total = loss.total + config.property_weight * of_properties
            optimizer.zero_grad(set_to_none=True)
            # Per symbol, so that clipping means the same for short and long molecules.
            scaled = total * (len(ids) / int((ids != PAD).sum()))
            scaled.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            place.seen += len(ids)
            terms = (loss.reconstruction, loss.kl, of_properties)
            report.add(len(ids), *(term.item() for term in terms))
            if place.seen >= next_stop or place.seen >= config.molecules:
                next_stop += config.validate_every
                model.eval()
                with autocast(config.precision, device):
                    rec, kl, active = validate(model, valid)
                model.train()
                report.say(place, beta, rec, kl, active)
                _warn_of_collapse(beta, kl, active, config)
                _save_state(folder, model, optimizer, config, place)
            elif report.due():
                report.say(place, beta)
            if place.seen >= config.molecules:
                break
    return model.eval()


def begin(model: nn.Module, config: TrainConfig) -> tuple[torch.device, torch.optim.Optimizer]:
    """Set threads and seed, bring a network to its device for training, and give it an optimizer.

    Args:
        model: Changed in place.
        config: `threads`, `seed`, `device` and `learning_rate` are used.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = pick_device(config.device)
    model.to(device).train()
    rate = config.learning_rate
    return device, torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)


def noisy(code: Tensor, share: float, latent_dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Noise at a level drawn evenly from 0 to 1 in the z of a share of the rows; and the levels.

    See `blur` for `latent_dim`.
    """
    if share == 0:
        return code, code.new_zeros(len(code))
    level = torch.rand(len(code), device=code.device)
    level = level * (torch.rand(len(code), device=code.device) < share)
    return blur(code, level, latent_dim), level


def _batches_from(
    lengths: np.ndarray[Any, Any], config: TrainConfig, place: _Place
) -> Iterator[Tensor]:
    """The rest of the epoch; `place` is moved on before a batch is handed out."""
    batches = epoch_batches(lengths, config.batch_size, config.seed, place.epoch)
    for index in batches[place.batch :]:
        place.batch += 1
        yield torch.from_numpy(index)
    place.epoch, place.batch = place.epoch + 1, 0


def _warn_of_collapse(beta: float, kl: float, active: int, config: TrainConfig) -> None:
    """A decoder that ignores z is the classic failure; say it while there is time to stop."""
    if beta > 0 and (kl < 1.0 or active < max(1, config.model.latent_dim // 20)):
        warnings.warn(
            f"the posterior is collapsing: KL {kl:.2f} nats, {active} of "
            f"{config.model.latent_dim} latent units active at beta {beta:.3g}; the decoder "
            "ignores z. Lower beta, warm it up longer, or raise word_dropout",
            MolvaeWarning,
            stacklevel=3,
        )


class _Reporter:
    """Averages between reports; writes `metrics.jsonl`."""

    SECONDS = 5.0

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        on_progress: Callable[[Progress], None] | None,
        place: _Place,
    ) -> None:
        self.path, self.config, self.on_progress = folder / "metrics.jsonl", config, on_progress
        if place.seen == 0:
            self.path.write_text("")
        self._reset()

    def _reset(self) -> None:
        self.since, self.n, self.sums = time.monotonic(), 0, np.zeros(3)

    def add(self, n: int, *means: float) -> None:
        """Count a batch: the means of reconstruction, KL and properties' loss over it."""
        self.n, self.sums = self.n + n, self.sums + n * np.array(means)

    def due(self) -> bool:
        return time.monotonic() - self.since > self.SECONDS

    def say(
        self,
        place: _Place,
        beta: float,
        valid_rec: float | None = None,
        valid_kl: float | None = None,
        active: int | None = None,
    ) -> None:
        rate = self.n / max(time.monotonic() - self.since, 1e-9)
        rec, kl, of_properties = (self.sums / max(self.n, 1)).tolist()
        progress = Progress(
            molecules=place.seen,
            total=self.config.molecules,
            rate=rate,
            eta=max(0, self.config.molecules - place.seen) / max(rate, 1e-9),
            beta=beta,
            reconstruction=rec,
            kl=kl,
            properties=of_properties,
            valid_reconstruction=valid_rec,
            valid_kl=valid_kl,
            active=active,
        )
        with open(self.path, "a") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        if self.on_progress is not None:
            self.on_progress(progress)
        self._reset()


RESUME = "resume.safetensors"


def _what_must_agree(config: TrainConfig) -> dict[str, Any]:
    settings = asdict(config)
    # A folder may be moved to another machine; the prior comes after this loop.
    for name in ("out", "data", "threads", "device", "prior_passes"):
        del settings[name]
    return settings


def _save_state(
    folder: Path,
    model: SequenceVAE,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    place: _Place,
) -> None:
    """One file: weights, optimizer, generators and place are of one moment."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    metadata = {
        "place": json.dumps(asdict(place)),
        "settings": json.dumps(_what_must_agree(config), sort_keys=True),
    }
    write_atomically(
        folder / RESUME,
        save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata),
    )


def _load_state(
    folder: Path,
    model: SequenceVAE,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    device: torch.device,
) -> _Place:
    path = folder / RESUME
    if not path.exists():
        raise CheckpointError(
            f"{path} is not there: the training was finished, or stopped before its first "
            "validation; start it without resuming"
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            # Copies: the tensors themselves are windows on the file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        saved, place = json.loads(metadata["settings"]), _Place(**json.loads(metadata["place"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); start the training anew") from error
    now = json.loads(json.dumps(_what_must_agree(config)))
    if changed := sorted(k for k in now if saved.get(k) != now[k]):
        name = changed[0]
        raise CheckpointError(
            f"{path} was made with {name} = {saved.get(name)!r}, now it is {now[name]!r}; resume "
            "with the settings of the beginning, or start a new run folder"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    model.load_state_dict(part("model."))
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in part("optimizer.").items():
        index, name = key.split(".", 1)
        states.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    torch.set_rng_state(tensors["rng.cpu"])
    if device.type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return place
