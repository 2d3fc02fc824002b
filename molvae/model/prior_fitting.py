"""Which prior fits the codes of molecules best: all are fitted, held-out codes decide."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from molvae.chem.vocabulary import PAD
from molvae.config import short_seed
from molvae.errors import warn
from molvae.model.config import PriorConfig
from molvae.model.isolation import seeded
from molvae.model.priors import (
    COMPONENTS,
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


Kind = Literal["mixture", "vamp", "flow", "autoregressive"]
"""What has to be fitted."""


AUTO: tuple[Kind, ...] = ("mixture", "flow")
"""What competes with N(0, I) where nothing is asked for; with conditions, only what depends on
them."""


def choose_prior(
    train: Tensor,
    valid: Tensor,
    config: PriorConfig,
    *,
    conditions: int = 0,
    vamp: Callable[[], VampPrior] | None = None,
    seed: int = 0,
) -> tuple[Prior, dict[str, float]]:
    """Fit the asked-for kind; or, with `auto`, several, and keep the one of likeliest codes.

    Args:
        train: Draws from posteriors to fit to, `k x n x d`; with conditions `[z | y]`.
        valid: Draws from held-out posteriors, `n x d`, to choose by.
        config: The kind; with no passes, or without z, only N(0, I) is there to choose.
        conditions: How many of the last columns are conditions.
        vamp: Fits a prior of that kind; it needs an encoder.
        seed: Of everything random.

    Returns:
        The prior, and of each kind that was fitted, and of N(0, I), the mean log-density of
        held-out codes, in nats. With conditions the prior is `ConditionalPrior`, and the
        kinds are those of z given y.

    Warns:
        MolvaeWarning: The asked-for kind makes held-out codes less likely than N(0, I) does.
    """
    _, n, width = train.shape
    dim = width - conditions
    z, y = train[..., :dim], train[..., dim:] if conditions else None
    kinds = _kinds(config, n, dim, conditions)
    priors: dict[str, Prior] = {"normal": NormalPrior(dim)}
    for kind in kinds:
        if kind == "mixture":
            priors[kind] = fit_mixture(z[0], components=config.components, seed=seed)
        elif kind == "vamp":
            assert vamp is not None
            priors[kind] = vamp()
        elif kind == "flow" or kind == "autoregressive":
            priors[kind] = fit_flow(z, epochs=config.epochs, kind=kind, given=y, seed=seed)
    if y is not None:
        flat = y.reshape(-1, conditions)
        priors = {kind: _with_conditions(prior, flat) for kind, prior in priors.items()}
    with torch.no_grad():
        found = {
            kind: float(
                torch.cat([prior.log_prob(part) for part in torch.split(valid, 4096)]).mean()
            )
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


def _kinds(config: PriorConfig, n: int, dim: int, conditions: int) -> tuple[Kind, ...]:
    if dim == 0 or config.epochs == 0:
        return ()
    if config.kind != "auto":
        return () if config.kind == "normal" else (config.kind,)
    if conditions:
        # Coupling layers need two units.
        return ("flow",) if dim > 1 else ("autoregressive",)
    # A covariance needs more codes than it has rows.
    enough = {"mixture": n > 4 * dim, "flow": dim > 1}
    return tuple(kind for kind in AUTO if enough[kind])


def _with_conditions(z: Prior, y: Tensor) -> ConditionalPrior:
    prior = ConditionalPrior(z, y.shape[1])  # type: ignore[arg-type]  # `PriorConfig` allows no others
    prior.mean, prior.covariance = y.mean(dim=0), covariance_of(y)
    return prior.eval()


STEPS = 300
"""Of `fit_vamp` at most: each takes the encoder through all made-up molecules."""


def fit_mixture(codes: Tensor, *, components: int = 0, seed: int = 0) -> MixturePrior:
    """A mixture by expectation maximization, with fewer components where there are few codes.

    Args:
        codes: `n x d`.
        components: 0 takes the default, 20.
        seed: Of the first guess.
    """
    from sklearn.mixture import GaussianMixture

    n, dim = codes.shape
    components = max(1, min(components or COMPONENTS["mixture"], n // (4 * dim)))
    fitted = GaussianMixture(
        components, reg_covar=1e-3, max_iter=50, tol=1e-2, random_state=short_seed(seed)
    )
    fitted.fit(codes.double().numpy())
    prior = MixturePrior(dim, components)
    prior.logits = torch.tensor(fitted.weights_, dtype=torch.float32).log()
    prior.means = torch.tensor(fitted.means_, dtype=torch.float32)
    prior.factors = torch.linalg.cholesky(torch.tensor(fitted.covariances_)).float()
    return prior


class _Posterior(nn.Module):
    """The posterior of a network as a call, which is what `functional_call` needs."""

    def __init__(self, model: SequenceVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.posterior(ids)


def fit_vamp(
    model: SequenceVAE,
    rows: Tensor,
    codes: Tensor,
    *,
    epochs: int,
    components: int = 0,
    seed: int = 0,
    batch_size: int = 512,
    learning_rate: float = 3e-2,
) -> VampPrior:
    """A mixture of posteriors of made-up molecules, which are learned; the encoder stays.

    A made-up molecule has, where a real one has symbols, vectors as the encoder embeds symbols;
    they begin as those of training molecules. Where the posteriors of molecules are narrow, few of
    them do not cover what many do: so their standard deviations are multiplied by a factor for each
    unit, which is learned as well.

    Args:
        model: On the CPU; its posterior is a Gaussian.
        rows: Training ids, `n x t`, ended by stop, padded.
        codes: Draws from posteriors of training molecules, `k x n x d`, used in turn.
        epochs: Over the codes, but not more than 300 steps.
        components: Made-up molecules; 0 takes the default, 100.
        seed: Of the first guess and the order.
        batch_size: Codes a step.
        learning_rate: Peak, of Adam; cosine decay.
    """
    n = codes.shape[1]
    components = min(components or COMPONENTS["vamp"], len(rows))
    network = _Posterior(model)
    own = {name: parameter.detach() for name, parameter in network.named_parameters()}
    table = own["model.embedding.weight"]
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        chosen = rows[torch.randperm(len(rows), generator=generator)[:components]].long()
        chosen = chosen[:, : int((chosen != PAD).sum(dim=1).max())]
        # A made-up molecule is a row of ids, too: of rows that are put below the embedding's own.
        there = chosen != PAD
        made = table[chosen[there]].clone().requires_grad_()
        ids = chosen.masked_scatter(there, len(table) + torch.arange(len(made)))
        with torch.no_grad():
            _, logvar = functional_call(network, own, (chosen,))
            narrow = (0.5 * logvar).exp().mean(dim=0)
            wider = (0.8 * codes[0].std(dim=0) / narrow).log()
        wider.requires_grad_()
        logits = torch.zeros(components, requires_grad=True)

        def gaussians() -> tuple[Tensor, Tensor, Tensor]:
            embedding = {"model.embedding.weight": torch.cat([table, made])}
            mean, logvar = functional_call(network, own | embedding, (ids,))
            return logits, mean, (0.5 * logvar + wider).exp()

        optimizer = torch.optim.Adam([made, wider, logits], lr=learning_rate)
        total = min(STEPS, epochs * math.ceil(n / batch_size))
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total))
        batches: list[Tensor] = []
        for step in range(total):
            if not batches:
                batches = list(torch.split(torch.randperm(n, generator=generator), batch_size))
            z = codes[step % len(codes), batches.pop()]
            loss = -mixture_log_prob(z, *gaussians()).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([made, wider, logits], 5.0)
            optimizer.step()
            decay.step()
        with torch.no_grad():
            weights, means, stds = gaussians()
    prior = VampPrior(codes.shape[2], components)
    prior.logits, prior.means, prior.stds = weights.detach(), means.detach(), stds.detach()
    return prior.eval()


def fit_flow(
    codes: Tensor,
    *,
    epochs: int,
    kind: Literal["flow", "autoregressive"] = "flow",
    given: Tensor | None = None,
    hidden: int = 256,
    seed: int = 0,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
) -> FlowPrior:
    """A flow by maximum likelihood of draws from the posteriors, others in each pass.

    Args:
        codes: `k` draws for each of `n` molecules, `k x n x d`, used in turn.
        epochs: Over the molecules.
        kind: See `FlowPrior`.
        given: What it depends on, `k x n x p`; None for nothing.
        hidden: See `FlowPrior`.
        seed: Of weights and order.
        batch_size: Molecules a step.
        learning_rate: Peak, of Adam; cosine decay.
    """
    k, n, dim = codes.shape
    with seeded(seed):
        prior = FlowPrior(dim, kind, 0 if given is None else given.shape[2], hidden=hidden)
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        flat = codes.reshape(k * n, dim)
        prior.centre, prior.scale = flat.mean(dim=0), flat.std(dim=0).clamp(min=1e-6)
        optimizer = torch.optim.Adam(prior.parameters(), lr=learning_rate)
        steps = epochs * math.ceil(n / batch_size)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for turn in range(epochs):
            for rows in torch.split(torch.randperm(n, generator=generator), batch_size):
                known = None if given is None else given[turn % k, rows]
                loss = -prior.log_prob(codes[turn % k, rows], known).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(prior.parameters(), 5.0)
                optimizer.step()
                decay.step()
    return prior.eval()


__all__ = ["choose_prior", "fit_flow", "fit_mixture", "fit_vamp"]
