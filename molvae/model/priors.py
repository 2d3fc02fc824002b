"""Distributions over z, fitted to the aggregated posterior once a model is trained.

A VAE trained with a small beta leaves N(0, I) a poor description of where its codes lie. Three
kinds are fitted and the one that gives held-out codes the highest likelihood is kept. Knows torch;
nothing of molecules or files.

References:
    Rosca et al. (2018), arXiv:1802.06847 (aggregated posterior and prior differ); Dinh et al.
    (2017), arXiv:1605.08803 (coupling layers); Durkan et al. (2019), arXiv:1906.04032 (their
    splines); Tomczak and Welling (2018), arXiv:1705.07120 (mixtures as priors).
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import zuko
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class Prior(nn.Module, ABC):
    """A distribution over z."""

    kind: str

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Natural logarithm of the density at `n x d`, float32; `n`."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n x d`, float32; the same for the same state of the generator."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `make_prior` needs to build it without weights, ready for JSON."""


class Normal(Prior):
    """N(0, I)."""

    kind = "normal"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        return torch.randn(n, self.dim, generator=generator)

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        return {"kind": self.kind, "dim": self.dim}


class Mixture(Prior):
    """A mixture of Gaussians with full covariances."""

    kind = "mixture"
    logits: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.dim, self.components = dim, components
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("factors", torch.eye(dim).repeat(components, 1, 1))

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        parts = torch.distributions.MultivariateNormal(self.means, scale_tril=self.factors)
        of_each: Tensor = parts.log_prob(z[:, None])  # type: ignore[no-untyped-call]
        return torch.logsumexp(self.logits.log_softmax(0) + of_each, dim=1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        if n == 0:
            return torch.zeros(0, self.dim)
        which = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator)
        return self.means[which] + torch.einsum("nij,nj->ni", self.factors[which], noise)

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        return {"kind": self.kind, "dim": self.dim, "components": self.components}


class Flow(Prior):
    """Coupling layers of monotonic rational-quadratic splines, over standardised z."""

    kind = "flow"
    centre: Tensor
    scale: Tensor

    def __init__(self, dim: int, layers: int = 6, hidden: int = 256, bins: int = 8) -> None:
        super().__init__()
        self.dim, self.layers, self.hidden, self.bins = dim, layers, hidden, bins
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        # Which half is moved and which decides how: another one each time, always the same ones.
        masks = torch.Generator().manual_seed(0)
        self.flow = zuko.flows.Flow(
            transform=[
                zuko.flows.GeneralCouplingTransform(
                    features=dim,
                    mask=torch.randperm(dim, generator=masks) % 2 == 0,
                    univariate=zuko.transforms.MonotonicRQSTransform,
                    shapes=[(bins,), (bins,), (bins - 1,)],
                    hidden_features=(hidden, hidden),
                )
                for _ in range(layers)
            ],
            base=zuko.flows.UnconditionalDistribution(
                zuko.distributions.DiagNormal, torch.zeros(dim), torch.ones(dim), buffer=True
            ),
        )

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        log_prob: Tensor = self.flow().log_prob((z - self.centre) / self.scale)
        return log_prob - self.scale.log().sum()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        noise = torch.randn(n, self.dim, generator=generator)
        with torch.no_grad():
            standard: Tensor = self.flow().transform.inv(noise)
        return self.centre + self.scale * standard

    def settings(self) -> dict[str, Any]:
        """See `Prior`."""
        sizes = {"layers": self.layers, "hidden": self.hidden, "bins": self.bins}
        return {"kind": self.kind, "dim": self.dim, **sizes}


PRIORS: dict[str, type[Prior]] = {"normal": Normal, "mixture": Mixture, "flow": Flow}
"""Every kind by its name."""


def make_prior(settings: Mapping[str, Any]) -> Prior:
    """A prior of the right sizes, its weights to be loaded; the inverse of `Prior.settings`.

    Raises:
        KeyError, TypeError: The settings are none.
    """
    sizes = dict(settings)
    return PRIORS[sizes.pop("kind")](**sizes)


def fit_mixture(z: Tensor, *, components: int = 20, seed: int = 0) -> Mixture:
    """A mixture by expectation maximisation, with fewer components where there are few codes."""
    from sklearn.mixture import GaussianMixture

    components = max(1, min(components, len(z) // (4 * z.shape[1])))
    fitted = GaussianMixture(components, reg_covar=1e-3, max_iter=50, tol=1e-2, random_state=seed)
    fitted.fit(z.double().numpy())
    prior = Mixture(z.shape[1], components)
    prior.logits = torch.tensor(fitted.weights_, dtype=torch.float32).log()
    prior.means = torch.tensor(fitted.means_, dtype=torch.float32)
    prior.factors = torch.linalg.cholesky(torch.tensor(fitted.covariances_)).float()
    return prior


def fit_flow(
    mean: Tensor,
    std: Tensor,
    *,
    passes: int,
    seed: int = 0,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
) -> Flow:
    """A flow by maximum likelihood of draws from the posteriors, new ones in each pass.

    Args:
        mean: Of the posteriors, `n x d`.
        std: Likewise.
        passes: Over the molecules.
        seed: Of weights, order and draws.
        batch_size: Molecules a step.
        learning_rate: Peak, of Adam; cosine decay.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = Flow(mean.shape[1])
        prior.centre = mean.mean(dim=0)
        prior.scale = (mean.var(dim=0) + std.square().mean(dim=0)).sqrt()
        optimizer = torch.optim.Adam(prior.parameters(), lr=learning_rate)
        steps = passes * math.ceil(len(mean) / batch_size)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for _ in range(passes):
            for rows in torch.split(torch.randperm(len(mean)), batch_size):
                z = mean[rows] + std[rows] * torch.randn(len(rows), mean.shape[1])
                loss = -prior.log_prob(z).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(prior.parameters(), 5.0)
                optimizer.step()
                decay.step()
    return prior.eval()


def choose_prior(
    train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], *, passes: int, seed: int = 0
) -> tuple[Prior, dict[str, float]]:
    """Fit each kind, and keep the one that held-out codes are likeliest under.

    Args:
        train: Means and standard deviations of posteriors, each `n x d`, to fit to.
        valid: Likewise, to choose by.
        passes: Over the training codes, of the flow; with 0 only N(0, I) is left to choose.
        seed: Of everything random.

    Returns:
        The prior, and of each kind the mean log-density of one draw from each held-out posterior,
        in nats.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(posterior: tuple[Tensor, Tensor]) -> Tensor:
        mean, std = posterior
        return mean + std * torch.randn(mean.shape, generator=generator)

    held_out = draw(valid)
    priors: list[Prior] = [Normal(held_out.shape[1])]
    if passes > 0:
        # Coupling layers need two units, a covariance needs more codes than it has rows.
        if len(train[0]) > 4 * held_out.shape[1]:
            priors.append(fit_mixture(draw(train), seed=seed))
        if held_out.shape[1] > 1:
            priors.append(fit_flow(*train, passes=passes, seed=seed))
    with torch.no_grad():
        found = {
            prior.kind: float(
                torch.cat([prior.log_prob(part) for part in torch.split(held_out, 4096)]).mean()
            )
            for prior in priors
        }
    logger.info("held-out log-density of z by prior: %s", found)
    best = max(priors, key=lambda prior: found[prior.kind])
    return best, {kind: round(value, 3) for kind, value in found.items()}


__all__ = [
    "PRIORS",
    "Flow",
    "Mixture",
    "Normal",
    "Prior",
    "choose_prior",
    "fit_flow",
    "fit_mixture",
    "make_prior",
]
