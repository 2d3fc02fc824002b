"""Distributions over z, fitted to the aggregated posterior once a model is trained.

A VAE trained with a small beta leaves N(0, I) a poor description of where its codes lie. Several
kinds can be fitted; where none is asked for, the one that gives held-out codes the highest
likelihood is kept. Knows torch; nothing of molecules or files.

References:
    Rosca et al. (2018), arXiv:1802.06847 (aggregated posterior and prior differ).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molvae.model.priors.base import Normal, Prior
from molvae.model.priors.conditional import Conditional, covariance_of
from molvae.model.priors.fitting import choose_prior
from molvae.model.priors.flows import Flow, fit_flow
from molvae.model.priors.mixtures import Mixture, Vamp, fit_mixture, fit_vamp


def make_prior(settings: Mapping[str, Any]) -> Prior:
    """A prior of the right sizes, its weights to be loaded; the inverse of `Prior.settings`.

    Raises:
        KeyError, TypeError, ValueError: The settings are none.
    """
    sizes = dict(settings)
    match kind := sizes.pop("kind"):
        case "normal":
            return Normal(**sizes)
        case "mixture":
            return Mixture(**sizes)
        case "vamp":
            return Vamp(**sizes)
        case "flow" | "autoregressive":
            return Flow(kind=kind, **sizes)
        case "conditional":
            z, dim = make_prior(sizes.pop("z")), sizes.pop("dim")
            if not isinstance(z, Normal | Flow) or z.dim + sizes["conditions"] != dim:
                raise ValueError(f"not a prior of z given conditions: {settings}")
            return Conditional(z, **sizes)
    raise ValueError(f"no prior is called {kind!r}")


def plain_prior(dim: int, conditions: int = 0) -> Prior:
    """What codes are under where nothing was learned: N(0, I)."""
    return Conditional(Normal(dim), conditions) if conditions else Normal(dim)


__all__ = [
    "Conditional",
    "Flow",
    "Mixture",
    "Normal",
    "Prior",
    "Vamp",
    "choose_prior",
    "covariance_of",
    "fit_flow",
    "fit_mixture",
    "fit_vamp",
    "make_prior",
    "plain_prior",
]
