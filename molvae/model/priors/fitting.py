"""Which prior fits the codes of molecules best: all are fitted, held-out codes decide."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from molvae.config import PriorConfig
from molvae.errors import warn
from molvae.model.priors.base import Normal, Prior
from molvae.model.priors.conditional import Conditional, covariance_of
from molvae.model.priors.flows import fit_flow
from molvae.model.priors.mixtures import Vamp, fit_mixture

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
    vamp: Callable[[], Vamp] | None = None,
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
        held-out codes, in nats. With conditions the prior is `Conditional`, and the kinds are those
        of z given y.

    Warns:
        MolvaeWarning: The asked-for kind makes held-out codes less likely than N(0, I) does.
    """
    _, n, width = train.shape
    dim = width - conditions
    z, y = train[..., :dim], train[..., dim:] if conditions else None
    kinds = _kinds(config, n, dim, conditions)
    priors: dict[str, Prior] = {"normal": Normal(dim)}
    for kind in kinds:
        if kind == "mixture":
            priors[kind] = fit_mixture(z[0], components=config.components, seed=seed)
        elif kind == "vamp":
            assert vamp is not None
            priors[kind] = vamp()
        elif kind == "flow" or kind == "autoregressive":
            priors[kind] = fit_flow(z, passes=config.passes, kind=kind, given=y, seed=seed)
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
    if dim == 0 or config.passes == 0:
        return ()
    if config.kind != "auto":
        return () if config.kind == "normal" else (config.kind,)
    if conditions:
        # Coupling layers need two units.
        return ("flow",) if dim > 1 else ("autoregressive",)
    # A covariance needs more codes than it has rows.
    enough = {"mixture": n > 4 * dim, "flow": dim > 1}
    return tuple(kind for kind in AUTO if enough[kind])


def _with_conditions(z: Prior, y: Tensor) -> Conditional:
    prior = Conditional(z, y.shape[1])  # type: ignore[arg-type]  # `PriorConfig` allows no others
    prior.mean, prior.covariance = y.mean(dim=0), covariance_of(y)
    return prior.eval()


__all__ = ["choose_prior"]
