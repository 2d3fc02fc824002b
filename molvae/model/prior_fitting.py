"""Fit priors to the codes of molecules; held-out codes choose the best."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from molvae.chem.vocabulary import PAD
from molvae.config import short_seed
from molvae.errors import warn
from molvae.model.batches import trim_padding
from molvae.model.config import PriorConfig
from molvae.model.isolation import seeded
from molvae.model.priors import (
    DEFAULT_COMPONENTS,
    ConditionalPrior,
    FlowPrior,
    MixturePrior,
    NormalPrior,
    Prior,
    VampPrior,
    covariance_of,
    mixture_log_prob,
)

if TYPE_CHECKING:
    from molvae.model.vae import SequenceVAE

logger = logging.getLogger(__name__)

MAX_VAMP_STEPS = 300
"""Steps of `fit_vamp` at most: each takes the encoder through all pseudo-molecules."""
BATCH_SIZE = 512  # codes of a step


def choose_prior(
    train: Tensor,
    valid: Tensor,
    config: PriorConfig,
    *,
    conditions: int = 0,
    vamp: Callable[[], VampPrior] | None = None,
    seed: int = 0,
) -> tuple[Prior, dict[str, float]]:
    """Fit the requested kind; or, with `auto`, several, and keep the one of likeliest codes.

    Args:
        train: Samples from posteriors to fit to, `k x n x d`; with conditions `[z | y]`.
        valid: Samples from held-out posteriors, `n x d`, to choose by.
        config: The kind; with 0 epochs, or without z, N(0, I) is the only choice.
        conditions: How many of the last columns are conditions.
        vamp: Fits a VampPrior, which needs an encoder.

    Returns:
        The prior, and the mean log-density of held-out codes, in nats, under each kind that was
        fitted and under N(0, I). With conditions the prior is `ConditionalPrior`, and the kinds are
        those of z given y.

    Warns:
        MolvaeWarning: The requested kind makes held-out codes less likely than N(0, I) does.
    """
    _, n, width = train.shape
    dim = width - conditions
    z, y = train[..., :dim], train[..., dim:] if conditions else None
    priors: dict[str, Prior] = {"normal": NormalPrior(dim)}
    for kind in _kinds(config, n, dim, conditions):
        if kind == "mixture":
            priors[kind] = fit_mixture(z[0], components=config.components, seed=seed)
        elif kind == "vamp":
            assert vamp is not None
            priors[kind] = vamp()
        else:
            priors[kind] = fit_flow(z, epochs=config.epochs, kind=kind, given=y, seed=seed)
    if y is not None:
        flat = y.reshape(-1, conditions)
        priors = {kind: _with_conditions(prior, flat) for kind, prior in priors.items()}
    with torch.no_grad():
        found = {
            kind: float(torch.cat([prior.log_prob(z) for z in torch.split(valid, 4096)]).mean())
            for kind, prior in priors.items()
        }
    logger.info("held-out log-density of z by prior: %s", found)
    best = max(found, key=lambda kind: found[kind])
    if config.kind != "auto" and dim > 0:
        if found["normal"] > found[config.kind]:
            warn(
                f"held-out codes are likelier under N(0, I), {found['normal']:.2f} nats, than "
                f"under the prior of kind {config.kind!r}, {found[config.kind]:.2f} nats; give it "
                "more molecules or passes, or take kind = 'auto'"
            )
        best = config.kind
    return priors[best], {kind: round(value, 3) for kind, value in found.items()}


def _kinds(config: PriorConfig, n: int, dim: int, conditions: int) -> list[str]:
    """What competes with N(0, I); with conditions, only kinds that depend on them."""
    if dim == 0 or config.epochs == 0 or config.kind == "normal":
        return []
    if config.kind != "auto":
        return [config.kind]
    # Coupling layers need two units.
    if conditions:
        return ["flow" if dim > 1 else "autoregressive"]
    # A covariance needs more codes than it has rows.
    return ["mixture"] * (n > 4 * dim) + ["flow"] * (dim > 1)


def _with_conditions(z: Prior, y: Tensor) -> ConditionalPrior:
    prior = ConditionalPrior(z, y.shape[1])  # type: ignore[arg-type]  # `PriorConfig` allows no others
    prior.mean, prior.covariance = y.mean(dim=0), covariance_of(y)
    return prior.eval()


def fit_mixture(codes: Tensor, *, components: int = 0, seed: int = 0) -> MixturePrior:
    """A mixture by expectation maximization of codes `n x d`.

    Components are 20 by default (0), and fewer where there are few codes. The seed is of the start.
    """
    from sklearn.mixture import GaussianMixture

    n, dim = codes.shape
    components = max(1, min(components or DEFAULT_COMPONENTS["mixture"], n // (4 * dim)))
    fitted = GaussianMixture(
        components, reg_covar=1e-3, max_iter=50, tol=1e-2, random_state=short_seed(seed)
    )
    fitted.fit(codes.double().numpy())
    prior = MixturePrior(dim, components)
    prior.logits = torch.tensor(fitted.weights_, dtype=torch.float32).log()
    prior.means = torch.tensor(fitted.means_, dtype=torch.float32)
    prior.factors = torch.linalg.cholesky(torch.tensor(fitted.covariances_)).float()
    return prior


def fit_vamp(
    model: SequenceVAE,
    rows: Tensor,
    codes: Tensor,
    *,
    epochs: int,
    components: int = 0,
    seed: int = 0,
) -> VampPrior:
    """A mixture of posteriors of pseudo-molecules, which are learned; the encoder stays.

    A pseudo-molecule has, where a real one has tokens, vectors as the encoder embeds tokens; they
    begin as those of training molecules. Where the posteriors of molecules are narrow, few of them
    do not cover what many do: so their standard deviations are multiplied by a factor for each
    unit, which is learned as well.

    Args:
        model: The network, on the CPU; its posterior is a Gaussian.
        rows: Training ids, `n x t`, ended by stop, padded.
        codes: Samples from posteriors of training molecules, `k x n x d`, used in turn.
        epochs: Passes over the codes, but not more than 300 steps.
        components: Pseudo-molecules; 0 takes the default, 100.
    """
    k, n, dim = codes.shape
    components = min(components or DEFAULT_COMPONENTS["vamp"], len(rows))
    frozen = copy.deepcopy(model).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    chosen = trim_padding(rows[torch.randperm(len(rows), generator=generator)[:components]])
    there = chosen != PAD
    with torch.enable_grad():
        pseudo = frozen.embedding(chosen[there]).requires_grad_()
        _, logvar = frozen.posterior(chosen)
        narrow = (0.5 * logvar).exp().mean(dim=0)
        wider = (0.8 * codes[0].std(dim=0) / narrow).log().requires_grad_()
        logits = torch.zeros(components, requires_grad=True)

        def gaussians() -> tuple[Tensor, Tensor]:
            assert frozen.encoder is not None
            x = pseudo.new_zeros(*chosen.shape, pseudo.shape[1])
            summary, _ = frozen.encoder(x.masked_scatter(there[..., None], pseudo), there)
            mean, logvar = frozen.q.gaussian(summary, summary[:, :0])
            return mean, (0.5 * logvar + wider).exp()

        def losses(steps: int) -> Iterator[Tensor]:
            batches: list[Tensor] = []
            for step in range(steps):
                if not batches:
                    batches = list(torch.split(torch.randperm(n, generator=generator), BATCH_SIZE))
                parts = Independent(Normal(*gaussians()), 1)
                yield -mixture_log_prob(codes[step % k, batches.pop()], logits, parts).mean()

        steps = min(MAX_VAMP_STEPS, epochs * math.ceil(n / BATCH_SIZE))
        _minimize(losses(steps), [pseudo, wider, logits], steps, learning_rate=3e-2)
        means, stds = gaussians()
    prior = VampPrior(dim, components)
    prior.logits, prior.means, prior.stds = logits.detach(), means.detach(), stds.detach()
    return prior.eval()


def fit_flow(
    codes: Tensor,
    *,
    epochs: int,
    kind: str = "flow",
    given: Tensor | None = None,
    hidden: int = 256,
    seed: int = 0,
) -> FlowPrior:
    """A flow by maximum likelihood of samples from the posteriors, others in each pass.

    Args:
        codes: `k` samples for each of `n` molecules, `k x n x d`, used in turn.
        epochs: Passes over the molecules.
        kind: See `FlowPrior`.
        given: Numbers that it depends on, `k x n x p`; None for none.
        hidden: See `FlowPrior`.
    """
    k, n, dim = codes.shape
    with seeded(seed):
        prior = FlowPrior(dim, kind, 0 if given is None else given.shape[2], hidden=hidden)
    generator = torch.Generator().manual_seed(seed)
    flat = codes.reshape(k * n, dim)
    prior.centre, prior.scale = flat.mean(dim=0), flat.std(dim=0).clamp(min=1e-6)

    def losses() -> Iterator[Tensor]:
        for turn in range(epochs):
            for rows in torch.split(torch.randperm(n, generator=generator), BATCH_SIZE):
                known = None if given is None else given[turn % k, rows]
                yield -prior.log_prob(codes[turn % k, rows], known).mean()

    with torch.enable_grad():
        steps = epochs * math.ceil(n / BATCH_SIZE)
        _minimize(losses(), list(prior.parameters()), steps, learning_rate=1e-3)
    return prior.eval()


def _minimize(
    losses: Iterable[Tensor], parameters: list[Tensor], steps: int, *, learning_rate: float
) -> None:
    """A step of Adam for each loss, which is computed after the step before; cosine decay."""
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for loss in losses:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        decay.step()
