"""Priors over latent vectors.

A standard normal, a Gaussian mixture, a VampPrior, a normalizing flow, and one that is conditional
on properties.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import zuko
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)


class Prior(nn.Module, ABC):
    """A distribution over codes of `dim` numbers: z, or z and conditions."""

    kind: str

    def __init__(self, dim: int, **sizes: Any) -> None:
        super().__init__()
        self.dim, self._sizes = dim, sizes

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Natural logarithm of the density at `n x dim`, float32; `n`."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Samples, `n x dim`, float32; the same for the same state of the generator."""

    def settings(self) -> dict[str, Any]:
        """Settings from which `make_prior` builds the prior without weights, ready for JSON."""
        return {"kind": self.kind, "dim": self.dim, **self._sizes}


class NormalPrior(Prior):
    """N(0, I), whatever is given."""

    kind = "normal"

    def log_prob(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """See `Prior`."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

    def sample(self, n: int, generator: torch.Generator, given: Tensor | None = None) -> Tensor:
        """See `Prior`."""
        return torch.randn(n, self.dim, generator=generator, dtype=torch.float32)

    def to_noise(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Noise of z, see `FlowPrior.to_noise`; here z itself."""
        return z

    from_noise = to_noise


DEFAULT_COMPONENTS = {"mixture": 20, "vamp": 100}  # default numbers of components


class _Mixture(Prior):
    """A mixture of Gaussians: weights by `logits`, centers `means`."""

    logits: Tensor
    means: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__(dim, components=components)
        self.components = components
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, dim))

    @abstractmethod
    def spread(self, which: Tensor, noise: Tensor) -> Tensor:
        """Standard normal noise, `n x d`, scaled to the components `which`, `n`."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """See `Prior`."""
        if n == 0:
            return torch.zeros(0, self.dim, dtype=torch.float32)
        which = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float32)
        return self.means[which] + self.spread(which, noise)


class MixturePrior(_Mixture):
    """A mixture of Gaussians with full covariances."""

    kind = "mixture"
    factors: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__(dim, components)
        self.register_buffer("factors", torch.eye(dim).repeat(components, 1, 1))  # k x d x d

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        parts = MultivariateNormal(self.means, scale_tril=self.factors)
        return mixture_log_prob(z, self.logits, parts)

    def spread(self, which: Tensor, noise: Tensor) -> Tensor:
        """See `_Mixture`."""
        return torch.einsum("nij,nj->ni", self.factors[which], noise)


class VampPrior(_Mixture):
    """A mixture of the posteriors of pseudo-molecules, each a diagonal Gaussian.

    Only the Gaussians are kept: using it needs no encoder.
    """

    kind = "vamp"
    stds: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__(dim, components)
        self.register_buffer("stds", torch.ones(components, dim))  # k x d

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        return mixture_log_prob(z, self.logits, Independent(Normal(self.means, self.stds), 1))

    def spread(self, which: Tensor, noise: Tensor) -> Tensor:
        """See `_Mixture`."""
        return self.stds[which] * noise


def mixture_log_prob(z: Tensor, logits: Tensor, parts: Distribution) -> Tensor:
    """Log-density of a mixture of `k` distributions at `n x d`; `n`."""
    mixture = MixtureSameFamily(Categorical(logits=logits), parts)
    log_density: Tensor = mixture.log_prob(z)  # type: ignore[no-untyped-call]
    return log_density


DEFAULT_LAYERS = {"flow": 6, "autoregressive": 2}
"""Default numbers of layers: one autoregressive layer can do more, and takes longer to sample."""


class FlowPrior(Prior):
    """Layers of monotonic rational-quadratic splines, over standardized z.

    Args:
        dim: Dimensions of z.
        kind: `flow`: coupling layers, each of which moves half of the units as the other half says.
            `autoregressive`: each unit is moved as all before it say.
        given: How many numbers it depends on.
        layers: Number of layers; 0 takes the default of the kind.
        hidden: Width of the networks, of two hidden layers.
        bins: Bins of a spline.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        dim: int,
        kind: str = "flow",
        given: int = 0,
        layers: int = 0,
        hidden: int = 256,
        bins: int = 8,
    ) -> None:
        if layers == 0:  # four wide layers keep a model of 128 units below 10 MB
            layers = min(DEFAULT_LAYERS[kind], 4) if dim >= 128 else DEFAULT_LAYERS[kind]
        more = {"given": given} if given else {}
        super().__init__(dim, **more, layers=layers, hidden=hidden, bins=bins)
        self.kind = kind
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        # Which half is moved and which decides how: another one each time, always the same ones.
        masks = torch.Generator().manual_seed(0)
        splines = {
            "univariate": zuko.transforms.MonotonicRQSTransform,
            "shapes": [(bins,), (bins,), (bins - 1,)],
            "hidden_features": (hidden, hidden),
        }

        def layer(i: int) -> Any:
            if kind == "autoregressive":
                order = torch.arange(dim) if i % 2 == 0 else torch.arange(dim).flip(0)
                return zuko.flows.MaskedAutoregressiveTransform(dim, given, order=order, **splines)
            mask = torch.randperm(dim, generator=masks) % 2 == 0
            return zuko.flows.GeneralCouplingTransform(dim, given, mask=mask, **splines)

        self.flow = zuko.flows.Flow(
            transform=[layer(i) for i in range(layers)],
            base=zuko.flows.UnconditionalDistribution(
                zuko.distributions.DiagNormal, torch.zeros(dim), torch.ones(dim), buffer=True
            ),
        )

    def log_prob(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """See `Prior`; `given` is `n x given`."""
        log_prob: Tensor = self.flow(given).log_prob((z - self.centre) / self.scale)
        return log_prob - self.scale.log().sum()

    def sample(self, n: int, generator: torch.Generator, given: Tensor | None = None) -> Tensor:
        """See `Prior`; `given` is `n x given`."""
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float32)
        return self.from_noise(noise, given)

    @torch.no_grad()
    def to_noise(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Noise in N(0, I) that z is made from; `n x dim` to `n x dim`."""
        noise: Tensor = self.flow(given).transform((z - self.centre) / self.scale)
        return noise

    @torch.no_grad()
    def from_noise(self, noise: Tensor, given: Tensor | None = None) -> Tensor:
        """Z from noise in N(0, I); the inverse of `to_noise`."""
        if len(noise) == 0:
            return noise
        standard: Tensor = self.flow(given).transform.inv(noise)
        return self.centre + self.scale * standard


MIN_EIGENVALUE = 1e-4
"""Eigenvalue of a covariance: conditions that say the same stay a distribution."""


class ConditionalPrior(Prior):
    """p(y) p(z | y): codes are `[z | y]`, with `conditions` numbers y, in units of the network."""

    kind = "conditional"
    mean: Tensor
    covariance: Tensor

    def __init__(self, z: NormalPrior | FlowPrior, conditions: int) -> None:
        super().__init__(z.dim + conditions, conditions=conditions, z=z.settings())
        self.z, self.conditions = z, conditions
        self.register_buffer("mean", torch.zeros(conditions))
        self.register_buffer("covariance", torch.eye(conditions))

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior`."""
        z, y = self.parts(z)
        of_y: Tensor = MultivariateNormal(self.mean, self.covariance).log_prob(y)  # type: ignore[no-untyped-call]
        return of_y + self.z.log_prob(z, y)

    def sample(
        self, n: int, generator: torch.Generator, where: Mapping[int, float] | None = None
    ) -> Tensor:
        """See `Prior`; conditions by their place in y may have given values."""
        y = self.sample_conditions(n, generator, where or {})
        return torch.cat([self.z.sample(n, generator, y), y], dim=1)

    def sample_conditions(
        self, n: int, generator: torch.Generator, where: Mapping[int, float]
    ) -> Tensor:
        """Conditions, `n x conditions`: the given ones as they are, the others given these."""
        known = sorted(where)
        rest = [i for i in range(self.conditions) if i not in where]
        y = torch.zeros(n, self.conditions, dtype=torch.float32)
        values = torch.tensor([where[i] for i in known], dtype=torch.float64)
        y[:, known] = values.float()
        if not rest:
            return y
        mean, covariance = self.mean.double(), self.covariance.double()
        across = covariance[rest][:, known]
        slope = torch.linalg.solve(covariance[known][:, known], across.T).T
        left = covariance[rest][:, rest] - slope @ across.T
        noise = torch.randn(n, len(rest), generator=generator, dtype=torch.float32).double()
        factor = torch.linalg.cholesky(left)
        missing = mean[rest] + slope @ (values - mean[known]) + noise @ factor.T
        y[:, rest] = missing.float()
        return y

    def moved(self, code: Tensor, y: Tensor) -> Tensor:
        """Codes `n x dim` with other conditions, `n x conditions`, the same noise of the flow."""
        z, old = self.parts(code)
        return torch.cat([self.z.from_noise(self.z.to_noise(z, old), y), y], dim=1)

    def parts(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Z and conditions of codes."""
        return code[:, : self.z.dim], code[:, self.z.dim :]


def covariance_of(y: Tensor) -> Tensor:
    """Covariance, `p x p`, float32, positive definite, of `n x p` numbers, NaN where not known.

    Each pair's is over the rows that both are known of.
    """
    known = ~y.isnan()
    y = y.double()
    mean = y.nanmean(dim=0)
    centered = torch.where(known, y - mean, 0.0)
    pairs = known.double().T @ known.double()
    # Pairs that are never known together count as unrelated.
    values, vectors = torch.linalg.eigh(centered.T @ centered / pairs.clamp(min=1))
    repaired: Tensor = vectors * values.clamp(min=MIN_EIGENVALUE) @ vectors.T
    return (0.5 * (repaired + repaired.T)).float()


def make_prior(settings: Mapping[str, Any]) -> Prior:
    """A prior of the right sizes, its weights to be loaded; the inverse of `Prior.settings`.

    Raises:
        KeyError, TypeError, ValueError: The settings are none.
    """
    sizes = dict(settings)
    match kind := sizes.pop("kind"):
        case "normal":
            return NormalPrior(**sizes)
        case "mixture":
            return MixturePrior(**sizes)
        case "vamp":
            return VampPrior(**sizes)
        case "flow" | "autoregressive":
            return FlowPrior(kind=kind, **sizes)
        case "conditional":
            z, dim = make_prior(sizes.pop("z")), sizes.pop("dim")
            if not isinstance(z, NormalPrior | FlowPrior) or z.dim + sizes["conditions"] != dim:
                raise ValueError(f"not a prior of z given conditions: {settings}")
            return ConditionalPrior(z, **sizes)
    raise ValueError(f"no prior is called {kind!r}")


def standard_normal_prior(dim: int, conditions: int = 0) -> Prior:
    """The prior where none was learned: N(0, I)."""
    return ConditionalPrior(NormalPrior(dim), conditions) if conditions else NormalPrior(dim)
